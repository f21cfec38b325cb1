//! Goal (P6): a removal that is broken off, because a client leaves or the server stops, leaves no content that nothing
//! will ever remove or count.

use std::sync::Arc;

use sim::origin::Origin;
use wharfinger::backend::disk::{Disk, Stat};
use wharfinger::clock::Clock;
use wharfinger::upstream::Upstream;
use wharfinger::upstream::options::CacheBound;
use wharfinger::upstream::reqwest_transport::ReqwestTransport;

use super::bench::{NAME, REPO, blob_path, image, manifest_path, routes, serve, until, upstream};
use super::hook::{Gate, Hooked};
use crate::support::Registry;

fn bytes_below(disk: &dyn Disk, folder: &str) -> u64 {
    let children =
        disk.entries(folder).unwrap_or_default().into_iter().map(|name| format!("{folder}/{name}"));
    children
        .map(|path| match disk.stat(&path).unwrap() {
            Stat::File(len) => len,
            Stat::Folder => bytes_below(disk, &path),
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_purge_whose_client_leaves_gives_the_room_back_in_the_end() {
    let (origin, clock, gate) = (serve(&Origin::new()).await, Clock::system(), Gate::default());
    let hooked = Hooked::new({
        let gate = gate.clone();
        move |call, path| {
            if call == "remove" && path.starts_with("blobs/") {
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
    let made = image(origin.origin(), REPO, "v1", &[100_000, 100_000, 100_000], 1);
    assert_eq!(client.get(&manifest_path("v1")).await.status, 200);
    for blob in made.blobs() {
        assert_eq!(client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    gate.arm();
    let purge = tokio::spawn({
        let client = client.clone();
        async move { client.call("DELETE", &format!("/v2/{REPO}/_wharfinger/cache"), &[], "").await.status }
    });
    until("content is being removed", || gate.waiting() > 0).await;
    purge.abort();
    let _ = purge.await;
    gate.open();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    // The bound is one byte: everything that is cached is to go.
    let counted = repositories.evict(&hub).await.unwrap();
    let on_disk = bytes_below(&hooked, "blobs");
    assert_eq!((counted, on_disk), (0, 0), "content that is in no count and that no removal will look at");
}
