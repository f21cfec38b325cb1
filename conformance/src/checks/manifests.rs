//! Pulling manifests: content, headers, negotiation, isolation (spec.md#pulling-manifests).

use serde_json::json;

use crate::check::{Check, Content, Level, Stop, Verdict, run};
use crate::checks::MANIFEST;
use crate::content::{DOCKER_MANIFEST, Manifest, OCI_INDEX, OCI_MANIFEST};
use crate::context::Context;
use crate::expect::{
    Findings, body_is, code, digest_header, empty, header_absent, header_is, listed, status, that,
};
use crate::source::Held;
use crate::wire::Framing;

const ANCHOR: &str = "spec.md#pulling-manifests";
const EXISTS: &str = "spec.md#checking-if-content-exists-in-the-registry";
const RFC: &str = "RFC 9110 through spec.md#api";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "R-021",
        Level::Must,
        ANCHOR,
        "A manifest is served whole with 200 and its digest.",
        run!(served),
    )
    .content(Content::Any)
    .after(&[MANIFEST])
    .why("It is where every pull begins.")
    .breaks("All: containerd refuses a manifest without Docker-Content-Digest after HEAD.")
    .covers(&["R-021", "R-022", "R-023"]),
    Check::new(
        "R-019",
        Level::Should,
        ANCHOR,
        "A manifest has the Content-Type it was pushed with, bare.",
        run!(content_type),
    )
    .content(Content::Seeded)
    .after(&[MANIFEST])
    .why("Clients decide by it how to read the manifest, and refuse parameters.")
    .breaks("containerd, crane, oras.")
    .covers(&["R-017", "R-019"]),
    Check::new(
        "T-045",
        Level::Must,
        ANCHOR,
        "A manifest that is not there is 404 to GET and HEAD.",
        run!(missing),
    )
    .content(Content::Any)
    .after(&[MANIFEST])
    .why("A mirror's client goes on to the next host only after a 404.")
    .covers(&["R-026", "R-037"]),
    Check::new(
        "T-045a",
        Level::Should,
        "spec.md#error-codes",
        "The error body says MANIFEST_UNKNOWN.",
        run!(missing_code),
    )
    .content(Content::Any)
    .after(&["T-045"])
    .why("Clients print the code, and oras decides by it.")
    .covers(&["R-139"]),
    Check::new("T-046", Level::Must, ANCHOR, "A repository that nobody made is 404.", run!(no_repository))
        .content(Content::Any)
        .after(&[MANIFEST])
        .why("It is the same question as for a missing tag, and has to get the same answer.")
        .covers(&["R-027", "R-026"]),
    Check::new(
        "T-047",
        Level::Must,
        ANCHOR,
        "A manifest of another repository is not found.",
        run!(isolated),
    )
    .content(Content::Seeded)
    .after(&[MANIFEST])
    .why("Who may read one repository must not read the images of all others.")
    .covers(&["R-026"]),
    Check::new(
        "T-048",
        Level::Must,
        EXISTS,
        "HEAD of a manifest says what GET says: type, size, digest.",
        run!(head),
    )
    .content(Content::Any)
    .after(&[MANIFEST])
    .why("docker and containerd resolve tags by HEAD and trust what it says.")
    .breaks("docker, containerd, crane.")
    .covers(&["R-034", "R-035", "R-036"]),
    Check::new(
        "T-049",
        Level::Should,
        ANCHOR,
        "Whatever Accept says, a manifest is never converted.",
        run!(negotiation),
    )
    .content(Content::Seeded)
    .after(&[MANIFEST])
    .why("Converted bytes have another digest, so that signatures and pins break.")
    .covers(&["R-019"]),
    Check::new(
        "T-049a",
        Level::Observe,
        ANCHOR,
        "A manifest is served whatever Accept says.",
        run!(any_accept),
    )
    .content(Content::Seeded)
    .after(&[MANIFEST])
    .why("curl sends */* or nothing, and old docker only its own types; a 404 hides the image.")
    .breaks("docker before 20.10, scripts."),
    Check::new(
        "T-050",
        Level::Observe,
        RFC,
        "If-None-Match with the ETag is 304 until the tag moves.",
        run!(none_match),
    )
    .after(&[MANIFEST])
    .why("Watchers poll tags; 304 makes that free, and a stale 304 hides the new image.")
    .breaks("Flux, Keel, Watchtower."),
    Check::new(
        "T-051",
        Level::Must,
        ANCHOR,
        "Accept-Encoding: gzip does not change the bytes of a manifest.",
        run!(unencoded),
    )
    .content(Content::Any)
    .after(&[MANIFEST])
    .why("Go asks for gzip by itself, and the digest is that of the bytes as they were pushed.")
    .breaks("crane, oras.")
    .covers(&["R-021"]),
    Check::new(
        "T-051a",
        Level::Observe,
        RFC,
        "Manifests and blobs come with their length, whatever Accept-Encoding says.",
        run!(sized),
    )
    .content(Content::Any)
    .after(&["T-051"])
    .why("Only HEAD has to tell the length, but clients show progress by that of GET, and check it.")
    .breaks("crane, oras."),
    Check::new(
        "T-053",
        Level::Should,
        "spec.md#pushing-manifests",
        "Parameters of a Content-Type are ignored.",
        run!(parameters),
    )
    .after(&[MANIFEST])
    .why("HTTP libraries add a charset; the manifest's type has none.")
    .covers(&["R-077", "R-017"]),
    Check::new(
        "T-054",
        Level::Must,
        ANCHOR,
        "The children of an index can be pulled one by one.",
        run!(children),
    )
    .after(&[MANIFEST])
    .why("It is how an image for several platforms is pulled.")
    .breaks("All, for images of several platforms.")
    .covers(&["R-021"]),
];

