//! Goal: what is cached of an upstream stays within its bound: the image pulled least recently goes, with the
//! blobs that no other needs; what was pushed never goes, and what goes is fetched again when it is wanted.
//! Method: images with a base in common, a manual clock, and what the origin is asked for.

use std::sync::Arc;
use std::time::Duration;

use sim::origin::{Origin, Running, SeededImage};
use wharfinger::backend::disk::{Disk, Stat};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::repository::Repositories;
use wharfinger::upstream::Upstream;
use wharfinger::upstream::options::CacheBound;
use wharfinger::upstream::reqwest_transport::ReqwestTransport;

use super::bench::{NAME, blob_path, content, image, manifest_path, routes, serve, upstream};
use crate::support::{Client, Registry, sha256};

const KIB: usize = 1024;
const HOUR: Duration = Duration::from_secs(3600);

struct Stand {
    origin: Running,
    client: Client,
    repositories: Repositories,
    upstream: Upstream,
    disk: MemoryDisk,
    clock: Clock,
}

async fn stand(cache: CacheBound) -> Stand {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::manual(Timestamp::from_millis(1_000_000)));
    let disk = MemoryDisk::new();
    let mut options = upstream(NAME, &[&origin.url()]);
    options.cache = cache;
    options.manifest_check_interval = HOUR * 1000;
    let transport = Arc::new(ReqwestTransport::new(&options).unwrap());
    let upstream = Upstream::new(options.clone(), transport, clock.clone());
    let (client, repositories) = Registry {
        disk: Arc::new(disk.clone()),
        routes: routes(vec![options], &clock),
        clock: clock.clone(),
        ..Registry::default()
    }
    .open_both()
    .await;
    Stand { origin, client, repositories, upstream, disk, clock }
}

impl Stand {
    async fn pull(&self, tag: &str, made: &SeededImage) {
        self.clock.advance(HOUR);
        assert_eq!(self.client.get(&manifest_path(tag)).await.status, 200, "{tag}");
        for blob in made.blobs() {
            assert_eq!(self.client.get(&blob_path(&blob.digest)).await.status, 200, "{tag}");
        }
    }

    fn bytes_asked(&self, mark: u64) -> usize {
        let entries = self.origin.origin().journal().entries_since(mark);
        entries.iter().filter(|entry| entry.path.contains("/blobs/")).count()
    }

    fn content_bytes(&self) -> u64 {
        let mut total = 0;
        let mut folders = vec!["blobs".to_owned()];
        while let Some(folder) = folders.pop() {
            for name in self.disk.entries(&folder).unwrap_or_default() {
                let path = format!("{folder}/{name}");
                match self.disk.stat(&path).unwrap() {
                    Stat::File(len) => total += len,
                    Stat::Folder => folders.push(path),
                }
            }
        }
        total
    }
}

#[tokio::test]
async fn the_image_pulled_least_recently_goes() {
    let it = stand(CacheBound { bytes_max: Some(250 * KIB as u64), age_max: None }).await;
    let made: Vec<SeededImage> = (1..=3)
        .map(|seed| image(it.origin.origin(), super::bench::REPO, &format!("v{seed}"), &[100 * KIB], seed))
        .collect();
    for (number, tag) in [(0, "v1"), (1, "v2"), (0, "v1"), (2, "v3")] {
        it.pull(tag, &made[number]).await;
    }
    assert!(it.content_bytes() > 300 * KIB as u64);
    let left = it.repositories.evict(&it.upstream).await.unwrap();
    assert!(
        left <= 250 * KIB as u64 && it.content_bytes() <= 250 * KIB as u64,
        "{left}, {}",
        it.content_bytes()
    );
    let mark = it.origin.origin().journal().mark();
    it.pull("v1", &made[0]).await;
    it.pull("v3", &made[2]).await;
    assert_eq!(it.bytes_asked(mark), 0, "those that were pulled last are here");
    it.pull("v2", &made[1]).await;
    assert_eq!(it.bytes_asked(mark), made[1].blobs().count(), "and the other is fetched again");
}

#[tokio::test]
async fn what_is_not_pulled_for_long_goes() {
    let it = stand(CacheBound { bytes_max: None, age_max: Some(HOUR * 5) }).await;
    let made = image(it.origin.origin(), super::bench::REPO, "v1", &[100 * KIB], 1);
    it.pull("v1", &made).await;
    it.clock.advance(HOUR * 5);
    it.repositories.evict(&it.upstream).await.unwrap();
    assert!(it.content_bytes() > 100 * KIB as u64);
    it.clock.advance(HOUR);
    assert_eq!(it.repositories.evict(&it.upstream).await.unwrap(), 0);
    assert_eq!(it.content_bytes(), 0);
}

#[tokio::test]
async fn p2_what_was_pushed_never_goes() {
    let it = stand(CacheBound { bytes_max: Some(1), age_max: None }).await;
    let made = image(it.origin.origin(), super::bench::REPO, "v1", &[100 * KIB], 1);
    it.pull("v1", &made).await;
    // The same bytes, pushed; and others, of which there is no manifest yet.
    let layer = it.origin.origin().content(&made.layers[0].digest).unwrap();
    let (_, pushed) = it.client.push_image("own/app", "v1", &layer).await;
    let alone = content(5 * KIB, 9);
    it.client.push_blob("own/other", &alone).await;
    assert_eq!(it.repositories.evict(&it.upstream).await.unwrap(), 0);
    it.origin.stop().await;
    for path in [
        format!("/v2/own/app/manifests/{pushed}"),
        format!("/v2/own/app/blobs/{}", made.layers[0].digest),
        format!("/v2/own/other/blobs/{}", sha256(&alone)),
    ] {
        assert_eq!(it.client.get(&path).await.status, 200, "{path}");
    }
    assert_eq!(it.client.get(&manifest_path("v1")).await.status, 502, "what was cached has gone");
}

/// Pushes, mounts and fetches of the same bytes, while they go again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_what_is_linked_while_it_goes_is_whole() {
    let it = Arc::new(stand(CacheBound { bytes_max: Some(1), age_max: None }).await);
    let made = image(it.origin.origin(), super::bench::REPO, "v1", &[20 * KIB, 30 * KIB], 1);
    let evicting = tokio::spawn({
        let it = Arc::clone(&it);
        async move {
            loop {
                it.repositories.evict(&it.upstream).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    for round in 0..60 {
        it.pull("v1", &made).await;
        for layer in &made.layers {
            let bytes = it.origin.origin().content(&layer.digest).unwrap();
            let name = format!("own/app{}", round % 7);
            it.client.push_blob(&name, &bytes).await;
            let answer = it.client.get(&format!("/v2/{name}/blobs/{}", layer.digest)).await;
            assert!(
                answer.status == 200 && !answer.cut && answer.body == bytes,
                "{round}: {}",
                answer.status
            );
            let mount = format!("/v2/own/to{round}/blobs/uploads/?mount={}&from={name}", layer.digest);
            assert_eq!(it.client.call("POST", &mount, &[], "").await.status, 201, "{round}");
            let answer = it.client.get(&format!("/v2/own/to{round}/blobs/{}", layer.digest)).await;
            assert!(answer.status == 200 && answer.body == bytes, "{round}: {}", answer.status);
        }
    }
    evicting.abort();
}
