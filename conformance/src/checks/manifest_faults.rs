//! Pushing manifests that are wrong: malformed, ambiguous, too large, incomplete
//! (spec.md#pushing-manifests).

use serde_json::{Value, json};

use crate::check::{Check, Feature, Level, Need, Verdict, run};
use crate::checks::MANIFEST;
use crate::content::{
    Blob, DOCKER_MANIFEST, Image, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST,
};
use crate::context::Context;
use crate::expect::{Findings, code, codes, no_server_error, refused, status, that};
use crate::wire::Body;

const ANCHOR: &str = "spec.md#pushing-manifests";
const IMAGE: &str = "image-spec manifest.md";

/// Four mebibytes: the size of a manifest that every registry has to take.
const MANIFEST_BYTES: usize = 4 * 1024 * 1024;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-061",
        Level::Observe,
        ANCHOR,
        "What is no manifest is refused with MANIFEST_INVALID.",
        run!(malformed),
    )
    .after(&[MANIFEST])
    .why("What is stored unread breaks every later reader: lists, referrers, garbage collection."),
    Check::new(
        "T-062",
        Level::Observe,
        ANCHOR,
        "A Content-Type that differs from mediaType is refused.",
        run!(mismatched),
    )
    .after(&[MANIFEST])
    .why("One reader believes the header, another the body: the same digest is two things.")
    .covers(&["R-078"]),
    Check::new(
        "T-063",
        Level::Observe,
        ANCHOR,
        "A manifest without Content-Type is taken by its mediaType, or refused.",
        run!(untyped),
    )
    .after(&[MANIFEST])
    .why("curl and scripts forget it; a 500 does not tell them."),
    Check::new(
        "T-064",
        Level::Observe,
        IMAGE,
        "A manifest with impossible descriptors is refused.",
        run!(impossible),
    )
    .after(&[MANIFEST])
    .why("Sizes are added and digests become keys: what is not checked here breaks there."),
    Check::new(
        "T-065",
        Level::Observe,
        IMAGE,
        "A manifest with both layers and manifests is refused.",
        run!(ambiguous),
    )
    .after(&[MANIFEST])
    .why("CVE-2021-41190: it is an image to one client and an index to another."),
    Check::new(
        "T-066",
        Level::Should,
        ANCHOR,
        "A manifest that is far too large is 413, and the connection lives.",
        run!(too_large),
    )
    .after(&[MANIFEST])
    .why("Manifests are held in memory; without a limit one client fills it.")
    .covers(&["R-087"]),
    Check::new("T-067", Level::Should, ANCHOR, "A manifest of 4 MiB can be pushed and pulled.", run!(large))
        .after(&[MANIFEST])
        .why("The specification names four megabytes as what everybody takes.")
        .covers(&["R-088"]),
    Check::new(
        "T-068",
        Level::Must,
        ANCHOR,
        "A manifest with a missing blob is taken, or refused by its code.",
        run!(missing_blob),
    )
    .after(&[MANIFEST])
    .why("A client that reads MANIFEST_BLOB_UNKNOWN uploads the blob and tries again.")
    .breaks("BuildKit and containerd retry blobs by this code.")
    .covers(&["R-039", "R-040"]),
    Check::new(
        "T-069",
        Level::Must,
        ANCHOR,
        "A blob of another repository counts as missing.",
        run!(foreign_blob),
    )
    .after(&["T-068"])
    .why("Otherwise a manifest becomes a key to blobs of repositories that one may not read.")
    .covers(&["R-032", "R-040"]),
    Check::new(
        "T-070",
        Level::Must,
        ANCHOR,
        "An index with a missing child is taken, or refused by its code.",
        run!(missing_child),
    )
    .after(&[MANIFEST])
    .why("Partial copies of an index are common; the answer has to be one that clients know.")
    .covers(&["R-039", "R-040"]),
    Check::new(
        "T-071",
        Level::Observe,
        IMAGE,
        "A layer that may not be distributed need not be there.",
        run!(foreign_layer),
    )
    .after(&[MANIFEST])
    .why("Windows base layers live at Microsoft; docker never pushes them.")
    .breaks("docker push of Windows images."),
    Check::new(
        "T-079",
        Level::Observe,
        "spec.md#pushing-manifests-with-subject",
        "A subject with a malformed digest is refused.",
        run!(malformed_subject),
    )
    .after(&[MANIFEST])
    .needs(&[Need::Feature(Feature::Referrers)])
    .why("The subject's digest becomes a key of the referrers index."),
];

