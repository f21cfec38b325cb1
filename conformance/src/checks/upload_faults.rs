//! Uploads that go wrong: order, ranges, sessions that are over, connections that break, races
//! (spec.md#pushing-a-blob-in-chunks).

use crate::check::{Check, Level, Stop, Verdict, run};
use crate::checks::BLOB;
use crate::context::Context;
use crate::expect::{Findings, header_is, listed, refused, setup, status, that};
use crate::wire::{Response, Url};

const CHUNKS: &str = "spec.md#pushing-a-blob-in-chunks";
const PUSH: &str = "spec.md#post-then-put";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-085",
        Level::Observe,
        CHUNKS,
        "A malformed Content-Range is refused and adds nothing.",
        run!(malformed_range),
    )
    .after(&[BLOB])
    .why("A range read as something else puts the bytes in a wrong place.")
    .covers(&["R-055"]),
    Check::new(
        "T-086",
        Level::Observe,
        CHUNKS,
        "A range that does not fit its body is refused and adds nothing.",
        run!(unfit_range),
    )
    .after(&[BLOB])
    .why("Either the range or the body is wrong, and a registry cannot know which.")
    .covers(&["R-055"]),
    Check::new(
        "T-087",
        Level::Must,
        CHUNKS,
        "The same chunk twice is 416, and the session goes on.",
        run!(repeated),
    )
    .after(&[BLOB])
    .why("A client that lost the answer sends the chunk again; appending it corrupts the blob.")
    .breaks("regctl, which recovers from exactly this answer.")
    .covers(&["R-062"]),
    Check::new(
        "T-088",
        Level::Must,
        CHUNKS,
        "A gap, an overlap and a first chunk beyond zero are 416.",
        run!(disordered),
    )
    .after(&[BLOB])
    .why("Whatever the registry does with such bytes, the blob is no longer the client's.")
    .covers(&["R-062"]),
    Check::new(
        "R-066",
        Level::Must,
        CHUNKS,
        "A closing PUT out of order is 416, and the session goes on.",
        run!(disordered_close),
    )
    .after(&[BLOB])
    .why("The last chunk deserves the same care as all others.")
    .covers(&["R-066"]),
    Check::new("T-089", Level::Must, CHUNKS, "An unknown or finished session is 404.", run!(unknown))
        .after(&[BLOB])
        .why("A client has to learn that it must begin again.")
        .covers(&["R-063", "R-065"]),
    Check::new(
        "T-090",
        Level::Observe,
        PUSH,
        "A session of one repository cannot be used under another.",
        run!(foreign),
    )
    .after(&[BLOB])
    .why("Who may push to one repository would push to all whose name he knows."),
    Check::new(
        "T-091",
        Level::Should,
        PUSH,
        "A session is closed once; a second PUT finds nothing.",
        run!(closed_twice),
    )
    .after(&[BLOB])
    .why("A session that lives on after its close can be filled and committed again.")
    .covers(&["R-063"]),
    Check::new(
        "T-094",
        Level::Must,
        CHUNKS,
        "After a broken PATCH the status tells the truth, and the push goes on.",
        run!(broken_patch),
    )
    .after(&["T-093"])
    .why("It is what chunks are for: large layers over bad lines.")
    .breaks("All clients that resume.")
    .covers(&["R-067"]),
    Check::new("T-094a", Level::Observe, CHUNKS, "A session outlives a broken PATCH.", run!(broken_survives))
        .after(&["T-094"])
        .why("Beginning a layer of gigabytes again because of one lost packet may never end.")
        .breaks("Clients that resume begin again instead."),
    Check::new(
        "T-096",
        Level::Should,
        CHUNKS,
        "An old address of a session works or is refused, never corrupts.",
        run!(stale),
    )
    .after(&[BLOB])
    .why("Clients in the field keep the first address although they should not.")
    .covers(&["R-059"]),
    Check::new(
        "T-097",
        Level::Must,
        CHUNKS,
        "Two chunks for one place at one time never mix.",
        run!(concurrent),
    )
    .after(&[BLOB])
    .why("A retry can overtake the request that it repeats.")
    .covers(&["R-062"]),
    Check::new(
        "T-098",
        Level::Must,
        CHUNKS,
        "Cancelling or adding while closing leaves a whole blob or none.",
        run!(racing_close),
    )
    .after(&[BLOB])
    .why("A blob that is committed while it grows has bytes that its digest does not know.")
    .covers(&["R-030"]),
    Check::new(
        "T-099",
        Level::Must,
        PUSH,
        "Many clients push one blob at once, and all succeed.",
        run!(together),
    )
    .after(&[BLOB])
    .why("CI jobs push the same base layers at the same moment.")
    .breaks("All: one of them fails, rarely and without reason.")
    .covers(&["R-047"]),
    Check::new(
        "T-103",
        Level::Must,
        "spec.md#single-post",
        "A single POST that breaks off leaves no blob.",
        run!(broken_post),
    )
    .after(&[BLOB])
    .why("Half of a blob under its whole digest poisons every later pull.")
    .covers(&["R-051"]),
    Check::new(
        "T-104",
        Level::Must,
        PUSH,
        "A PUT with less than its Content-Length stores nothing.",
        run!(broken_put),
    )
    .after(&[BLOB])
    .why("It is the same broken connection, at the last step.")
    .covers(&["R-047"]),
];

