//! Pulling blobs: content, headers, conditions, isolation (spec.md#pulling-blobs).

use crate::check::{Check, Content, Level, Stop, Verdict, run};
use crate::checks::{BLOB, MANIFEST};
use crate::context::Context;
use crate::expect::{
    Findings, body_is, code, digest_header, empty, header, header_absent, header_is, status,
};
use crate::source::Held;
use crate::wire::{Connection, Request};

const ANCHOR: &str = "spec.md#pulling-blobs";
const EXISTS: &str = "spec.md#checking-if-content-exists-in-the-registry";
const RFC: &str = "RFC 9110 through spec.md#api";

/// Bytes of the response that a slow reader takes before it stops.
const SLOW_BYTES: usize = 1000;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "R-028",
        Level::Must,
        ANCHOR,
        "A blob that is there is served whole with 200 and its digest.",
        run!(served),
    )
    .content(Content::Any)
    .after(&[BLOB])
    .why("It is what a pull is.")
    .breaks("All.")
    .covers(&["R-028", "R-029", "R-030"]),
    Check::new(
        "R-034",
        Level::Must,
        EXISTS,
        "HEAD of a blob says 200, its size and its digest, without a body.",
        run!(head),
    )
    .content(Content::Any)
    .after(&[BLOB])
    .why("Every push asks first which layers are there, and skips those.")
    .breaks("docker, containerd, crane and oras push all layers again, or fail on a wrong size.")
    .covers(&["R-034", "R-035", "R-036"]),
    Check::new("T-029", Level::Must, ANCHOR, "A blob of another repository is not found.", run!(isolated))
        .content(Content::Seeded)
        .after(&[BLOB])
        .why("Who may read one repository must not read all by guessing digests.")
        .covers(&["R-032", "R-037"]),
    Check::new(
        "T-030",
        Level::Must,
        ANCHOR,
        "A blob that is not there is 404 to GET and HEAD.",
        run!(missing),
    )
    .content(Content::Any)
    .after(&[BLOB])
    .why("Any other answer makes a push skip the upload, or a pull retry for ever.")
    .covers(&["R-032", "R-037"]),
    Check::new(
        "T-030a",
        Level::Should,
        "spec.md#error-codes",
        "The error body of a missing blob says BLOB_UNKNOWN.",
        run!(missing_code),
    )
    .content(Content::Any)
    .after(&["T-030"])
    .why("Clients print the code, and some decide by it whether to retry.")
    .covers(&["R-139"]),
    Check::new(
        "T-031",
        Level::Observe,
        RFC,
        "A blob comes with ETag, Accept-Ranges and a binary Content-Type.",
        run!(pleasant_headers),
    )
    .content(Content::Any)
    .after(&[BLOB])
    .why("Caches revalidate by ETag, and clients resume only what says that it can.")
    .breaks("oras does not seek without Accept-Ranges."),
    Check::new(
        "T-031a",
        Level::Must,
        ANCHOR,
        "Accept-Encoding does not change the bytes of a blob.",
        run!(unencoded),
    )
    .content(Content::Seeded)
    .after(&[BLOB])
    .why("A compressed blob has another digest; a client that does not expect it refuses the layer.")
    .breaks("containerd, which sends Accept-Encoding: zstd, gzip with every blob.")
    .covers(&["R-030"]),
    Check::new(
        "T-032",
        Level::Should,
        RFC,
        "If-None-Match is honoured where a blob has an ETag.",
        run!(none_match),
    )
    .content(Content::Any)
    .after(&[BLOB])
    .why("An ETag that cannot be asked with only costs bytes.")
    .covers(&["R-004"]),
    Check::new(
        "T-033",
        Level::Observe,
        RFC,
        "A wrong If-Match is refused with 412 or ignored, never misread.",
        run!(match_wrong),
    )
    .content(Content::Any)
    .after(&[BLOB])
    .why("A 304 or a 500 to it fails a resumed download."),
    Check::new(
        "T-044",
        Level::Observe,
        RFC,
        "A client that reads slowly holds up nobody.",
        run!(slow_reader),
    )
    .content(Content::Seeded)
    .after(&[BLOB])
    .why("One client on a bad line must not stop the others."),
    Check::new(
        "T-052",
        Level::Observe,
        ANCHOR,
        "Blobs are no manifests; manifests may be blobs, but consistently.",
        run!(crossed),
    )
    .content(Content::Any)
    .after(&[MANIFEST])
    .why("A layer that is served as a manifest lets its author choose how it is read.")
    .covers(&["R-026"]),
];

async fn served(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    for size in [1, 1000, 100_000, 3_000_000] {
        let (repo, blob) = ctx.held_blob(size).await?;
        let response = ctx.pull_blob(&repo, &blob.digest).await?;
        findings.note(status(&response, &[200]))?;
        findings.note(body_is(&response, &blob.bytes))?;
        findings.note(digest_header(&response, &[&blob.digest]))?;
    }
    findings.verdict()
}

async fn head(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    for size in [1, 1234] {
        let (repo, blob) = ctx.held_blob(size).await?;
        let response = ctx.follow(ctx.blob_request("HEAD", &repo, &blob.digest).close()).await?;
        findings.note(status(&response, &[200]))?;
        findings.note(digest_header(&response, &[&blob.digest]))?;
        findings.note(header_is(&response, "Content-Length", &blob.bytes.len().to_string()))?;
        findings.note(empty(&response))?;
    }
    findings.verdict()
}

