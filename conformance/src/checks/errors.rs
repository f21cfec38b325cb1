//! Error bodies, warnings and limits (spec.md#error-codes, spec.md#warnings).

use std::time::Duration;

use crate::check::{Check, Content, Control, Level, Need, Stop, Verdict, run};
use crate::checks::MANIFEST;
use crate::content::{Manifest, OCI_MANIFEST};
use crate::context::Context;
use crate::expect::{Findings, code, empty, header, listed, status, that};
use crate::wire::{Response, Url};

const ANCHOR: &str = "spec.md#error-codes";
const WARNINGS: &str = "spec.md#warnings";

/// The most warning text that one response may carry.
const WARNING_BYTES_MAX: usize = 4096;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-149",
        Level::Must,
        ANCHOR,
        "A JSON error body has errors, each with a listed code.",
        run!(bodies),
    )
    .after(&[MANIFEST])
    .why("Clients decide by the code whether to retry, and print nothing without it.")
    .breaks("docker and crane print the body as it is, or nothing.")
    .covers(&["R-138", "R-139", "R-140", "R-010"]),
    Check::new("T-149a", Level::Observe, ANCHOR, "A JSON error body says that it is JSON.", run!(declared))
        .after(&["T-149"])
        .why("docker's client library reads the body only if its type says JSON.")
        .breaks("docker with the classic image store."),
    Check::new("T-149b", Level::Should, ANCHOR, "The code of an error is that of its cause.", run!(fitting))
        .after(&["T-149"])
        .why("Which code a case has is told by the list alone, but clients decide by it.")
        .breaks("docker and oras retry, or give up, by the code.")
        .covers(&["R-139"]),
    Check::new("T-150", Level::Must, "RFC 9110 §9.3.2", "An error to HEAD has no body.", run!(heads))
        .content(Content::Any)
        .after(&[MANIFEST])
        .why("A body after HEAD is read as the next response on the connection.")
        .covers(&["R-037"]),
    Check::new(
        "T-159",
        Level::Should,
        "spec.md#api",
        "A 429 says when to come back, and a session survives it.",
        run!(limited),
    )
    .needs(&[Need::Control(Control::Configuration("rate-limit"))])
    .why("Clients without a hint come back at once and make it worse.")
    .covers(&["R-141"]),
    Check::new(
        "T-160",
        Level::Must,
        WARNINGS,
        "Warnings are code 299, agent -, and at most 4096 bytes.",
        run!(warnings),
    )
    .after(&[MANIFEST])
    .why("Clients show them to people, and drop those of another form.")
    .covers(&["R-142", "R-143"]),
];

/// Requests within which a registry of the configuration `rate-limit` has to refuse one.
const BURST: usize = 300;
/// The longest Retry-After that is waited for.
const RETRY_SECONDS_MAX: u64 = 30;
/// How often a request is tried again after the time that it was told.
const RETRIES_MAX: usize = 5;

async fn limited(ctx: &Context) -> Verdict {
    let ctx = &ctx.configured("rate-limit").await?;
    let session = ctx.session(&ctx.repo()).await?;
    for _ in 0..BURST {
        let response = ctx.send(ctx.request("GET", "/v2/")).await?;
        if response.status != 429 {
            continue;
        }
        code(&response, &["TOOMANYREQUESTS"])?;
        let seconds = retry_after(&response)?;
        ctx.observe(format!("a 429 asks to come back after {seconds} s"));
        return survives(ctx, &session, seconds).await;
    }
    Err(Stop::Error(format!("{BURST} requests in a row, and none was answered with 429")))
}

/// Passes when the session answers once the time is over that a 429 told.
async fn survives(ctx: &Context, session: &Url, seconds: u64) -> Verdict {
    let mut seconds = seconds;
    for _ in 0..RETRIES_MAX {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let response = ctx.send(ctx.request_to("GET", session.clone())).await?;
        if response.status != 429 {
            return status(&response, &[204]);
        }
        seconds = retry_after(&response)?;
    }
    Err(Stop::Fail(format!("still 429 after {RETRIES_MAX} times the time that Retry-After told")))
}

/// Returns the seconds of a Retry-After header: clients of registries read nothing else.
fn retry_after(response: &Response) -> Result<u64, Stop> {
    let value = header(response, "Retry-After")?;
    let seconds: Option<u64> = value.parse().ok().filter(|seconds| *seconds <= RETRY_SECONDS_MAX);
    let say = || format!("{}: Retry-After is {value:?}, expected up to {RETRY_SECONDS_MAX}", response.label);
    seconds.ok_or_else(|| Stop::Fail(say()))
}

