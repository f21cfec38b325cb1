//! What a proxy makes of an upstream that lies, breaks, moves or stays away (spec.md#registry-proxying).
//!
//! The checks here spoil the origin behind the target, and wait until the target has seen that it is well
//! again: a proxy may remember for a while that an upstream failed.

use std::time::Duration;

use sim::fault::{At, Fault, Guard, Selector};
use sim::origin::BlobHost;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::proxy::{first, put};
use crate::check::{Check, Content, Level, Stop, Verdict, run};
use crate::content::{Blob, Image, sha256};
use crate::context::Context;
use crate::expect::{Findings, body_is, setup, status, that};
use crate::source::Behind;
use crate::wire::{Request, Response};

const ANCHOR: &str = "spec.md#registry-proxying";
/// How long a proxy may take to see that an upstream is well again, or that a tag has moved.
const PATIENCE: Duration = Duration::from_secs(40);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Clients that pull one blob at once.
const CLIENTS: usize = 100;
/// Bytes of a blob that takes the origin of the storm a third of a second.
const STORM_BYTES: usize = 2_000_000;
/// Bytes of a blob that a proxy streams before it has seen the end.
const LARGE: usize = 400_000;
/// What an upstream says about how long to wait.
const RETRY_AFTER: &str = "2";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-164",
        Level::Observe,
        ANCHOR,
        "Wrong bytes of an upstream never come through whole, and are not kept.",
        run!(corrupted),
    )
    .content(Content::Origin)
    .why("A cache that keeps wrong bytes serves them to everybody, long after the upstream was mended.")
    .breaks("All: the pull fails on every node until somebody empties the cache."),
    Check::new(
        "T-165",
        Level::Observe,
        ANCHOR,
        "A body that an upstream cuts off never comes through as whole, and is not kept.",
        run!(truncated),
    )
    .content(Content::Origin)
    .why("Half a layer with a clean end is taken for the whole by every client that does not hash.")
    .breaks("All: the pull fails on every node until somebody empties the cache."),
    Check::new(
        "T-167",
        Level::Observe,
        ANCHOR,
        "An upstream's failure is told as what it is: 404 only for what is not there.",
        run!(failures),
    )
    .content(Content::Origin)
    .alone()
    .why("A 404 sends a client to another registry, or tells a controller that the image was deleted.")
    .breaks("containerd falls back to the next mirror on 404; Kubernetes reports the wrong cause."),
    Check::new(
        "T-168",
        Level::Observe,
        ANCHOR,
        "What is cached is served while the upstream is down.",
        run!(outage),
    )
    .content(Content::Origin)
    .alone()
    .why("It is half of what a cache is for.")
    .breaks("Every node that starts during an outage."),
    Check::new(
        "T-169",
        Level::Observe,
        ANCHOR,
        "A hundred cold pulls of one blob are one fetch, and a client that leaves stops nobody.",
        run!(storm),
    )
    .content(Content::Origin)
    .why("A rollout asks from every node at once; an upstream that limits sees each as one client.")
    .breaks("Large clusters behind a registry that limits pulls."),
    Check::new(
        "T-171",
        Level::Observe,
        ANCHOR,
        "An upstream's redirects are followed, and no credentials go along or come from the client.",
        run!(redirected),
    )
    .content(Content::Origin)
    .alone()
    .why("Object storage refuses a second authorization, and whoever runs it must not see the first.")
    .breaks("Upstreams over S3, such as Docker Hub, Quay and registry.k8s.io."),
    Check::new(
        "T-172",
        Level::Observe,
        ANCHOR,
        "A tag that moved upstream is seen, and is never mixed with the old one.",
        run!(moved),
    )
    .content(Content::Origin)
    .why("A mirror that never looks again serves last year's image for ever.")
    .breaks("Whoever pulls latest."),
];

/// Puts a blob behind the proxy without pulling it through.
async fn put_blob<'c>(ctx: &'c Context, repo: &str, blob: &Blob) -> Result<&'c Behind, Stop> {
    let origin = first(ctx)?;
    let place = ctx.anonymous().towards(origin.url.clone());
    let response = setup(place.put_blob(repo, &blob.digest, &blob.bytes).await)?;
    setup(status(&response, &[201]))?;
    Ok(origin)
}

/// Fails when a response came whole although it could not be right.
async fn never_whole(ctx: &Context, request: &Request) -> Verdict {
    let label = request.label();
    match ctx.attempt(request.clone()).await {
        Ok(response) => that(response.status >= 500, || {
            format!("{label}: answered {} with {} bytes", response.status, response.body.len())
        }),
        Err(crate::wire::WireError::Timeout(limit)) => {
            Err(Stop::Fail(format!("{label}: neither cut off nor answered within {limit:?}")))
        }
        Err(_) => Ok(()),
    }
}

