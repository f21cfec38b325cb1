//! Uploads that go as they should: sessions, chunks, status, cancelling (spec.md#pushing-blobs).

use std::collections::BTreeSet;

use crate::check::{Check, Level, Stop, Verdict, run};
use crate::checks::{BASE, BLOB};
use crate::content::Blob;
use crate::context::Context;
use crate::expect::{Findings, body_is, header, header_is, listed, refused, status, that};
use crate::wire::{Response, Url};

const PUSH: &str = "spec.md#post-then-put";
const SINGLE: &str = "spec.md#single-post";
const CHUNKS: &str = "spec.md#pushing-a-blob-in-chunks";
const CANCEL: &str = "spec.md#cancel-a-blob-upload";
const DOCKER: &str = "what docker push sends";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "R-047",
        Level::Must,
        PUSH,
        "A blob pushed by POST and PUT is 201, and its Location serves it.",
        run!(pushed),
    )
    .after(&[BASE])
    .why("Nothing else about blobs can be checked without it.")
    .breaks("All.")
    .covers(&["R-042", "R-047", "R-044", "R-045", "R-002", "R-003"]),
    Check::new(
        "R-051",
        Level::Must,
        SINGLE,
        "A single POST is 201 and served, or 202 and a session.",
        run!(single_post),
    )
    .after(&[BLOB])
    .why("Some clients try it first and go on with PUT after a 202.")
    .covers(&["R-048", "R-050", "R-051"]),
    Check::new("T-080", Level::Must, PUSH, "Every session has an address of its own.", run!(unique))
        .after(&[BLOB])
        .why("Two pushes in one session mix their bytes; a guessable one can be hijacked.")
        .covers(&["R-043"]),
    Check::new(
        "T-081",
        Level::Observe,
        DOCKER,
        "A new session says Docker-Upload-UUID, Range and no body.",
        run!(session_headers),
    )
    .after(&[BLOB])
    .why("docker's client library reads the id from the header, and a body it does not expect.")
    .breaks("docker before it fell back to the address."),
    Check::new(
        "T-082",
        Level::Must,
        CHUNKS,
        "Each chunk is 202 with Location and the Range so far.",
        run!(chunks),
    )
    .after(&[BLOB])
    .why("Clients compute the next offset from it: one byte off corrupts or stops the push.")
    .breaks("docker push fails without Range; regctl computes its next chunk from it.")
    .covers(&["R-057", "R-058", "R-060", "R-063", "R-065"]),
    Check::new(
        "T-083",
        Level::Observe,
        DOCKER,
        "Streams without Content-Range are appended in order.",
        run!(streams),
    )
    .after(&[BLOB])
    .why("docker, crane and skopeo push so.")
    .breaks("docker, crane, skopeo."),
    Check::new(
        "T-084",
        Level::Observe,
        DOCKER,
        "A chunked PATCH without any type or range is taken.",
        run!(bare_stream),
    )
    .after(&[BLOB])
    .why("It is byte for byte what docker push sends.")
    .breaks("docker push."),
    Check::new("T-092", Level::Should, CANCEL, "A cancelled session is 204, and gone.", run!(cancelled))
        .after(&[BLOB])
        .why("skopeo cancels what a refused mount opened; sessions that stay fill the disk.")
        .breaks("skopeo, after every mount that was answered with 202.")
        .covers(&["R-069"]),
    Check::new(
        "T-093",
        Level::Must,
        CHUNKS,
        "The status of a session is 204 with Location and the Range so far.",
        run!(session_status),
    )
    .after(&[BLOB])
    .why("It is how a push goes on after a broken connection.")
    .breaks("regctl, docker's client library.")
    .covers(&["R-067"]),
    Check::new(
        "T-100",
        Level::Must,
        CHUNKS,
        "The last bytes may come with the closing PUT.",
        run!(last_in_put),
    )
    .after(&[BLOB])
    .why("A registry that drops the body of the PUT stores a blob that is too short, or fails.")
    .covers(&["R-063", "R-065"]),
    Check::new("T-101", Level::Should, PUSH, "The empty blob can be pushed.", run!(nothing))
        .after(&[BLOB])
        .why("Zero bytes have a digest like all others, and some builders make such layers.")
        .covers(&["R-047"]),
    Check::new(
        "T-102",
        Level::Should,
        SINGLE,
        "A single POST works for empty and for existing blobs.",
        run!(single_again),
    )
    .after(&["R-051"])
    .why("Repeated pushes are the most common ones.")
    .covers(&["R-051"]),
    Check::new(
        "T-106",
        Level::Should,
        CHUNKS,
        "A small chunk is taken unless a minimum is announced, and never lost.",
        run!(minimum),
    )
    .after(&[BLOB])
    .why("A client can only keep a limit that it was told of; dropping the chunk corrupts the blob.")
    .covers(&["R-054"]),
    Check::new(
        "T-108",
        Level::Observe,
        DOCKER,
        "A POST with a JSON type and an unknown parameter is 202.",
        run!(odd_post),
    )
    .after(&[BLOB])
    .why("crane and everything built with its library send exactly that.")
    .breaks("crane, ko, kaniko, flux."),
];

