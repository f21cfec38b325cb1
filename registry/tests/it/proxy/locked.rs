//! Goal (P7, P8, P9): a disk that cannot be written to costs a cache, and nothing else: what is cached is served,
//! what is not is passed on, right and whole; the log says so once, and once it can be written to things are kept.
//! Method: an origin, and a disk that is locked before a fetch or in the middle of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sim::origin::{Origin, Running};
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;

use super::bench::{NAME, REPO, blob_path, content, image, manifest_path, routes, serve, upstream};
use crate::http::locked_disk::{LOCKS, assert_told_once, lockable};
use crate::support::disk::{Call, Calls, RuledDisk};
use crate::support::log::Log;
use crate::support::{Client, Registry};

const MIB: usize = 1024 * 1024;

struct Stand {
    origin: Running,
    client: Client,
}

impl Stand {
    async fn new(disk: Arc<dyn Disk>) -> Self {
        let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
        let routes = routes(vec![upstream(NAME, &[&origin.url()])], &clock);
        let client = Registry { disk, routes, clock, ..Registry::default() }.open().await;
        Self { origin, client }
    }

    /// Pulls blobs, each of which must come whole and right, and returns how often the origin was asked for them.
    async fn pull(&self, blobs: &[(String, Vec<u8>)], when: &str) -> usize {
        let before = self.asked();
        for (path, bytes) in blobs {
            let answer = self.client.get(path).await;
            let is_right = answer.status == 200 && !answer.cut && answer.body == *bytes;
            assert!(
                is_right,
                "{when}: {} with {} of {} bytes",
                answer.status,
                answer.body.len(),
                bytes.len()
            );
        }
        self.asked() - before
    }

    fn asked(&self) -> usize {
        let entries = self.origin.origin().journal().entries_since(0);
        entries.iter().filter(|it| it.method == "GET" && it.path.contains("/blobs/")).count()
    }

    fn blobs(&self, lens: &[usize], seed: u64) -> Vec<(String, Vec<u8>)> {
        let make = |(number, len): (usize, &usize)| {
            let bytes = content(*len, seed + number as u64);
            let seeded = self.origin.origin().seed_blob(REPO, bytes.clone(), sim::digest::Algorithm::Sha256);
            (blob_path(&seeded.digest), bytes)
        };
        lens.iter().enumerate().map(make).collect()
    }
}

#[tokio::test]
async fn p7_p8_a_locked_disk_costs_a_cache_alone_and_until_it_is_mended() {
    for lock in LOCKS {
        let (disk, is_locked) = lockable(lock, &MemoryDisk::new());
        let it = Stand::new(disk).await;
        let old = image(it.origin.origin(), REPO, "old", &[10], 1);
        assert_eq!(it.client.get(&manifest_path("old")).await.status, 200);
        let cached = it.blobs(&[100_000], 1);
        it.pull(&cached, "before").await;

        let (log, _listening) = Log::listen();
        is_locked.store(true, Ordering::SeqCst);
        let cold = it.blobs(&[10, 100_000, 3 * MIB], 10);
        let new = image(it.origin.origin(), REPO, "new", &[10], 2);
        for round in 0..3 {
            assert_eq!(it.pull(&cached, "cached").await, 0, "{lock:?}");
            assert_eq!(it.pull(&cold, "locked").await, cold.len(), "{lock:?} {round}: nothing is kept");
            for (tag, of) in [("old", &old), ("new", &new)] {
                let answer = it.client.get(&manifest_path(tag)).await;
                let digest = of.manifest.digest.to_string();
                assert_eq!(answer.header("docker-content-digest"), digest, "{lock:?} {tag}: {answer:?}");
            }
        }
        assert_told_once(lock, &log.take(), 0);

        is_locked.store(false, Ordering::SeqCst);
        assert_eq!(it.pull(&cold, "mended").await, cold.len());
        assert!(log.take().contains("the store can be written to again"), "{lock:?}");
        assert_eq!(it.pull(&cold, "kept").await, 0, "{lock:?}");
    }
}

/// A disk that takes so many writes of bytes, and then none until it is mended.
#[tokio::test]
async fn p7_a_disk_that_is_locked_in_the_middle_of_a_fetch_costs_nobody_his_pull() {
    for kind in [std::io::ErrorKind::ReadOnlyFilesystem, std::io::ErrorKind::Other] {
        for writes in [1, 2, 5] {
            let (left, is_mended) =
                (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicBool::new(false)));
            let (writes_left, mended) = (Arc::clone(&left), Arc::clone(&is_mended));
            let rule = move |call| match call {
                Call::Bytes if !mended.load(Ordering::SeqCst) => {
                    let taken =
                        writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
                    taken.map(drop).map_err(|_| kind.into())
                }
                _ => Ok(()),
            };
            let it =
                Stand::new(Arc::new(RuledDisk::new(Arc::new(MemoryDisk::new()), Calls::AtOnce, rule))).await;
            let blobs = it.blobs(&[3 * MIB], 1);
            left.store(writes, Ordering::SeqCst);
            it.pull(&blobs, "locked on the way").await;
            assert_eq!(left.load(Ordering::SeqCst), 0, "{kind:?} {writes}: it was met");
            is_mended.store(true, Ordering::SeqCst);
            it.pull(&blobs, "mended").await;
            assert_eq!(it.pull(&blobs, "kept").await, 0, "{kind:?} {writes}");
        }
    }
}
