//! Goal: what is remembered, kept and followed of an upstream's answers is what the configuration says.
//! Method: an origin that refuses, forgets or goes away; a wall clock that the test moves, a paused one.

use std::time::Duration;

use sim::fault::{Fault, Selector};
use sim::origin::{Origin, Running};
use tokio::time::sleep;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::upstream::options::{FallThrough, OnRefusal, Options};

use super::bench::{Bench, NAME, REPO, blob_path, image, manifest_path, registry, serve, upstream};
use crate::support::Client;

const MINUTE: Duration = Duration::from_secs(60);

/// A registry before an origin with a tag, which it has cached.
struct Cached {
    origin: Running,
    client: Client,
    clock: Clock,
}

async fn cached(configure: impl FnOnce(&mut Options)) -> Cached {
    let (clock, origin) = (Clock::manual(Timestamp::from_millis(1)), serve(&Origin::new()).await);
    let mut options = upstream(NAME, &[&origin.url()]);
    configure(&mut options);
    let client = registry(vec![options], &clock).await;
    image(origin.origin(), REPO, "v1", &[10], 1);
    assert_eq!(client.get(&manifest_path("v1")).await.status, 200);
    Cached { origin, client, clock }
}

fn status(status: u16) -> Fault {
    Fault::Status { status, retry_after: None }
}

#[tokio::test]
async fn a_refusal_is_kept_or_followed() {
    for (fault, keep, follow) in [(404, 200, 404), (403, 200, 403)] {
        for (on, expect) in [(OnRefusal::Keep, keep), (OnRefusal::Follow, follow)] {
            let it = cached(|options| (options.on_delete, options.on_denied) = (on, on)).await;
            let _guard = it.origin.origin().install(Selector::any("*").suffer(status(fault)));
            let answer = it.client.get(&manifest_path("v1")).await;
            assert_eq!(answer.status, expect, "{fault} {on:?}");
            assert_eq!(answer.header("warning").is_empty(), expect != 200, "{fault} {on:?}");
        }
    }
}

#[tokio::test]
async fn a_cached_tag_is_served_unchecked_for_a_time() {
    for (fault, refused) in [(403, 403), (500, 502)] {
        let it = cached(|options| {
            options.denied_stale_max = MINUTE;
            options.stale_age_max = Some(MINUTE);
        })
        .await;
        let _guard = it.origin.origin().install(Selector::any("*").suffer(status(fault)));
        for (wait, expect) in [(60, 200), (1, refused)] {
            it.clock.advance(Duration::from_secs(wait));
            assert_eq!(it.client.get(&manifest_path("v1")).await.status, expect, "{fault} {wait}");
        }
    }
}

/// A clock that was set back tells no age: neither that a tag is fresh, nor that it may still be served.
#[tokio::test]
async fn a_clock_that_jumps_makes_no_cached_tag_young() {
    let hour = 60 * MINUTE;
    for (ahead, fault, refused) in [(hour, 403, 403), (hour, 500, 502), (100_000 * hour, 403, 403)] {
        let it = cached(|options| {
            options.manifest_check_interval = MINUTE;
            options.stale_while_revalidate = 2 * MINUTE;
            options.denied_stale_max = 5 * MINUTE;
            options.stale_age_max = Some(5 * MINUTE);
        })
        .await;
        let right = |it: &Cached| it.clock.set(Timestamp::from_millis(1).after(it.clock.passed()));
        let checks = |it: &Cached| {
            let count = |method| it.origin.origin().journal().count(method, &manifest_path("v1"));
            count("GET") + count("HEAD")
        };
        it.clock.set(Timestamp::from_millis(1).after(ahead));
        assert_eq!(it.client.get(&manifest_path("v1")).await.status, 200);
        assert_eq!(checks(&it), 2, "it is old, and checked at a time to come");
        right(&it);
        let guard = it.origin.origin().install(Selector::any("*").suffer(status(fault)));
        assert_eq!(it.client.get(&manifest_path("v1")).await.status, refused, "{ahead:?} {fault}");
        drop(guard);
        assert_eq!(it.client.get(&manifest_path("v1")).await.status, 200);
        let (checked, moved) = (checks(&it), image(it.origin.origin(), REPO, "v1", &[10], 2));
        // Set back by less than has passed, it is young once more, for no longer than one that was just checked.
        it.clock.advance(hour);
        it.clock.set(Timestamp::from_millis(1));
        it.clock.advance(2 * MINUTE);
        let answer = it.client.get(&manifest_path("v1")).await;
        assert_eq!(answer.header("docker-content-digest"), moved.manifest.digest.to_string(), "{ahead:?}");
        assert!(checks(&it) > checked);
    }
}

