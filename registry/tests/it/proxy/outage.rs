//! Goal (P7): what is cached is served promptly, whatever the upstream does.
//! Method: an image is pulled, the upstream goes away or stands still, and the image is pulled
//! again; the clock is paused, so that waiting is measured exactly.

use std::time::Duration;

use sim::fault::{At, Fault, Selector};
use sim::origin::SeededImage;
use tokio::time::Instant;

use super::bench::{Bench, blob_path, head, manifest_path};
use crate::support::Answer;

/// Pulls an image whole.
async fn warm(bench: &Bench) -> SeededImage {
    let image = bench.image("v1", &[10, 100_000], 1);
    assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 200);
    for blob in image.blobs() {
        assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    image
}

/// Pulls by digest, which must ask nobody and take no time.
async fn digests_are_served(bench: &Bench, image: &SeededImage) {
    let (mark, begun) = (bench.origin.journal().mark(), Instant::now());
    let manifest = bench.client.get(&manifest_path(&image.manifest.digest)).await;
    assert_eq!((manifest.status.as_u16(), manifest.header("warning")), (200, ""));
    for blob in image.blobs() {
        let path = blob_path(&blob.digest);
        assert!(bench.client.get(&path).await.body == bench.origin.content(&blob.digest).unwrap());
        assert_eq!(head(&bench.client, &path).await.status, 200);
    }
    assert_eq!((bench.origin.journal().mark(), begun.elapsed()), (mark, Duration::ZERO));
}

fn is_stale(answer: &Answer, image: &SeededImage) -> bool {
    answer.status == 200
        && answer.header("docker-content-digest") == image.manifest.digest.to_string()
        && answer.header("warning").starts_with("299 - \"the upstream hub could not be asked")
}

#[tokio::test(start_paused = true)]
async fn p7_what_is_cached_is_served_while_the_upstream_is_away() {
    let bench = Bench::new().await;
    let image = warm(&bench).await;
    bench.running.stop().await;
    for _ in 0..2 {
        let begun = Instant::now();
        let answer = bench.client.get(&manifest_path("v1")).await;
        assert!(is_stale(&answer, &image), "{answer:?}");
        assert!(is_stale(&head(&bench.client, &manifest_path("v1")).await, &image));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        digests_are_served(&bench, &image).await;
    }
    bench.running.start().await;
    let answer = bench.client.get(&manifest_path("v1")).await;
    assert_eq!((answer.status.as_u16(), answer.header("warning")), (200, ""));
}

#[tokio::test(start_paused = true)]
async fn p7_a_cached_tag_waits_for_the_check_timeout_and_no_longer() {
    let check_timeout = Duration::from_millis(1300);
    for (fault, moved) in [
        (Fault::StallHeaders, false),
        (Fault::Latency { ms: 1301 }, false),
        // The check says that the tag moved, and what it moved to does not come.
        (Fault::StallBody { at: At::Percent(50), ms: None }, true),
        (Fault::Latency { ms: 700 }, true),
    ] {
        let bench = Bench::with(|options| options.check_timeout = check_timeout).await;
        let image = warm(&bench).await;
        if moved {
            bench.image("v1", &[10], 2);
        }
        let guard = bench.origin.install(Selector::any("*/manifests/*").suffer(fault.clone()));
        let begun = Instant::now();
        let answer = bench.client.get(&manifest_path("v1")).await;
        assert!(is_stale(&answer, &image), "{fault:?}: {answer:?}");
        assert_eq!(begun.elapsed(), check_timeout, "{fault:?}");
        digests_are_served(&bench, &image).await;
        assert!(guard.fired() > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_comes_in_time_is_used() {
    let bench = Bench::new().await;
    warm(&bench).await;
    let moved = bench.image("v1", &[10], 2).manifest.digest.to_string();
    let latency = Duration::from_millis(1400);
    let fault = Fault::Latency { ms: 1400 };
    let guard = bench.origin.install(Selector::any("*/manifests/*").suffer(fault));
    let begun = Instant::now();
    let answer = bench.client.get(&manifest_path("v1")).await;
    assert_eq!((answer.header("docker-content-digest"), answer.header("warning")), (&*moved, ""));
    assert_eq!((begun.elapsed(), guard.fired()), (latency * 2, 2));
}

#[tokio::test(start_paused = true)]
async fn p7_every_failure_of_a_check_serves_the_cached_tag() {
    let bench = Bench::new().await;
    let image = warm(&bench).await;
    for status in [400, 401, 403, 404, 429, 500, 502, 503, 504] {
        let fault = Fault::Status { status, retry_after: Some("1000".to_owned()) };
        let guard = bench.origin.install(Selector::any("*").suffer(fault));
        let (mark, begun) = (bench.origin.journal().mark(), Instant::now());
        let answer = bench.client.get(&manifest_path("v1")).await;
        assert!(is_stale(&answer, &image), "{status}: {answer:?}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "{status}");
        // No GET follows a HEAD that failed: it would cost quota where it is spent already.
        assert_eq!(bench.asked_since(mark), [format!("HEAD {}", manifest_path("v1"))], "{status}");
        assert_eq!(guard.fired(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_does_not_keep_a_check_waiting() {
    let bench = Bench::with(|options| options.requests_max = 1).await;
    warm(&bench).await;
    let (blob, _) = bench.blob(500_000, 9);
    let stall = Fault::StallBody { at: At::Percent(50), ms: None };
    let guard = bench.origin.install(Selector::get("*/blobs/*").suffer(stall));
    let pull = tokio::spawn({
        let (client, path) = (bench.client.clone(), blob_path(&blob.digest));
        async move { client.get(&path).await }
    });
    super::bench::until("the layer stands still", || guard.fired() == 1).await;
    let begun = Instant::now();
    let answer = bench.client.get(&manifest_path("v1")).await;
    assert_eq!((answer.status.as_u16(), answer.header("warning")), (200, ""));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    pull.abort();
}

/// A check that is late is the url's trouble: after a few it is left alone.
#[tokio::test(start_paused = true)]
async fn p7_late_checks_open_the_breaker() {
    let bench = Bench::with(|options| options.breaker_failures = 3).await;
    bench.image("v1", &[10], 1);
    assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 200);
    let _guard = bench.origin.install(Selector::any("*").suffer(Fault::StallHeaders));
    let mut waits = Vec::new();
    for _ in 0..9 {
        let begun = tokio::time::Instant::now();
        assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 200);
        waits.push(begun.elapsed().as_secs());
    }
    // One in between may hear of the check that was late for the one before it.
    assert_eq!(waits.iter().filter(|wait| **wait == 3).count(), 3, "{waits:?}");
    assert_eq!(waits[6..], [0, 0, 0], "{waits:?}");
}

/// The last requests of a quota are for what is not here.
#[tokio::test(start_paused = true)]
async fn p7_a_quota_that_is_used_up_is_spared() {
    let bench = Bench::new().await;
    bench.image("v1", &[10], 1);
    bench.image("v2", &[10], 2);
    bench.origin.announce_quota(Some(0));
    assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 200);
    let mark = bench.origin.journal().mark();
    let answer = bench.client.get(&manifest_path("v1")).await;
    assert!(answer.status == 200 && !answer.header("warning").is_empty(), "{answer:?}");
    assert_eq!(bench.asked_since(mark).len(), 0);
    assert_eq!(bench.client.get(&manifest_path("v2")).await.status, 200, "what is not here is asked for");
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.origin.announce_quota(Some(9));
    assert_eq!(bench.client.get(&manifest_path("v1")).await.header("warning"), "");
}