/// Passes when the status of the session says that it holds `count` bytes.
async fn holds(ctx: &Context, session: &Url, count: usize) -> Result<Url, Stop> {
    let response = ctx.send(ctx.request_to("GET", session.clone())).await?;
    status(&response, &[204])?;
    header_is(&response, "Range", &format!("0-{}", count - 1))?;
    ctx.location(&response)
}

/// Sends bad chunks to sessions that hold 50 bytes; each has to be refused and to change nothing.
async fn bad_chunks(ctx: &Context, cases: &[(&str, usize)], allowed: &[u16]) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    for (range, length) in cases {
        let blob = ctx.blob(50);
        let session = ctx.session_with(&repo, &blob.bytes).await?;
        let request = ctx
            .request_to("PATCH", session.clone())
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", *range)
            .body(vec![b'x'; *length]);
        let response = ctx.send(request).await?;
        let refused = status(&response, allowed);
        findings.note(refused.map_err(|stop| Stop::Fail(format!("Content-Range {range}: {stop}"))))?;
        let kept = async {
            let session = holds(ctx, &session, 50).await?;
            status(&ctx.send(ctx.finish(&session, &blob.digest, b"")).await?, &[201])?;
            ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
        };
        findings.note(kept.await.map_err(|stop| Stop::Fail(format!("after {range}: {stop}"))))?;
    }
    findings.verdict()
}

async fn malformed_range(ctx: &Context) -> Verdict {
    let cases = [("abc", 10), ("59-50", 10), ("-5", 10), ("50-", 10), ("50-99999999999999999999", 10)];
    bad_chunks(ctx, &cases, &[400, 416]).await
}

async fn unfit_range(ctx: &Context) -> Verdict {
    bad_chunks(ctx, &[("50-99", 10), ("50-54", 10)], &[400, 416]).await
}

async fn repeated(ctx: &Context) -> Verdict {
    bad_chunks(ctx, &[("0-49", 50)], &[416]).await
}

async fn disordered(ctx: &Context) -> Verdict {
    bad_chunks(ctx, &[("40-59", 20), ("51-60", 10), ("500-509", 10), ("0-9", 10)], &[416]).await?;
    let repo = ctx.repo();
    let session = ctx.session(&repo).await?;
    status(&ctx.send(ctx.chunk(&session, 10, b"0123456789")).await?, &[416])
}

async fn disordered_close(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(100));
    let session = ctx.session_with(&repo, &blob.bytes[..60]).await?;
    for range in ["70-99", "0-39"] {
        let close = ctx.finish(&session, &blob.digest, &blob.bytes[60..]).header("Content-Range", range);
        let length = if range == "70-99" { 30 } else { 40 };
        let close = close.body(vec![b'x'; length]);
        status(&ctx.send(close).await?, &[416])?;
    }
    let session = holds(ctx, &session, 60).await?;
    let close = ctx.finish(&session, &blob.digest, &blob.bytes[60..]).header("Content-Range", "60-99");
    status(&ctx.send(close).await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn unknown(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(30));
    let mut findings = Findings::default();
    let session = ctx.session(&repo).await?;
    status(&ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes)).await?, &[201])?;
    let made_up = "9b3c2f6e-7a51-4d0e-8f14-2c6d5e7a9b10";
    let never = ctx.request("PATCH", &format!("/v2/{repo}/blobs/uploads/{made_up}"));
    for request in [never.body(*b"x"), ctx.chunk(&session, 30, b"x"), ctx.request_to("GET", session.clone())]
    {
        let response = ctx.send(request).await?;
        // A registry that signs its addresses may call a made-up one malformed.
        let made_up = response.label.contains(made_up);
        findings.note(status(&response, if made_up { &[400, 404] } else { &[404] }))?;
        findings.note(listed(&response))?;
    }
    findings.verdict()
}