#[tokio::test]
async fn a_tag_is_served_at_once_and_checked_afterwards() {
    let it = cached(|options| options.stale_while_revalidate = MINUTE).await;
    let moved = image(it.origin.origin(), REPO, "v1", &[10], 2).manifest.digest.to_string();
    it.clock.advance(MINUTE / 2);
    let answer = it.client.get(&manifest_path("v1")).await;
    assert_ne!(answer.header("docker-content-digest"), moved);
    super::bench::until("the check that follows", || {
        it.origin.origin().journal().count("GET", &manifest_path("v1")) == 2
    })
    .await;
    for _ in 0..1000 {
        if it.client.get(&manifest_path("v1")).await.header("docker-content-digest") == moved {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("what the check brought is not served");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_remembered_for_a_while() {
    for fault in [404, 403] {
        let bench = Bench::with(|options| options.negative_ttl = Duration::from_secs(10)).await;
        let made = bench.image("v1", &[10], 1);
        let guard = bench.origin.install(Selector::any("*").suffer(status(fault)));
        for path in [manifest_path("v1"), blob_path(&made.layers[0].digest)] {
            for _ in 0..3 {
                assert_eq!(bench.client.get(&path).await.status, fault);
            }
            // Who may push hears of a blob that he has to send it.
            let told = if path.contains("/blobs/") { 404 } else { fault };
            assert_eq!(super::bench::head(&bench.client, &path).await.status, told);
            assert_eq!(bench.origin.journal().count("GET", &path), 1, "{path}");
            assert_eq!(bench.origin.journal().count("HEAD", &path), 0, "{path}");
        }
        drop(guard);
        sleep(Duration::from_secs(10)).await;
        assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_remembered_as_an_answer() {
    let bench = Bench::with(|options| options.negative_ttl = MINUTE).await;
    bench.image("v1", &[10], 1);
    for fault in [500, 429] {
        let guard = bench.origin.install(Selector::any("*").suffer(status(fault)));
        assert_ne!(bench.client.get(&manifest_path("v1")).await.status, 404);
        drop(guard);
    }
    assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 200);
}

#[tokio::test]
async fn p10_the_next_upstream_is_asked_after_the_answers_that_are_configured() {
    for (fall_through, after_404, after_500) in
        [(FallThrough::NotFound, 200, 502), (FallThrough::Never, 404, 502), (FallThrough::Any, 200, 200)]
    {
        let (first, second) = (serve(&Origin::new()).await, serve(&Origin::new()).await);
        image(second.origin(), REPO, "v1", &[10], 1);
        let mut one = upstream("one", &[&first.url()]);
        one.fall_through = fall_through;
        let client = registry(vec![one, upstream("two", &[&second.url()])], &Clock::system()).await;
        let guard = first.origin().install(Selector::any("*").suffer(status(500)));
        assert_eq!(client.get(&manifest_path("v1")).await.status, after_500, "{fall_through:?}");
        drop(guard);
        assert_eq!(client.get(&manifest_path("v1")).await.status, after_404, "{fall_through:?}");
        let absent = if fall_through == FallThrough::Any { 200 } else { after_404 };
        assert_eq!(client.get(&manifest_path("v1")).await.status, absent, "{fall_through:?}");
        assert_eq!(client.get(&manifest_path("absent")).await.status, 404, "{fall_through:?}");
    }
}