async fn pushed(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(1000));
    let begun = ctx.send(ctx.begin(&repo)).await?;
    status(&begun, &[202])?;
    let session = ctx.location(&begun)?;
    let closed = ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes)).await?;
    status(&closed, &[201])?;
    served_at(ctx, &closed, &blob).await?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

/// Passes when the Location of a 201 serves the blob.
async fn served_at(ctx: &Context, response: &Response, blob: &Blob) -> Verdict {
    let location = ctx.location(response)?;
    let pulled = ctx.follow(ctx.request_to("GET", location)).await?;
    status(&pulled, &[200])?;
    body_is(&pulled, &blob.bytes)
}

async fn post_whole(ctx: &Context, repo: &str, blob: &Blob) -> Verdict {
    let request = ctx
        .begin(repo)
        .query("digest", &blob.digest)
        .header("Content-Type", "application/octet-stream")
        .body(blob.bytes.clone());
    let response = ctx.send(request).await?;
    status(&response, &[201, 202])?;
    ctx.observe(format!("a single POST is answered with {}", response.status));
    if response.status == 202 {
        let session = ctx.location(&response)?;
        status(&ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes)).await?, &[201])?;
    } else {
        served_at(ctx, &response, blob).await?;
    }
    ctx.blob_is(repo, &blob.digest, &blob.bytes).await
}

async fn single_post(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(1000));
    post_whole(ctx, &repo, &blob).await
}

async fn single_again(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(1000));
    ctx.have_blob(&repo, &blob).await?;
    post_whole(ctx, &repo, &blob).await?;
    post_whole(ctx, &repo, &Blob::new(*b"")).await
}

async fn unique(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let mut paths = BTreeSet::new();
    for _ in 0..50 {
        let session = ctx.session(&repo).await?;
        let path = session.target.split('?').next().unwrap_or_default().to_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        that(name.len() >= 16, || format!("the session's address {path} ends in no unguessable id"))?;
        that(paths.insert(path.clone()), || format!("two sessions have the address {path}"))?;
    }
    Ok(())
}

async fn session_headers(ctx: &Context) -> Verdict {
    let response = ctx.send(ctx.begin(&ctx.repo())).await?;
    let mut findings = Findings::default();
    findings.note(header(&response, "Docker-Upload-UUID").map(|_| ()))?;
    findings.note(header_is(&response, "Content-Length", "0"))?;
    if let Some(range) = response.header("Range") {
        findings.note(that(["0-0", "0--1"].contains(&range), || format!("Range of nothing is {range}")))?;
    }
    findings.verdict()
}

/// Sends a chunk and returns where the next one goes.
async fn add(ctx: &Context, session: &Url, from: usize, bytes: &[u8]) -> Result<Url, Stop> {
    let response = ctx.send(ctx.chunk(session, from, bytes)).await?;
    status(&response, &[202])?;
    header_is(&response, "Range", &format!("0-{}", from + bytes.len() - 1))?;
    ctx.location(&response)
}

