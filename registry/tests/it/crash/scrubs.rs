//! Goal: a power cut anywhere in a repair loses no bytes that were moved aside, nothing that was pushed, and
//! leaves what the next repair makes good.
//!
//! Method: a damaged store of every shape is repaired once to count the operations of the disk, then once for
//! each of them, stopped before it; on every sort of loss the files are looked at, and a repair that is cut in
//! turn, and one that is not, follow.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use wharfinger::backend::disk::Disk;
use wharfinger::backend::faulty::{Fault, FaultyDisk};
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::{Loss, MemoryDisk};
use wharfinger::clock::Clock;
use wharfinger::oci::{Algorithm, Digest, Hasher};
use wharfinger::store::Store;
use wharfinger::store::scrub::{Acting, From, Options};

use super::planted::{Wrong, WrongDisk};
use super::recovery::{Wrap, is_wanted};
use crate::store::contents::{CONTENTS, digest};
use crate::store::scrub::oracle;
use crate::store::scrub::stand::{
    Files, Heard, blob_path, every_shape, files, flip, found, open, scrub, write,
};

/// What a repair is to do.
struct Stand {
    disk: MemoryDisk,
    /// Before the repair.
    files: Files,
    /// What only a push makes good.
    left: Vec<String>,
    fetching: Fetching,
}

/// Whether what was cached can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetching {
    Off,
    On,
}

async fn stand(fetching: Fetching) -> Stand {
    let memory = MemoryDisk::journaled();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    every_shape(&open(&disk).await).await;
    let (app, alpine) = ("repositories/team/app", "upstreams/hub/repositories/library/alpine");
    let (first, signature) = (CONTENTS.manifests[0].digest, CONTENTS.manifests[3].digest);
    flip(&disk, &blob_path(&digest(&CONTENTS.blobs[1])), 4711);
    flip(&disk, &blob_path(&signature), 40);
    disk.remove(&format!("{app}/_tagged/sha256/{}/latest", first.hex())).unwrap();
    disk.remove(&format!("{app}/_referrers/sha256/{}/{signature}", first.hex())).unwrap();
    disk.remove("names/team:app").unwrap();
    write(&disk, "names/nobody", b"");
    let nobody = digest(b"nobody has it");
    write(
        &disk,
        &format!("{alpine}/_tags/x"),
        format!("{{\"digest\":\"{nobody}\",\"pushedAt\":1}}").as_bytes(),
    );
    write(&disk, &format!("{app}/_tagged/sha256/{}/x", nobody.hex()), b"");
    // All of it is on the disk for good.
    let disk = memory.after_power_cut(Loss::Nothing);
    let (files, repaired) = (files(&as_disk(&disk)), disk.after_power_cut(Loss::Nothing));
    repair(&open(&as_disk(&repaired)).await, fetching).await;
    let left = oracle::expect(&crate::store::scrub::stand::files(&as_disk(&repaired)));
    Stand { disk, files, left, fetching }
}

fn as_disk(disk: &MemoryDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

async fn repair(store: &Store, fetching: Fetching) {
    let upstream = (fetching == Fetching::On).then(|| store.clone());
    let options = Options { bytes_per_second: None, acting: Acting::Repair, from: From::Beginning };
    store.scrub(options, &Heard { upstream, ..Heard::default() }).await;
}

/// Repairs until the nth operation.
async fn repair_until(disk: &MemoryDisk, wrap: Wrap<'_>, at: u64, fetching: Fetching) -> FaultyDisk {
    let faulty = FaultyDisk::new(as_disk(disk), at, Fault::Stop);
    let backend = FsBackend::open(wrap(Arc::new(faulty.clone())), Durability::Synced);
    if let Ok(backend) = backend.await
        && let Ok(store) = Store::open(Arc::new(backend), Default::default(), Clock::system()).await
    {
        repair(&store, fetching).await;
    }
    faulty
}

impl Stand {
    /// Looks at what a power cut has left.
    fn look(&self, found: &Files) -> Result<(), String> {
        let kept: BTreeSet<&Vec<u8>> = found.values().collect();
        for (path, bytes) in self.files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            if !kept.contains(bytes) {
                return Err(format!("the bytes of {path} are lost"));
            }
        }
        let is_truth = |path: &str| {
            path.starts_with("repositories/")
                && ["/_blobs/", "/_tags/", "/_manifests/", "/_gone/"].iter().any(|it| path.contains(it))
        };
        for (path, bytes) in self.files.iter().filter(|(path, _)| is_truth(path)) {
            if found.get(path) != Some(bytes) {
                return Err(format!("{path} was pushed, and is not what it was"));
            }
        }
        for (path, bytes) in found.iter().filter(|(path, _)| path.starts_with("quarantine/")) {
            let actual = path.split('/').nth(3).expect("it has a folder of its own");
            if path.ends_with("/content") && digest(bytes).hex() != actual {
                return Err(format!("{path} is not what it is called"));
            }
        }
        Ok(())
    }

    /// Repairs what a power cut has left.
    async fn recover(&self, disk: &MemoryDisk) -> Result<(), String> {
        let disk = as_disk(disk);
        self.look(&files(&disk))?;
        let store = open(&disk).await;
        repair(&store, self.fetching).await;
        self.look(&files(&disk))?;
        for (path, bytes) in files(&disk).iter().filter(|(path, _)| path.starts_with("blobs/")) {
            let named = path.rsplit('/').next().expect("a path has a last part");
            let is_right = Digest::from_hex(Algorithm::Sha256, named)
                .or_else(|_| Digest::from_hex(Algorithm::Sha512, named))
                .is_ok_and(|digest| Hasher::digest(digest.algorithm(), bytes) == digest);
            if !is_right {
                return Err(format!("P1: {path} is corrupt after a repair"));
            }
        }
        let left = found(&scrub(&open(&disk).await, Acting::Report).await);
        if left != self.left {
            return Err(format!("after the next repair {left:?} is left, and not {:?}", self.left));
        }
        Ok(())
    }
}