/// Waits until a request is answered with 200 and these bytes; any other 200 fails at once.
async fn heals(ctx: &Context, request: &Request, bytes: &[u8]) -> Verdict {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = match ctx.attempt(request.clone()).await {
            Ok(response) if response.status == 200 => return body_is(&response, bytes),
            Ok(response) => response.status.to_string(),
            Err(error) => error.to_string(),
        };
        that(Instant::now() < end, || {
            format!("{}: still {seen}, {PATIENCE:?} after the upstream was well again", request.label())
        })?;
        sleep(PAUSE).await;
    }
}

/// Waits until the target sees that its upstream is well, with an image that nobody has asked for.
async fn settle(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    put(ctx, first(ctx)?, &repo, "t", &image).await?;
    heals(ctx, &ctx.manifest("GET", &repo, "t"), &image.manifest.bytes).await
}

/// Pulls blobs and a manifest while a fault spoils them, and once more when it is gone.
async fn spoiled(ctx: &Context, fault: fn() -> Fault) -> Verdict {
    let (repo, image, large) = (ctx.repo(), ctx.image(), ctx.blob(LARGE));
    put_blob(ctx, &repo, &large).await?;
    let origin = put(ctx, first(ctx)?, &repo, "t", &image).await?;
    let guard = origin.origin.install(Selector::get(&format!("/v2/{repo}/*")).suffer(fault()));
    let digest = &image.manifest.digest;
    let cases = [
        (ctx.blob_request("GET", &repo, &image.layer.digest), &image.layer.bytes),
        (ctx.blob_request("GET", &repo, &large.digest), &large.bytes),
        (ctx.manifest("GET", &repo, digest), &image.manifest.bytes),
    ];
    let mut findings = Findings::default();
    for (request, _) in &cases {
        // Twice: what was kept by mistake is served the second time.
        findings.note(never_whole(ctx, request).await)?;
        findings.note(never_whole(ctx, request).await)?;
    }
    that(guard.fired() > 0, || "the proxy did not ask its upstream".to_owned())?;
    drop(guard);
    for (request, bytes) in &cases {
        findings.note(heals(ctx, request, bytes).await)?;
    }
    findings.verdict()
}

async fn corrupted(ctx: &Context) -> Verdict {
    spoiled(ctx, || Fault::Corrupt { at: At::Percent(50) }).await
}

async fn truncated(ctx: &Context) -> Verdict {
    spoiled(ctx, || Fault::Truncate { at: At::Percent(50) }).await
}

async fn failures(ctx: &Context) -> Verdict {
    let status_of = |status| Fault::Status { status, retry_after: None };
    let limited = Fault::Status { status: 429, retry_after: Some(RETRY_AFTER.to_owned()) };
    let mut findings = Findings::default();
    for (fault, allowed) in [
        (status_of(404), &[404][..]),
        (status_of(401), &[401, 403, 502]),
        (status_of(403), &[403, 502]),
        (limited, &[429, 503]),
        (status_of(500), &[502, 503, 504]),
        (Fault::StallHeaders, &[502, 503, 504]),
        (Fault::Refuse, &[502, 503, 504]),
    ] {
        findings.note(told(ctx, &fault, allowed).await)?;
        settle(ctx).await?;
    }
    findings.verdict()
}

/// Judges how the failure of an upstream that holds the image is told.
async fn told(ctx: &Context, fault: &Fault, allowed: &[u16]) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    let origin = put(ctx, first(ctx)?, &repo, "t", &image).await?;
    let guard = spoil(origin, Selector::any(&format!("/v2/{repo}/*")), fault).await;
    let judged = judged(ctx, &repo, &image, fault, allowed).await;
    drop(guard);
    origin.running.settle().await;
    judged
}

async fn judged(ctx: &Context, repo: &str, image: &Image, fault: &Fault, allowed: &[u16]) -> Verdict {
    let mut findings = Findings::default();
    for request in [ctx.manifest("GET", repo, "t"), ctx.blob_request("GET", repo, &image.layer.digest)] {
        let answer = ctx.send(request).await;
        let answer = answer.map_err(|stop| named(stop, fault))?;
        findings.note(status(&answer, allowed).map_err(|stop| named(stop, fault)))?;
        if answer.status == 429 {
            findings.note(counts_down(&answer))?;
        }
    }
    findings.verdict()
}

/// Installs a fault, and returns when it is in effect.
async fn spoil(origin: &Behind, selector: Selector, fault: &Fault) -> Guard {
    let guard = origin.origin.install(selector.suffer(fault.clone()));
    origin.running.settle().await;
    guard
}

fn named(stop: Stop, fault: &Fault) -> Stop {
    match stop {
        Stop::Fail(message) => Stop::Fail(format!("{message} (the upstream: {fault:?})")),
        other => other,
    }
}

/// Passes when Retry-After is a number of seconds from now, or a date.
fn counts_down(response: &Response) -> Verdict {
    let value = response.header("Retry-After").unwrap_or_default();
    that(value.parse::<u64>().is_ok() || value.ends_with("GMT"), || {
        format!("{}: Retry-After is {value:?}, and the upstream said {RETRY_AFTER}", response.label)
    })
}