async fn chunks(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(150));
    let session = ctx.session(&repo).await?;
    let session = add(ctx, &session, 0, &blob.bytes[..100]).await?;
    let session = add(ctx, &session, 100, &blob.bytes[100..149]).await?;
    let session = add(ctx, &session, 149, &blob.bytes[149..]).await?;
    let closed = ctx.send(ctx.finish(&session, &blob.digest, b"")).await?;
    status(&closed, &[201])?;
    served_at(ctx, &closed, &blob).await?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn streams(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(30_000));
    let session = ctx.session(&repo).await?;
    let first = ctx.send(ctx.stream(&session, &blob.bytes[..20_000])).await?;
    status(&first, &[202])?;
    header_is(&first, "Range", "0-19999")?;
    let second = ctx.send(ctx.stream(&ctx.location(&first)?, &blob.bytes[20_000..])).await?;
    status(&second, &[202])?;
    header_is(&second, "Range", "0-29999")?;
    status(&ctx.send(ctx.finish(&ctx.location(&second)?, &blob.digest, b"")).await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn bare_stream(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(5000));
    let session = ctx.session(&repo).await?;
    let patched = ctx.send(ctx.stream(&session, &blob.bytes)).await?;
    status(&patched, &[202])?;
    header_is(&patched, "Range", "0-4999")?;
    let close = ctx.finish(&ctx.location(&patched)?, &blob.digest, b"").header("Content-Length", "0");
    status(&ctx.send(close).await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn cancelled(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(200));
    let session = ctx.session_with(&repo, &blob.bytes).await?;
    status(&ctx.send(ctx.request_to("DELETE", session.clone())).await?, &[204])?;
    let mut findings = Findings::default();
    for request in [
        ctx.request_to("GET", session.clone()),
        ctx.chunk(&session, 200, b"more"),
        ctx.finish(&session, &blob.digest, b""),
        ctx.request_to("DELETE", session.clone()),
    ] {
        findings.note(status(&ctx.send(request).await?, &[404]))?;
    }
    findings.note(ctx.blob_gone(&repo, &blob.digest).await)?;
    findings.verdict()
}

async fn session_status(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(300));
    let session = ctx.session(&repo).await?;
    let response = ctx.send(ctx.request_to("GET", session.clone())).await?;
    status(&response, &[204])?;
    let range = header(&response, "Range")?.to_owned();
    that(["0-0", "0--1"].contains(&range.as_str()), || format!("the Range of an empty session is {range}"))?;
    ctx.observe(format!("the Range of an empty session is {range}"));
    let mut session = ctx.location(&response)?;
    for (from, to) in [(0, 100), (100, 250)] {
        let patched = ctx.send(ctx.chunk(&session, from, &blob.bytes[from..to])).await?;
        status(&patched, &[202])?;
        let response = ctx.send(ctx.request_to("GET", ctx.location(&patched)?)).await?;
        status(&response, &[204])?;
        header_is(&response, "Range", &format!("0-{}", to - 1))?;
        session = ctx.location(&response)?;
    }
    let closed = ctx.finish(&session, &blob.digest, &blob.bytes[250..]).header("Content-Range", "250-299");
    status(&ctx.send(closed).await?, &[201])?;
    let after = ctx.send(ctx.request_to("GET", session)).await?;
    status(&after, &[404])?;
    listed(&after)
}

async fn last_in_put(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    for range in [None, Some("60-99")] {
        let blob = ctx.blob(100);
        let session = ctx.session_with(&repo, &blob.bytes[..60]).await?;
        let mut close = ctx.finish(&session, &blob.digest, &blob.bytes[60..]);
        if let Some(range) = range {
            close = close.header("Content-Range", range);
        }
        findings.note(status(&ctx.send(close).await?, &[201]))?;
        findings.note(ctx.blob_is(&repo, &blob.digest, &blob.bytes).await)?;
    }
    findings.verdict()
}

async fn nothing(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), Blob::new(*b""));
    status(&ctx.put_blob(&repo, &blob.digest, b"").await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, b"").await?;
    let head = ctx.follow(ctx.blob_request("HEAD", &repo, &blob.digest)).await?;
    status(&head, &[200])?;
    header_is(&head, "Content-Length", "0")
}

async fn minimum(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(200));
    let begun = ctx.send(ctx.begin(&repo)).await?;
    let Some(minimum) = begun.header("OCI-Chunk-Min-Length").map(str::to_owned) else {
        ctx.observe("announces no minimum: chunks of any size are taken");
        let first = ctx.send(ctx.chunk(&ctx.location(&begun)?, 0, &blob.bytes[..1])).await?;
        status(&first, &[202])?;
        let closed = ctx.finish(&ctx.location(&first)?, &blob.digest, &blob.bytes[1..]);
        status(&ctx.send(closed.header("Content-Range", "1-199")).await?, &[201])?;
        return ctx.blob_is(&repo, &blob.digest, &blob.bytes).await;
    };
    let length = minimum.parse::<usize>();
    let length = length.map_err(|_| Stop::Fail(format!("OCI-Chunk-Min-Length is {minimum:?}")))?;
    ctx.observe(format!("announces a minimal chunk of {minimum} bytes"));
    let session = ctx.location(&begun)?;
    let short = length.saturating_sub(1).clamp(1, 100);
    let patched = ctx.send(ctx.chunk(&session, 0, &blob.bytes[..short])).await?;
    status(&patched, &[202, 400, 416])?;
    if patched.status != 202 {
        return refused(&patched);
    }
    // That the chunk was not the last one shows only now.
    let session = ctx.location(&patched)?;
    let rest = ctx.finish(&session, &blob.digest, &blob.bytes[short..]);
    let closed = ctx.send(rest.header("Content-Range", format!("{short}-199"))).await?;
    status(&closed, &[201, 400, 416])?;
    if closed.status != 201 {
        return ctx.blob_gone(&repo, &blob.digest).await;
    }
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn odd_post(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(100));
    let request =
        ctx.begin(&repo).query("origin", "registry.example.com").header("Content-Type", "application/json");
    let begun = ctx.send(request).await?;
    status(&begun, &[202])?;
    let session = ctx.location(&begun)?;
    status(&ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes)).await?, &[201])
}