async fn malformed(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let image = ctx.tagged(&repo, "good").await?;
    let good = &image.manifest.bytes;
    let mut marked = vec![0xef, 0xbb, 0xbf];
    marked.extend_from_slice(good);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let cases: [(&str, Vec<u8>); 8] = [
        ("an empty body", Vec::new()),
        ("null", b"null".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a string", b"\"manifest\"".to_vec()),
        ("half of a manifest", good[..good.len() / 2].to_vec()),
        ("deep nesting", format!("{{\"schemaVersion\":2,\"x\":{deep}").into_bytes()),
        ("a byte order mark", marked),
        ("bytes that are no text", vec![0xff, 0xfe, 0, 1]),
    ];
    for (name, bytes) in cases {
        let response = ctx.send(ctx.push(&repo, "bad", &Manifest::raw(OCI_MANIFEST, bytes))).await?;
        findings
            .note(that(response.is_client_error(), || format!("{name}: answered {}", response.status)))?;
        if response.is_client_error() {
            findings.note(code(&response, &["MANIFEST_INVALID", "SIZE_INVALID", "UNSUPPORTED"]))?;
        }
    }
    findings.note(ctx.manifest_gone(&repo, "bad").await)?;
    findings.verdict()
}

async fn mismatched(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let mut findings = Findings::default();
    for media in [OCI_INDEX, DOCKER_MANIFEST] {
        let manifest = Manifest { media_type: media.to_owned(), ..image.manifest.clone() };
        findings.note(status(&ctx.send(ctx.push(&repo, "t", &manifest)).await?, &[400, 415]))?;
    }
    findings.note(ctx.manifest_gone(&repo, "t").await)?;
    findings.verdict()
}

async fn untyped(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let request = ctx.request("PUT", &format!("/v2/{repo}/manifests/t")).body(image.manifest.bytes.clone());
    let response = ctx.send(request).await?;
    status(&response, &[201, 400, 415])?;
    ctx.observe(format!("a manifest without Content-Type is answered with {}", response.status));
    if response.status == 201 { ctx.manifest_is(&repo, "t", &image.manifest).await } else { Ok(()) }
}

async fn impossible(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let digest = &image.layer.digest;
    let mut findings = Findings::default();
    for (name, layer) in [
        ("a negative size", json!({"mediaType": OCI_LAYER, "digest": digest, "size": -1})),
        ("a size that is no number", json!({"mediaType": OCI_LAYER, "digest": digest, "size": "700"})),
        ("no digest", json!({"mediaType": OCI_LAYER, "size": 700})),
        ("a malformed digest", json!({"mediaType": OCI_LAYER, "digest": "sha256:XYZ", "size": 3})),
        ("a digest that climbs", json!({"mediaType": OCI_LAYER, "digest": "../../x", "size": 3})),
    ] {
        let manifest = Manifest::image(&image.config.descriptor(OCI_CONFIG), &[layer], json!({}));
        let response = ctx.send(ctx.push(&repo, "t", &manifest)).await?;
        findings
            .note(that(response.is_client_error(), || format!("{name}: answered {}", response.status)))?;
    }
    findings.verdict()
}

async fn ambiguous(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "good").await?;
    let (config, layer) = (image.config.descriptor(OCI_CONFIG), image.layer.descriptor(OCI_LAYER));
    let both = json!({"manifests": [image.manifest.descriptor()], "mediaType": Value::Null});
    let manifest = Manifest::image(&config, &[layer], both);
    let mut findings = Findings::default();
    for media in [OCI_MANIFEST, OCI_INDEX] {
        let manifest = Manifest { media_type: media.to_owned(), ..manifest.clone() };
        let response = ctx.send(ctx.push(&repo, "both", &manifest)).await?;
        findings.note(status(&response, &[400]))?;
    }
    findings.verdict()
}

/// Returns an image whose manifest has that many bytes, by an annotation.
fn padded(ctx: &Context, bytes: usize) -> Image {
    const MARK: &str = "<padding>";
    let plain = ctx.image_with(json!({"annotations": {"org.example.padding": MARK}}));
    let text = String::from_utf8_lossy(&plain.manifest.bytes).into_owned();
    let (before, after) = text.split_once(MARK).unwrap_or((&text, ""));
    // The padding goes in as bytes: escaping megabytes for JSON takes longer than sending them.
    let mut padded = Vec::with_capacity(bytes);
    padded.extend_from_slice(before.as_bytes());
    padded.resize(bytes.saturating_sub(after.len()), b'p');
    padded.extend_from_slice(after.as_bytes());
    Image { manifest: Manifest::raw(OCI_MANIFEST, padded), ..plain }
}

