//! Goal (P8): below minFree a mirror does not say that what it could not keep is here, and a push that builds on an
//! upstream's layer is not told that the layer is unknown.

use std::sync::Arc;
use std::time::Duration;

use sim::origin::Origin;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::store::options::Options as StoreOptions;
use wharfinger::upstream::options::{Content, Tags};
use wharfinger::upstream::reqwest_transport::ReqwestTransport;
use wharfinger::upstream::{Routes, Upstream};

use super::bench::{NAME, REPO, blob_path, content, head, image, serve, upstream};
use crate::support::{self, Registry};

/// A registry whose disk has less room than pushes are left, and 400 kB for these.
async fn stand()
-> (sim::origin::Running, crate::support::Client, wharfinger::repository::Repositories, Arc<Upstream>) {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let mut options = upstream(NAME, &[&origin.url()]);
    options.mirror.interval = Some(Duration::from_secs(3600));
    options.content = vec![Content {
        prefix: REPO.to_owned(),
        destination: String::new(),
        strip_prefix: false,
        tags: Tags::default(),
    }];
    let transport = Arc::new(ReqwestTransport::new(&options).unwrap());
    let hub = Arc::new(Upstream::new(options.clone(), transport, clock.clone()));
    let mut routes = Routes::default();
    routes.add(Arc::clone(&hub), &options).unwrap();
    let registry = Registry {
        disk: Arc::new(MemoryDisk::with_capacity(1_000_000)),
        store: StoreOptions { free_min_percent: 50, ..StoreOptions::default() },
        routes,
        clock,
        ..Registry::default()
    };
    let (client, repositories) = registry.open_both().await;
    client.push_blob("own/app", &content(600_000, 9)).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    (origin, client, repositories, hub)
}

#[tokio::test]
async fn p8_a_mirror_says_what_is_here() {
    let (origin, client, repositories, hub) = stand().await;
    let made = image(origin.origin(), REPO, "v1", &[100_000], 1);
    let done = repositories.mirror(&hub).await.unwrap();
    origin.stop().await;
    let is_here = client.get(&blob_path(&made.layers[0].digest)).await.status == 200;
    assert_eq!(done.tags == 1 && done.failed == 0, is_here, "{done:?}, and the layer is here: {is_here}");
}

#[tokio::test]
async fn p8_a_push_is_not_told_that_what_was_confirmed_is_unknown() {
    let (origin, client, _, _) = stand().await;
    let made = image(origin.origin(), REPO, "base", &[100_000], 1);
    let layer = made.layers[0].digest.to_string();
    assert_eq!(head(&client, &blob_path(&layer)).await.status, 200, "the client will not push it");
    let config = client.push_blob(REPO, b"{}").await;
    let manifest = support::image(&[(&config, 2)], &[(&layer, 100_000)]);
    let pushed = client.push_manifest(REPO, "mine", &manifest).await;
    assert!(pushed.status == 201 || pushed.status == 507, "{} {}", pushed.status, pushed.code());
}
