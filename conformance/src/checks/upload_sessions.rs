//! Sessions over time: restarts, expiry, and pushes that take long (spec.md#pushing-a-blob-in-chunks).

use std::time::Duration;

use crate::check::{Check, Control, Level, Need, Stop, Verdict, run};
use crate::checks::BLOB;
use crate::checks::upload_faults::held;
use crate::context::Context;
use crate::expect::{header_is, status, that};

const CHUNKS: &str = "spec.md#pushing-a-blob-in-chunks";

/// Pauses between two looks at an abandoned session, in seconds. Each is longer than the one before, so that
/// a registry for which a look is a touch still has to let the session go in the end.
const LOOKS: [u64; 4] = [3, 6, 12, 15];

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-095",
        Level::Observe,
        CHUNKS,
        "After a restart a session goes on, or is cleanly gone.",
        run!(restarted),
    )
    .after(&["T-093"])
    .needs(&[Need::Control(Control::Restart)])
    .alone()
    .why("Registries are updated while people push."),
    Check::new(
        "T-105",
        Level::Observe,
        CHUNKS,
        "A blob in ten thousand chunks is whole.",
        run!(ten_thousand),
    )
    .after(&[BLOB])
    .needs(&[Need::Heavy])
    .why("The cost of a chunk must not grow with those before it."),
    Check::new(
        "T-105a",
        Level::Observe,
        CHUNKS,
        "A blob of five gigabytes is taken and served whole.",
        run!(gigabytes),
    )
    .after(&[BLOB])
    .needs(&[Need::Heavy])
    .alone()
    .why("Models and data sets are larger than memory, and than 32 bits.")
    .breaks("Whoever ships models as images."),
    Check::new(
        "T-107",
        Level::Should,
        "spec.md#cancel-a-blob-upload",
        "An abandoned session expires, and its space is freed.",
        run!(abandoned),
    )
    .after(&[BLOB])
    .needs(&[Need::Control(Control::Configuration("short-uploads"))])
    .why("Broken pushes would fill the disk for ever.")
    .covers(&["R-071"]),
];

async fn restarted(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(5000));
    let old = ctx.blob(100);
    ctx.have_blob(&repo, &old).await?;
    let session = ctx.session_with(&repo, &blob.bytes[..2000]).await?;
    ctx.control(Control::Restart).await?;
    ctx.blob_is(&repo, &old.digest, &old.bytes).await?;
    let response = ctx.send(ctx.request_to("GET", session.clone())).await?;
    status(&response, &[204, 404])?;
    ctx.observe(format!("a session after a restart is answered with {}", response.status));
    if response.status == 404 {
        return Ok(());
    }
    let (session, count) = held(ctx, &session).await?;
    that(count <= 2000, || format!("after a restart the session holds {count} bytes"))?;
    let patched = ctx.send(ctx.chunk(&session, count, &blob.bytes[count..])).await?;
    status(&patched, &[202])?;
    status(&ctx.send(ctx.finish(&ctx.location(&patched)?, &blob.digest, b"")).await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn ten_thousand(ctx: &Context) -> Verdict {
    const CHUNK: usize = 1024;
    let (repo, blob) = (ctx.repo(), ctx.blob(10_000 * CHUNK));
    let mut session = ctx.session(&repo).await?;
    for (chunk, number) in blob.bytes.chunks(CHUNK).zip(0..) {
        let response = ctx.send(ctx.chunk(&session, number * CHUNK, chunk)).await?;
        status(&response, &[202])?;
        session = ctx.location(&response)?;
    }
    status(&ctx.send(ctx.finish(&session, &blob.digest, b"")).await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn gigabytes(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let bulk = ctx.bulk(5 * 1024 * 1024 * 1024 + 17);
    let (length, digest) = (bulk.length(), bulk.digest());
    let session = ctx.session(&repo).await?;
    let patched = ctx.send_bulk(ctx.request_to("PATCH", session).bulk(bulk)).await?;
    status(&patched, &[202])?;
    header_is(&patched, "Range", &format!("0-{}", length - 1))?;
    status(&ctx.send_bulk(ctx.finish(&ctx.location(&patched)?, &digest, b"")).await?, &[201])?;
    let head = ctx.follow(ctx.blob_request("HEAD", &repo, &digest)).await?;
    header_is(&head, "Content-Length", &length.to_string())?;
    let (response, size, got) = ctx.send_hashed(ctx.blob_request("GET", &repo, &digest)).await?;
    if response.is_redirect() {
        return Err(Stop::Skip("the blob is served by a redirect".to_owned()));
    }
    status(&response, &[200])?;
    that(size == length && got == digest, || {
        format!("{size} bytes with {got}, expected {length} with {digest}")
    })
}

async fn abandoned(ctx: &Context) -> Verdict {
    let ctx = &ctx.configured("short-uploads").await?;
    let bytes = ctx.blob(1_000_003).bytes;
    let before = stored(ctx).await?;
    let session = ctx.session_with(&ctx.repo(), &bytes).await?;
    let mut last = 0;
    for seconds in LOOKS {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let response = ctx.send(ctx.request_to("GET", session.clone())).await?;
        status(&response, &[204, 404])?;
        last = response.status;
        if last == 404 {
            break;
        }
    }
    that(last == 404, || "the session is still there, long after it should have expired".to_owned())?;
    status(&ctx.send(ctx.chunk(&session, bytes.len(), b"x")).await?, &[404])?;
    let (Some(before), Some(after)) = (before, stored(ctx).await?) else {
        ctx.observe("whether an expired session frees its space was not looked at: needs control: files");
        return Ok(());
    };
    let kept = after.saturating_sub(before);
    that(kept < bytes.len() as u64, || {
        format!("the session is gone, but {kept} bytes of it are still stored")
    })
}

/// Returns the bytes in the files of the store; none when nobody lists them.
async fn stored(ctx: &Context) -> Result<Option<u64>, Stop> {
    match ctx.files().await {
        Ok(files) => Ok(Some(files.iter().map(|file| file.size).sum())),
        Err(Stop::Skip(_)) => Ok(None),
        Err(stop) => Err(stop),
    }
}
