//! Goal (P6): with maxAge alone, a blob that no cached manifest needs goes too; and what was fetched in part counts.

use std::time::Duration;

use sim::digest::Algorithm;
use sim::fault::{At, Fault, Selector};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::upstream::options::CacheBound;

use super::bench::{REPO, blob_path, content};
use super::hook::{Bounded, bytes_below};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn p6_blobs_without_a_manifest_grow_old_too() {
    let (disk, clock) = (MemoryDisk::new(), Clock::manual(Timestamp::from_millis(1_000_000)));
    let cache = CacheBound { bytes_max: None, age_max: Some(HOUR) };
    let Bounded { origin, client, repositories, hub } = Bounded::on(&disk, cache, &clock).await;
    for seed in 0..3 {
        let digest = origin.origin().seed_blob(REPO, content(100_000, seed), Algorithm::Sha256).digest;
        assert_eq!(client.get(&blob_path(&digest)).await.status, 200);
    }
    clock.advance(HOUR * 1000);
    let left = repositories.evict(&hub).await.unwrap();
    assert_eq!((left, bytes_below(&disk, "blobs")), (0, 0), "a thousand hours after the last pull");
}

#[tokio::test]
async fn p6_what_was_fetched_in_part_counts_in_the_bound() {
    let (disk, cache) = (MemoryDisk::new(), CacheBound { bytes_max: Some(300_000), age_max: None });
    let Bounded { origin, client, repositories, hub } = Bounded::on(&disk, cache, &Clock::system()).await;
    let _guard =
        origin.origin().install(Selector::get("*/blobs/*").suffer(Fault::Truncate { at: At::Percent(90) }));
    for seed in 0..20 {
        let digest = origin.origin().seed_blob(REPO, content(200_000, seed), Algorithm::Sha256).digest;
        client.get(&blob_path(&digest)).await;
    }
    repositories.evict(&hub).await.unwrap();
    let kept = bytes_below(&disk, "fills") + bytes_below(&disk, "blobs");
    assert!(kept <= 300_000, "maxBytes is 300000, and {kept} bytes are on the disk");
}
