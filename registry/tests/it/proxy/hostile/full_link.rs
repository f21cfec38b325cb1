//! Goal (P7, §6): a disk that has no room for a link costs a link, and no pull.

use std::io;
use std::sync::Arc;

use sim::digest::Algorithm;
use sim::origin::Origin;
use wharfinger::clock::Clock;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use super::hook::Hooked;
use crate::support::Registry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_full_disk_does_not_fail_a_pull_of_bytes_that_are_here() {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let hooked = Hooked::new(|call, path| {
        let is_full = call == "rename" && path.contains("/team/other/_blobs/");
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let bytes = content(100_000, 1);
    let digest = origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
    origin.origin().seed_blob("team/other", bytes.clone(), Algorithm::Sha256);
    let registry = Registry {
        disk: Arc::new(hooked),
        routes: routes(vec![upstream(NAME, &[&origin.url()])], &clock),
        clock,
        ..Registry::default()
    };
    let client = registry.open().await;
    assert_eq!(client.get(&blob_path(&digest)).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let answer = client.get(&format!("/v2/team/other/blobs/{digest}")).await;
    assert!(answer.status == 200 && answer.body == bytes, "{} {}", answer.status, answer.code());
}
