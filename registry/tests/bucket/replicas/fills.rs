//! Goal: pulls of one image through several processes are right, cost the upstream at most one fetch for each
//! process, and what one has fetched all of them have.
//!
//! *Method*: an origin of `sim`'s that stands still in the middle of every large blob, so that all processes
//! fetch at once; then it goes away, and a process that is new pulls everything.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use sim::fault::{At, Fault, Selector};
use sim::origin::{ImageSpec, SeededBlob, SeededImage};

use super::fleet::{Ask, Config, Fleet};
use super::trial::{Trial, over_both};
use crate::support::layout::sha256;
use crate::support::upstream::{Upstream, entry, sync};

const NAME: &str = "library/app";
/// Clients of each process.
const CLIENTS: usize = 3;
/// What is published after its last reader has it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

over_both!(p13_pulls_through_several_processes, super::pulls);

async fn pulls(trial: Trial) {
    let upstream = Upstream::start().await;
    let spec =
        ImageSpec { layers: vec![7_000_000, 300_000, 2_000], seed: trial.seed, ..ImageSpec::default() };
    let image = upstream.origin().seed_image(NAME, "1", &spec);
    let rest = sync(&[entry(&upstream)]);
    let Some(fleet) = Fleet::start(&trial, 3, Config { storage: json!({}), rest }).await else { return };
    let stall = Fault::StallBody { at: At::Percent(50), ms: Some(300) };
    let slow = upstream.origin().install(Selector::get("*/blobs/*").suffer(stall));
    let all = (0..3).flat_map(|at| (0..CLIENTS).map(move |_| at));
    join_all(all.map(|at| pull(&fleet, at, &image, "1"))).await;
    assert!(slow.fired() > 0, "the origin was never slow");
    drop(slow);
    let journal = upstream.origin().journal();
    for blob in image.blobs() {
        let fetches = journal.blob_gets(&blob.digest);
        assert!((1..=3).contains(&fetches), "{} was fetched {fetches} times by three", blob.digest);
    }
    let tags = journal.count("GET", &format!("/v2/{NAME}/manifests/1"));
    assert!((1..=3).contains(&tags), "the manifest was fetched {tags} times by three");
    upstream.stop().await;
    // One that has fetched nothing: it was killed, and its memory with it.
    fleet.kill(0);
    fleet.restart(0).await;
    until_kept(&fleet, &image).await;
    for at in 0..3 {
        for reference in ["1", &image.manifest.digest.to_string()] {
            pull(&fleet, at, &image, reference).await;
        }
    }
}

/// Pulls an image, and compares every byte with its digest.
async fn pull(fleet: &Fleet, at: usize, image: &SeededImage, reference: &str) {
    let manifest = fleet.get(at, &format!("/v2/{NAME}/manifests/{reference}")).await.expect(200);
    check(at, &image.manifest, &manifest.body);
    for blob in image.blobs() {
        let pulled = fleet.get(at, &format!("/v2/{NAME}/blobs/{}", blob.digest)).await.expect(200);
        check(at, blob, &pulled.body);
    }
}

fn check(at: usize, blob: &SeededBlob, bytes: &Bytes) {
    assert_eq!(bytes.len() as u64, blob.size, "replica {at}: {}", blob.digest);
    assert_eq!(sha256(bytes), blob.digest.to_string(), "replica {at}");
}

/// Waits until a process finds each blob without its upstream.
async fn until_kept(fleet: &Fleet, image: &SeededImage) {
    let began = Instant::now();
    for blob in image.blobs() {
        let head = Ask::new(Method::HEAD, format!("/v2/{NAME}/blobs/{}", blob.digest));
        let head = head.may_fail(&[502, 503, 504]);
        while fleet.ask(0, head.clone()).await.expect("it runs").status != 200 {
            assert!(began.elapsed() < PATIENCE, "{} was never kept", blob.digest);
            tokio::task::yield_now().await;
        }
    }
}
