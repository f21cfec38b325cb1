//! Goal (P1, P4): what has arrived of a blob is gone on with: by the next fill when a schedule has ended, and by
//! the next process; power loss makes it less, and never wrong.
//! Method: a disk in memory that outlives the registry, cut off at each loss; what the origin is asked for.

use std::sync::Arc;
use std::time::Duration;

use sim::fault::{At, Fault, Selector};
use sim::origin::{Origin, Running};
use tokio::time::sleep;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::{Loss, MemoryDisk};
use wharfinger::clock::Clock;
use wharfinger::repository::Repositories;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, until, upstream};
use crate::support::{Client, Registry};

const LEN: usize = 600_000;
const SECOND: Duration = Duration::from_secs(1);

async fn open(disk: &MemoryDisk, origin: &Running, clock: &Clock) -> (Client, Repositories) {
    let routes = routes(vec![upstream(NAME, &[&origin.url()])], clock);
    let disk = Arc::new(disk.clone());
    Registry { disk, routes, clock: clock.clone(), ..Registry::default() }.open_both().await
}

fn blob(origin: &Origin) -> (sim::digest::Digest, Vec<u8>) {
    let bytes = content(LEN, 1);
    (origin.seed_blob(REPO, bytes.clone(), sim::digest::Algorithm::Sha256).digest, bytes)
}

/// What the origin was asked for last, and how many bytes it sent for it.
fn last(origin: &Origin, digest: &sim::digest::Digest) -> (String, u64) {
    let entries = origin.journal().entries();
    let last = entries.iter().rfind(|entry| entry.is_blob_get(digest)).expect("it was asked for");
    (last.range.clone().unwrap_or_default(), last.bytes_sent)
}

#[tokio::test(start_paused = true)]
async fn a_fill_goes_on_where_the_one_before_it_gave_up() {
    let (origin, disk, clock) = (serve(&Origin::new()).await, MemoryDisk::new(), Clock::system());
    let (client, _) = open(&disk, &origin, &clock).await;
    let (digest, bytes) = blob(origin.origin());
    let cut = Fault::Truncate { at: At::Percent(50) };
    let guard = origin.origin().install(Selector::get("*/blobs/*").suffer(cut));
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.cut && bytes.starts_with(&answer.body), "{}", answer.status);
    drop(guard);
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    let (range, sent) = last(origin.origin(), &digest);
    assert!(range.starts_with("bytes=") && sent <= LEN as u64 / 2, "{range}: {sent} bytes");
}

/// Begins a fill that stands still in the middle, and ends the process as it should be.
async fn put_down(disk: &MemoryDisk, origin: &Running, digest: &sim::digest::Digest) {
    let (client, repositories) = open(disk, origin, &Clock::system()).await;
    let stall = Fault::StallBody { at: At::Percent(50), ms: None };
    let _guard = origin.origin().install(Selector::get("*/blobs/*").suffer(stall));
    let pull = tokio::spawn({
        let path = blob_path(digest);
        async move { client.get(&path).await }
    });
    until("half of it is here", || origin.origin().journal().blob_gets(digest) == 1).await;
    sleep(SECOND).await;
    repositories.close(SECOND * 5).await;
    let answer = pull.await.unwrap();
    assert!(answer.cut || answer.status == 500, "its reader is cut: {}", answer.status);
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_the_process_stopped() {
    for loss in [None, Some(Loss::Nothing), Some(Loss::Everything), Some(Loss::Bytes), Some(Loss::Some(7))] {
        let (origin, disk) = (serve(&Origin::new()).await, MemoryDisk::journaled());
        let (digest, bytes) = blob(origin.origin());
        put_down(&disk, &origin, &digest).await;
        let disk = loss.map_or(disk.clone(), |loss| disk.after_power_cut(loss));
        let (client, _) = open(&disk, &origin, &Clock::system()).await;
        let answer = client.get(&blob_path(&digest)).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{loss:?}: {}", answer.status);
        if matches!(loss, None | Some(Loss::Nothing)) {
            let (range, sent) = last(origin.origin(), &digest);
            assert!(
                range.starts_with("bytes=") && sent <= LEN as u64 / 2 + 1,
                "{loss:?} {range}: {sent} bytes"
            );
        }
        assert_eq!(staged(&disk), (0, 0), "{loss:?}: nothing is left of it");
    }
}

/// The state is written after the bytes: state before data would go on from zeros under the right hash.
#[tokio::test(start_paused = true)]
async fn p1_bytes_that_the_disk_lost_are_fetched_again() {
    for seed in 0..40 {
        let (origin, disk) = (serve(&Origin::new()).await, MemoryDisk::journaled());
        let (digest, bytes) = blob(origin.origin());
        put_down(&disk, &origin, &digest).await;
        let disk = disk.after_power_cut(Loss::Some(seed));
        let (client, _) = open(&disk, &origin, &Clock::system()).await;
        let answer = client.get(&blob_path(&digest)).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{seed}: {}", answer.status);
    }
}

#[tokio::test(start_paused = true)]
async fn p1_wrong_bytes_of_an_earlier_process_are_fetched_anew() {
    let (origin, disk) = (serve(&Origin::new()).await, MemoryDisk::new());
    let (digest, bytes) = blob(origin.origin());
    let guard =
        origin.origin().install(Selector::get("*/blobs/*").suffer(Fault::Corrupt { at: At::Percent(10) }));
    put_down(&disk, &origin, &digest).await;
    drop(guard);
    let (client, _) = open(&disk, &origin, &Clock::system()).await;
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.cut || answer.status == 502, "nobody knows which were wrong: {}", answer.status);
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_goes_on_with_is_removed() {
    let (origin, disk) = (serve(&Origin::new()).await, MemoryDisk::new());
    let (digest, _) = blob(origin.origin());
    put_down(&disk, &origin, &digest).await;
    assert_eq!(staged(&disk), (1, 1));
    // What no record names was left by a process that was killed.
    disk.create("fills/3d2f7b0e-6c1e-4d5a-9b1e-0a1b2c3d4e5f").unwrap();
    let (_, _) = open(&disk, &origin, &Clock::system()).await;
    assert_eq!(staged(&disk), (1, 1));
    disk.remove(&format!("fills/{}", disk.entries("fills").unwrap()[0])).unwrap();
    let (_, _) = open(&disk, &origin, &Clock::system()).await;
    assert_eq!(staged(&disk), (0, 0));
}

fn staged(disk: &MemoryDisk) -> (usize, usize) {
    let count = |folder| disk.entries(folder).map_or(0, |names| names.len());
    (count("fills"), count("parked"))
}