async fn served(ctx: &Context) -> Verdict {
    let Held { repo, reference, image } = ctx.held().await?;
    let mut findings = Findings::default();
    for reference in [&reference, &image.manifest.digest] {
        let response = ctx.pull(&repo, reference).await?;
        findings.note(status(&response, &[200]))?;
        findings.note(body_is(&response, &image.manifest.bytes))?;
        let long = crate::content::sha512(&image.manifest.bytes);
        findings.note(digest_header(&response, &[&image.manifest.digest, &long]))?;
    }
    findings.verdict()
}

async fn content_type(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let image = ctx.tagged(&repo, "image").await?;
    let index = Manifest::index(&[image.manifest.descriptor()], json!({}));
    ctx.have_manifest(&repo, "index", &index).await?;
    for (reference, media) in [("image", OCI_MANIFEST), ("index", OCI_INDEX), (&index.digest, OCI_INDEX)] {
        let response = ctx.pull(&repo, reference).await?;
        findings.note(header_is(&response, "Content-Type", media))?;
    }
    findings.verdict()
}

async fn missing(ctx: &Context) -> Verdict {
    let repo = ctx.held().await?.repo;
    ctx.manifest_gone(&repo, "absent").await?;
    ctx.manifest_gone(&repo, &ctx.blob(20).digest).await?;
    empty(&ctx.send(ctx.manifest("HEAD", &repo, "absent").close()).await?)
}

async fn missing_code(ctx: &Context) -> Verdict {
    let repo = ctx.held().await?.repo;
    code(&ctx.pull(&repo, "absent").await?, &["MANIFEST_UNKNOWN"])?;
    code(&ctx.pull(&repo, &ctx.blob(20).digest).await?, &["MANIFEST_UNKNOWN"])
}

async fn no_repository(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    ctx.manifest_gone(&repo, "absent").await?;
    ctx.manifest_gone(&repo, &ctx.blob(20).digest).await?;
    listed(&ctx.pull(&repo, "absent").await?)
}

async fn isolated(ctx: &Context) -> Verdict {
    let (one, other) = (ctx.repo(), ctx.repo());
    let image = ctx.tagged(&one, "t").await?;
    ctx.manifest_gone(&other, &image.manifest.digest).await?;
    ctx.tagged(&other, "u").await?;
    ctx.manifest_gone(&other, &image.manifest.digest).await?;
    ctx.manifest_gone(&other, "t").await
}

async fn head(ctx: &Context) -> Verdict {
    let Held { repo, reference, image } = ctx.held().await?;
    let mut findings = Findings::default();
    for reference in [&reference, &image.manifest.digest] {
        let get = ctx.pull(&repo, reference).await?;
        let head = ctx.follow(ctx.manifest("HEAD", &repo, reference).close()).await?;
        findings.note(status(&head, &[200]))?;
        findings.note(header_is(&head, "Content-Length", &image.manifest.bytes.len().to_string()))?;
        for name in ["Content-Type", "Docker-Content-Digest", "ETag"] {
            let (of_get, of_head) = (get.header(name), head.header(name));
            findings.note(that(of_get == of_head, || {
                format!("{}: {name} is {of_head:?}, but {of_get:?} to GET", head.label)
            }))?;
        }
        let long = crate::content::sha512(&image.manifest.bytes);
        findings.note(digest_header(&head, &[&image.manifest.digest, &long]))?;
        findings.note(empty(&head))?;
    }
    findings.verdict()
}

