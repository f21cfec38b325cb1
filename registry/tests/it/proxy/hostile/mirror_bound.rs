//! Goal (§7 "mirrored content is exempt from the cache bound"; P6): what is being mirrored is not evicted in the
//! middle; what was mirrored is no longer exempt when its tag has moved; and it is not counted in the bound.

use std::sync::Arc;
use std::time::Duration;

use sim::fault::{Fault, Selector};
use sim::origin::{Origin, Running, SeededImage};
use wharfinger::clock::Clock;
use wharfinger::repository::Repositories;
use wharfinger::upstream::options::{CacheBound, Content, Options, Tags};
use wharfinger::upstream::reqwest_transport::ReqwestTransport;
use wharfinger::upstream::{Routes, Upstream};

use super::bench::{NAME, image, serve, upstream};
use crate::support::{Client, Registry};

struct Stand {
    origin: Running,
    client: Client,
    repositories: Repositories,
    upstream: Arc<Upstream>,
}

async fn stand(configure: impl FnOnce(&mut Options)) -> Stand {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let mut options = upstream(NAME, &[&origin.url()]);
    options.mirror.interval = Some(Duration::from_secs(3600));
    let tags = Tags { regex: Some("^v1$".to_owned()), ..Tags::default() };
    options.content = vec![Content {
        prefix: "team/app".to_owned(),
        destination: String::new(),
        strip_prefix: false,
        tags,
    }];
    configure(&mut options);
    let transport = Arc::new(ReqwestTransport::new(&options).unwrap());
    let upstream = Arc::new(Upstream::new(options.clone(), transport, clock.clone()));
    let mut routes = Routes::default();
    routes.add(Arc::clone(&upstream), &options).unwrap();
    let (client, repositories) = Registry { routes, clock, ..Registry::default() }.open_both().await;
    Stand { origin, client, repositories, upstream }
}

impl Stand {
    async fn has(&self, made: &SeededImage) -> bool {
        let name = &made.repository;
        let status =
            |path: String| async move { self.client.get(&format!("/v2/{path}")).await.status == 200 };
        let mut is_here = status(format!("{name}/manifests/{}", made.manifest.digest)).await;
        for blob in made.blobs() {
            is_here &= status(format!("{name}/blobs/{}", blob.digest)).await;
        }
        is_here
    }
}

#[tokio::test]
async fn what_is_being_mirrored_is_not_evicted_in_the_middle() {
    let it = stand(|options| {
        options.on_demand = false;
        options.cache = CacheBound { bytes_max: Some(150_000), age_max: None };
    })
    .await;
    let made = image(it.origin.origin(), "team/app", "v1", &[100_000, 100_000, 100_000], 1);
    let keeping = tokio::spawn({
        let repositories = it.repositories.clone();
        async move { repositories.keep_within_bounds().await }
    });
    // One layer comes late, so that the bound is looked at before the manifest is marked.
    let late = format!("*/blobs/{}", made.layers[2].digest);
    let _guard = it.origin.origin().install(Selector::get(&late).suffer(Fault::Latency { ms: 500 }));
    let done = it.repositories.mirror(&it.upstream).await.unwrap();
    assert_eq!((done.tags, done.failed), (1, 0), "it says that the tag is here whole");
    keeping.abort();
    it.origin.stop().await;
    assert!(it.has(&made).await, "and it is not");
}

#[tokio::test]
async fn p6_what_a_mirrored_tag_was_before_is_not_exempt_for_ever() {
    let it = stand(|options| {
        options.on_demand = false;
        options.cache = CacheBound { bytes_max: Some(1), age_max: None };
    })
    .await;
    let mut old = Vec::new();
    for seed in 1..=5 {
        old.push(image(it.origin.origin(), "team/app", "v1", &[100_000], seed));
        assert_eq!(it.repositories.mirror(&it.upstream).await.unwrap().tags, 1);
    }
    let left = it.repositories.evict(&it.upstream).await.unwrap();
    it.origin.stop().await;
    assert!(it.has(&old[4]).await, "what the tag is now is mirrored");
    assert!(left < 250_000, "five moves of one tag have left {left} bytes that nothing will ever remove");
}

#[tokio::test]
async fn what_was_mirrored_is_kept_beside_the_bound() {
    let it = stand(|options| {
        options.content[0].prefix = "team/**".to_owned();
        options.cache = CacheBound { bytes_max: Some(300_000), age_max: None };
    })
    .await;
    image(it.origin.origin(), "team/app", "v1", &[400_000], 1);
    let pulled = image(it.origin.origin(), "team/app", "v2", &[100_000], 2);
    assert_eq!(it.repositories.mirror(&it.upstream).await.unwrap().tags, 1);
    assert!(it.has(&pulled).await, "on demand, a third of maxBytes");
    it.repositories.evict(&it.upstream).await.unwrap();
    it.origin.stop().await;
    assert!(it.has(&pulled).await, "docs/config.md: what was mirrored is kept beside (maxBytes)");
}
