//! Goal (P6): with maxAge alone, a blob that no cached manifest needs goes too; and what was fetched in part counts.

use std::sync::Arc;
use std::time::Duration;

use sim::digest::Algorithm;
use sim::fault::{At, Fault, Selector};
use sim::origin::Origin;
use wharfinger::backend::disk::{Disk, Stat};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::upstream::Upstream;
use wharfinger::upstream::options::CacheBound;
use wharfinger::upstream::reqwest_transport::ReqwestTransport;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use crate::support::Registry;

const HOUR: Duration = Duration::from_secs(3600);

fn bytes_below(disk: &MemoryDisk, folder: &str) -> u64 {
    disk.entries(folder)
        .unwrap_or_default()
        .iter()
        .map(|name| {
            let path = format!("{folder}/{name}");
            match disk.stat(&path).unwrap() {
                Stat::File(len) => len,
                Stat::Folder => bytes_below(disk, &path),
            }
        })
        .sum()
}

#[tokio::test]
async fn p6_blobs_without_a_manifest_grow_old_too() {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::manual(Timestamp::from_millis(1_000_000)));
    let disk = MemoryDisk::new();
    let mut options = upstream(NAME, &[&origin.url()]);
    options.cache = CacheBound { bytes_max: None, age_max: Some(HOUR) };
    let hub =
        Upstream::new(options.clone(), Arc::new(ReqwestTransport::new(&options).unwrap()), clock.clone());
    let registry = Registry {
        disk: Arc::new(disk.clone()),
        routes: routes(vec![options], &clock),
        clock: clock.clone(),
        ..Registry::default()
    };
    let (client, repositories) = registry.open_both().await;
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
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let disk = MemoryDisk::new();
    let mut options = upstream(NAME, &[&origin.url()]);
    options.cache = CacheBound { bytes_max: Some(300_000), age_max: None };
    let hub =
        Upstream::new(options.clone(), Arc::new(ReqwestTransport::new(&options).unwrap()), clock.clone());
    let registry = Registry {
        disk: Arc::new(disk.clone()),
        routes: routes(vec![options], &clock),
        clock,
        ..Registry::default()
    };
    let (client, repositories) = registry.open_both().await;
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
