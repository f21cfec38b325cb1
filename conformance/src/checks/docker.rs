//! What docker and its relatives push: schema 2, lists, caches, artifacts in images' clothes.

use serde_json::{Value, json};

use crate::check::{Check, Level, Verdict, run};
use crate::checks::MANIFEST;
use crate::content::{
    Blob, DOCKER_LIST, DOCKER_MANIFEST, DOCKER_SCHEMA1, Manifest, OCI_EMPTY, OCI_INDEX, OCI_LAYER,
};
use crate::context::Context;
use crate::expect::{Findings, body_is, code, header_is, status};

const ANCHOR: &str = "image-spec manifest.md, docker image-v2-2";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-055",
        Level::Observe,
        ANCHOR,
        "A Docker schema 2 manifest goes in and out unchanged.",
        run!(schema2),
    )
    .after(&[MANIFEST])
    .why("The classic docker push still makes it; refusing it is refusing docker.")
    .breaks("docker push with the classic image store."),
    Check::new(
        "T-056",
        Level::Observe,
        ANCHOR,
        "A Docker manifest list goes in and out unchanged.",
        run!(list),
    )
    .after(&["T-055"])
    .why("Most multi-platform images of Docker Hub are lists, and mirrors copy them.")
    .breaks("docker manifest push, skopeo copy --all."),
    Check::new("T-057", Level::Observe, ANCHOR, "An OCI index may mix OCI and Docker children.", run!(mixed))
        .after(&["T-055"])
        .why("buildx and crane make such an index out of images from different builders."),
    Check::new(
        "T-058",
        Level::Observe,
        ANCHOR,
        "A Docker schema 1 manifest is refused politely, or served.",
        run!(schema1),
    )
    .after(&[MANIFEST])
    .why("It is obsolete; a 500 to it looks like a broken registry."),
    Check::new(
        "T-059",
        Level::Observe,
        ANCHOR,
        "BuildKit's cache, an index of layer blobs, can be pushed.",
        run!(buildkit_cache),
    )
    .after(&[MANIFEST])
    .why("Until 0.21 BuildKit exported its cache so, and looked for blobs behind the descriptors.")
    .breaks("docker buildx build --cache-to type=registry."),
    Check::new(
        "T-060",
        Level::Observe,
        ANCHOR,
        "Signatures, charts, WebAssembly and artifacts can be pushed.",
        run!(artifacts),
    )
    .after(&[MANIFEST])
    .why("A registry that looks into configurations refuses everything but container images.")
    .breaks("cosign, helm, oras, wasm-to-oci."),
];

async fn schema2(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.docker_image());
    ctx.have_content(&repo, &image).await?;
    pushed_and_served(ctx, &repo, &image.manifest).await
}

/// Pushes a manifest under a tag and looks at it by tag and digest.
async fn pushed_and_served(ctx: &Context, repo: &str, manifest: &Manifest) -> Verdict {
    status(&ctx.send(ctx.push(repo, "t", manifest)).await?, &[201])?;
    for reference in ["t", &manifest.digest] {
        let response = ctx.pull(repo, reference).await?;
        status(&response, &[200])?;
        body_is(&response, &manifest.bytes)?;
        header_is(&response, "Content-Type", &manifest.media_type)?;
    }
    Ok(())
}

fn platform(manifest: &Manifest, architecture: &str) -> Value {
    let mut descriptor = manifest.descriptor();
    descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
    descriptor
}

async fn list(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.docker_image());
    ctx.have_image(&repo, &image.manifest.digest, &image).await?;
    let value = json!({
        "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [platform(&image.manifest, "amd64")],
    });
    pushed_and_served(ctx, &repo, &Manifest::of(DOCKER_LIST, &value)).await
}

