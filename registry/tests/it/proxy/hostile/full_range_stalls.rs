//! Goal (P5, P6): a range is not held until the upstream's timeout because the disk is full.

use std::sync::Arc;
use std::time::Duration;

use sim::digest::Algorithm;
use sim::origin::Origin;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::store::options::Options as StoreOptions;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use crate::support::Registry;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn p6_a_near_range_of_what_is_passed_on_does_not_wait_for_a_timeout() {
    for capacity in [1 << 30, 2 * 1024] {
        let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
        let bytes = content(8 * MIB, 1);
        let digest = origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
        let mut options = upstream(NAME, &[&origin.url()]);
        options.response_timeout = Duration::from_secs(10);
        let registry = Registry {
            disk: Arc::new(MemoryDisk::with_capacity(capacity)),
            store: StoreOptions { free_min_percent: 0, ..StoreOptions::default() },
            routes: routes(vec![options], &clock),
            clock,
            ..Registry::default()
        };
        let client = registry.open().await;
        let begun = std::time::Instant::now();
        // 5 MiB ahead: near, within rangeWait.
        let range = format!("bytes={}-{}", 5 * MIB, 5 * MIB + 99);
        let answer = client.call("GET", &blob_path(&digest), &[("range", &range)], "").await;
        assert!(
            answer.status == 206 && !answer.cut && answer.body == bytes[5 * MIB..5 * MIB + 100],
            "{answer:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(6),
            "{capacity} bytes of disk: it took {:?}",
            begun.elapsed()
        );
    }
}
