//! Goal (P3, P8): a client that leaves while a blob is being linked leaves no link without content.
//! Method: the link's record is held up on the disk, the client leaves, the content is evicted, the link comes.

use std::sync::Arc;

use sim::origin::Origin;
use wharfinger::backend::disk::Disk;
use wharfinger::clock::Clock;
use wharfinger::upstream::Upstream;
use wharfinger::upstream::options::CacheBound;
use wharfinger::upstream::reqwest_transport::ReqwestTransport;

use super::bench::{NAME, REPO, blob_path, image, manifest_path, routes, serve, until, upstream};
use super::hook::{Gate, Hooked};
use crate::support::Registry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_client_that_leaves_a_push_leaves_no_link_without_content() {
    let (origin, clock, gate) = (serve(&Origin::new()).await, Clock::system(), Gate::default());
    let hosted = format!("repositories/{REPO}/_blobs/");
    let hooked = Hooked::new({
        let (gate, hosted) = (gate.clone(), hosted.clone());
        move |call, path| {
            if call == "rename" && path.starts_with(&hosted) {
                gate.pass();
            }
            Ok(())
        }
    });
    let mut options = upstream(NAME, &[&origin.url()]);
    options.cache = CacheBound { bytes_max: Some(1), age_max: None };
    let hub =
        Upstream::new(options.clone(), Arc::new(ReqwestTransport::new(&options).unwrap()), clock.clone());
    let registry = Registry {
        disk: Arc::new(hooked.clone()),
        routes: routes(vec![options], &clock),
        clock,
        ..Registry::default()
    };
    let (client, repositories) = registry.open_both().await;
    let made = image(origin.origin(), REPO, "base", &[100_000], 1);
    let manifest = client.get(&manifest_path("base")).await;
    for blob in made.blobs() {
        assert_eq!(client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    gate.arm();
    let push = tokio::spawn({
        let (client, manifest) = (client.clone(), manifest.json());
        async move { client.push_manifest(REPO, "mine", &manifest).await.status }
    });
    until("the first blob is being linked", || gate.waiting() > 0).await;
    push.abort();
    assert!(push.await.unwrap_err().is_cancelled(), "the client has left");
    // It waits for the link, or has no need to.
    let evicting = tokio::spawn(async move { repositories.evict(&hub).await.map(drop) });
    gate.open();
    evicting.await.unwrap().unwrap();
    let links = || hooked.disk.entries(&format!("{hosted}sha256")).unwrap_or_default();
    until("the link is there, or it never comes", || !links().is_empty()).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let here = hooked.disk.stat(&format!("blobs/sha256/{}/{}", &links()[0][..2], links()[0])).is_ok();
    assert!(here || links().is_empty(), "a hosted link without content (p3)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_what_the_upstream_has_can_still_be_pulled_afterwards() {
    let (origin, clock, gate) = (serve(&Origin::new()).await, Clock::system(), Gate::default());
    let hosted = format!("repositories/{REPO}/_blobs/");
    let hooked = Hooked::new({
        let (gate, hosted) = (gate.clone(), hosted.clone());
        move |call, path| {
            if call == "rename" && path.starts_with(&hosted) {
                gate.pass();
            }
            Ok(())
        }
    });
    let mut options = upstream(NAME, &[&origin.url()]);
    options.cache = CacheBound { bytes_max: Some(1), age_max: None };
    let hub =
        Upstream::new(options.clone(), Arc::new(ReqwestTransport::new(&options).unwrap()), clock.clone());
    let registry = Registry {
        disk: Arc::new(hooked.clone()),
        routes: routes(vec![options], &clock),
        clock,
        ..Registry::default()
    };
    let (client, repositories) = registry.open_both().await;
    let made = image(origin.origin(), REPO, "base", &[100_000], 1);
    let manifest = client.get(&manifest_path("base")).await;
    for blob in made.blobs() {
        assert_eq!(client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    gate.arm();
    let push = tokio::spawn({
        let (client, manifest) = (client.clone(), manifest.json());
        async move { client.push_manifest(REPO, "mine", &manifest).await.status }
    });
    until("the first blob is being linked", || gate.waiting() > 0).await;
    push.abort();
    let _ = push.await;
    // It waits for the link, or has no need to.
    let evicting = tokio::spawn(async move { repositories.evict(&hub).await.map(drop) });
    gate.open();
    evicting.await.unwrap().unwrap();
    let links = || hooked.disk.entries(&format!("{hosted}sha256")).unwrap_or_default();
    until("the link is there", || !links().is_empty()).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    for blob in made.blobs() {
        let answer = client.get(&blob_path(&blob.digest)).await;
        assert_eq!(answer.status, 200, "the upstream has it, nothing is hosted: {answer:?}");
    }
}