async fn mixed(ctx: &Context) -> Verdict {
    let (repo, docker, oci) = (ctx.repo(), ctx.docker_image(), ctx.image());
    for image in [&docker, &oci] {
        ctx.have_image(&repo, &image.manifest.digest, image).await?;
    }
    let children = [platform(&docker.manifest, "amd64"), platform(&oci.manifest, "arm64")];
    pushed_and_served(ctx, &repo, &Manifest::index(&children, json!({}))).await?;
    for image in [&docker, &oci] {
        let response = ctx.pull(&repo, &image.manifest.digest).await?;
        header_is(&response, "Content-Type", &image.manifest.media_type)?;
    }
    Ok(())
}

async fn schema1(ctx: &Context) -> Verdict {
    let value = json!({
        "schemaVersion": 1, "name": "library/old", "tag": "t", "architecture": "amd64",
        "fsLayers": [{"blobSum": ctx.blob(10).digest}],
        "history": [{"v1Compatibility": "{\"id\":\"0\"}"}],
        "signatures": [{"header": {"alg": "ES256"}, "signature": "AA", "protected": "AA"}],
    });
    let response = ctx.send(ctx.push(&ctx.repo(), "t", &Manifest::of(DOCKER_SCHEMA1, &value))).await?;
    status(&response, &[201, 400, 404, 415])?;
    ctx.observe(format!("a schema 1 manifest is answered with {}", response.status));
    if response.status == 201 {
        return Ok(());
    }
    code(
        &response,
        &["MANIFEST_INVALID", "UNSUPPORTED", "MANIFEST_UNVERIFIED", "MANIFEST_BLOB_UNKNOWN", "NAME_INVALID"],
    )
}

async fn buildkit_cache(ctx: &Context) -> Verdict {
    const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";
    let (repo, layer) = (ctx.repo(), ctx.blob(900));
    let config = Blob::new(json!({"layers": [{"blob": layer.digest}], "records": []}).to_string());
    ctx.have_blob(&repo, &layer).await?;
    ctx.have_blob(&repo, &config).await?;
    let index = Manifest::index(&[layer.descriptor(OCI_LAYER), config.descriptor(CACHE_CONFIG)], json!({}));
    pushed_and_served(ctx, &repo, &Manifest { media_type: OCI_INDEX.to_owned(), ..index }).await?;
    ctx.blob_is(&repo, &layer.digest, &layer.bytes).await
}

async fn artifacts(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    let kinds = [
        (
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.dev.cosign.simplesigning.v1+json",
            "sig",
        ),
        (
            "application/vnd.cncf.helm.config.v1+json",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            "1.2.3",
        ),
        ("application/vnd.wasm.config.v1+json", "application/wasm", "wasm"),
        (OCI_EMPTY, "text/spdx+json", "sbom"),
    ];
    for (config_type, layer_type, tag) in kinds {
        let repo = ctx.repo();
        let (config, layer) = (Blob::new(*b"{}"), ctx.blob(200));
        ctx.have_blob(&repo, &config).await?;
        ctx.have_blob(&repo, &layer).await?;
        let extra = match config_type {
            OCI_EMPTY => json!({"artifactType": "application/vnd.example.sbom.v1"}),
            _ => json!({"annotations": {"org.example.kind": tag}}),
        };
        let descriptors = (config.descriptor(config_type), layer.descriptor(layer_type));
        let manifest = Manifest::image(&descriptors.0, &[descriptors.1], extra);
        let tag = if tag == "sig" { format!("sha256-{}.sig", &layer.digest[7..]) } else { tag.to_owned() };
        findings.note(status(&ctx.send(ctx.push(&repo, &tag, &manifest)).await?, &[201]))?;
        findings.note(ctx.manifest_is(&repo, &tag, &manifest).await)?;
    }
    // A schema 2 manifest that is served under an OCI type would break its signature's subject.
    findings.note(that_docker_is_docker(ctx).await)?;
    findings.verdict()
}

async fn that_docker_is_docker(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.docker_image());
    ctx.have_image(&repo, "t", &image).await?;
    header_is(&ctx.pull(&repo, "t").await?, "Content-Type", DOCKER_MANIFEST)
}
