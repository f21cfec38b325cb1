//! Goal: whatever many tasks do to few names at once, everything is whole or absent (P3), and the
//! caches have heard of it (P12).
//!
//! Method: tasks on several threads; when all are done the store is audited, and compared with one
//! that has just been opened on the same disk.

use std::sync::Arc;

use tokio::task::JoinSet;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::store::Store;

use super::audit::{self, World};
use super::contents::CONTENTS;
use super::machine::{apply, open, repositories};
use super::model::{Answer, Op, REPOSITORIES, TAGS, When};

/// Audits a store that is at rest, and returns what it holds.
async fn at_rest(store: &Store, disk: &MemoryDisk, round: u64) -> World {
    let found = audit::observe(store, &repositories()).await;
    let found = found.unwrap_or_else(|violation| panic!("round {round}: {violation}"));
    let again = audit::observe(&open(disk, 0).await, &repositories()).await.unwrap();
    assert_eq!(found, again, "round {round}: the caches and the disk agree");
    found
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 16) % sides as u64).unwrap()
    }

    fn op(&mut self) -> Op {
        let repository = self.roll(REPOSITORIES.len() - 1);
        let (blob, item) = (self.roll(CONTENTS.blobs.len()), self.roll(CONTENTS.manifests.len()));
        let name = self.roll(TAGS.len());
        match self.roll(12) {
            0..=2 => Op::PutBlob(repository, blob),
            3 => Op::Mount { from: repository, to: self.roll(REPOSITORIES.len()), blob },
            4..=7 => Op::PutManifest { repository, item, tags: vec![name], when: When::Move },
            8 => Op::DeleteTag(repository, name),
            9 => Op::DeleteManifest(repository, item),
            10 => Op::DeleteBlob(repository, blob),
            _ => Op::Catalog,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p3_p12_many_tasks_on_few_names_leave_everything_whole() {
    for round in 1..=12 {
        let disk = MemoryDisk::new();
        let store = open(&disk, if round % 3 == 0 { 3_000 } else { 32 << 20 }).await;
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let (store, mut dice) = (store.clone(), Dice(round * 1_000_003 + task * 7_919));
            tasks.spawn(async move {
                let mut done = 0;
                for _ in 0..60 {
                    done += u32::from(apply(&store, &dice.op()).await == Answer::Done);
                }
                done
            });
        }
        let done: u32 = tasks.join_all().await.iter().sum();
        assert!(done > 100, "round {round}: only {done} operations succeeded");
        at_rest(&store, &disk, round).await;
    }
}

/// Lets two operations race on a store where all blobs and some manifests are, and returns their
/// answers.
async fn race(round: u64, before: &[Op], first: Op, second: Op, after: &[Op]) -> (Answer, Answer) {
    let disk = MemoryDisk::new();
    let store = open(&disk, 32 << 20).await;
    for op in (0..CONTENTS.blobs.len()).map(|blob| Op::PutBlob(0, blob)).chain(before.iter().cloned()) {
        assert_eq!(apply(&store, &op).await, Answer::Done);
    }
    let start = Arc::new(tokio::sync::Barrier::new(2));
    let racer = |op: Op| {
        let (store, start) = (store.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            apply(&store, &op).await
        })
    };
    let (first, second) = (racer(first), racer(second));
    let answers = (first.await.unwrap(), second.await.unwrap());
    at_rest(&store, &disk, round).await;
    for op in after {
        apply(&store, op).await;
        at_rest(&store, &disk, round).await;
    }
    answers
}

fn put(item: usize, tags: Vec<usize>) -> Op {
    Op::PutManifest { repository: 0, item, tags, when: When::Move }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p3_a_blob_delete_that_races_a_manifest_push_leaves_no_manifest_without_its_blob() {
    for round in 0..300 {
        let answers = race(round, &[], put(0, vec![0]), Op::DeleteBlob(0, 1), &[]).await;
        match answers {
            (Answer::Done, Answer::Referenced(_)) | (Answer::Missing(_), Answer::Done) => {}
            other => panic!("round {round}: exactly one of the two wins, not {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p3_a_child_delete_that_races_an_index_push_leaves_no_index_without_its_child() {
    let before = [put(0, vec![0]), put(1, vec![])];
    for round in 0..200 {
        let answers = race(round, &before, put(2, vec![1]), Op::DeleteManifest(0, 1), &[]).await;
        match answers {
            (Answer::Done, Answer::Referenced(_)) | (Answer::Missing(_), Answer::Done) => {}
            other => panic!("round {round}: exactly one of the two wins, not {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p3_a_tag_that_is_deleted_and_pushed_at_once_never_outlives_its_manifest() {
    for round in 0..200 {
        let (push, delete) = (put(0, vec![0]), Op::DeleteTag(0, 0));
        race(round, &[put(0, vec![0])], delete, push, &[Op::DeleteManifest(0, 0)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p3_a_manifest_that_is_deleted_and_pushed_at_once_is_whole_or_absent() {
    for round in 0..200 {
        let after = [Op::DeleteManifest(0, 0), Op::DeleteBlob(0, 1)];
        race(round, &[put(0, vec![0])], Op::DeleteManifest(0, 0), put(0, vec![1]), &after).await;
    }
}
