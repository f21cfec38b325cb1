//! Goal: an upstream with a store of its own, and names with one, are stored there and nowhere else, and work as
//! all others do.
//! Method: disks in memory, and what stands on each.

use std::sync::Arc;

use sim::origin::{Origin, Running};
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;

use super::bench::{NAME, REPO, blob_path, image, manifest_path, routes, serve, upstream};
use crate::support::{Client, Registry, sha256};

struct Stand {
    origin: Running,
    client: Client,
    main: MemoryDisk,
    team: MemoryDisk,
    hub: MemoryDisk,
}

async fn stand() -> Stand {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let (main, team, hub) = (MemoryDisk::new(), MemoryDisk::new(), MemoryDisk::new());
    let disk = |disk: &MemoryDisk| -> Arc<dyn Disk> { Arc::new(disk.clone()) };
    let registry = Registry {
        disk: disk(&main),
        disks_by_component: vec![("ours".to_owned(), disk(&team))],
        disks_by_upstream: vec![(NAME.to_owned(), disk(&hub))],
        routes: routes(vec![upstream(NAME, &[&origin.url()])], &clock),
        clock,
        ..Registry::default()
    };
    Stand { client: registry.open().await, origin, main, team, hub }
}

/// How many blobs a disk has.
fn blobs(disk: &MemoryDisk) -> usize {
    let below = |folder: &str| disk.entries(folder).unwrap_or_default();
    below("blobs/sha256").iter().map(|part| below(&format!("blobs/sha256/{part}")).len()).sum()
}

#[tokio::test]
async fn what_is_cached_of_an_upstream_is_in_its_store() {
    let it = stand().await;
    let made = image(it.origin.origin(), REPO, "v1", &[1000, 100_000], 1);
    assert_eq!(it.client.get(&manifest_path("v1")).await.status, 200);
    for blob in made.blobs() {
        assert_eq!(it.client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    assert_eq!((blobs(&it.main), blobs(&it.team), blobs(&it.hub)), (0, 0, 4));
    it.origin.stop().await;
    for blob in made.blobs() {
        assert_eq!(it.client.get(&blob_path(&blob.digest)).await.status, 200, "p7");
    }
    let names = it.client.get("/v2/_catalog").await.json();
    assert_eq!(names["repositories"], serde_json::json!([REPO]));
    assert_eq!(it.client.call("DELETE", &format!("/v2/{REPO}/_wharfinger/cache"), &[], "").await.status, 202);
    assert_eq!(blobs(&it.hub), 0);
}

#[tokio::test]
async fn what_is_pushed_is_in_the_store_of_its_name() {
    let it = stand().await;
    for (name, expect) in [("ours/app", (0, 3)), ("ours", (3, 3)), ("others/app", (3, 3))] {
        it.client.push_image(name, "v1", b"layer").await;
        assert_eq!((blobs(&it.main), blobs(&it.team)), expect, "{name}");
        let answer = it.client.get(&format!("/v2/{name}/blobs/{}", sha256(b"layer"))).await;
        assert!(answer.status == 200 && answer.body == b"layer"[..], "{name}");
    }
    let names = it.client.get("/v2/_catalog").await.json();
    assert_eq!(names["repositories"], serde_json::json!(["others/app", "ours", "ours/app"]));
}

#[tokio::test]
async fn a_blob_is_mounted_from_one_store_into_another() {
    let it = stand().await;
    it.client.push_blob("others/app", b"layer").await;
    let digest = sha256(b"layer");
    let path = format!("/v2/ours/app/blobs/uploads/?mount={digest}&from=others/app");
    assert_eq!(it.client.call("POST", &path, &[], "").await.status, 201);
    assert_eq!((blobs(&it.main), blobs(&it.team)), (1, 1));
    let answer = it.client.get(&format!("/v2/ours/app/blobs/{digest}")).await;
    assert!(answer.status == 200 && answer.body == b"layer"[..]);
}

/// A push that builds on layers that are only in the cache, in another store.
#[tokio::test]
async fn p3_a_push_takes_layers_over_from_the_store_of_an_upstream() {
    let it = stand().await;
    let made = image(it.origin.origin(), "ours/app", "base", &[1000, 100_000], 1);
    let manifest = it.client.get("/v2/ours/app/manifests/base").await;
    for blob in made.blobs() {
        assert_eq!(it.client.get(&format!("/v2/ours/app/blobs/{}", blob.digest)).await.status, 200);
    }
    let pushed = it.client.push_manifest("ours/app", "mine", &manifest.json()).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    it.origin.stop().await;
    for blob in made.blobs() {
        assert_eq!(it.client.get(&format!("/v2/ours/app/blobs/{}", blob.digest)).await.status, 200);
    }
    assert_eq!(it.client.get("/v2/ours/app/manifests/mine").await.status, 200);
    assert_eq!(blobs(&it.team), 4);
}
