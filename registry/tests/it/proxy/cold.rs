//! Goal (P1, P4, P6): a range of a blob that is not here is answered with its bytes and no others; near a fill it
//! follows it, far from it it is fetched by itself, in bounded pieces, and nothing of it is kept.
//! Method: an origin whose journal says what was asked for, and how many bytes it sent.

use sim::digest::Algorithm;
use sim::fault::{At, Fault, Selector};
use sim::origin::{Entry, Origin, Variant};
use wharfinger::clock::Clock;
use wharfinger::upstream::options::{ColdRange, Options};

use super::bench::{Bench, NAME, REPO, blob_path, content, registry, serve, upstream};

const KIB: usize = 1024;
const LEN: usize = 1000 * KIB;

/// A fill is near within 100 KiB, and a piece has 200 KiB.
fn small(options: &mut Options) {
    options.range_wait = 100 * KIB as u64;
    options.range_fetch_max = 200 * KIB as u64;
}

fn ranges(origin: &Origin, digest: &sim::digest::Digest) -> Vec<String> {
    let gets = origin.journal().entries().into_iter().filter(|entry: &Entry| entry.is_blob_get(digest));
    gets.map(|entry| entry.range.unwrap_or_else(|| "whole".to_owned())).collect()
}

#[tokio::test]
async fn a_far_range_is_fetched_by_itself_and_a_near_one_begins_the_fill() {
    for (asked, expect, gets) in [
        ("bytes=600000-600009", 600_000..600_010, vec!["bytes=600000-600009"]),
        ("bytes=900000-", 900_000..LEN, vec!["bytes=900000-1104799"]),
        ("bytes=-24000", 1_000_000..LEN, vec!["bytes=1000000-1023999"]),
        (
            "bytes=400000-",
            400_000..LEN,
            vec![
                "bytes=400000-604799",
                "bytes=604800-809599",
                "bytes=809600-1014399",
                "bytes=1014400-1023999",
            ],
        ),
        (
            "bytes=400000-9999999",
            400_000..LEN,
            vec![
                "bytes=400000-604799",
                "bytes=604800-809599",
                "bytes=809600-1014399",
                "bytes=1014400-1023999",
            ],
        ),
        ("bytes=0-", 0..LEN, vec!["whole"]),
        ("bytes=100000-100001", 100_000..100_002, vec!["whole"]),
    ] {
        let bench = Bench::with(small).await;
        let (blob, bytes) = bench.blob(LEN, 1);
        let answer = bench.client.call("GET", &blob_path(&blob.digest), &[("range", asked)], "").await;
        assert_eq!((answer.status.as_u16(), answer.cut), (206, false), "{asked}");
        let last = expect.end - 1;
        assert_eq!(answer.header("content-range"), format!("bytes {}-{last}/{LEN}", expect.start), "{asked}");
        assert!(answer.body == bytes[expect], "{asked}");
        assert_eq!(ranges(&bench.origin, &blob.digest), gets, "{asked}");
    }
}

#[tokio::test]
async fn p1_nothing_of_a_cold_range_is_kept() {
    let bench = Bench::with(small).await;
    let (blob, bytes) = bench.blob(LEN, 1);
    let path = blob_path(&blob.digest);
    let wrong = Fault::Corrupt { at: At::Percent(50) };
    let guard = bench.origin.install(Selector::get("*/blobs/*").suffer(wrong));
    let answer = bench.client.call("GET", &path, &[("range", "bytes=600000-600999")], "").await;
    assert!(answer.status == 206 && answer.body.len() == 1000, "a slice that nobody can check");
    drop(guard);
    let answer = bench.client.get(&path).await;
    assert!(answer.status == 200 && answer.body == bytes, "{}", answer.status);
    bench.running.stop().await;
    let range = [("range", "bytes=600000-600999")];
    let answer = bench.client.call("GET", &path, &range, "").await;
    assert!(answer.status == 206 && answer.body == bytes[600_000..601_000], "{}", answer.status);
}

#[tokio::test]
async fn a_range_that_cannot_be_had_by_itself_waits_for_the_blob() {
    let far = [("range", "bytes=900000-900999")];
    // No ranges there, a policy, a slice that breaks off.
    for case in ["no ranges", "wait", "cut", "refused once"] {
        let variant = if case == "no ranges" { Origin::varied(Variant::NoRanges) } else { Origin::new() };
        let running = serve(&variant).await;
        let mut options = upstream(NAME, &[&running.url()]);
        small(&mut options);
        if case == "wait" {
            options.cold_range = ColdRange::Wait;
        }
        let client = registry(vec![options], &Clock::system()).await;
        let bytes = content(LEN, 1);
        let digest = running.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
        let fault = match case {
            "cut" => Some(Fault::Truncate { at: At::Percent(50) }),
            "refused once" => Some(Fault::Status { status: 503, retry_after: None }),
            _ => None,
        };
        let _guard =
            fault.map(|fault| running.origin().install(Selector::get("*/blobs/*").nth(1).suffer(fault)));
        let answer = client.call("GET", &blob_path(&digest), &far, "").await;
        assert_eq!((answer.status.as_u16(), answer.cut), (206, false), "{case}");
        assert!(answer.body == bytes[900_000..901_000], "{case}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let bench = Bench::with(small).await;
    let (blob, _) = bench.blob(LEN, 1);
    let beyond = [("range", "bytes=2000000-")];
    let answer = bench.client.call("GET", &blob_path(&blob.digest), &beyond, "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-range")), (416, "bytes */1024000"));
    let nowhere = sim::digest::Digest::of(Algorithm::Sha256, b"nowhere");
    let answer = bench.client.call("GET", &blob_path(&nowhere), &beyond, "").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "BLOB_UNKNOWN"));
    let _guard = bench
        .origin
        .install(Selector::any("*/blobs/*").suffer(Fault::Status { status: 503, retry_after: None }));
    let answer = bench.client.call("GET", &blob_path(&blob.digest), &[("range", "bytes=900000-")], "").await;
    assert_eq!(answer.status, 502, "p8");
}

/// As a client does that fetches a layer by several connections, each open-ended.
#[tokio::test]
async fn p6_parallel_open_ended_ranges_are_bounded() {
    let bench = Bench::with(small).await;
    let (blob, bytes) = bench.blob(LEN, 1);
    let path = blob_path(&blob.digest);
    let pulls = (0..10).map(|part| {
        let (client, path) = (bench.client.clone(), path.clone());
        tokio::spawn(async move {
            let start = part * 100 * KIB;
            let range = format!("bytes={start}-");
            (start, client.call("GET", &path, &[("range", &range)], "").await)
        })
    });
    for pull in futures_util::future::join_all(pulls).await {
        let (start, answer) = pull.unwrap();
        assert!(answer.status == 206 && !answer.cut && answer.body == bytes[start..], "from {start}");
    }
    assert_eq!(ranges(&bench.origin, &blob.digest).iter().filter(|it| *it == "whole").count(), 1, "p4");
    // Each byte of the blob for each of those that were far away at most, and once for the fill.
    let sent = bench.origin.journal().blob_bytes_sent(&blob.digest);
    assert!(sent <= 10 * LEN as u64, "{sent}");
}
