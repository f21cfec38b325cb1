//! Goal (P1): no response completes with wrong bytes, and none hangs, whatever the disk and the urls do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sim::digest::Algorithm;
use sim::fault::{At, Fault, Selector};
use sim::origin::{Origin, Variant};
use sim::rng::Rng;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::store::options::Options as StoreOptions;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use crate::support::Registry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_wrong_completes() {
    let seconds: u64 =
        std::env::var("WHARFINGER_FUZZ_SECONDS").ok().and_then(|it| it.parse().ok()).unwrap_or(5);
    let mut seed: u64 =
        std::env::var("WHARFINGER_FUZZ_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut answers, mut whole, mut cut) = (0, 0, 0);
    while Instant::now() < end {
        seed += 1;
        let mut rng = Rng::labelled(seed, "fuzz");
        let mut kind = || match rng.below(5) {
            0 => Origin::varied(Variant::UnsizedBodies),
            1 => Origin::varied(Variant::NoRanges),
            _ => Origin::new(),
        };
        let (one, two) = (kind(), kind());
        let (first, second, clock) = (serve(&one).await, serve(&two).await, Clock::system());
        let len =
            [40_000, 65_537, 200_000, 900_000, 2_500_000][rng.below(5) as usize] + rng.below(1000) as usize;
        let bytes = Arc::new(content(len, seed));
        let digest = first.origin().seed_blob(REPO, bytes.to_vec(), Algorithm::Sha256).digest;
        second.origin().seed_blob(REPO, bytes.to_vec(), Algorithm::Sha256);
        for other in ["team/b", "team/c"] {
            first.origin().seed_blob(other, bytes.to_vec(), Algorithm::Sha256);
            second.origin().seed_blob(other, bytes.to_vec(), Algorithm::Sha256);
        }
        let capacity = [3_000, 100_000, 400_000, 1_000_000, 1 << 30][rng.below(5) as usize];
        let disk = MemoryDisk::with_capacity(capacity);
        let mut corrupts = false;
        let mut guards = Vec::new();
        for origin in [&first, &second] {
            for nth in 1..=3 {
                let at = At::Percent(rng.below(100) as u8);
                let fault = match rng.below(9) {
                    0 => {
                        corrupts = true;
                        Fault::Corrupt { at }
                    }
                    1 => Fault::Truncate { at },
                    2 => Fault::Reset { at },
                    3 => {
                        corrupts = true;
                        Fault::ContentLength { delta: rng.below(40_000) as i64 - 20_000 }
                    }
                    4 => Fault::Drip { bytes: 60_000, ms: 2 },
                    5 => Fault::Status { status: 503, retry_after: None },
                    _ => continue,
                };
                guards.push(origin.origin().install(Selector::get("*/blobs/*").nth(nth).suffer(fault)));
            }
        }
        let mut options = upstream(NAME, &[&first.url(), &second.url()]);
        options.retries_max = 1;
        options.retry_delay = Duration::from_millis(20);
        options.retry_delay_max = options.retry_delay;
        options.range_wait = 100_000;
        options.range_fetch_max = 150_000;
        options.response_timeout = Duration::from_secs(3);
        let open = || {
            let registry = Registry {
                disk: Arc::new(disk.clone()),
                store: StoreOptions { free_min_percent: 0, ..StoreOptions::default() },
                routes: routes(vec![options.clone()], &clock),
                clock: clock.clone(),
                ..Registry::default()
            };
            registry.open_both()
        };
        let (client, repositories) = open().await;
        for round in 0..2 {
            let mut pulls = Vec::new();
            for _ in 0..1 + rng.below(6) {
                let (client, bytes) = (client.clone(), Arc::clone(&bytes));
                let path = match rng.below(4) {
                    0 => format!("/v2/team/b/blobs/{digest}"),
                    1 => format!("/v2/team/c/blobs/{digest}"),
                    _ => blob_path(&digest),
                };
                let range = match rng.below(4) {
                    0 => Some(format!("bytes={}-", rng.below(len as u64))),
                    1 => {
                        let from = rng.below(len as u64);
                        Some(format!("bytes={from}-{}", from + rng.below(100_000)))
                    }
                    2 if rng.below(3) == 0 => Some("bytes=0-".to_owned()),
                    _ => None,
                };
                let (late, leaves) = (rng.below(30), rng.below(8) == 0);
                pulls.push(tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(late)).await;
                    let headers: Vec<(&str, &str)> = range.iter().map(|it| ("range", it.as_str())).collect();
                    let pull = client.call("GET", &path, &headers, "");
                    let patience =
                        if leaves { Duration::from_millis(late + 1) } else { Duration::from_secs(25) };
                    let answer = match tokio::time::timeout(patience, pull).await {
                        Ok(answer) => answer,
                        Err(_) if leaves => return None,
                        Err(_) => panic!("seed {seed} round {round}: {path} {range:?} hangs"),
                    };
                    if answer.status == 200 && !answer.cut {
                        assert!(
                            answer.body == *bytes,
                            "seed {seed} round {round}: P1: 200 with wrong bytes ({} of {})",
                            answer.body.len(),
                            bytes.len()
                        );
                    }
                    if answer.status == 206 && !answer.cut {
                        let text = answer.header("content-range").to_owned();
                        let (from, rest) = text.strip_prefix("bytes ").unwrap().split_once('-').unwrap();
                        let (last, size) = rest.split_once('/').unwrap();
                        let (from, last): (usize, usize) = (from.parse().unwrap(), last.parse().unwrap());
                        assert_eq!(answer.body.len(), last - from + 1, "seed {seed}: {text}");
                        if from == 0 && last + 1 == bytes.len() {
                            assert!(
                                answer.body == *bytes,
                                "seed {seed} round {round}: P1: the whole by a range is wrong"
                            );
                        } else if !corrupts {
                            assert_eq!(size, bytes.len().to_string(), "seed {seed}");
                            assert!(
                                answer.body == bytes[from..=last],
                                "seed {seed} round {round}: P1: wrong slice {text}"
                            );
                        }
                    }
                    Some((answer.status.as_u16(), answer.cut))
                }));
            }
            for pull in pulls {
                if let Some((status, is_cut)) = pull.await.unwrap() {
                    answers += 1;
                    whole += usize::from(status < 300 && !is_cut);
                    cut += usize::from(is_cut);
                }
            }
        }
        guards.clear();
        // Heal: with the faults gone, in the same process or the next one, it can be had.
        let client = if rng.below(2) == 0 {
            repositories.close(Duration::from_secs(5)).await;
            open().await.0
        } else {
            client
        };
        let mut statuses = Vec::new();
        for wait in [0_u64, 0, 500, 3500, 3500] {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let answer = client.get(&blob_path(&digest)).await;
            let is_right = answer.status == 200 && !answer.cut && answer.body == *bytes;
            assert!(answer.cut || answer.status != 200 || is_right, "seed {seed}: P1 after healing");
            statuses.push((answer.status.as_u16(), answer.cut));
            if std::env::var("WHARFINGER_FUZZ_DEBUG").is_ok() {
                let journal = |it: &sim::origin::Running| {
                    it.origin()
                        .journal()
                        .entries()
                        .iter()
                        .rev()
                        .take(4)
                        .map(|it| format!("{} {:?} {}", it.method, it.range, it.bytes_sent))
                        .collect::<Vec<_>>()
                };
                use wharfinger::backend::disk::Disk as _;
                println!(
                    "seed {seed}: {} cut {} {} of {len}; {:?} {:?}; fills {:?} parked {:?} space {:?}",
                    answer.status,
                    answer.cut,
                    answer.body.len(),
                    journal(&first),
                    journal(&second),
                    disk.entries("fills"),
                    disk.entries("parked"),
                    disk.space()
                );
            }
            if is_right {
                break;
            }
        }
        // Known: r45 (a body without a length is cut when it is passed on).
        assert!(
            capacity <= 1_000_000 || statuses.last().is_some_and(|it| *it == (200, false)),
            "seed {seed}: it does not heal: {statuses:?}, disk {capacity}, {len} bytes"
        );
    }
    println!("{answers} answers, {whole} whole, {cut} cut; last seed {seed}");
}
