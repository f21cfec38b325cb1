//! Pulls through a running CNCF distribution, configured by a file.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use sim::digest::Algorithm;

use crate::support::command::Command;
use crate::support::layout::{Layout, Packing, sha256};
use crate::support::registry::{Distribution, PROGRAM};
use crate::support::server::Server;
use crate::support::skip;
use crate::support::valve::Valve;
use crate::support::wire::Wire;

const MIB: usize = 1024 * 1024;
/// The layer of the large image; the rest of its tar and its manifest add some kilobytes.
const LARGE_BYTES: usize = 200 * MIB;
/// How long the first bytes may take while the upstream is held back; they never come from a server
/// that waits for the whole blob.
const FIRST_BYTE_PATIENCE: Duration = Duration::from_secs(30);

/// A configuration with one upstream.
fn config(upstream: &str) -> Value {
    json!({"extensions": {"sync": {"enable": true, "registries": [
        {"urls": [upstream], "onDemand": true, "tlsVerify": false, "content": [{"prefix": "**"}]},
    ]}}})
}

/// Pushes a layout's image into the upstream, byte for byte.
async fn seed(upstream: &Distribution, layout: &Layout, name: &str) {
    let target = format!("docker://{}/{name}", upstream.authority());
    Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false"])
        .args([layout.reference("1"), target])
        .run()
        .await;
}

/// Reads the rest of a body, and returns the digest and size of `head` with it.
async fn drain(head: &[u8], mut answer: Response) -> (String, u64) {
    let (mut hasher, mut size) = (Algorithm::Sha256.hasher(), head.len() as u64);
    hasher.update(head);
    while let Some(bytes) = answer.chunk().await.unwrap() {
        hasher.update(&bytes);
        size += bytes.len() as u64;
    }
    (hasher.finish().to_string(), size)
}

async fn blob(wire: &Wire, digest: &str) -> Response {
    let answer = wire.begin("GET", &format!("/v2/team/large/blobs/{digest}"), &[]).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_first_byte_comes_before_the_upstream_sent_half() {
    let test = "p5_first_byte_comes_before_the_upstream_sent_half";
    if !skip::has(test, &[PROGRAM, "skopeo", "tar"]) {
        return;
    }
    let (upstream, folder) = (Distribution::start().await, tempfile::tempdir().unwrap());
    let layout = Layout::create(folder.path().join("large"));
    let layer = layout.layer(7, LARGE_BYTES, Packing::Plain).await;
    let digest = layer.0["digest"].as_str().unwrap().to_owned();
    let size = layer.0["size"].as_u64().unwrap();
    let manifest = layout.name("1", layout.image("amd64", &[layer]));
    seed(&upstream, &layout, "team/large:1").await;

    // The upstream stands still at a quarter: what is served then cannot have waited for the rest.
    let valve = Valve::before(upstream.authority(), size / 4).await;
    let server = Server::with(&config(&valve.url())).await;
    let wire = server.wire();
    assert_eq!(sha256(&wire.get("/v2/team/large/manifests/1").await.expect(200).body), manifest);
    let mut answer = blob(&wire, &digest).await;
    let first = tokio::time::timeout(FIRST_BYTE_PATIENCE, answer.chunk()).await;
    let first = first.expect("the first bytes come while the upstream is held back").unwrap().unwrap();
    let sent = valve.sent();
    println!("first {} bytes after the upstream sent {sent} of {size}", first.len());
    assert!(sent < size / 2, "the upstream sent {sent} of {size} before the first byte");

    valve.open();
    assert_eq!(drain(&first, answer).await, (digest.clone(), size));
    let total = valve.sent();
    println!("the upstream sent {total} bytes in all");
    // P4: the blob crossed once; manifest, configuration and headers are small.
    assert!((size..size + MIB as u64).contains(&total), "{total} of {size}");

    drop(upstream);
    assert_eq!(drain(&[], blob(&wire, &digest).await).await, (digest, size));
    assert_eq!(sha256(&wire.get("/v2/team/large/manifests/1").await.expect(200).body), manifest);
    assert!(valve.sent() - total < 1024, "what is cached was asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_was_pulled_is_served_without_the_upstream() {
    let test = "p7_what_was_pulled_is_served_without_the_upstream";
    if !skip::has(test, &[PROGRAM, "skopeo", "tar", "gzip"]) {
        return;
    }
    let (upstream, folder) = (Distribution::start().await, tempfile::tempdir().unwrap());
    let layout = Layout::create(folder.path().join("local"));
    let digest = layout.two_platforms("1").await;
    seed(&upstream, &layout, "team/app:1").await;
    let server = Server::with(&config(&format!("http://{}", upstream.authority()))).await;
    let remote = format!("docker://{}/team/app", server.authority());
    let pull = async |reference: &str, into: &str| {
        let target = folder.path().join(into);
        Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--all", "--src-tls-verify=false"])
            .args([format!("{remote}{reference}"), format!("oci:{}:1", target.display())])
            .run()
            .await;
        let pulled = Layout::open(target);
        assert_eq!(pulled.root().0, digest);
        assert_eq!(pulled.blobs(), layout.blobs());
    };
    pull(":1", "first").await;

    drop(upstream);
    pull(":1", "tag").await;
    pull(&format!("@{digest}"), "digest").await;
    let wire = server.wire();
    let stale = wire.get("/v2/team/app/manifests/1").await.expect(200);
    assert!(stale.header("warning").starts_with("299 - \""), "{stale:#?}");
    // What was never pulled is not a 404: the upstream did not say that it is absent.
    let unknown = wire.get("/v2/team/app/manifests/never").await;
    assert!([502, 503].contains(&unknown.status.as_u16()), "its breaker may be open by now: {unknown:#?}");
}