/// Cuts a repair everywhere; returns how many operations it has, or the first case that goes wrong.
async fn cut_everywhere(stand: &Stand, wrap: Wrap<'_>) -> Result<u64, String> {
    let whole = stand.disk.after_power_cut(Loss::Nothing);
    let operations = repair_until(&whole, wrap, 0, stand.fetching).await.operations();
    for at in 1..=operations + 1 {
        let disk = stand.disk.after_power_cut(Loss::Nothing);
        let first = repair_until(&disk, wrap, at, stand.fetching).await;
        let also = if at % 2 == 0 { Loss::Nothing } else { Loss::Some(at) };
        for loss in [Loss::Everything, Loss::Bytes, also] {
            let case = format!("scrub {:?} {at} {loss:?}", stand.fetching);
            if !is_wanted(&case) {
                continue;
            }
            let told = |error| format!("{error}\ncase: {case}\n{}", first.trace().join("\n"));
            stand.recover(&disk.after_power_cut(loss)).await.map_err(told)?;
            // The repair after it is cut as well, a third of the times: every operation of it in one of them.
            if at % 3 != 0 {
                continue;
            }
            let again = disk.after_power_cut(loss);
            let second = repair_until(&again, wrap, 1 + (at * 7) % operations, stand.fetching).await;
            let told = |error| format!("{error}\ncase: {case}, again\n{}", second.trace().join("\n"));
            stand.recover(&again.after_power_cut(Loss::Everything)).await.map_err(told)?;
        }
    }
    Ok(operations)
}

async fn check(fetching: Fetching) {
    let stand = stand(fetching).await;
    // What was pushed waits for a push, unless the same bytes can be fetched.
    assert_eq!(stand.left.is_empty(), fetching == Fetching::On, "{:?}", stand.left);
    let operations = cut_everywhere(&stand, &|disk| disk).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(operations > 40, "{operations} operations are hardly a repair");
}

#[tokio::test]
async fn p2_p3_a_repair_survives_a_cut_anywhere() {
    check(Fetching::Off).await;
}

#[tokio::test]
async fn p2_p3_a_repair_that_fetches_survives_a_cut_anywhere() {
    check(Fetching::On).await;
}

/// Fails one operation of a repair, which goes on; the next repair does what is left.
async fn fail_everywhere(stand: &Stand, error: io::ErrorKind) -> Result<(), String> {
    let whole = stand.disk.after_power_cut(Loss::Nothing);
    let operations = repair_until(&whole, &|disk| disk, 0, stand.fetching).await.operations();
    for at in 1..=operations {
        let disk = stand.disk.after_power_cut(Loss::Nothing);
        let faulty = FaultyDisk::new(as_disk(&disk), at, Fault::Error(error));
        if let Ok(backend) = FsBackend::open(Arc::new(faulty.clone()), Durability::Synced).await
            && let Ok(store) = Store::open(Arc::new(backend), Default::default(), Clock::system()).await
        {
            repair(&store, stand.fetching).await;
        }
        let told = |what| format!("{what}\nafter {error} at {at}\n{}", faulty.trace().join("\n"));
        stand.recover(&disk).await.map_err(told)?;
    }
    Ok(())
}

#[tokio::test]
async fn p2_p3_a_repair_survives_a_full_or_failing_disk_anywhere() {
    // A fetch that fails for it has the cache let go of what it lacks, which is another end than this one.
    let stand = stand(Fetching::Off).await;
    for error in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        fail_everywhere(&stand, error).await.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[tokio::test]
async fn wrong_protocols_of_a_repair_are_caught() {
    let stand = stand(Fetching::Off).await;
    for wrong in [Wrong::FileNeverSynced, Wrong::FileSyncedAfterRename, Wrong::FolderNeverSynced] {
        let wrap = move |below| Arc::new(WrongDisk::new(below, wrong)) as Arc<dyn Disk>;
        let caught = cut_everywhere(&stand, &wrap).await;
        assert!(caught.is_err(), "{wrong:?} is not caught");
    }
}
