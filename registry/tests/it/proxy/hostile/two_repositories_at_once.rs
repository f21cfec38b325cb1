//! Goal (P4): a blob that is asked for in two repositories is fetched once, however the two interleave.
//! Method: the second reader has looked for bytes that are here, and found none; then the first fetch ends; then he
//! looks for one that is under way.

use std::sync::Arc;

use sim::digest::Algorithm;
use sim::fault::{Fault, Selector};
use sim::origin::Origin;
use wharfinger::clock::Clock;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, until, upstream};
use super::hook::{Gate, Hooked};
use crate::support::Registry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_fetch_that_ends_between_two_looks_is_not_made_again() {
    let (origin, clock, gate) = (serve(&Origin::new()).await, Clock::system(), Gate::default());
    let hooked = Hooked::new({
        let gate = gate.clone();
        move |call, path| {
            if call == "opened" && path.contains("/held/") {
                gate.pass();
            }
            Ok(())
        }
    });
    let routes = routes(vec![upstream(NAME, &[&origin.url()])], &clock);
    let client = Registry { disk: Arc::new(hooked), routes, clock, ..Registry::default() }.open().await;
    let bytes = content(200_000, 1);
    let digest = origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
    origin.origin().seed_blob("team/other", bytes.clone(), Algorithm::Sha256);
    let slow = origin.origin().install(Selector::get("*/blobs/*").suffer(Fault::Latency { ms: 300 }));
    let pull = |path: String| {
        let client = client.clone();
        tokio::spawn(async move { client.get(&path).await.status.as_u16() })
    };
    let first = pull(blob_path(&digest));
    until("the first is under way", || slow.fired() > 0).await;
    gate.arm();
    let second = pull(format!("/v2/team/other/blobs/{digest}"));
    until("the second has looked for bytes that are here", || gate.waiting() > 0).await;
    assert_eq!(first.await.unwrap(), 200);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    gate.open();
    assert_eq!(second.await.unwrap(), 200);
    assert_eq!(origin.origin().journal().blob_gets(&digest), 1, "fetched twice");
}
