//! Goal (P6, P7): `maxRetries` means what it says for a mirror too; what is not signed is remembered; a tag that came
//! while a run was under way has not vanished.

use std::sync::Arc;
use std::time::Duration;

use sim::fault::{Fault, Selector};
use sim::origin::{Origin, Running};
use wharfinger::clock::Clock;
use wharfinger::repository::Repositories;
use wharfinger::upstream::options::{Content, OnRefusal, Options, Tags};
use wharfinger::upstream::reqwest_transport::ReqwestTransport;
use wharfinger::upstream::{Routes, Upstream};

use super::bench::{Bench, NAME, REPO, image, manifest_path, serve, until, upstream};
use crate::support::{Client, Registry};

async fn stand(configure: impl FnOnce(&mut Options)) -> (Running, Client, Repositories, Arc<Upstream>) {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let mut options = upstream(NAME, &[&origin.url()]);
    options.mirror.interval = Some(Duration::from_secs(3600));
    options.content = vec![Content {
        prefix: REPO.to_owned(),
        destination: String::new(),
        strip_prefix: false,
        tags: Tags::default(),
    }];
    configure(&mut options);
    let transport = Arc::new(ReqwestTransport::new(&options).unwrap());
    let hub = Arc::new(Upstream::new(options.clone(), transport, clock.clone()));
    let mut routes = Routes::default();
    routes.add(Arc::clone(&hub), &options).unwrap();
    let (client, repositories) = Registry { routes, clock, ..Registry::default() }.open_both().await;
    (origin, client, repositories, hub)
}

#[tokio::test(start_paused = true)]
async fn p6_a_mirror_that_is_told_not_to_retry_does_not() {
    let (origin, _client, repositories, hub) = stand(|options| options.retries_max = 0).await;
    image(origin.origin(), REPO, "v1", &[10], 1);
    let busy = Fault::Status { status: 429, retry_after: None };
    let _guard = origin.origin().install(Selector::any("*/manifests/*").suffer(busy));
    assert_eq!(repositories.mirror(&hub).await.unwrap().failed, 1);
    assert_eq!(origin.origin().journal().count("GET", &manifest_path("v1")), 1, "maxRetries is 0");
}

#[tokio::test]
async fn p6_what_is_not_signed_is_remembered() {
    let bench = Bench::with(|options| {
        options.only_signed = true;
        options.negative_ttl = Duration::from_secs(3600);
    })
    .await;
    bench.image("v1", &[10], 1);
    for _ in 0..5 {
        assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 403);
    }
    let asked = bench.asked();
    assert!(asked.len() <= 4, "five clients, {} requests: {asked:?}", asked.len());
}

#[tokio::test]
async fn p7_a_tag_that_came_during_a_run_has_not_vanished() {
    let (origin, client, repositories, hub) = stand(|options| options.on_delete = OnRefusal::Follow).await;
    for tag in 0..12 {
        image(origin.origin(), REPO, &format!("v{tag}"), &[10], tag);
    }
    assert_eq!(repositories.mirror(&hub).await.unwrap().tags, 12);
    let late = origin.origin().install(Selector::any("*/manifests/v9").suffer(Fault::Latency { ms: 700 }));
    let run = tokio::spawn({
        let (repositories, hub) = (repositories.clone(), Arc::clone(&hub));
        async move { repositories.mirror(&hub).await.unwrap() }
    });
    until("the list is here", || late.fired() > 0).await;
    image(origin.origin(), REPO, "new", &[10], 99);
    assert_eq!(client.get(&manifest_path("new")).await.status, 200);
    let done = run.await.unwrap();
    origin.stop().await;
    assert_eq!(client.get(&manifest_path("new")).await.status, 200, "{done:?}");
}
