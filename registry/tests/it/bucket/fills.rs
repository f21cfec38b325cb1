//! Goal: who pulls through is sent what the upstream sends, whatever the bucket does: it is slow, or away.
//! Method: an origin of `sim`'s, and a bucket that does not answer before a test lets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sim::origin::{Origin, Running};
use tokio::sync::Semaphore;
use wharfinger::backend::object::memory::{Fate, MemoryBucket, Request, Weather};
use wharfinger::clock::Clock;

use super::bench::Bench;
use crate::proxy::bench::{NAME, REPO, blob_path, content, routes, serve, until, upstream};
use crate::support::{Client, Registry};

const MIB: usize = 1024 * 1024;

/// Lets parts pass only while it is open.
#[derive(Debug, Clone)]
struct Gate(Arc<Semaphore>, Arc<AtomicBool>);

impl Weather for Gate {
    fn fate(&self, request: Request<'_>) -> BoxFuture<'static, Fate> {
        let gate = self.clone();
        let waits = ["begin", "part", "complete"].contains(&request.operation);
        async move {
            if waits {
                gate.1.store(true, Ordering::SeqCst);
                drop(gate.0.acquire().await);
            }
            Fate::Answered
        }
        .boxed()
    }
}

async fn stand(bench: &Bench) -> (Running, Client) {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let routes = routes(vec![upstream(NAME, &[&origin.url()])], &clock);
    let client = Registry { routes, clock, ..bench.registry() }.open().await;
    (origin, client)
}

fn blob(origin: &Running, len: usize) -> (sim::digest::Digest, Vec<u8>) {
    let bytes = content(len, 1);
    (origin.origin().seed_blob(REPO, bytes.clone(), sim::digest::Algorithm::Sha256).digest, bytes)
}

#[tokio::test]
async fn a_bucket_that_stands_still_does_not_hold_up_who_pulls() {
    let gate = Gate(Arc::new(Semaphore::new(0)), Arc::default());
    let bucket = MemoryBucket::with_weather(Box::new(gate.clone()));
    let bench = Bench { bucket, ..Bench::new() };
    let (origin, client) = stand(&bench).await;
    let (digest, bytes) = blob(&origin, 12 * MIB);
    for _ in 0..2 {
        let answer = client.get(&blob_path(&digest)).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    }
    until("the bucket was asked", || gate.1.load(Ordering::SeqCst)).await;
    assert!(
        !bench.bucket.names().iter().any(|name| name.starts_with("content/")),
        "nothing is in the bucket yet"
    );
    assert_eq!(origin.origin().journal().blob_gets(&digest), 1, "the second one read the spool");
    gate.0.add_permits(1);
    until("the fill is in the bucket", || {
        bench.bucket.names().iter().any(|name| name.starts_with("content/"))
    })
    .await;
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.status == 200 && answer.body == bytes, "{}", answer.status);
    assert_eq!(origin.origin().journal().blob_gets(&digest), 1);
}

#[tokio::test]
async fn many_clients_cost_one_fetch_and_one_upload() {
    let bench = Bench::new();
    let (origin, client) = stand(&bench).await;
    let (digest, bytes) = blob(&origin, 12 * MIB);
    let path = blob_path(&digest);
    let pulls = (0..8).map(|_| client.get(&path));
    for answer in futures_util::future::join_all(pulls).await {
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    }
    assert_eq!(origin.origin().journal().blob_gets(&digest), 1);
    let is_pointer = |name: &String| name.starts_with("blobs/");
    until("the fill is in the bucket", || bench.bucket.names().iter().any(is_pointer)).await;
    let counts = bench.bucket.take_counts();
    assert_eq!((counts.get("begin"), counts.get("complete")), (Some(&1), Some(&1)), "{counts:?}");
}

/// The bucket takes nothing at all: the blob is passed on as from a spool, and fetched again by the next one.
#[tokio::test]
async fn a_bucket_that_is_away_costs_the_cache_and_no_pull() {
    let bench = Bench::new();
    let (origin, client) = stand(&bench).await;
    let (digest, bytes) = blob(&origin, 6 * MIB);
    let away = |request: &Request<'_>| {
        let is_upload = ["begin", "part", "complete"].contains(&request.operation);
        if is_upload || request.name.starts_with("content/") { Fate::SlowDown } else { Fate::Answered }
    };
    bench.sky.set(away);
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    bench.sky.clear();
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    until("it is in the bucket", || bench.bucket.names().iter().any(|name| name.starts_with("blobs/"))).await;
}
