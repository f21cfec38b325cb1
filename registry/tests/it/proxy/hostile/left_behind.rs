//! Goal (P6): what is evicted leaves nothing behind that grows for ever.

use std::sync::Arc;

use sim::origin::Origin;
use wharfinger::backend::disk::{Disk, Stat};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::upstream::Upstream;
use wharfinger::upstream::options::CacheBound;
use wharfinger::upstream::reqwest_transport::ReqwestTransport;

use super::bench::{NAME, image, routes, serve, upstream};
use crate::support::Registry;

fn below(disk: &MemoryDisk, folder: &str, found: &mut Vec<String>) {
    for name in disk.entries(folder).unwrap_or_default() {
        let path = format!("{folder}/{name}");
        match disk.stat(&path).unwrap() {
            Stat::Folder => below(disk, &path, found),
            Stat::File(_) => found.push(path),
        }
    }
}

#[tokio::test]
async fn p6_an_evicted_cache_leaves_no_records() {
    let (origin, clock, disk) = (serve(&Origin::new()).await, Clock::system(), MemoryDisk::new());
    let mut options = upstream(NAME, &[&origin.url()]);
    options.cache = CacheBound { bytes_max: Some(1), age_max: None };
    let hub =
        Upstream::new(options.clone(), Arc::new(ReqwestTransport::new(&options).unwrap()), clock.clone());
    let registry = Registry {
        disk: Arc::new(disk.clone()),
        routes: routes(vec![options], &clock),
        clock,
        ..Registry::default()
    };
    let (client, repositories) = registry.open_both().await;
    for number in 0..5 {
        let name = format!("team/app{number}");
        let made = image(origin.origin(), &name, "v1", &[10], number);
        assert_eq!(client.get(&format!("/v2/{name}/manifests/v1")).await.status, 200);
        for blob in made.blobs() {
            assert_eq!(client.get(&format!("/v2/{name}/blobs/{}", blob.digest)).await.status, 200);
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(repositories.evict(&hub).await.unwrap(), 0);
    let mut left = Vec::new();
    below(&disk, "upstreams", &mut left);
    assert!(left.is_empty(), "{left:#?}");
}
