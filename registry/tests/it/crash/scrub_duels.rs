//! Goal: beside pushes, mounts and deletes a repair finds nothing that is not wrong, and takes nothing away that
//! was answered; what is wrong is healed by a push, whichever of the two is first.
//!
//! Method: a repair and a writer take turns on one disk; each of them stands still at each point of its work
//! while the other one goes on, and seeds interleave the two.

use std::sync::Arc;

use wharfinger::backend::disk::Disk;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::{Loss, MemoryDisk};
use wharfinger::store::scrub::{Acting, From, Options, Report};
use wharfinger::store::{Error, Store};

use super::duels;
use super::steps::{self, Attempt, Step, Uploads};
use super::turns::{Schedule, Turns};
use crate::store::contents::{CONTENTS, cached, digest, hosted};
use crate::store::scrub::stand::{Heard, blob_path, files, flip, found, open, scrub};

/// What meets a repair.
struct Meeting {
    name: String,
    before: Vec<Step>,
    harm: fn(&Arc<dyn Disk>),
    steps: Vec<Step>,
    /// What the repair may find.
    expect: Expect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Nothing,
    /// What was harmed, or nothing when the writer was first; at the end nothing is wrong.
    Harm,
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Does its work, and gives the turn away while it waits for the other one.
async fn with_turns<T>(turns: &Turns, work: impl Future<Output = T>) -> T {
    let spin = async {
        loop {
            turns.give_turn();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        () = spin => unreachable!("it never ends"),
    }
}

async fn take(store: &Store, taken: &[Step]) {
    for step in taken {
        match steps::take(store, step, &mut Uploads::new(), Attempt::Again).await {
            Ok(_)
            | Err(
                Error::ReferencesMissing { .. }
                | Error::Referenced { .. }
                | Error::BlobUnknown { .. }
                | Error::ManifestUnknown { .. },
            ) => {}
            Err(error) => panic!("{step:?} failed: {error:?}"),
        }
    }
}

/// Lets the two meet; says whether one stood still in the middle.
fn meet(meeting: &Meeting, prepared: &MemoryDisk, schedule: Schedule) -> bool {
    let runtime = current_thread();
    let memory = prepared.after_power_cut(Loss::Nothing);
    let turns = Turns::new(memory.clone(), schedule, |_| {});
    let store = runtime.block_on(async {
        let backend = FsBackend::open(Arc::new(turns.clone()), Durability::Synced).await.unwrap();
        steps::open_over(Arc::new(backend), 0).await.unwrap()
    });
    let report = std::thread::scope(|scope| {
        let (turns, store) = (&turns, &store);
        let repairing = scope.spawn(move || {
            let _writer = turns.enter(0);
            let options = Options { bytes_per_second: None, acting: Acting::Repair, from: From::Beginning };
            current_thread().block_on(with_turns(turns, store.scrub(options, &Heard::default())))
        });
        scope.spawn(move || {
            let _writer = turns.enter(1);
            current_thread().block_on(with_turns(turns, take(store, &meeting.steps)));
        });
        repairing.join().unwrap()
    });
    let case = || format!("{} {schedule:?}\n{}", meeting.name, turns.trace().join("\n"));
    check_report(meeting, &report, &case);
    let disk: Arc<dyn Disk> = Arc::new(memory);
    let left = runtime.block_on(async { scrub(&open(&disk).await, Acting::Report).await });
    assert_eq!(found(&left), [""; 0], "at the end nothing is wrong: {}", case());
    turns.interfere()
}

fn check_report(meeting: &Meeting, report: &Report, case: &dyn Fn() -> String) {
    match meeting.expect {
        Expect::Nothing => assert_eq!(found(report), [""; 0], "{}", case()),
        Expect::Harm => {
            let is_harm =
                |kind: &str| matches!(kind, "corrupt-content" | "blob-content" | "manifest-content");
            let others: Vec<_> = report.findings.iter().filter(|it| !is_harm(it.kind.name())).collect();
            assert!(others.is_empty(), "{others:?} {}", case());
        }
    }
}

/// More points than either has.
const POINTS_MAX: u64 = 1_500;
/// Seeds that interleave the two.
const SEEDS: u64 = 12;

fn check(meeting: &Meeting) {
    let runtime = current_thread();
    let prepared = MemoryDisk::journaled();
    runtime.block_on(async {
        let disk: Arc<dyn Disk> = Arc::new(prepared.clone());
        take(&open(&disk).await, &meeting.before).await;
        (meeting.harm)(&disk);
        assert!(!files(&disk).is_empty());
    });
    for first in [0, 1] {
        let stood = (0..POINTS_MAX)
            .take_while(|after| meet(meeting, &prepared, Schedule::Stand { first, after: *after }));
        let stood = stood.count() as u64;
        assert!((5..POINTS_MAX).contains(&stood), "{}: {first} stood still {stood} times", meeting.name);
    }
    for seed in 0..SEEDS {
        meet(meeting, &prepared, Schedule::Turns { seed, points: 2 << (seed / 2 % 4) });
    }
}

#[test]
fn p9_a_repair_beside_two_writers_finds_nothing() {
    for duel in duels::all() {
        let [first, second] = duel.writers;
        let steps = [first, second, duel.after].concat();
        let name = duel.name.to_owned();
        check(&Meeting { name, before: duel.before, harm: |_| {}, steps, expect: Expect::Nothing });
    }
}

#[test]
fn p9_a_repair_beside_fetches_finds_nothing() {
    let alpine = || cached("library/alpine");
    let before = vec![Step::Put(alpine(), 3, &["sig"]), Step::Fill(alpine(), 1)];
    let steps = vec![
        Step::Put(alpine(), 2, &["latest"]),
        Step::Fill(alpine(), 0),
        Step::Put(alpine(), 0, &["latest"]),
        Step::Fill(alpine(), 1),
        Step::DeleteManifest(alpine(), 3),
        Step::Put(alpine(), 4, &[]),
    ];
    let name = "fetches".to_owned();
    check(&Meeting { name, before, harm: |_| {}, steps, expect: Expect::Nothing });
}

fn harmed(name: &str, harm: fn(&Arc<dyn Disk>), steps: Vec<Step>) {
    let app = || hosted("team/app");
    let before = (0..=3).map(|blob| Step::Push(app(), blob)).chain([Step::Put(app(), 0, &["v1"])]).collect();
    check(&Meeting { name: name.to_owned(), before, harm, steps, expect: Expect::Harm });
}

#[test]
fn p2_a_push_and_a_repair_of_a_blob_that_was_cut_short() {
    let cut = |disk: &Arc<dyn Disk>| {
        disk.open_writable(&blob_path(&digest(&CONTENTS.blobs[1]))).unwrap().set_len(4_000).unwrap();
    };
    harmed("a push over what was cut short", cut, vec![Step::Push(hosted("team/app"), 1)]);
}

#[test]
fn p2_a_push_and_a_repair_of_a_manifest_whose_bit_has_flipped() {
    let flipped = |disk: &Arc<dyn Disk>| flip(disk, &blob_path(&CONTENTS.manifests[0].digest), 40);
    harmed("a push over a flipped bit", flipped, vec![Step::Put(hosted("team/app"), 0, &["v1", "v2"])]);
}

#[test]
fn p1_a_fetch_and_a_repair_of_a_cached_blob_whose_bit_has_flipped() {
    let alpine = || cached("library/alpine");
    let before = vec![Step::Put(alpine(), 0, &["latest"]), Step::Fill(alpine(), 1)];
    let harm = |disk: &Arc<dyn Disk>| flip(disk, &blob_path(&digest(&CONTENTS.blobs[1])), 40);
    let (name, steps) = ("a fetch of what is corrupt".to_owned(), vec![Step::Fill(alpine(), 1)]);
    check(&Meeting { name, before, harm, steps, expect: Expect::Harm });
}

#[test]
fn a_delete_and_a_repair_of_what_is_corrupt() {
    let flipped = |disk: &Arc<dyn Disk>| {
        flip(disk, &blob_path(&CONTENTS.manifests[0].digest), 40);
        flip(disk, &blob_path(&digest(&CONTENTS.blobs[1])), 40);
    };
    let app = || hosted("team/app");
    let steps = vec![Step::DeleteManifest(app(), 0), Step::DeleteBlob(app(), 1)];
    let before: Vec<Step> = [0, 1]
        .map(|blob| Step::Push(app(), blob))
        .into_iter()
        .chain([Step::Put(app(), 0, &["v1"])])
        .collect();
    let name = "a delete of what is corrupt".to_owned();
    check(&Meeting { name, before, harm: flipped, steps, expect: Expect::Harm });
}
