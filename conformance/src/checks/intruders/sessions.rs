//! Uploads of somebody else: their address is no key.

use super::tools::{settled, told_alike};
use crate::check::{Check, Level, Need, Verdict, run};
use crate::checks::BLOB;
use crate::checks::upload_faults::held;
use crate::context::Context;
use crate::expect::{Findings, status, that};
use crate::wire::{Request, Url};

pub(in crate::checks) const CHECKS: &[Check] = &[Check::new(
    "T-155c",
    Level::Observe,
    "spec.md#pushing-a-blob-in-chunks",
    "Nobody sees, fills, ends or cancels an upload where he may not push.",
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

/// Passes when the id of an upload is nothing in a repository of the outsider's own, either.
async fn at_home(ctx: &Context, repo: &str, session: &Url, digest: &str) -> Verdict {
    let (outsider, own) = (ctx.outsider()?, ctx.outside());
    let moved = session.at(&session.target.replace(repo, &own));
    let Some((other, id, other_id)) = invented(&moved).filter(|_| moved != *session) else {
        return Ok(());
    };
    settled(&outsider).await?;
    let mut findings = Findings::default();
    for (real, other) in requests(ctx, &moved, digest).into_iter().zip(requests(ctx, &other, digest)) {
        let (real, other) = (outsider.send(real).await?, outsider.send(other).await?);
        findings.note(that(matches!(real.status, 400..=499), || {
            format!("{}: answered {} in a repository of one's own", real.label, real.status)
        }))?;
        findings.note(told_alike(&real, &other, &[(&id, &other_id)]))?;
    }
    findings.verdict()
}

async fn foreign(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(2000));
    let session = ctx.session_with(&repo, &blob.bytes[..1000]).await?;
    let mut findings = Findings::default();
    let strangers = [
        ("the outsider", Some(ctx.outsider()?)),
        ("the reader", ctx.reader().ok()),
        ("nobody", Some(ctx.anonymous())),
    ];
    for (name, who) in strangers.into_iter().filter_map(|(name, who)| Some((name, who?))) {
        settled(&who).await?;
        let invented = invented(&session);
        let mut others = invented
            .as_ref()
            .map(|(url, ..)| requests(ctx, url, &blob.digest))
            .unwrap_or_default()
            .into_iter();
        for request in requests(ctx, &session, &blob.digest) {
            let real = who.send(request).await?;
            findings.note(that(matches!(real.status, 400..=499), || {
                format!("{}: {name} is answered {}", real.label, real.status)
            }))?;
            if let (Some(other), Some((_, id, other_id))) = (others.next(), &invented) {
                let other = who.send(other).await?;
                findings.note(told_alike(&real, &other, &[(id, other_id)]))?;
            }
        }
    }
    findings.note(at_home(ctx, &repo, &session, &blob.digest).await)?;
    let still = held(ctx, &session).await;
    let Ok((session, count)) = still else {
        findings.note(still.map(|_| ()))?;
        return findings.verdict();
    };
    findings.note(that(count == 1000, || format!("the upload holds {count} bytes, expected 1000")))?;
    let finished = ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes[1000..])).await?;
    findings.note(status(&finished, &[201]))?;
    findings.note(ctx.blob_is(&repo, &blob.digest, &blob.bytes).await)?;
    findings.verdict()
}
