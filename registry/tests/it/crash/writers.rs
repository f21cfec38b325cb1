//! Goal: whoever relies on what another writer has made visible and not yet durable makes it
//! durable first; and two writers of one name leave it whole.
//!
//! Method: two threads with a runtime each on one store. Each of them stands still at each point of
//! its work while the other one goes on, and seeds interleave the two; before every sync of a
//! folder and after every answer the disk loses power, and a new store is held against what had
//! been answered by then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharfinger::backend::Backend;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::{Loss, MemoryDisk};
use wharfinger::store::{Error, Store};

use super::duels::{Duel, duel};
use super::ledger::Ledger;
use super::recovery::{Client, Failure, all_are_wanted, is_wanted, is_wanted_of};
use super::steps::{self, Attempt, Step, Taken, Uploads};
use super::trusting::{Trusting, Unsettled};
use super::turns::{Schedule, Turns};
use crate::store::audit::Violation;

/// What is put between the store and its disk: nothing, or something wrong.
struct Between {
    disk: fn(Turns) -> Arc<dyn Disk>,
    backend: fn(FsBackend) -> Arc<dyn Backend>,
}

const NOTHING: Between = Between { disk: |disk| Arc::new(disk), backend: |backend| Arc::new(backend) };

/// Sees what is answered, and keeps images of the disk.
struct Witness {
    disk: MemoryDisk,
    ledger: Mutex<Ledger>,
    images: Mutex<Vec<Image>>,
}

/// The disk as a power cut left it, and what had been answered by then.
struct Image {
    /// How many changes came before it.
    number: u64,
    loss: Loss,
    disk: MemoryDisk,
    ledger: Ledger,
}

/// What became of a fight in which no promise was broken.
struct Fought {
    /// How often the power was cut.
    cuts: usize,
    /// Whether one writer stood still while the other went on.
    one_stood: bool,
}