/// Values of Accept that clients send, one list of header lines each.
const ACCEPTS: [&[&str]; 6] = [
    &[],
    &["*/*"],
    &["application/json"],
    &[DOCKER_MANIFEST],
    &[
        "application/vnd.docker.distribution.manifest.v2+json;q=0.9, application/vnd.oci.image.manifest.v1+json;q=0.1",
    ],
    &[
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.index.v1+json",
    ],
];

async fn with_accepts(ctx: &Context, allowed: &[u16]) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?;
    let mut findings = Findings::default();
    for lines in ACCEPTS {
        let mut request = ctx.request("GET", &format!("/v2/{repo}/manifests/t"));
        for line in lines {
            request = request.header("Accept", *line);
        }
        let response = ctx.follow(request).await?;
        findings.note(status(&response, allowed).map_err(|stop| with_accept(stop, lines)))?;
        if response.status == 200 {
            findings.note(body_is(&response, &image.manifest.bytes))?;
            findings.note(header_is(&response, "Content-Type", OCI_MANIFEST))?;
        }
    }
    findings.verdict()
}

fn with_accept(stop: Stop, lines: &[&str]) -> Stop {
    match stop {
        Stop::Fail(message) => Stop::Fail(format!("{message} (Accept: {})", lines.join(", "))),
        other => other,
    }
}

async fn negotiation(ctx: &Context) -> Verdict {
    with_accepts(ctx, &[200, 404, 406]).await
}

async fn any_accept(ctx: &Context) -> Verdict {
    with_accepts(ctx, &[200]).await
}

async fn none_match(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    ctx.tagged(&repo, "t").await?;
    let first = ctx.pull(&repo, "t").await?;
    let Some(etag) = first.header("ETag").map(str::to_owned) else {
        return Err(Stop::Fail("manifests have no ETag".to_owned()));
    };
    for method in ["GET", "HEAD"] {
        let request = ctx.manifest(method, &repo, "t").header("If-None-Match", etag.clone()).close();
        let response = ctx.follow(request).await?;
        status(&response, &[304])?;
        empty(&response)?;
    }
    let moved = ctx.tagged(&repo, "t").await?;
    let response = ctx.follow(ctx.manifest("GET", &repo, "t").header("If-None-Match", etag)).await?;
    status(&response, &[200])?;
    body_is(&response, &moved.manifest.bytes)
}

async fn unencoded(ctx: &Context) -> Verdict {
    let Held { repo, reference, image } = ctx.held().await?;
    let request = ctx.manifest("GET", &repo, &reference).header("Accept-Encoding", "gzip");
    let response = ctx.follow(request).await?;
    status(&response, &[200])?;
    header_absent(&response, "Content-Encoding")?;
    body_is(&response, &image.manifest.bytes)
}

async fn sized(ctx: &Context) -> Verdict {
    let Held { repo, reference, image } = ctx.held().await?;
    let mut findings = Findings::default();
    for request in
        [ctx.manifest("GET", &repo, &reference), ctx.blob_request("GET", &repo, &image.layer.digest)]
    {
        let response = ctx.follow(request.header("Accept-Encoding", "gzip")).await?;
        let length = Framing::Length(response.body.len() as u64);
        findings.note(that(response.framing == length, || {
            format!("{}: the length is told as {:?}, expected {length:?}", response.label, response.framing)
        }))?;
    }
    findings.verdict()
}

async fn parameters(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let media_type = format!("{OCI_MANIFEST}; charset=utf-8");
    let decorated = Manifest { media_type, ..image.manifest.clone() };
    status(&ctx.send(ctx.push(&repo, "t", &decorated)).await?, &[201])?;
    let response = ctx.pull(&repo, "t").await?;
    body_is(&response, &image.manifest.bytes)?;
    header_is(&response, "Content-Type", OCI_MANIFEST)
}

async fn children(ctx: &Context) -> Verdict {
    let (repo, one, two) = (ctx.repo(), ctx.image(), ctx.image());
    for image in [&one, &two] {
        ctx.have_image(&repo, &image.manifest.digest, image).await?;
    }
    let index = Manifest::index(&[one.manifest.descriptor(), two.manifest.descriptor()], json!({}));
    status(&ctx.send(ctx.push(&repo, "multi", &index)).await?, &[201])?;
    ctx.manifest_is(&repo, "multi", &index).await?;
    for image in [&one, &two] {
        let path = format!("/v2/{repo}/manifests/{}", image.manifest.digest);
        let response = ctx.follow(ctx.request("GET", &path).header("Accept", OCI_MANIFEST)).await?;
        status(&response, &[200])?;
        body_is(&response, &image.manifest.bytes)?;
    }
    Ok(())
}