async fn foreign(ctx: &Context) -> Verdict {
    let (one, other, blob) = (ctx.repo(), ctx.repo(), ctx.blob(50));
    ctx.have_blob(&other, &ctx.blob(5)).await?;
    let session = ctx.session_with(&one, &blob.bytes).await?;
    if !session.target.contains(&one) {
        return Err(Stop::Skip("the address of a session does not name its repository".to_owned()));
    }
    let moved = session.at(&session.target.replace(&one, &other));
    refused(&ctx.send(ctx.request_to("GET", moved.clone())).await?)?;
    refused(&ctx.send(ctx.finish(&moved, &blob.digest, b"")).await?)?;
    ctx.blob_gone(&other, &blob.digest).await
}

async fn closed_twice(ctx: &Context) -> Verdict {
    let (repo, blob, other) = (ctx.repo(), ctx.blob(50), ctx.blob(50));
    let session = ctx.session(&repo).await?;
    status(&ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes)).await?, &[201])?;
    let again = ctx.send(ctx.finish(&session, &other.digest, &other.bytes)).await?;
    status(&again, &[404])?;
    ctx.blob_gone(&repo, &other.digest).await?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

/// Returns how many bytes a session holds, by its status.
pub(super) async fn held(ctx: &Context, session: &Url) -> Result<(Url, usize), Stop> {
    let response = ctx.send(ctx.request_to("GET", session.clone())).await?;
    status(&response, &[204])?;
    let range = crate::expect::header(&response, "Range")?;
    let last = range.strip_prefix("0-").and_then(|last| last.parse::<usize>().ok());
    let count = match last {
        // Zero bytes cannot be said: `0-0` is read as nothing where at most one byte may be there.
        Some(0) | None => 0,
        Some(last) => last + 1,
    };
    Ok((ctx.location(&response)?, count))
}

async fn broken_patch(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(100_000));
    let session = ctx.session_with(&repo, &blob.bytes[..1000]).await?;
    let rest = blob.bytes.len() - 1000;
    let broken = ctx
        .request_to("PATCH", session.clone())
        .header("Content-Type", "application/octet-stream")
        .header("Content-Range", format!("1000-{}", blob.bytes.len() - 1))
        .short(rest as u64, &blob.bytes[1000..40_000]);
    // No answer is expected: the request is never whole. If there is one, it is no success.
    if let Ok(response) = ctx.attempt(broken).await {
        that(!response.is_success(), || {
            format!("{}: half of a chunk is {}", response.label, response.status)
        })?;
    }
    let answer = ctx.send(ctx.request_to("GET", session.clone())).await?;
    if answer.status == 404 {
        // Legal: the client begins again. Whether it should have to is another check's question.
        ctx.observe("a session does not outlive a broken PATCH");
        return ctx.blob_gone(&repo, &blob.digest).await;
    }
    let (session, count) = held(ctx, &session).await?;
    ctx.observe(format!("of 39000 bytes of a broken PATCH {} are kept", count.saturating_sub(1000)));
    that((1000..=40_000).contains(&count), || {
        format!("after a broken PATCH the session holds {count} bytes")
    })?;
    let patched = ctx.send(ctx.chunk(&session, count, &blob.bytes[count..])).await?;
    status(&patched, &[202])?;
    status(&ctx.send(ctx.finish(&ctx.location(&patched)?, &blob.digest, b"")).await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn broken_survives(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(10_000));
    let session = ctx.session_with(&repo, &blob.bytes[..1000]).await?;
    let broken = ctx.request_to("PATCH", session.clone()).header("Content-Range", "1000-9999");
    // Whatever comes back, or nothing: only the state afterwards counts.
    let _ = ctx.attempt(broken.short(9000, &blob.bytes[1000..5000])).await;
    held(ctx, &session).await.map(|_| ())
}

