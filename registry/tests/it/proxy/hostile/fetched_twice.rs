//! Goal (P4): a push that builds on a layer, and a mirror, fetch nothing that is here, or on its way, for another
//! repository of the upstream.

use std::sync::Arc;
use std::time::Duration;

use sim::digest::Algorithm;
use sim::fault::{Fault, Selector};
use sim::origin::Origin;
use wharfinger::clock::Clock;
use wharfinger::upstream::options::{Content, Tags};
use wharfinger::upstream::reqwest_transport::ReqwestTransport;
use wharfinger::upstream::{Routes, Upstream};

use super::bench::{Bench, NAME, REPO, blob_path, image, serve, until, upstream};
use crate::support::{self, Registry};

const OTHER: &str = "team/other";

#[tokio::test]
async fn p4_a_push_builds_on_bytes_that_are_here_for_another_repository() {
    let bench = Bench::new().await;
    let (blob, bytes) = bench.blob(200_000, 1);
    bench.origin.seed_blob(OTHER, bytes.clone(), Algorithm::Sha256);
    assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200);
    let config = bench.client.push_blob(OTHER, b"{}").await;
    let layer = blob.digest.to_string();
    let manifest = support::image(&[(&config, 2)], &[(&layer, bytes.len())]);
    assert_eq!(bench.client.push_manifest(OTHER, "mine", &manifest).await.status, 201);
    assert_eq!(bench.origin.journal().blob_gets(&blob.digest), 1, "its bytes were here");
}

#[tokio::test]
async fn p4_a_mirror_follows_what_is_on_its_way_for_another_repository() {
    let (running, clock) = (serve(&Origin::new()).await, Clock::system());
    let mut options = upstream(NAME, &[&running.url()]);
    options.mirror.interval = Some(Duration::from_secs(3600));
    options.content = vec![Content {
        prefix: "team/*".to_owned(),
        destination: String::new(),
        strip_prefix: false,
        tags: Tags { regex: Some("^v1$".to_owned()), ..Tags::default() },
    }];
    let transport = Arc::new(ReqwestTransport::new(&options).unwrap());
    let hub = Arc::new(Upstream::new(options.clone(), transport, clock.clone()));
    let mut routes = Routes::default();
    routes.add(Arc::clone(&hub), &options).unwrap();
    let (client, repositories) = Registry { routes, clock, ..Registry::default() }.open_both().await;
    let made = image(running.origin(), OTHER, "v1", &[600_000], 1);
    let layer = &made.layers[0].digest;
    let bytes = running.origin().content(layer).unwrap();
    running.origin().seed_blob(REPO, bytes, Algorithm::Sha256);
    let slow = Fault::Drip { bytes: 32 * 1024, ms: 50 };
    let _guard = running.origin().install(Selector::get("*/blobs/*").suffer(slow));
    let pull = tokio::spawn({
        let path = blob_path(layer);
        async move { client.get(&path).await }
    });
    until("the fetch is under way", || running.origin().journal().blob_bytes_sent(layer) > 0).await;
    assert_eq!(repositories.mirror(&hub).await.unwrap().tags, 1);
    assert_eq!(pull.await.unwrap().status, 200);
    assert_eq!(running.origin().journal().blob_gets(layer), 1, "fetched twice");
}
