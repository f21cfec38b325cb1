//! Goal (P6, §6): a fetched blob that cannot be published for want of room leaves nothing on the full disk.

use std::io;
use std::sync::Arc;

use sim::digest::Algorithm;
use sim::origin::Origin;
use wharfinger::backend::disk::Disk;
use wharfinger::clock::Clock;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use super::hook::Hooked;
use crate::support::Registry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_blob_that_cannot_be_published_leaves_nothing() {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let hooked = Hooked::new(|call, path| {
        let is_full = call == "rename" && path.starts_with("blobs/");
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let registry = Registry {
        disk: Arc::new(hooked.clone()),
        routes: routes(vec![upstream(NAME, &[&origin.url()])], &clock),
        clock,
        ..Registry::default()
    };
    let client = registry.open().await;
    let bytes = content(300_000, 1);
    let digest = origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
    for _ in 0..5 {
        let answer = client.get(&blob_path(&digest)).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let left: Vec<_> = hooked
        .entries("fills")
        .unwrap_or_default()
        .iter()
        .map(|name| hooked.stat(&format!("fills/{name}")).unwrap())
        .collect();
    assert!(left.is_empty(), "five pulls of 300 kB have left {left:?}, until the next start");
}