async fn stale(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(300));
    let first = ctx.session(&repo).await?;
    let one = setup(ctx.send(ctx.chunk(&first, 0, &blob.bytes[..100])).await)?;
    setup(status(&one, &[202]))?;
    let second = ctx.location(&one)?;
    let two = setup(ctx.send(ctx.chunk(&second, 100, &blob.bytes[100..200])).await)?;
    setup(status(&two, &[202]))?;
    let stale = ctx.send(ctx.chunk(&second, 200, &blob.bytes[200..])).await?;
    status(&stale, &[202, 400, 404, 416])?;
    ctx.observe(format!("a chunk to an old address of a session is answered with {}", stale.status));
    let mut session = ctx.location(&two)?;
    if stale.status == 202 {
        session = ctx.location(&stale)?;
    } else {
        let last = ctx.send(ctx.chunk(&session, 200, &blob.bytes[200..])).await?;
        status(&last, &[202])?;
        session = ctx.location(&last)?;
    }
    status(&ctx.send(ctx.finish(&session, &blob.digest, b"")).await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn concurrent(ctx: &Context) -> Verdict {
    for _ in 0..4 {
        let (repo, blob) = (ctx.repo(), ctx.blob(200_000));
        let session = ctx.session_with(&repo, &blob.bytes[..100_000]).await?;
        let request = || ctx.chunk(&session, 100_000, &blob.bytes[100_000..]);
        let (one, two) = tokio::join!(ctx.send(request()), ctx.send(request()));
        let answers = [one?, two?];
        let taken: Vec<&Response> = answers.iter().filter(|answer| answer.status == 202).collect();
        for answer in &answers {
            let told = answer.status == 202 || answer.status >= 400;
            that(told, || format!("{}: answered {}", answer.label, answer.status))?;
        }
        that(taken.len() <= 1, || "two chunks for one place were both taken".to_owned())?;
        let session = taken.first().map_or(Ok(session.clone()), |answer| ctx.location(answer))?;
        let closed = ctx.send(ctx.finish(&session, &blob.digest, b"")).await?;
        // Where neither was taken the close has to refuse what is too short.
        if !taken.is_empty() {
            status(&closed, &[201])?;
        }
        if closed.status == 201 {
            ctx.blob_is(&repo, &blob.digest, &blob.bytes).await?;
        } else {
            ctx.blob_gone(&repo, &blob.digest).await?;
        }
    }
    Ok(())
}

async fn racing_close(ctx: &Context) -> Verdict {
    // In the last two rounds the rival is first for sure: what the race only may find, they do.
    for round in 0..8 {
        let (repo, blob) = (ctx.repo(), ctx.blob(50_000));
        let session = ctx.session_with(&repo, &blob.bytes).await?;
        let rival = match round % 2 {
            0 => ctx.chunk(&session, 50_000, b"more"),
            _ => ctx.request_to("DELETE", session.clone()),
        };
        let close = ctx.finish(&session, &blob.digest, b"");
        let (closed, other) = if round < 6 {
            tokio::join!(ctx.send(close), ctx.send(rival))
        } else {
            let other = ctx.send(rival).await;
            (ctx.send(close).await, other)
        };
        let (closed, other) = (closed?, other?);
        if closed.status >= 500 || other.status >= 500 {
            ctx.observe("a close that races another request may be answered with a server error");
        }
        if closed.status == 201 {
            ctx.blob_is(&repo, &blob.digest, &blob.bytes).await?;
        } else {
            that(closed.status >= 400, || format!("{}: answered {}", closed.label, closed.status))?;
            ctx.blob_gone(&repo, &blob.digest).await?;
        }
    }
    Ok(())
}

async fn together(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(300_000));
    let push = || async {
        status(&ctx.put_blob(&repo, &blob.digest, &blob.bytes).await?, &[201])?;
        ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
    };
    let (a, b, c, d, e, f) = tokio::join!(push(), push(), push(), push(), push(), push());
    let mut findings = Findings::default();
    for verdict in [a, b, c, d, e, f] {
        findings.note(verdict)?;
    }
    findings.note(ctx.blob_is(&repo, &blob.digest, &blob.bytes).await)?;
    findings.verdict()
}

async fn broken_post(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(50_000));
    let request = ctx.begin(&repo).query("digest", &blob.digest);
    cut(ctx, request, &repo, &blob).await
}

async fn broken_put(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(50_000));
    let session = ctx.session(&repo).await?;
    let request = ctx.request_to("PUT", session.with_query("digest", &blob.digest));
    cut(ctx, request, &repo, &blob).await
}

/// Sends half of a blob with the length of the whole; nothing may be stored.
async fn cut(
    ctx: &Context,
    request: crate::wire::Request,
    repo: &str,
    blob: &crate::content::Blob,
) -> Verdict {
    let half = blob.bytes.len() / 2;
    let request = request
        .header("Content-Type", "application/octet-stream")
        .short(blob.bytes.len() as u64, &blob.bytes[..half]);
    if let Ok(response) = ctx.attempt(request).await {
        that(response.status != 201, || format!("{}: half of a blob is 201", response.label))?;
    }
    ctx.blob_gone(repo, &blob.digest).await?;
    let stored = ctx.pull_blob(repo, &crate::content::sha256(&blob.bytes[..half])).await?;
    status(&stored, &[404])
}
