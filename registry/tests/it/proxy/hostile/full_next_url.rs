//! Goal (P8): on a disk without room the next url is asked too when one sends wrong bytes, or breaks off.

use std::sync::Arc;

use sim::digest::Algorithm;
use sim::fault::{At, Fault, Selector};
use sim::origin::Origin;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::store::options::Options as StoreOptions;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use crate::support::Registry;

#[tokio::test]
async fn p8_a_full_disk_does_not_keep_the_next_url_from_answering() {
    for fault in [Fault::Corrupt { at: At::Percent(50) }, Fault::Truncate { at: At::Percent(50) }] {
        for capacity in [2 * 1024, 1 << 30] {
            let (first, second, clock) =
                (serve(&Origin::new()).await, serve(&Origin::new()).await, Clock::system());
            let bytes = content(40_000, 1);
            let digest = first.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
            second.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256);
            let _guard = first.origin().install(Selector::get("*/blobs/*").suffer(fault.clone()));
            let registry = Registry {
                disk: Arc::new(MemoryDisk::with_capacity(capacity)),
                store: StoreOptions { free_min_percent: 0, ..StoreOptions::default() },
                routes: routes(vec![upstream(NAME, &[&first.url(), &second.url()])], &clock),
                clock,
                ..Registry::default()
            };
            let answer = registry.open().await.get(&blob_path(&digest)).await;
            assert!(
                answer.status == 200 && !answer.cut && answer.body == bytes,
                "{fault:?}, {capacity} bytes of disk: {} {:?}",
                answer.status,
                answer.body.len()
            );
        }
    }
}
