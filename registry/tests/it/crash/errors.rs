//! Goal: a disk that is full or fails once loses nothing that was answered, leaves nothing half
//! visible, is reported, and does not stop who asks again.
//!
//! Method: each scenario runs once for each disk operation, which fails alone.

use std::io;
use std::sync::Arc;

use wharfinger::backend::faulty::{Fault, FaultyDisk};
use wharfinger::backend::memory::Loss;
use wharfinger::store::{Error, Store};

use super::recovery::{Client, Failure, all_are_wanted, is_wanted, prepare};
use super::scenarios::{Scenario, all};
use super::steps::{self, Attempt, Step};
use crate::store::audit::Violation;

/// Fails a scenario at every operation; returns how many operations failed and how many of the
/// failures were reported to the client.
async fn fail_everywhere(scenario: &Scenario, kind: io::ErrorKind) -> Result<(u64, u64), Failure> {
    let (mut at, mut reported) = (0, 0);
    loop {
        at += 1;
        let case = format!("{} {at} {kind:?}", scenario.name);
        let (disk, client) = prepare(scenario, &|disk| disk).await;
        let faulty = FaultyDisk::new(Arc::new(disk.clone()), at, Fault::Error(kind));
        let result = fail_once(scenario, client, &faulty).await;
        if faulty.operations() < at {
            return Ok((at - 1, reported));
        }
        let result = match result {
            Ok((client, was_reported)) => {
                reported += u64::from(was_reported);
                let mut found = Ok(());
                for loss in [Loss::Everything, Loss::Bytes, Loss::Some(at)] {
                    found = match found {
                        Ok(()) => client.find(&disk, loss, &scenario.steps).await,
                        violation => violation,
                    };
                }
                found
            }
            Err(violation) => Err(violation),
        };
        if is_wanted(&case) {
            result.map_err(|violation| Failure { case, violation, trace: faulty.trace() })?;
        }
    }
}

/// Takes all steps, and those that fail once more; says whether one did.
async fn fail_once(
    scenario: &Scenario,
    mut client: Client,
    faulty: &FaultyDisk,
) -> Result<(Client, bool), Violation> {
    let (store, mut was_reported) = open(faulty).await?;
    if let Err(error) = client.go_on(&store, &scenario.steps, Attempt::First).await {
        was_reported = true;
        // A collection goes on without what failed, and says only that something did.
        let is_collection = scenario.steps.get(client.answered) == Some(&Step::Collect);
        let is_counted = is_collection && matches!(error, Error::Abandoned);
        if !is_counted && !matches!(error, Error::Backend(_)) {
            return Err(Violation::new("P8", format!("a failing disk was reported as {error:?}")));
        }
        client.audit(&store).await?;
    }
    client.end_all(&store, &scenario.steps).await?;
    Ok((client, was_reported))
}

/// Opens a store, a second time if need be; says whether it was need.
async fn open(faulty: &FaultyDisk) -> Result<(Store, bool), Violation> {
    match steps::open(Arc::new(faulty.clone())).await {
        Ok(store) => Ok((store, false)),
        Err(_) => {
            let again = steps::open(Arc::new(faulty.clone())).await;
            let failed = |error| Violation::new("P2", format!("the store does not open again: {error:?}"));
            again.map(|store| (store, true)).map_err(failed)
        }
    }
}

async fn check(kind: io::ErrorKind) {
    for scenario in all() {
        let result = fail_everywhere(&scenario, kind).await;
        let (failed, reported) = result.unwrap_or_else(|failure| panic!("{failure}"));
        if all_are_wanted() {
            assert!(
                reported * 2 > failed,
                "{}: {reported} of {failed} failures were reported",
                scenario.name
            );
        }
    }
}

#[tokio::test]
async fn p2_p3_a_full_disk_loses_nothing() {
    check(io::ErrorKind::StorageFull).await;
}

#[tokio::test]
async fn p2_p3_a_failing_disk_loses_nothing() {
    check(io::ErrorKind::Other).await;
}
