//! Goal (P9): a reader completes while the removal of content stands still.

use std::sync::Arc;
use std::time::Duration;

use sim::digest::Algorithm;
use sim::fault::{Fault, Selector};
use wharfinger::upstream::Upstream;

use super::bench::{REPO, blob_path, content, image, manifest_path, until};
use super::hook::{Bounded, Gate, gated};
use crate::support::Client;

struct Stand {
    origin: sim::origin::Running,
    client: Client,
    repositories: wharfinger::repository::Repositories,
    hub: Arc<Upstream>,
    gate: Gate,
}

/// A registry whose removals of content stand still once the gate is armed.
async fn stand() -> Stand {
    let (disk, gate) = gated("remove", "blobs/");
    let Bounded { origin, client, repositories, hub } = Bounded::of_nothing(&disk).await;
    Stand { origin, client, repositories, hub, gate }
}

impl Stand {
    fn evict(&self) -> tokio::task::JoinHandle<()> {
        let (repositories, hub) = (self.repositories.clone(), Arc::clone(&self.hub));
        tokio::spawn(async move {
            repositories.evict(&hub).await.unwrap();
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_manifest_is_served_while_its_eviction_stands_still() {
    let it = stand().await;
    image(it.origin.origin(), REPO, "v1", &[10], 1);
    assert_eq!(it.client.get(&manifest_path("v1")).await.status, 200);
    it.gate.arm();
    let evicting = it.evict();
    until("content is being removed", || it.gate.waiting() > 0).await;
    let path = manifest_path("v1");
    let pulled = tokio::time::timeout(Duration::from_secs(5), it.client.get(&path)).await;
    it.gate.open();
    evicting.await.unwrap();
    assert_eq!(pulled.expect("the reader waits for the eviction").status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_blob_of_another_repository_is_served_while_its_eviction_stands_still() {
    let it = stand().await;
    let bytes = content(100_000, 1);
    let digest = it.origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
    it.origin.origin().seed_blob("team/other", bytes, Algorithm::Sha256);
    assert_eq!(it.client.get(&blob_path(&digest)).await.status, 200);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let heads = Selector { method: Some("HEAD".to_owned()), ..Selector::any("*") };
    let guard = it.origin.origin().install(heads.suffer(Fault::Latency { ms: 500 }));
    it.gate.arm();
    let reading = tokio::spawn({
        let (client, path) = (it.client.clone(), format!("/v2/team/other/blobs/{digest}"));
        async move {
            tokio::time::timeout(Duration::from_secs(5), client.get(&path)).await.map(|it| it.status.as_u16())
        }
    });
    until("the upstream is being asked", || it.origin.origin().journal().passed().0 > 0 || guard.fired() > 0)
        .await;
    let evicting = it.evict();
    let read = reading.await.unwrap();
    it.gate.open();
    evicting.await.unwrap();
    assert_eq!(read.expect("the reader waits for the eviction"), 200);
}
