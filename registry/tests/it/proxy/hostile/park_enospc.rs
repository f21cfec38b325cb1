//! Goal (§6 "a cache fill goes on uncached"): a disk that fills up while what has arrived is being made durable cuts
//! nobody.

use std::io;
use std::sync::Arc;

use sim::digest::Algorithm;
use sim::origin::Origin;
use wharfinger::clock::Clock;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use super::hook::Hooked;
use crate::support::Registry;

const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_when_bytes_are_made_durable_cuts_nobody() {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let hooked = Hooked::new(|call, path| {
        let is_full = call == "rename" && path.starts_with("parked/");
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let bytes = content(66 * MIB, 1);
    let digest = origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
    let registry = Registry {
        disk: Arc::new(hooked),
        routes: routes(vec![upstream(NAME, &[&origin.url()])], &clock),
        clock,
        ..Registry::default()
    };
    let answer = registry.open().await.get(&blob_path(&digest)).await;
    assert!(
        answer.status == 200 && !answer.cut && answer.body == bytes,
        "cut after {} bytes",
        answer.body.len()
    );
}