async fn too_large(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = padded(ctx, 64 * 1024 * 1024);
    ctx.have_content(&repo, &image).await?;
    let mut findings = Findings::default();
    for framing in ["a Content-Length", "chunks"] {
        let mut request = ctx.push(&repo, "t", &image.manifest);
        if let (Body::Sized(bytes), "chunks") = (&mut request.body, framing) {
            request.body = Body::Chunked(std::mem::take(bytes));
        }
        // A registry may answer early and close while the body is still being sent.
        let Ok(response) = ctx.attempt(request).await else {
            ctx.observe(format!("a manifest of 64 MiB with {framing} is cut off without an answer"));
            continue;
        };
        if response.status == 201 {
            findings.note(that(false, || format!("a manifest of 64 MiB with {framing} is taken")))?;
        } else {
            findings.note(status(&response, &[413]))?;
        }
    }
    findings.note(no_server_error(&ctx.tags(&repo, "").await?))?;
    findings.verdict()
}

async fn large(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = padded(ctx, MANIFEST_BYTES);
    ctx.have_content(&repo, &image).await?;
    status(&ctx.send(ctx.push(&repo, "t", &image.manifest)).await?, &[201])?;
    ctx.manifest_is(&repo, "t", &image.manifest).await
}

/// Judges the answer to a manifest some of whose content is missing.
async fn sparse(ctx: &Context, repo: &str, manifest: &Manifest, what: &str) -> Verdict {
    let response = ctx.send(ctx.push(repo, "sparse", manifest)).await?;
    status(&response, &[201, 400, 404])?;
    ctx.observe(format!("{what} is answered with {}", response.status));
    if response.status == 201 {
        return ctx.manifest_is(repo, "sparse", manifest).await;
    }
    let got = codes(&response)?;
    that(got.is_empty() || got.iter().any(|code| code == "MANIFEST_BLOB_UNKNOWN"), || {
        format!("{}: error code {got:?}, expected MANIFEST_BLOB_UNKNOWN", response.label)
    })?;
    ctx.manifest_gone(repo, "sparse").await?;
    ctx.manifest_gone(repo, &manifest.digest).await
}

async fn missing_blob(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_blob(&repo, &image.config).await?;
    sparse(ctx, &repo, &image.manifest, "a manifest with a missing layer").await?;
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_blob(&repo, &image.layer).await?;
    sparse(ctx, &repo, &image.manifest, "a manifest with a missing configuration").await
}

async fn foreign_blob(ctx: &Context) -> Verdict {
    let (one, other, image) = (ctx.repo(), ctx.repo(), ctx.image());
    ctx.have_content(&one, &image).await?;
    ctx.have_blob(&other, &image.config).await?;
    let absent = ctx.image();
    ctx.have_blob(&other, &absent.config).await?;
    let foreign = ctx.send(ctx.push(&other, "foreign", &image.manifest)).await?;
    let missing = ctx.send(ctx.push(&other, "missing", &absent.manifest)).await?;
    that(foreign.status == missing.status, || {
        format!("a foreign layer is answered with {}, a missing one with {}", foreign.status, missing.status)
    })?;
    ctx.blob_gone(&other, &image.layer.digest).await
}

async fn missing_child(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "good").await?;
    let children = [image.manifest.descriptor(), ctx.image().manifest.descriptor()];
    sparse(ctx, &repo, &Manifest::index(&children, json!({})), "an index with a missing child").await
}

async fn foreign_layer(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let absent = Blob::new(ctx.blob(300).bytes);
    let mut findings = Findings::default();
    for media in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        let mut layer = absent.descriptor(media);
        layer["urls"] = json!(["https://layers.example.com/layer"]);
        let layers = [layer, image.layer.descriptor(OCI_LAYER)];
        let manifest = Manifest::image(&image.config.descriptor(OCI_CONFIG), &layers, json!({}));
        findings.note(status(&ctx.send(ctx.push(&repo, "t", &manifest)).await?, &[201]))?;
    }
    findings.verdict()
}

async fn malformed_subject(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    for digest in ["sha256:XYZ", "foo", ""] {
        let subject = json!({"subject": {"mediaType": OCI_MANIFEST, "digest": digest, "size": 2}});
        let image = ctx.image_with(subject);
        ctx.have_content(&repo, &image).await?;
        findings.note(refused(&ctx.send(ctx.push(&repo, "t", &image.manifest)).await?))?;
    }
    findings.verdict()
}
