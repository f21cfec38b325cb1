//! Uploads of somebody else: their address is no key.

use super::tools::{settled, told_alike};
use crate::check::{Check, Level, Need, Verdict, run};
use crate::checks::BLOB;
use crate::checks::upload_faults::held;
use crate::content::Blob;
use crate::context::Context;
use crate::expect::{Findings, status, that};
use crate::wire::{Request, Url};

pub(in crate::checks) const CHECKS: &[Check] = &[Check::new(
    "T-155c",
    Level::Observe,
    "spec.md#pushing-a-blob-in-chunks",
    "Nobody fills, ends or cancels an upload where he may not push, or sees it where he may not pull.",
    run!(foreign),
)
.after(&["T-155a", BLOB])
.needs(&[Need::Credentials, Need::Outsider])
.why("The address of an upload is in the logs of every proxy; it must not be worth a login.")];

/// Returns what can be asked of an upload, the harmless first.
fn requests(ctx: &Context, session: &Url, digest: &str) -> Vec<Request> {
    vec![
        ctx.request_to("GET", session.clone()),
        ctx.request_to("HEAD", session.clone()),
        ctx.chunk(session, 1000, b"of a stranger"),
        ctx.stream(session, b"of a stranger"),
        ctx.finish(session, digest, b""),
        ctx.finish(session, digest, b"of a stranger"),
        ctx.request_to("DELETE", session.clone()),
    ]
}

/// Returns the address of an upload that is not there: another digit of the id, which is what all of them have.
fn invented(session: &Url) -> Option<(Url, String, String)> {
    let path = session.target.split('?').next()?;
    let id = path.trim_end_matches('/').rsplit('/').next().filter(|id| id.len() > 8)?;
    let digits = id.chars().map(|c| match c {
        '0' => '1',
        '1'..='9' => '0',
        other => other,
    });
    let other: String = digits.collect();
    let url = session.at(&session.target.replace(id, &other));
    (other != id).then(|| (url, id.to_owned(), other))
}

/// Passes when whoever may not even read the repository is refused alike, whether the upload is there or not.
async fn hidden(ctx: &Context, who: &Context, session: &Url, digest: &str) -> Verdict {
    settled(who).await?;
    let mut findings = Findings::default();
    let Some((other, id, other_id)) = invented(session) else {
        return closed(ctx, who, session, digest).await;
    };
    for (real, other) in requests(ctx, session, digest).into_iter().zip(requests(ctx, &other, digest)) {
        let (real, other) = (who.send(real).await?, who.send(other).await?);
        findings.note(that(real.is_client_error(), || {
            format!("{}: a stranger is answered {}", real.label, real.status)
        }))?;
        findings.note(told_alike(&real, &other, &[(&id, &other_id)]))?;
    }
    findings.verdict()
}

/// Passes when whoever may read the repository changes nothing. Some registries tell him how far an upload is.
async fn closed(ctx: &Context, who: &Context, session: &Url, digest: &str) -> Verdict {
    let mut findings = Findings::default();
    for request in requests(ctx, session, digest) {
        let looks = matches!(request.method.as_str(), "GET" | "HEAD");
        let answer = who.send(request).await?;
        if looks && answer.is_success() {
            ctx.observe("who may pull is told how far an upload is");
            continue;
        }
        findings.note(that(answer.is_client_error(), || {
            format!("{}: who may only pull is answered {}", answer.label, answer.status)
        }))?;
    }
    findings.verdict()
}

async fn foreign(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(2000));
    let old = ctx.blob(100);
    ctx.have_blob(&repo, &old).await?;
    let session = ctx.session_with(&repo, &blob.bytes[..1000]).await?;
    let (outsider, anonymous) = (ctx.outsider()?, ctx.anonymous());
    let mut findings = Findings::default();
    findings.note(hidden(ctx, &outsider, &session, &blob.digest).await)?;
    // Nor is the id of an upload worth anything in a repository of the outsider's own.
    let moved = session.at(&session.target.replace(&repo, &ctx.outside()));
    if moved != session {
        findings.note(hidden(ctx, &outsider, &moved, &blob.digest).await)?;
    }
    if let Ok(reader) = ctx.reader() {
        findings.note(closed(ctx, &reader, &session, &blob.digest).await)?;
    }
    if anonymous.pull_blob(&repo, &old.digest).await?.is_success() {
        findings.note(closed(ctx, &anonymous, &session, &blob.digest).await)?;
    } else {
        findings.note(hidden(ctx, &anonymous, &session, &blob.digest).await)?;
    }
    findings.note(finished(ctx, &repo, &session, &blob).await)?;
    findings.verdict()
}

/// Passes when the upload is as its owner left it, and becomes the blob.
async fn finished(ctx: &Context, repo: &str, session: &Url, blob: &Blob) -> Verdict {
    let (session, count) = held(ctx, session).await?;
    that(count == 1000, || format!("the upload holds {count} bytes, expected 1000"))?;
    let finished = ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes[1000..])).await?;
    status(&finished, &[201])?;
    ctx.blob_is(repo, &blob.digest, &blob.bytes).await
}
