//! Proxies and mirrors: the `ns` parameter, and what stands behind them (spec.md#registry-proxying).

use crate::check::{Check, Level, Verdict, run};
use crate::checks::MANIFEST;
use crate::context::Context;
use crate::expect::{Findings, body_is, no_server_error, status, that};

const ANCHOR: &str = "spec.md#registry-proxying";
pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-162",
        Level::Observe,
        ANCHOR,
        "An unknown ns leaves local content where it is.",
        run!(unknown_ns),
    )
    .after(&[MANIFEST])
    .why("containerd adds ns to every request to a mirror, kind's local registry included.")
    .breaks("kind with a local registry, containerd mirrors.")
    .covers(&["R-128"]),
    Check::new("T-163", Level::Observe, ANCHOR, "An ns that is an address is never asked.", run!(hostile_ns))
        .after(&[MANIFEST])
        .why("A proxy that connects wherever it is told is a way into the network behind it."),
];

async fn unknown_ns(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?;
    let own = ctx.request("GET", "/").url.authority();
    let mut findings = Findings::default();
    for ns in ["localhost:5001", "registry.invalid", own.as_str()] {
        let response = ctx.follow(ctx.manifest("GET", &repo, "t").query("ns", ns)).await?;
        findings.note(status(&response, &[200]))?;
        findings.note(body_is(&response, &image.manifest.bytes))?;
        let blob = ctx.blob_request("GET", &repo, &image.layer.digest).query("ns", ns);
        let response = ctx.follow(blob).await?;
        findings.note(body_is(&response, &image.layer.bytes))?;
        let head = ctx.follow(ctx.manifest("HEAD", &repo, "absent").query("ns", ns)).await?;
        findings.note(status(&head, &[404]))?;
    }
    findings.verdict()
}

async fn hostile_ns(ctx: &Context) -> Verdict {
    // A trap: whatever connects here followed an address that a client gave it.
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let trap = trap.map_err(|error| crate::check::Stop::Error(format!("cannot set the trap: {error}")))?;
    let port = trap.local_addr().map(|address| address.port()).unwrap_or_default();
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    for ns in [
        format!("127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}"),
        format!("user@127.0.0.1:{port}"),
        format!("127.0.0.1:{port}%2f..%2fx"),
        "a%2f..%2fb".to_owned(),
    ] {
        let response = ctx.follow(ctx.manifest("GET", &repo, "t").query("ns", &ns)).await?;
        findings.note(no_server_error(&response))?;
        findings.note(that(!response.is_success(), || {
            format!("{}: answered {}", response.label, response.status)
        }))?;
    }
    let caught = tokio::time::timeout(std::time::Duration::from_millis(1), trap.accept()).await.is_ok();
    findings.note(that(!caught, || "the registry connected to an address given by ns".to_owned()))?;
    findings.verdict()
}
