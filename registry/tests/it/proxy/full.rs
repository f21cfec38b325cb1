//! Goal (P1, P2, P9): a disk that has no room costs a cache, and nothing else: what is fetched is passed on to
//! its clients, right or cut, in bounded memory; pushes have the room that caches leave them.
//! Method: a disk in memory of a few hundred KiB, an origin with larger blobs, readers fast and slow.

use std::sync::Arc;
use std::time::Duration;

use sim::fault::{At, Fault, Selector};
use sim::origin::{Origin, Running};
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::store::options::Options as StoreOptions;
use wharfinger::upstream::options::Options;

use super::bench::{
    Listening, NAME, REPO, Wire, blob_path, content, read, read_at_least, routes, serve, upstream,
};
use crate::support::{Client, Registry};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

struct Stand {
    origin: Running,
    client: Client,
    disk: MemoryDisk,
}

async fn stand(capacity: usize, free_min_percent: u64, configure: impl FnOnce(&mut Options)) -> Stand {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let mut options = upstream(NAME, &[&origin.url()]);
    options.response_timeout = Duration::from_secs(5);
    configure(&mut options);
    let disk = MemoryDisk::with_capacity(capacity as u64);
    let store = StoreOptions { free_min_percent, ..StoreOptions::default() };
    let registry = Registry {
        disk: Arc::new(disk.clone()),
        store,
        routes: routes(vec![options], &clock),
        clock,
        ..Registry::default()
    };
    Stand { origin, client: registry.open().await, disk }
}

impl Stand {
    fn blob(&self, len: usize) -> (String, sim::digest::Digest, Vec<u8>) {
        let bytes = content(len, 1);
        let digest =
            self.origin.origin().seed_blob(REPO, bytes.clone(), sim::digest::Algorithm::Sha256).digest;
        (blob_path(&digest), digest, bytes)
    }
}

#[tokio::test]
async fn a_blob_that_the_disk_has_no_room_for_is_passed_on() {
    for (capacity, len) in [(700 * KIB, 3 * MIB), (0, 3 * MIB), (0, 40 * KIB), (64 * KIB, 65 * KIB)] {
        let it = stand(capacity.max(2 * KIB), 0, |_| {}).await;
        let (path, digest, bytes) = it.blob(len);
        for round in 1..=2 {
            let answer = it.client.get(&path).await;
            assert!(
                answer.status == 200 && !answer.cut && answer.body == bytes,
                "{capacity} {len}: {answer:?}"
            );
            let gets = it.origin.origin().journal().blob_gets(&digest);
            assert_eq!(gets, round, "{capacity} {len}: nothing is kept, and nothing is fetched twice");
        }
    }
}

/// Bytes that another repository has need a link, and that needs room.
#[tokio::test]
async fn a_link_that_the_disk_has_no_room_for_costs_no_pull() {
    let it = stand(700 * KIB, 0, |_| {}).await;
    let (path, digest, bytes) = it.blob(300 * KIB);
    it.origin.origin().seed_blob("team/other", bytes.clone(), sim::digest::Algorithm::Sha256);
    assert_eq!(it.client.get(&path).await.status, 200);
    let free = usize::try_from(it.disk.space().unwrap().unwrap().free).unwrap();
    it.disk.create("somebody-elses").unwrap().write_at(0, &vec![0; free]).unwrap();
    for _ in 0..2 {
        let answer = it.client.get(&format!("/v2/team/other/blobs/{digest}")).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    }
}

#[tokio::test]
async fn p1_wrong_bytes_that_are_passed_on_never_complete() {
    for (capacity, fault) in [
        (700 * KIB, Fault::Corrupt { at: At::Percent(90) }),
        (700 * KIB, Fault::Corrupt { at: At::Percent(1) }),
        (2 * KIB, Fault::Corrupt { at: At::Byte(3 * MIB as u64 - 1) }),
        (2 * KIB, Fault::ContentLength { delta: -5 }),
    ] {
        let it = stand(capacity, 0, |_| {}).await;
        let (path, _, bytes) = it.blob(3 * MIB);
        let _guard = it.origin.origin().install(Selector::get("*/blobs/*").suffer(fault.clone()));
        let answer = it.client.get(&path).await;
        // What was wrong in the end only may have been fetched again, by a reader who hashes.
        let is_right = !answer.cut && answer.body == bytes;
        let is_cut = answer.cut && answer.body.len() < bytes.len();
        assert!(is_right || is_cut, "{fault:?}: {} bytes", answer.body.len());
    }
}

/// A break is gone on with by the reader himself, who hashes what he was sent.
#[tokio::test]
async fn p1_a_reader_goes_on_alone_when_what_is_passed_on_breaks_off() {
    let it = stand(700 * KIB, 0, |_| {}).await;
    let (path, digest, bytes) = it.blob(3 * MIB);
    let cut = Fault::Truncate { at: At::Percent(60) };
    let guard = it.origin.origin().install(Selector::get("*/blobs/*").nth(1).suffer(cut.clone()));
    let answer = it.client.get(&path).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{} bytes", answer.body.len());
    assert_eq!(it.origin.origin().journal().blob_gets(&digest), 2);
    drop(guard);
    // And what he fetches for himself is held against the digest as well.
    let it = stand(700 * KIB, 0, |_| {}).await;
    let (path, _, bytes) = it.blob(3 * MIB);
    let _cut = it.origin.origin().install(Selector::get("*/blobs/*").nth(1).suffer(cut));
    let wrong = Fault::Corrupt { at: At::Percent(50) };
    let _wrong = it.origin.origin().install(Selector::get("*/blobs/*").nth(2).suffer(wrong));
    let answer = it.client.get(&path).await;
    assert!(answer.cut && answer.body.len() < bytes.len(), "{} bytes", answer.body.len());
}

/// The fast one sets the pace, the slow one goes on alone.
#[tokio::test]
async fn readers_of_different_speeds_are_all_sent_the_whole() {
    let it = stand(700 * KIB, 0, |options| options.range_fetch_max = MIB as u64).await;
    let (path, _, bytes) = it.blob(8 * MIB);
    let listening = Listening::start(&it.client).await;
    let mut slow = listening.open(Wire::Http1, &path, &[]).await;
    let mut body = read_at_least(&mut slow, 10).await;
    for _ in 0..3 {
        let fast = listening.get(&path).await;
        assert!(fast.status == 200 && !fast.cut && fast.body == bytes, "{} bytes", fast.body.len());
    }
    let rest = read(slow).await;
    body.extend_from_slice(&rest.body);
    assert!(!rest.cut && body == bytes, "{} of {} bytes", body.len(), bytes.len());
}

#[tokio::test]
async fn p2_what_is_cached_leaves_room_for_pushes() {
    let it = stand(2 * MIB, 50, |_| {}).await;
    let (path, _, bytes) = it.blob(3 * MIB);
    let answer = it.client.get(&path).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes);
    let pushed = content(800 * KIB, 2);
    it.client.push_blob("own/app", &pushed).await;
    let answer = it.client.get(&format!("/v2/own/app/blobs/{}", crate::support::sha256(&pushed))).await;
    assert!(answer.status == 200 && answer.body == pushed);
}
