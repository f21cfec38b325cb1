//! Goal (P6): an upstream is asked exactly as often, and exactly when, the configuration says; a client waits
//! for no attempt that begins too late for it; what an upstream asked for is obeyed by all.
//! Method: an origin that fails, a clock that stands, and exact times and counts.

use std::time::Duration;

use sim::fault::{At, Fault, Selector};
use tokio::time::{Instant, sleep};

use super::bench::{Bench, blob_path, manifest_path};
use crate::support::Answer;

const SECOND: Duration = Duration::from_secs(1);

/// Starts a registry that tries again: after 5, 8, 8… seconds.
async fn bench(retries_max: u32, on_demand_timeout: Duration) -> Bench {
    Bench::with(|options| {
        options.retries_max = retries_max;
        options.retry_delay = SECOND * 5;
        options.retry_delay_max = SECOND * 8;
        options.on_demand_timeout = on_demand_timeout;
        options.cool_down_max = SECOND * 3600;
    })
    .await
}

fn broken(status: u16) -> Fault {
    Fault::Status { status, retry_after: None }
}

/// Asks for a path, and returns the answer with how long it took.
async fn timed(bench: &Bench, path: &str) -> (Answer, Duration) {
    let begun = Instant::now();
    let answer = bench.client.get(path).await;
    (answer, begun.elapsed())
}

fn gets(bench: &Bench, path: &str) -> usize {
    bench.origin.journal().count("GET", path)
}

