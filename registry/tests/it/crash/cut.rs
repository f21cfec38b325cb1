//! Goal: whatever a power cut leaves, what was answered is there, and everything is whole or absent.
//!
//! Method: each scenario runs once to count its disk operations, then once for each of them,
//! stopped before it; on every sort of loss a new store starts, is audited byte by byte, and takes
//! the steps that are left; and that start is cut in turn.

use std::sync::Arc;

use wharfinger::backend::faulty::{Fault, FaultyDisk};
use wharfinger::backend::memory::{Loss, MemoryDisk};

use super::recovery::{Client, Failure, Wrap, all_are_wanted, is_wanted, prepare};
use super::scenarios::{Scenario, scenario};
use super::steps::{self, Attempt};
use crate::store::audit::Violation;

/// How much was tried.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) operations: u64,
    pub(super) cuts: u64,
    pub(super) second_cuts: u64,
}

/// A scenario that was stopped.
struct Stopped {
    disk: MemoryDisk,
    client: Client,
    faulty: FaultyDisk,
}

/// Stops a scenario before its nth operation; 0 never stops it.
async fn stop(scenario: &Scenario, wrap: Wrap<'_>, at: u64) -> Stopped {
    let (disk, client) = prepare(scenario, wrap).await;
    go_on_until(scenario, wrap, disk, client, at, Attempt::First).await
}

async fn go_on_until(
    scenario: &Scenario,
    wrap: Wrap<'_>,
    disk: MemoryDisk,
    mut client: Client,
    at: u64,
    attempt: Attempt,
) -> Stopped {
    let faulty = FaultyDisk::new(Arc::new(disk.clone()), at, Fault::Stop);
    if let Ok(store) = steps::open(wrap(Arc::new(faulty.clone()))).await {
        let result = client.go_on(&store, &scenario.steps, attempt).await;
        assert!(result.is_err() || client.answered == scenario.steps.len());
    }
    Stopped { disk, client, faulty }
}

/// Seeds tried for each operation.
pub(super) const SEEDS: u64 = 3;

fn losses(at: u64, seeds: u64) -> Vec<Loss> {
    let some = (0..seeds).map(|seed| Loss::Some(at * seeds + seed + 1));
    [Loss::Everything, Loss::Bytes, Loss::Nothing].into_iter().chain(some).collect()
}

/// Cuts a scenario before every operation, with so many seeds for what is lost; returns the first
/// case that breaks a promise.
pub(super) async fn cut_everywhere(
    scenario: &Scenario,
    wrap: Wrap<'_>,
    seeds: u64,
) -> Result<Tried, Failure> {
    let whole = stop(scenario, wrap, 0).await;
    assert_eq!(
        whole.client.answered,
        scenario.steps.len(),
        "{}: without a fault all is answered",
        scenario.name
    );
    let operations = whole.faulty.operations();
    let mut tried = Tried { operations, ..Tried::default() };
    // One more than there are: the cut after the last answer.
    for at in 1..=operations + 1 {
        let stopped = stop(scenario, wrap, at).await;
        for loss in losses(at, seeds) {
            let case = format!("{} {at} {loss:?}", scenario.name);
            if is_wanted(&case) {
                tried.cuts += 1;
                let found = recover(scenario, wrap, &stopped, loss).await;
                found.map_err(|violation| failure(case, violation, &[&stopped.faulty]))?;
            }
        }
        cut_again(scenario, wrap, &stopped, at, &mut tried).await?;
    }
    Ok(tried)
}

fn failure(case: String, violation: Violation, disks: &[&FaultyDisk]) -> Failure {
    Failure { case, violation, trace: disks.iter().flat_map(|disk| disk.trace()).collect() }
}