/// Provokes errors of all kinds.
async fn provoke(ctx: &Context) -> Result<Vec<Response>, crate::check::Stop> {
    let repo = ctx.repo();
    ctx.tagged(&repo, "t").await?;
    let absent = ctx.blob(10).digest;
    let path = |tail: &str| format!("/v2/{repo}/{tail}");
    let session = ctx.session_with(&repo, b"0123456789").await?;
    let nothing = Manifest::raw(OCI_MANIFEST, "{");
    let requests = [
        ctx.manifest("GET", &repo, "absent"),
        ctx.manifest("GET", &repo, &absent),
        ctx.manifest("GET", &ctx.repo(), "absent"),
        ctx.blob_request("GET", &repo, &absent),
        ctx.request("GET", &path("blobs/sha256:bad")),
        ctx.request("GET", "/v2/UPPER/manifests/t"),
        ctx.request("GET", &path("tags/list?n=-1")),
        ctx.request("GET", &format!("/v2/{}/tags/list", ctx.repo())),
        ctx.request("GET", &path("referrers/foo")),
        ctx.push(&repo, "t", &nothing),
        ctx.push(&repo, &absent, &ctx.image().manifest),
        ctx.chunk(&session, 500, b"gap"),
        ctx.finish(&session, "sha256:bad", b""),
        ctx.request("DELETE", &path(&format!("blobs/{absent}"))),
        ctx.request("DELETE", &path(&format!("manifests/{absent}"))),
        ctx.request("PATCH", &path("blobs/uploads/9b3c2f6e-7a51-4d0e-8f14-2c6d5e7a9b10")),
    ];
    let mut responses = Vec::with_capacity(requests.len());
    for request in requests {
        responses.push(ctx.send(request).await?);
    }
    Ok(responses)
}

async fn bodies(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    for response in provoke(ctx).await?.iter().filter(|response| response.is_client_error()) {
        findings.note(listed(response))?;
    }
    findings.verdict()
}

async fn declared(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    for response in provoke(ctx).await?.iter().filter(|response| response.is_client_error()) {
        let is_json = response.body.starts_with(b"{");
        let media = response.header("Content-Type").unwrap_or_default();
        findings.note(that(!is_json || media.starts_with("application/json"), || {
            format!("{}: a JSON body of type {media:?}", response.label)
        }))?;
    }
    findings.verdict()
}

async fn fitting(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    ctx.tagged(&repo, "t").await?;
    let blob = ctx.blob(9);
    let closed = ctx.session(&repo).await?;
    ctx.send(ctx.finish(&closed, &blob.digest, &blob.bytes)).await?;
    let image = ctx.image();
    ctx.have_content(&repo, &image).await?;
    let nowhere = ctx.repo();
    for (request, codes) in [
        (ctx.request_to("GET", closed), &["BLOB_UPLOAD_UNKNOWN"][..]),
        (ctx.request("GET", &format!("/v2/{nowhere}/tags/list")), &["NAME_UNKNOWN"]),
        (ctx.manifest("GET", &nowhere, "t"), &["NAME_UNKNOWN", "MANIFEST_UNKNOWN"]),
        (ctx.push(&repo, &blob.digest, &image.manifest), &["DIGEST_INVALID", "MANIFEST_INVALID"]),
    ] {
        let response = ctx.follow(request).await?;
        // Tags of a repository that nobody made may be none as well as unknown.
        if response.is_client_error() {
            findings.note(code(&response, codes))?;
        }
    }
    findings.verdict()
}

async fn heads(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.held().await?.repo, Findings::default());
    for request in [
        ctx.manifest("HEAD", &repo, "absent"),
        ctx.manifest("HEAD", &repo, &ctx.blob(3).digest),
        ctx.blob_request("HEAD", &repo, &ctx.blob(3).digest),
        ctx.request("HEAD", "/v2/UPPER/manifests/t"),
    ] {
        let response = ctx.follow(request.close()).await?;
        findings.note(that(response.is_client_error(), || {
            format!("{}: answered {}, expected 4xx", response.label, response.status)
        }))?;
        findings.note(empty(&response))?;
    }
    // On one connection the next response has to stand where the empty one ended.
    let pair = vec![ctx.manifest("HEAD", &repo, "absent"), ctx.request("GET", "/v2/")];
    let both = ctx.send_on_one(pair).await?;
    findings.note(that(both.last().is_some_and(Response::is_success), || {
        "GET /v2/ after a HEAD of something missing is misread on one connection".to_owned()
    }))?;
    findings.verdict()
}

async fn warnings(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    ctx.tagged(&repo, "t").await?;
    let mut responses = provoke(ctx).await?;
    responses.push(ctx.pull(&repo, "t").await?);
    responses.push(ctx.send(ctx.request("GET", "/v2/")).await?);
    let mut findings = Findings::default();
    for response in &responses {
        let values = response.header_all("Warning");
        let bytes: usize = values.iter().map(|value| value.len()).sum();
        findings.note(that(bytes <= WARNING_BYTES_MAX, || {
            format!("{}: {bytes} bytes of Warning", response.label)
        }))?;
        for value in values {
            let text = value.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"'));
            findings.note(that(text.is_some(), || format!("{}: Warning is {value:?}", response.label)))?;
        }
    }
    findings.verdict()
}