#[tokio::test(start_paused = true)]
async fn p6_attempts_and_waits_are_as_configured() {
    for (retries, waited) in [(0, 0), (1, 5), (2, 13), (4, 29)] {
        for fault in [broken(500), broken(408), Fault::Reset { at: At::Byte(0) }] {
            let bench = bench(retries, SECOND * 3600).await;
            let image = bench.image("v1", &[10], 1);
            let _guard = bench.origin.install(Selector::any("*").suffer(fault.clone()));
            for path in [manifest_path("v1"), blob_path(&image.layers[0].digest)] {
                let (answer, took) = timed(&bench, &path).await;
                assert_eq!(answer.status, 502, "{fault:?} {path}");
                assert_eq!(
                    (took.as_secs(), gets(&bench, &path)),
                    (waited, retries as usize + 1),
                    "{fault:?} {path}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_succeeds_ends_the_wait() {
    let bench = bench(4, SECOND * 3600).await;
    let image = bench.image("v1", &[10, 300_000], 1);
    let _guard = bench.origin.install(Selector::any("*").times(2).suffer(broken(503)));
    for path in [manifest_path("v1"), blob_path(&image.layers[0].digest), blob_path(&image.layers[1].digest)]
    {
        let (answer, took) = timed(&bench, &path).await;
        assert_eq!((answer.status.as_u16(), answer.cut, took.as_secs()), (200, false, 13), "{path}");
        assert_eq!(gets(&bench, &path), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn p6_what_will_not_change_is_asked_for_once() {
    for fault in
        [broken(400), broken(401), broken(403), broken(404), Fault::Html, Fault::Corrupt { at: At::Byte(3) }]
    {
        let bench = bench(4, SECOND * 3600).await;
        let image = bench.image("v1", &[10], 1);
        let _guard = bench.origin.install(Selector::any("*").suffer(fault.clone()));
        for path in [manifest_path(&image.manifest.digest), blob_path(&image.layers[0].digest)] {
            let (answer, took) = timed(&bench, &path).await;
            assert!(answer.status.as_u16() >= 400, "{fault:?}: {answer:?}");
            assert_eq!((took, gets(&bench, &path)), (Duration::ZERO, 1), "{fault:?} {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p6_a_client_is_told_at_once_and_the_cache_fills_later() {
    // Five and eight seconds are too late for a client that waits for three.
    let bench = bench(2, SECOND * 3).await;
    let image = bench.image("v1", &[10], 1);
    let guard = bench.origin.install(Selector::any("*").times(1).suffer(broken(500)));
    let paths = [manifest_path("v1"), blob_path(&image.layers[0].digest)];
    for path in &paths {
        let (answer, took) = timed(&bench, path).await;
        assert_eq!((answer.status.as_u16(), took), (502, Duration::ZERO));
    }
    sleep(SECOND * 6).await;
    drop(guard);
    for path in &paths {
        assert_eq!(gets(&bench, path), 2, "{path}: the second attempt came by itself");
    }
    bench.running.stop().await;
    for path in &paths {
        assert_eq!(bench.client.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn p6_a_schedule_in_the_background_has_its_number_of_attempts() {
    let bench = bench(3, SECOND * 3).await;
    let image = bench.image("v1", &[10], 1);
    let _guard = bench.origin.install(Selector::any("*").suffer(broken(500)));
    for path in [manifest_path("v1"), blob_path(&image.layers[0].digest)] {
        assert_eq!(bench.client.get(&path).await.status, 502);
        sleep(SECOND * 3600).await;
        assert_eq!(gets(&bench, &path), 4, "{path}");
        // It has ended: the next request begins another.
        assert_eq!(bench.client.get(&path).await.status, 502);
        sleep(SECOND * 3600).await;
        assert_eq!(gets(&bench, &path), 8, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn p6_a_request_beside_a_schedule_is_one_attempt_and_changes_nothing_of_it() {
    let bench = bench(1, SECOND * 3).await;
    let image = bench.image("v1", &[10], 1);
    let guard = bench.origin.install(Selector::any("*").suffer(broken(500)));
    for path in [manifest_path("v1"), blob_path(&image.layers[0].digest)] {
        assert_eq!(bench.client.get(&path).await.status, 502);
        for attempts in 2..5 {
            sleep(SECOND).await;
            let (answer, took) = timed(&bench, &path).await;
            assert_eq!((answer.status.as_u16(), took), (502, Duration::ZERO), "{path}");
            assert_eq!(gets(&bench, &path), attempts, "{path}");
        }
        sleep(SECOND).await;
        assert_eq!(gets(&bench, &path), 4, "{path}: not yet");
        sleep(SECOND * 2).await;
        assert_eq!(gets(&bench, &path), 5, "{path}: at its time");
        sleep(SECOND * 3600).await;
        assert_eq!(gets(&bench, &path), 5, "{path}: and no more");
    }
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn a_success_beside_a_schedule_ends_it() {
    let bench = bench(2, SECOND * 3).await;
    let image = bench.image("v1", &[10], 1);
    let guard = bench.origin.install(Selector::any("*").times(1).suffer(broken(500)));
    for path in [manifest_path("v1"), blob_path(&image.layers[0].digest)] {
        assert_eq!(bench.client.get(&path).await.status, 502);
        sleep(SECOND).await;
        let (answer, took) = timed(&bench, &path).await;
        assert_eq!((answer.status.as_u16(), took), (200, Duration::ZERO), "{path}");
        sleep(SECOND * 3600).await;
        assert_eq!(gets(&bench, &path), 2, "{path}");
    }
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn p6_retry_after_is_obeyed_by_everybody_and_bounded() {
    let limited = |after: &str| Fault::Status { status: 429, retry_after: Some(after.to_owned()) };
    let bench = bench(1, SECOND * 3600).await;
    bench.image("v1", &[10], 1);
    bench.image("v2", &[10], 2);
    let guard = bench.origin.install(Selector::any("*/v1").times(1).suffer(limited("20")));
    let (first, other) = (manifest_path("v1"), manifest_path("v2"));
    let waiting = timed(&bench, &first);
    let beside = async {
        sleep(SECOND).await;
        timed(&bench, &other).await
    };
    let ((answer, took), (paused, told_in)) = tokio::join!(waiting, beside);
    assert_eq!((answer.status.as_u16(), took), (200, SECOND * 20), "it waits as long as it was told");
    assert_eq!((paused.status.as_u16(), told_in), (503, Duration::ZERO), "the cool-down is shared");
    assert_eq!(paused.header("retry-after"), "19");
    assert_eq!(gets(&bench, &other), 0);
    drop(guard);
    let _guard = bench.origin.install(Selector::any("*/v2").times(1).suffer(limited("1000000000")));
    let (answer, took) = timed(&bench, &other).await;
    assert_eq!((answer.status.as_u16(), took), (200, SECOND * 3600), "maxRetryAfter");
}

#[tokio::test(start_paused = true)]
async fn p6_a_url_that_fails_is_left_alone_for_a_while() {
    let bench = Bench::with(|options| {
        options.breaker_failures = 3;
        options.breaker_delay = SECOND * 10;
    })
    .await;
    bench.image("v1", &[10], 1);
    let guard = bench.origin.install(Selector::any("*").suffer(broken(500)));
    let path = manifest_path("v1");
    for _ in 0..3 {
        assert_eq!(bench.client.get(&path).await.status, 502);
    }
    for _ in 0..5 {
        let (answer, took) = timed(&bench, &path).await;
        assert_eq!((answer.status.as_u16(), took), (503, Duration::ZERO));
        assert_eq!(answer.header("retry-after"), "10");
    }
    assert_eq!(gets(&bench, &path), 3);
    sleep(SECOND * 10).await;
    assert_eq!(bench.client.get(&path).await.status, 502, "the probe");
    assert_eq!(bench.client.get(&path).await.status, 503);
    assert_eq!(gets(&bench, &path), 4);
    drop(guard);
    sleep(SECOND * 10).await;
    for _ in 0..3 {
        assert_eq!(bench.client.get(&path).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn p7_a_cached_tag_does_not_wait_for_the_next_attempt() {
    let bench = bench(3, SECOND * 3600).await;
    bench.image("v1", &[10], 1);
    let path = manifest_path("v1");
    assert_eq!(bench.client.get(&path).await.status, 200);
    let moved = bench.image("v1", &[10], 2).manifest.digest.to_string();
    let guard = bench.origin.install(Selector::any("*").suffer(broken(500)));
    let (answer, took) = timed(&bench, &path).await;
    assert_eq!((answer.status.as_u16(), took), (200, Duration::ZERO));
    assert!(answer.header("warning").starts_with("299"), "{answer:?}");
    drop(guard);
    sleep(SECOND * 6).await;
    bench.running.stop().await;
    let answer = bench.client.get(&path).await;
    assert_eq!(answer.header("docker-content-digest"), moved, "it was checked again in the background");
}
