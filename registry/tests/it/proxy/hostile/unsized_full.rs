//! Goal (§6 disk full): a blob that is passed on reaches a single reader whole, also from an upstream that says no
//! length or knows no ranges.

use std::sync::Arc;

use sim::digest::Algorithm;
use sim::origin::{Origin, Variant};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::store::options::Options as StoreOptions;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use crate::support::Registry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_reader_is_not_left_behind() {
    let mut failed = 0;
    for (what, capacity) in [("unsized", 100_000), ("no ranges", 100_000), ("plain", 100_000)] {
        let origin = match what {
            "unsized" => Origin::varied(Variant::UnsizedBodies),
            "no ranges" => Origin::varied(Variant::NoRanges),
            _ => Origin::new(),
        };
        let (origin, clock) = (serve(&origin).await, Clock::system());
        let bytes = content(2_500_555, 1);
        let digest = origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
        let registry = Registry {
            disk: Arc::new(MemoryDisk::with_capacity(capacity)),
            store: StoreOptions { free_min_percent: 0, ..StoreOptions::default() },
            routes: routes(vec![upstream(NAME, &[&origin.url()])], &clock),
            clock,
            ..Registry::default()
        };
        let client = registry.open().await;
        let mut cut = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..30 {
            let mark = origin.origin().journal().mark();
            let answer = client.get(&blob_path(&digest)).await;
            if answer.cut || answer.body != bytes {
                cut.push(answer.body.len());
                asked = origin
                    .origin()
                    .journal()
                    .entries_since(mark)
                    .iter()
                    .map(|it| format!("{:?}", it.range))
                    .collect();
            }
        }
        println!("{what}: {} of 30 cut, after {cut:?}; {asked:?}", cut.len());
        failed += cut.len();
    }
    assert_eq!(failed, 0);
}