impl Witness {
    fn cut(&self, number: u64) {
        let also = if number.is_multiple_of(2) { Loss::Bytes } else { Loss::Some(number) };
        let losses = if number % 4 < 2 { vec![Loss::Everything, also] } else { vec![Loss::Everything] };
        let ledger = lock(&self.ledger).clone();
        lock(&self.images).extend(losses.into_iter().map(|loss| {
            let disk = self.disk.after_power_cut(loss);
            Image { number, loss, disk, ledger: ledger.clone() }
        }));
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Prepares a disk for a duel, and the client that knows what is on it.
async fn prepare(duel: &Duel) -> (MemoryDisk, Client) {
    let disk = MemoryDisk::journaled();
    let all = duel.before.iter().chain(duel.writers.iter().flatten()).chain(&duel.after);
    let mut client = Client::new(all);
    if !duel.before.is_empty() {
        let store = steps::open(Arc::new(disk.clone())).await.unwrap();
        client.go_on(&store, &duel.before, Attempt::First).await.unwrap();
        client.answered = 0;
    }
    (disk, client)
}

/// Runs a duel, and holds what every power cut leaves against what had been answered by then.
fn fight(duel: &Duel, schedule: Schedule, between: &Between) -> Result<Fought, Failure> {
    let runtime = current_thread();
    let (disk, mut client) = runtime.block_on(prepare(duel));
    let ledger = Mutex::new(client.ledger.clone());
    let witness = Arc::new(Witness { disk: disk.clone(), ledger, images: Mutex::default() });
    let turns = Turns::new(disk.clone(), schedule, {
        let witness = Arc::clone(&witness);
        move |number| witness.cut(number)
    });
    let store = runtime.block_on(async {
        let opened = FsBackend::open((between.disk)(turns.clone()), Durability::Synced).await.unwrap();
        // Without caches every look goes to the disk, so more of them fall between two writes.
        steps::open_over((between.backend)(opened), 0).await.unwrap()
    });
    std::thread::scope(|scope| {
        for (writer, steps) in duel.writers.iter().enumerate() {
            let (store, turns, witness) = (&store, &turns, &witness);
            scope.spawn(move || {
                let _writer = turns.enter(writer);
                current_thread().block_on(write(store, steps, witness, turns));
            });
        }
    });
    let images = std::mem::take(&mut *lock(&witness.images));
    let fought = Fought { cuts: images.len(), one_stood: turns.interfere() };
    let failure = |number: u64, violation| {
        let case = format!("{} {schedule:?} {number}", duel.name);
        Failure { case, violation, trace: turns.trace() }
    };
    for Image { number, loss, disk, ledger } in images {
        client.ledger = ledger;
        if is_wanted(&format!("{} {schedule:?} {number}", duel.name)) {
            let found = runtime.block_on(client.find(&disk, Loss::Nothing, &[]));
            found.map_err(|violation| failure(number, said(violation, loss)))?;
        }
    }
    client.ledger = lock(&witness.ledger).clone();
    let ended = runtime.block_on(end(client, &store, &disk, duel));
    ended.map_err(|violation| failure(turns.trace().len() as u64, violation))?;
    Ok(fought)
}

/// Takes the steps that come after both writers are done.
async fn end(mut client: Client, store: &Store, disk: &MemoryDisk, duel: &Duel) -> Result<(), Violation> {
    client.audit(store).await?;
    client.end_all(store, &duel.after).await?;
    client.find(disk, Loss::Everything, &duel.after).await
}

fn said(mut violation: Violation, loss: Loss) -> Violation {
    violation.what.push_str(&format!(" (after {loss:?} was lost)"));
    violation
}

/// Takes the steps of one writer. Beside them runs a task that never ends and gives the turn
/// away: a runtime that waits for the other writer must not keep it.
async fn write(store: &Store, steps: &[Step], witness: &Witness, turns: &Turns) {
    let spin = async {
        loop {
            turns.give_turn();
            tokio::task::yield_now().await;
        }
    };
    let work = async {
        for step in steps {
            let number = lock(&witness.ledger).begin(step);
            match steps::take(store, step, &mut Uploads::new(), Attempt::Again).await {
                Ok(Taken::Done) => lock(&witness.ledger).answer(number),
                Ok(Taken::Gone) => lock(&witness.ledger).fail(number),
                // The other writer was first.
                Err(
                    Error::ReferencesMissing { .. } | Error::Referenced { .. } | Error::BlobUnknown { .. },
                ) => {
                    lock(&witness.ledger).fail(number);
                }
                Err(error) => panic!("{step:?} failed: {error:?}"),
            }
            if turns.interfere() {
                witness.cut(turns.trace().len() as u64);
            }
        }
    };
    tokio::select! {
        biased;
        () = work => {}
        () = spin => {}
    }
}

/// Seeds that interleave the two, for each duel.
const SEEDS: u64 = 16;

/// The points at which each of the two stands still while the other goes on.
fn stands() -> impl Iterator<Item = Schedule> {
    (0..POINTS_MAX).flat_map(|after| [0, 1].map(|first| Schedule::Stand { first, after }))
}

/// More points than a writer has.
const POINTS_MAX: u64 = 400;

fn check(name: &str) {
    let duel = duel(name);
    let fight = |schedule| fight(&duel, schedule, &NOTHING).unwrap_or_else(|failure| panic!("{failure}"));
    let (mut stood, mut cuts) = (0, 0);
    let mut is_over = [false; 2];
    for schedule in stands() {
        let Schedule::Stand { first, .. } = schedule else { continue };
        if is_over == [true; 2] {
            break;
        }
        if !is_over[first] && is_wanted_of(&format!("{name} {schedule:?}")) {
            let fought = fight(schedule);
            is_over[first] = !fought.one_stood;
            stood += 1;
            cuts += fought.cuts;
        }
    }
    for seed in 0..SEEDS {
        let schedule = Schedule::Turns { seed, points: 2 << (seed / 2 % 4) };
        if is_wanted_of(&format!("{name} {schedule:?}")) {
            cuts += fight(schedule).cuts;
        }
    }
    if all_are_wanted() {
        assert!(is_over == [true; 2] && stood > 10 && cuts > 100, "{name}: {stood} stood, {cuts} cuts");
    }
}

#[test]
fn p2_p3_two_writers_same_blob_two_repositories() {
    check("same blob, two repositories");
}

#[test]
fn p2_p3_two_writers_same_blob_one_repository() {
    check("same blob, one repository");
}

#[test]
fn p2_p3_two_writers_a_manifest_on_layers_of_another() {
    check("a manifest on layers of another");
}

#[test]
fn p2_p3_two_writers_an_index_on_images_of_another() {
    check("an index on images of another");
}

#[test]
fn p2_p3_two_writers_a_mount_of_what_another_pushes() {
    check("a mount of what another pushes");
}

#[test]
fn p2_p3_two_writers_one_tag() {
    check("one tag");
}

#[test]
fn p2_p3_two_writers_one_manifest_two_tags() {
    check("one manifest, two tags");
}

#[test]
fn p2_p3_two_writers_a_blob_deleted_under_a_manifest() {
    check("a blob deleted under a manifest");
}

#[test]
fn p2_p3_two_writers_a_tag_deleted_and_pushed() {
    check("a tag deleted and pushed");
}

#[test]
fn p2_p3_two_writers_a_manifest_deleted_and_pushed() {
    check("a manifest deleted and pushed");
}

#[test]
fn p2_p3_two_writers_a_tag_and_its_manifest_deleted() {
    check("a tag and its manifest deleted");
}

#[test]
fn p2_p3_two_writers_a_blob_deleted_with_its_manifest() {
    check("a blob deleted with its manifest");
}

#[test]
fn p2_p3_two_writers_blobs_collected_under_a_manifest() {
    check("blobs collected under a manifest");
}

#[test]
fn p2_p3_two_writers_content_collected_under_a_push() {
    check("content collected under a push");
}

#[test]
fn p2_p3_two_writers_a_tag_judged_and_moved() {
    check("a tag judged and moved");
}

/// Fights duels on something wrong: one of the schedules must break a promise.
fn is_caught(between: &Between, names: &[&str]) {
    for name in names {
        let duel = duel(name);
        let caught = stands()
            .take_while(|_| all_are_wanted())
            .any(|schedule| fight(&duel, schedule, between).is_err());
        assert!(caught || !all_are_wanted(), "{name} did not catch what was planted");
    }
}

#[test]
fn planted_reliance_on_what_another_has_not_synced_is_caught() {
    let between = Between { backend: |backend| Arc::new(Unsettled(backend)), ..NOTHING };
    is_caught(&between, &["a manifest on layers of another", "a blob deleted with its manifest"]);
}

#[test]
fn planted_reliance_on_a_blob_that_was_there_is_caught() {
    let between = Between { disk: |disk| Arc::new(Trusting::new(disk)), ..NOTHING };
    is_caught(&between, &["same blob, two repositories"]);
}
