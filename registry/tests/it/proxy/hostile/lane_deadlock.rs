//! Goal (P6): a reader who goes on with the next slice, or with the fill, does not wait for what he holds himself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sim::digest::Algorithm;
use sim::fault::{At, Fault, Selector};
use sim::origin::Origin;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::store::options::Options as StoreOptions;
use wharfinger::upstream::options::Options;

use super::bench::{
    Bench, Listening, NAME, REPO, Wire, blob_path, content, read, read_at_least, routes, serve, upstream,
};
use crate::support::{Client, Registry};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const PATIENCE: Duration = Duration::from_secs(3);

async fn full_disk(configure: impl FnOnce(&mut Options)) -> (sim::origin::Running, Client, String, Vec<u8>) {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let mut options = upstream(NAME, &[&origin.url()]);
    options.response_timeout = PATIENCE;
    options.range_fetch_max = MIB as u64;
    configure(&mut options);
    let registry = Registry {
        disk: Arc::new(MemoryDisk::with_capacity(700 * KIB as u64)),
        store: StoreOptions { free_min_percent: 0, ..StoreOptions::default() },
        routes: routes(vec![options], &clock),
        clock,
        ..Registry::default()
    };
    let bytes = content(8 * MIB, 1);
    let digest = origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
    (origin, registry.open().await, blob_path(&digest), bytes)
}

/// Slow readers of a blob that is passed on, and a fast one.
async fn slow_readers(count: usize, configure: impl FnOnce(&mut Options)) -> Vec<(usize, bool)> {
    let (_origin, client, path, bytes) = full_disk(configure).await;
    let listening = Listening::start(&client).await;
    let mut slow = Vec::new();
    for _ in 0..count {
        let mut response = listening.open(Wire::Http1, &path, &[]).await;
        let body = read_at_least(&mut response, 10).await;
        slow.push((response, body));
    }
    let fast = listening.get(&path).await;
    assert!(fast.status == 200 && !fast.cut && fast.body == bytes, "{} bytes", fast.body.len());
    let rests = slow.into_iter().map(|(response, mut body)| {
        let bytes = &bytes;
        async move {
            let rest = read(response).await;
            body.extend_from_slice(&rest.body);
            (body.len(), !rest.cut && body == *bytes)
        }
    });
    futures_util::future::join_all(rests).await
}

#[tokio::test]
async fn p6_the_next_slice_does_not_wait_for_the_one_before_it() {
    let (origin, client, path, bytes) = full_disk(|options| options.requests_max = 1).await;
    // What is passed on breaks off; the only reader goes on alone, in slices of 1 MiB.
    let cut = Fault::Truncate { at: At::Percent(20) };
    let _guard = origin.origin().install(Selector::get("*/blobs/*").nth(1).suffer(cut));
    let answer = client.get(&path).await;
    assert!(
        answer.status == 200 && !answer.cut && answer.body == bytes,
        "cut after {} bytes",
        answer.body.len()
    );
}

#[tokio::test]
async fn p6_readers_who_go_on_alone_do_not_wait_for_each_other_in_a_circle() {
    let done = slow_readers(6, |_| {}).await;
    assert!(done.iter().all(|(_, is_whole)| *is_whole), "four turns: {done:?} of {}", 8 * MIB);
}

#[tokio::test]
async fn p6_a_range_that_goes_on_with_the_fill_gives_its_lane_back_first() {
    let bench = Bench::with(|options| {
        options.requests_max = 1;
        options.range_wait = 100 * KIB as u64;
        options.response_timeout = PATIENCE;
    })
    .await;
    let (blob, bytes) = bench.blob(1000 * KIB, 1);
    let cut = Fault::Truncate { at: At::Percent(50) };
    let _guard = bench.origin.install(Selector::get("*/blobs/*").nth(1).suffer(cut));
    let begun = Instant::now();
    let range = [("range", "bytes=900000-900999")];
    let answer = bench.client.call("GET", &blob_path(&blob.digest), &range, "").await;
    assert!(
        answer.status == 206 && !answer.cut && answer.body == bytes[900_000..901_000],
        "cut after {} bytes and {:?}",
        answer.body.len(),
        begun.elapsed()
    );
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}