async fn recover(
    scenario: &Scenario,
    wrap: Wrap<'_>,
    stopped: &Stopped,
    loss: Loss,
) -> Result<(), Violation> {
    stopped.client.find(&stopped.disk, loss, &scenario.steps).await?;
    if matches!(loss, Loss::Some(seed) if seed % SEEDS != 0) {
        return Ok(());
    }
    stopped.client.clone().finish(stopped.disk.after_power_cut(loss), wrap, &scenario.steps).await
}

/// Cuts the start after a cut, and what is asked for after it: every operation of the whole is
/// cut in one of several first cuts, since all pairs would be too many.
async fn cut_again(
    scenario: &Scenario,
    wrap: Wrap<'_>,
    first: &Stopped,
    at: u64,
    tried: &mut Tried,
) -> Result<(), Failure> {
    const STRIDE: u64 = 11;
    let loss = losses(at, SEEDS)[usize::try_from(at % (3 + SEEDS)).unwrap()];
    let mut again = 1 + at % STRIDE;
    loop {
        let disk = first.disk.after_power_cut(loss);
        let second = go_on_until(scenario, wrap, disk, first.client.clone(), again, Attempt::Again).await;
        if second.faulty.operations() < again {
            return Ok(());
        }
        for second_loss in [Loss::Everything, Loss::Bytes, Loss::Some(at + again)] {
            let case = format!("{} {at} {loss:?} {again} {second_loss:?}", scenario.name);
            if is_wanted(&case) {
                tried.second_cuts += 1;
                let found = second.client.find(&second.disk, second_loss, &scenario.steps).await;
                found.map_err(|violation| failure(case, violation, &[&first.faulty, &second.faulty]))?;
            }
        }
        again += STRIDE;
    }
}

async fn check(name: &str) {
    let tried = cut_everywhere(&scenario(name), &|disk| disk, SEEDS)
        .await
        .unwrap_or_else(|failure| panic!("{failure}"));
    if all_are_wanted() {
        assert!(tried.operations >= 3 && tried.second_cuts >= 3, "{name} was hardly tried: {tried:?}");
        assert_eq!(tried.cuts, (tried.operations + 1) * (3 + SEEDS), "{name}: every cut was tried");
    }
}

#[tokio::test]
async fn p2_p3_a_start_survives_a_cut_anywhere() {
    check("start").await;
    check("start again").await;
}

#[tokio::test]
async fn p2_p3_a_push_survives_a_cut_anywhere() {
    check("push").await;
    check("push twice").await;
}

#[tokio::test]
async fn p2_p3_a_mount_survives_a_cut_anywhere() {
    check("mount").await;
}

#[tokio::test]
async fn p2_p3_a_cached_image_survives_a_cut_anywhere() {
    check("cache").await;
}

#[tokio::test]
async fn p2_an_upload_in_chunks_survives_a_cut_anywhere() {
    check("chunks").await;
    check("chunks with sha512").await;
}

#[tokio::test]
async fn p2_an_upload_of_an_earlier_process_survives_a_cut_anywhere() {
    check("chunks of an earlier process").await;
    check("two uploads").await;
}

#[tokio::test]
async fn p2_p3_a_manifest_survives_a_cut_anywhere() {
    check("manifest").await;
    check("manifest with tags").await;
}

#[tokio::test]
async fn p2_p3_a_referrer_and_an_index_survive_a_cut_anywhere() {
    check("subject").await;
    check("index").await;
}

#[tokio::test]
async fn p2_p3_a_tag_move_survives_a_cut_anywhere() {
    check("tag move").await;
}

#[tokio::test]
async fn p2_p3_deletes_survive_a_cut_anywhere() {
    check("tag delete").await;
    check("blob delete").await;
}

#[tokio::test]
async fn p2_p3_a_collection_survives_a_cut_anywhere() {
    check("collect").await;
}

#[tokio::test]
async fn p2_p3_retention_survives_a_cut_anywhere() {
    check("retain").await;
}

#[tokio::test]
async fn p2_p3_a_manifest_delete_survives_a_cut_anywhere() {
    check("manifest delete").await;
    check("delete and push again").await;
}