async fn outage(ctx: &Context) -> Verdict {
    let (repo, image, cold) = (ctx.repo(), ctx.image(), ctx.image());
    let origin = put(ctx, first(ctx)?, &repo, "t", &image).await?;
    put(ctx, origin, &repo, "cold", &cold).await?;
    setup(pull(ctx, &repo, &image).await)?;
    let guard = spoil(origin, Selector::any("*"), &Fault::Refuse).await;
    let mut findings = Findings::default();
    findings.note(pull(ctx, &repo, &image).await)?;
    let absent = ctx.pull(&repo, "cold").await?;
    findings.note(status(&absent, &[500, 502, 503, 504]))?;
    drop(guard);
    origin.running.settle().await;
    settle(ctx).await?;
    findings.verdict()
}

/// Pulls an image by tag and by digest.
async fn pull(ctx: &Context, repo: &str, image: &Image) -> Verdict {
    let mut findings = Findings::default();
    for reference in ["t", &image.manifest.digest] {
        findings.note(ctx.manifest_is(repo, reference, &image.manifest).await)?;
    }
    for blob in [&image.config, &image.layer] {
        findings.note(ctx.blob_is(repo, &blob.digest, &blob.bytes).await)?;
    }
    findings.verdict()
}

async fn storm(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(STORM_BYTES));
    let origin = put_blob(ctx, &repo, &blob).await?;
    let path = format!("/v2/{repo}/blobs/{}", blob.digest);
    let slow = Fault::Drip { bytes: 64 * 1024, ms: 10 };
    let _guard = origin.origin.install(Selector::get(&path).suffer(slow));
    let request = ctx.blob_request("GET", &repo, &blob.digest);
    let (mut pulls, size, digest) = (JoinSet::new(), blob.bytes.len(), blob.digest.clone());
    let mut leaver = ctx.open().await?;
    let leaving = async {
        leaver.send_only(&ctx.with_login(request.clone()).await).await?;
        leaver.read_raw(1).await
    };
    leaving.await.map_err(|error| Stop::Fail(format!("{}: {error}", request.label())))?;
    for _ in 0..CLIENTS {
        let (ctx, request, digest) = (ctx.clone(), request.clone(), digest.clone());
        pulls.spawn(async move {
            let response = ctx.send(request).await?;
            status(&response, &[200])?;
            that(sha256(&response.body) == digest, || {
                format!("{}: {} bytes, not the {size} of {digest}", response.label, response.body.len())
            })
        });
    }
    drop(leaver);
    let mut findings = Findings::default();
    for pulled in pulls.join_all().await {
        findings.note(pulled)?;
    }
    let gets = origin.origin.journal().count("GET", &path);
    findings.note(that(gets == 1, || format!("the upstream was asked {gets} times for {path}")))?;
    findings.verdict()
}

async fn redirected(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(LARGE));
    let origin = put_blob(ctx, &repo, &blob).await?;
    let host = origin.origin.serve("127.0.0.1:0").await;
    let host = host.map_err(|error| Stop::Error(format!("the blob host: {error}")))?;
    let mark = origin.origin.journal().mark();
    origin.origin.redirect_blobs(Some(BlobHost::Address(host.url())));
    // A login of the client's is for the target, whether or not that asks for one.
    let mut request = ctx.blob_request("GET", &repo, &blob.digest);
    if ctx.login().account().is_none() {
        request = request.header("Authorization", "Basic d2hhcmY6Y2FuYXJ5");
    }
    let answer = ctx.send(request).await;
    origin.origin.redirect_blobs(None);
    let answer = answer?;
    status(&answer, &[200])?;
    body_is(&answer, &blob.bytes)?;
    let told = origin.origin.journal().entries_since(mark);
    let told: Vec<&str> = told.iter().filter(|it| it.authorized).map(|it| it.path.as_str()).collect();
    that(told.is_empty(), || format!("the upstream was sent Authorization for {}", told.join(", ")))
}

async fn moved(ctx: &Context) -> Verdict {
    let (repo, old, new) = (ctx.repo(), ctx.image(), ctx.image());
    let origin = put(ctx, first(ctx)?, &repo, "t", &old).await?;
    setup(ctx.manifest_is(&repo, "t", &old.manifest).await)?;
    put(ctx, origin, &repo, "t", &new).await?;
    let end = Instant::now() + PATIENCE;
    loop {
        let response = ctx.pull(&repo, "t").await?;
        status(&response, &[200])?;
        let (digest, told) = (sha256(&response.body), response.header("Docker-Content-Digest"));
        that(told.is_none_or(|told| told == digest || !told.starts_with("sha256:")), || {
            format!("{}: the bytes of {digest} are said to be {told:?}", response.label)
        })?;
        if digest == new.manifest.digest {
            return ctx.manifest_is(&repo, &old.manifest.digest, &old.manifest).await;
        }
        body_is(&response, &old.manifest.bytes)?;
        that(Instant::now() < end, || {
            format!("{}: still the old image, {PATIENCE:?} after the tag moved", response.label)
        })?;
        sleep(PAUSE).await;
    }
}
