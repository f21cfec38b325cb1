//! Goal (P1, P4, P6): a body that breaks off goes on where it stopped, at the next url too; no byte is fetched
//! twice that is here; what came from several urls is whole or nothing; who would wait too long is cut, and
//! the fill goes on.
//! Method: origins that break, ignore ranges or lie, and what they were asked for, byte for byte.

use std::time::Duration;

use sim::digest::Algorithm;
use sim::fault::{At, Fault, Selector};
use sim::origin::{Entry, Origin, Variant};
use tokio::time::{Instant, sleep};
use wharfinger::clock::Clock;

use super::bench::{Bench, NAME, REPO, blob_path, content, registry, serve, upstream};

const SECOND: Duration = Duration::from_secs(1);
const LEN: usize = 600_000;

async fn bench(on_demand_timeout: Duration) -> Bench {
    Bench::with(|options| {
        options.retries_max = 3;
        options.on_demand_timeout = on_demand_timeout;
    })
    .await
}

fn entries(origin: &Origin, digest: &sim::digest::Digest) -> Vec<Entry> {
    origin.journal().entries().into_iter().filter(|entry| entry.is_blob_get(digest)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_broken_body_goes_on_where_it_stopped() {
    for fault in [
        Fault::Truncate { at: At::Percent(50) },
        Fault::Reset { at: At::Percent(50) },
        Fault::StallBody { at: At::Percent(50), ms: None },
    ] {
        let bench = bench(SECOND * 3600).await;
        let (blob, bytes) = bench.blob(LEN, 1);
        let _guard = bench.origin.install(Selector::get("*/blobs/*").nth(1).suffer(fault.clone()));
        let begun = Instant::now();
        let answer = bench.client.get(&blob_path(&blob.digest)).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{fault:?}: {}", answer.status);
        let stalled = if matches!(fault, Fault::StallBody { .. }) { 30 } else { 0 };
        assert_eq!(begun.elapsed().as_secs(), 1 + stalled, "{fault:?}: retryDelay");
        let asked = entries(&bench.origin, &blob.digest);
        assert_eq!(asked.len(), 2, "{fault:?}");
        let range = asked[1].range.as_deref().unwrap_or_default();
        let from: usize = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
        assert!((1..=LEN / 2).contains(&from), "{fault:?}: {range}");
        assert_eq!(asked[1].status, Some(206));
        assert_eq!(asked[1].bytes_sent, (LEN - from) as u64, "{fault:?}: only what was missing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_url_that_cannot_resume_is_read_from_its_start() {
    let running = serve(&Origin::varied(Variant::NoRanges)).await;
    let mut options = upstream(NAME, &[&running.url()]);
    options.retries_max = 1;
    let client = registry(vec![options], &Clock::system()).await;
    let bytes = content(LEN, 1);
    let blob = running.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256);
    let fault = Fault::Truncate { at: At::Percent(50) };
    let _guard = running.origin().install(Selector::get("*/blobs/*").nth(1).suffer(fault));
    let answer = client.get(&blob_path(&blob.digest)).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    assert_eq!(entries(running.origin(), &blob.digest)[1].status, Some(200));
}

/// Two origins with the same blob, behind one upstream.
async fn two(
    fault: Fault,
) -> (Vec<sim::origin::Running>, crate::support::Client, sim::digest::Digest, Vec<u8>) {
    let (one, two) = (serve(&Origin::new()).await, serve(&Origin::new()).await);
    let client = registry(vec![upstream(NAME, &[&one.url(), &two.url()])], &Clock::system()).await;
    let bytes = content(LEN, 1);
    let digest = one.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
    two.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256);
    // For as long as the origin lives.
    std::mem::forget(one.origin().install(Selector::get("*/blobs/*").suffer(fault)));
    (vec![one, two], client, digest, bytes)
}

#[tokio::test(start_paused = true)]
async fn the_next_url_goes_on_at_once() {
    let (origins, client, digest, bytes) = two(Fault::Reset { at: At::Percent(50) }).await;
    let begun = Instant::now();
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    assert_eq!(begun.elapsed(), Duration::ZERO, "an attempt asks its urls without a pause");
    let asked = entries(origins[1].origin(), &digest);
    assert!(asked.len() == 1 && asked[0].range.is_some(), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn p1_wrong_bytes_of_one_url_are_fetched_from_the_next() {
    let (origins, client, digest, bytes) = two(Fault::Corrupt { at: At::Percent(10) }).await;
    let answer = client.get(&blob_path(&digest)).await;
    // Its reader was sent wrong bytes, and must not come to an end.
    assert!(answer.cut || answer.status == 502, "{}", answer.status);
    for _ in 0..2 {
        let answer = client.get(&blob_path(&digest)).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    }
    let asked: Vec<usize> = origins.iter().map(|it| entries(it.origin(), &digest).len()).collect();
    assert_eq!(asked, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn p1_wrong_bytes_of_several_urls_are_fetched_anew_from_one() {
    // The first url sends a wrong half and breaks, the second goes on from it.
    let (origins, client, digest, bytes) = two(Fault::Corrupt { at: At::Percent(10) }).await;
    std::mem::forget(
        origins[0]
            .origin()
            .install(Selector::get("*/blobs/*").suffer(Fault::Truncate { at: At::Percent(50) })),
    );
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.cut || answer.status == 502, "{}", answer.status);
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    let ranges: Vec<bool> =
        entries(origins[1].origin(), &digest).iter().map(|entry| entry.range.is_some()).collect();
    assert_eq!(ranges, [true, false], "once from the middle, then from the start");
}

#[tokio::test(start_paused = true)]
async fn p1_a_reader_that_was_told_another_size_is_cut() {
    // The first url announces too little and sends nothing of it; the second has the blob.
    let (origins, client, digest, bytes) = two(Fault::StallBody { at: At::Byte(0), ms: None }).await;
    std::mem::forget(
        origins[0].origin().install(Selector::get("*/blobs/*").suffer(Fault::ContentLength { delta: -1000 })),
    );
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.cut || answer.status == 502, "{}, {} bytes", answer.status, answer.body.len());
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
}

#[tokio::test(start_paused = true)]
async fn p6_a_body_that_would_wait_too_long_is_cut_and_the_fill_goes_on() {
    let bench = Bench::with(|options| {
        options.retries_max = 1;
        options.retry_delay = SECOND * 300;
        options.retry_delay_max = SECOND * 300;
        options.on_demand_timeout = SECOND * 20;
    })
    .await;
    let (blob, bytes) = bench.blob(LEN, 1);
    let fault = Fault::Truncate { at: At::Percent(50) };
    let _guard = bench.origin.install(Selector::get("*/blobs/*").nth(1).suffer(fault));
    let begun = Instant::now();
    let answer = bench.client.get(&blob_path(&blob.digest)).await;
    assert!(answer.status == 200 && answer.cut, "{}", answer.status);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(bytes.starts_with(&answer.body) && answer.body.len() < LEN);
    sleep(SECOND * 301).await;
    bench.running.stop().await;
    let answer = bench.client.get(&blob_path(&blob.digest)).await;
    assert!(answer.status == 200 && answer.body == bytes, "the rest came by itself: {}", answer.status);
    let asked = entries(&bench.origin, &blob.digest);
    assert!(asked.len() == 2 && asked[1].range.is_some(), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn p6_a_body_that_drips_is_a_failure() {
    let bench = bench(SECOND * 3600).await;
    let (blob, bytes) = bench.blob(LEN, 1);
    let drip = Fault::Drip { bytes: 10, ms: 1000 };
    let _guard = bench.origin.install(Selector::get("*/blobs/*").nth(1).suffer(drip));
    let begun = Instant::now();
    let answer = bench.client.get(&blob_path(&blob.digest)).await;
    assert!(answer.status == 200 && answer.body == bytes, "{}", answer.status);
    assert_eq!(begun.elapsed().as_secs(), 31, "thirty seconds of it, and retryDelay");
}
