//! Goal (P6): a body that drips is a failure (`minThroughput`) on a full disk as well.

use std::sync::Arc;
use std::time::Duration;

use sim::digest::Algorithm;
use sim::fault::{Fault, Selector};
use sim::origin::Origin;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::store::options::Options as StoreOptions;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use crate::support::Registry;

#[tokio::test(start_paused = true)]
async fn p6_a_drip_that_is_passed_on_is_given_up() {
    for capacity in [1 << 30, 2 * 1024] {
        let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
        let digest = origin.origin().seed_blob(REPO, content(1024 * 1024, 1), Algorithm::Sha256).digest;
        let _guard =
            origin.origin().install(Selector::get("*/blobs/*").suffer(Fault::Drip { bytes: 100, ms: 1000 }));
        let registry = Registry {
            disk: Arc::new(MemoryDisk::with_capacity(capacity)),
            store: StoreOptions { free_min_percent: 0, ..StoreOptions::default() },
            routes: routes(vec![upstream(NAME, &[&origin.url()])], &clock),
            clock,
            ..Registry::default()
        };
        let client = registry.open().await;
        // minThroughput is 1 KiB/s over half a minute, and this has a tenth of it.
        let pulled = tokio::time::timeout(Duration::from_secs(300), client.get(&blob_path(&digest))).await;
        assert!(
            pulled.is_ok_and(|answer| answer.cut || answer.status != 200),
            "{capacity} bytes of disk: five minutes later it drips on"
        );
    }
}
