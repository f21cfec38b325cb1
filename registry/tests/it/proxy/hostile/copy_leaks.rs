//! Goal (P6): a copy from one store to another that fails, or whose client leaves, leaves nothing on the disk.

use std::sync::Arc;

use sim::origin::Origin;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;

use super::bench::{NAME, REPO, blob_path, image, manifest_path, routes, serve, upstream};
use crate::support::Registry;

#[tokio::test]
async fn p6_a_copy_that_the_disk_has_no_room_for_gives_its_room_back() {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let (main, hub) = (MemoryDisk::with_capacity(1_500_000), MemoryDisk::new());
    let registry = Registry {
        disk: Arc::new(main.clone()),
        disks_by_upstream: vec![(NAME.to_owned(), Arc::new(hub.clone()) as Arc<dyn Disk>)],
        routes: routes(vec![upstream(NAME, &[&origin.url()])], &clock),
        clock,
        ..Registry::default()
    };
    let client = registry.open().await;
    let made = image(origin.origin(), REPO, "base", &[3_000_000], 1);
    let manifest = client.get(&manifest_path("base")).await;
    for blob in made.blobs() {
        assert_eq!(client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    let pushed = client.push_manifest(REPO, "mine", &manifest.json()).await;
    assert_eq!(pushed.status, 507, "{pushed:?}");
    let left: Vec<_> = main
        .entries("fills")
        .unwrap_or_default()
        .iter()
        .map(|name| main.stat(&format!("fills/{name}")).unwrap())
        .collect();
    assert!(left.is_empty(), "until the next start: {left:?}");
    client.push_blob("own/app", &vec![7; 500_000]).await;
}