async fn isolated(ctx: &Context) -> Verdict {
    let (one, other) = (ctx.repo(), ctx.repo());
    let blob = ctx.blob(300);
    ctx.have_blob(&one, &blob).await?;
    ctx.blob_gone(&other, &blob.digest).await?;
    // The other repository existing makes no difference.
    ctx.have_blob(&other, &ctx.blob(10)).await?;
    ctx.blob_gone(&other, &blob.digest).await
}

async fn missing(ctx: &Context) -> Verdict {
    let absent = ctx.blob(40).digest;
    ctx.blob_gone(&ctx.repo(), &absent).await?;
    let (repo, _) = ctx.held_blob(10).await?;
    ctx.blob_gone(&repo, &absent).await?;
    empty(&ctx.send(ctx.blob_request("HEAD", &repo, &absent).close()).await?)
}

async fn missing_code(ctx: &Context) -> Verdict {
    let repo = ctx.held().await?.repo;
    let response = ctx.pull_blob(&repo, &ctx.blob(40).digest).await?;
    code(&response, &["BLOB_UNKNOWN"])
}

async fn pleasant_headers(ctx: &Context) -> Verdict {
    let (repo, blob) = ctx.held_blob(400).await?;
    let response = ctx.pull_blob(&repo, &blob.digest).await?;
    let mut findings = Findings::default();
    findings.note(header(&response, "ETag").map(|_| ()))?;
    findings.note(header_is(&response, "Accept-Ranges", "bytes"))?;
    findings.note(header_is(&response, "Content-Type", "application/octet-stream"))?;
    findings.verdict()
}

async fn unencoded(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    // Text that any compression would shrink.
    let blob = crate::content::Blob::new(format!("{:?}", ctx.blob(8).bytes).repeat(500));
    ctx.have_blob(&repo, &blob).await?;
    let request = ctx
        .blob_request("GET", &repo, &blob.digest)
        .header("Accept-Encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5");
    let response = ctx.follow(request).await?;
    status(&response, &[200])?;
    header_absent(&response, "Content-Encoding")?;
    body_is(&response, &blob.bytes)
}

async fn none_match(ctx: &Context) -> Verdict {
    let (repo, blob) = ctx.held_blob(400).await?;
    let response = ctx.pull_blob(&repo, &blob.digest).await?;
    let Some(etag) = response.header("ETag").map(str::to_owned) else {
        return Err(Stop::Skip("blobs have no ETag".to_owned()));
    };
    let mut findings = Findings::default();
    let quoted = etag.trim_start_matches("W/").to_owned();
    for (value, allowed) in [
        (quoted.clone(), [304].as_slice()),
        (format!("W/{quoted}"), &[304]),
        (format!("\"other\", {quoted}"), &[304]),
        ("*".to_owned(), &[304]),
        ("\"other\"".to_owned(), &[200]),
    ] {
        let request = ctx.blob_request("GET", &repo, &blob.digest).header("If-None-Match", value).close();
        let response = ctx.follow(request).await?;
        findings.note(status(&response, allowed))?;
        if response.status == 304 {
            findings.note(empty(&response))?;
        }
    }
    findings.verdict()
}

async fn match_wrong(ctx: &Context) -> Verdict {
    let (repo, blob) = ctx.held_blob(400).await?;
    let request = ctx.blob_request("GET", &repo, &blob.digest).header("If-Match", "\"other\"");
    let response = ctx.follow(request).await?;
    status(&response, &[200, 412])?;
    ctx.observe(format!("a wrong If-Match is answered with {}", response.status));
    if response.status == 200 { body_is(&response, &blob.bytes) } else { Ok(()) }
}

/// Returns the request of a blob as it has to be sent over a bare connection: where its redirect leads to,
/// if it has one, with the login.
///
/// *Errors*: as [`Context::send`]; [`Stop::Skip`] when the blob is served by another host.
pub(super) async fn at_last(ctx: &Context, request: Request) -> Result<Request, Stop> {
    // One byte tells where the blob is as well as all of them.
    let answer = ctx.send(request.clone().header("Range", "bytes=0-0")).await?;
    if !answer.is_redirect() {
        return Ok(ctx.with_login(request).await);
    }
    let url = ctx.location(&answer)?;
    if !url.same_origin(ctx.target()) {
        return Err(Stop::Skip(format!("blobs are served by {}", url.authority())));
    }
    Ok(ctx.with_login(Request { url, ..request }).await)
}

async fn slow_reader(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(8_000_000));
    ctx.have_blob(&repo, &blob).await?;
    let mut slow: Vec<Connection> = Vec::new();
    for _ in 0..8 {
        let mut connection = ctx.open().await?;
        let request = at_last(ctx, ctx.blob_request("GET", &repo, &blob.digest)).await?;
        let begun = async {
            connection.send_only(&request).await?;
            connection.read_raw(SLOW_BYTES).await
        };
        begun.await.map_err(|error| Stop::Fail(format!("{}: {error}", request.label())))?;
        slow.push(connection);
    }
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await?;
    drop(slow);
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn crossed(ctx: &Context) -> Verdict {
    let Held { repo, image, .. } = ctx.held().await?;
    ctx.manifest_gone(&repo, &image.layer.digest).await?;
    ctx.manifest_gone(&repo, &image.config.digest).await?;
    let digest = &image.manifest.digest;
    let get = ctx.pull_blob(&repo, digest).await?;
    status(&get, &[200, 404])?;
    ctx.observe(format!("a manifest asked for as a blob is answered with {}", get.status));
    if get.status == 200 {
        body_is(&get, &image.manifest.bytes)?;
    }
    status(&ctx.follow(ctx.blob_request("HEAD", &repo, digest)).await?, &[get.status])
}
