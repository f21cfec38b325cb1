//! A client that remembers what it was answered, and what it asks of a store that starts again.

use std::fmt;
use std::sync::Arc;

use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::{Loss, MemoryDisk};
use wharfinger::store::{Error, RepositoryKey, Store};

use super::ledger::Ledger;
use super::scenarios::Scenario;
use super::steps::{self, Attempt, Step, Taken, Uploads};
use crate::store::audit::{self, Fact, Violation};
use crate::store::contents::{CONTENTS, digest};

/// What stands between the store and the disk.
pub(super) type Wrap<'a> = &'a (dyn Fn(Arc<dyn Disk>) -> Arc<dyn Disk> + Sync);

/// A client, as it remembers.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) ledger: Ledger,
    pub(super) uploads: Uploads,
    /// How many steps were answered.
    pub(super) answered: usize,
    repositories: Vec<RepositoryKey>,
}

/// A case that broke a promise.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) case: String,
    pub(super) violation: Violation,
    pub(super) trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "case: {}", self.case)?;
        writeln!(f, "the disk was asked for:\n  {}", self.trace.join("\n  "))?;
        writeln!(f, "replay: WHARFINGER_CRASH='{}' cargo test -p wharfinger --test it -- crash::", self.case)
    }
}

/// Says whether a case is to run: all are, unless one is named.
pub(super) fn is_wanted(case: &str) -> bool {
    std::env::var("WHARFINGER_CRASH").map_or(true, |only| only == case)
}

/// Says whether a case that begins so is to run.
pub(super) fn is_wanted_of(beginning: &str) -> bool {
    std::env::var("WHARFINGER_CRASH").map_or(true, |only| only.starts_with(beginning))
}

/// Says whether all cases run, so that their number can be held against a floor.
pub(super) fn all_are_wanted() -> bool {
    std::env::var_os("WHARFINGER_CRASH").is_none()
}

/// Prepares a disk as a scenario's earlier process has left it.
pub(super) async fn prepare(scenario: &Scenario, wrap: Wrap<'_>) -> (MemoryDisk, Client) {
    let (disk, mut client) =
        (MemoryDisk::journaled(), Client::new(scenario.before.iter().chain(&scenario.steps)));
    if !scenario.before.is_empty() {
        let store = steps::open(wrap(Arc::new(disk.clone()))).await.expect("nothing fails yet");
        client.go_on(&store, &scenario.before, Attempt::First).await.expect("nothing fails yet");
        client.answered = 0;
    }
    (disk, client)
}

impl Client {
    /// Makes a client that will look at the repositories of these steps.
    pub(super) fn new<'a>(steps: impl Iterator<Item = &'a Step>) -> Self {
        let mut repositories: Vec<RepositoryKey> = steps.flat_map(Step::repositories).collect();
        repositories.sort_unstable();
        repositories.dedup();
        Self { repositories, ledger: Ledger::default(), uploads: Uploads::new(), answered: 0 }
    }

    /// Takes the steps that were not answered yet, until one fails.
    pub(super) async fn go_on(
        &mut self,
        store: &Store,
        steps: &[Step],
        attempt: Attempt,
    ) -> Result<(), Error> {
        for step in &steps[self.answered..] {
            let number = self.ledger.begin(&self.as_change(step));
            match steps::take(store, step, &mut self.uploads, attempt).await {
                Ok(Taken::Done) => self.ledger.answer(number),
                Ok(Taken::Gone) => self.ledger.fail(number),
                Err(error) => {
                    self.ledger.fail(number);
                    return Err(error);
                }
            }
            self.answered += 1;
        }
        Ok(())
    }

    /// The end of an upload is to the ledger what a push is.
    pub(super) fn as_change(&self, step: &Step) -> Step {
        match step {
            Step::Close { upload } => {
                let upload = &self.uploads[upload];
                Step::Push(upload.at.repository.clone(), upload.blob)
            }
            other => other.clone(),
        }
    }

    /// Holds everything that a store serves against what was answered.
    pub(super) async fn audit(&self, store: &Store) -> Result<(), Violation> {
        self.ledger.check(&audit::observe(store, &self.repositories).await?)
    }

    /// Starts again on what a power cut left, and looks.
    pub(super) async fn find(&self, disk: &MemoryDisk, loss: Loss, steps: &[Step]) -> Result<(), Violation> {
        let store = start(Arc::new(disk.after_power_cut(loss))).await?;
        self.find_in(&store, loss, steps).await
    }

    /// Looks at a store that has started on what was left.
    pub(super) async fn find_in(&self, store: &Store, loss: Loss, steps: &[Step]) -> Result<(), Violation> {
        self.audit(store).await?;
        self.end_uploads(store, loss, steps).await?;
        let expired = store.expire_uploads().await;
        expired.map_err(|error| Violation::new("P2", format!("uploads cannot be expired: {error:?}")))?;
        Ok(())
    }

    /// Sends what is left of each upload from where it says it stands: the blob must be right.
    pub(super) async fn end_uploads(
        &self,
        store: &Store,
        loss: Loss,
        steps: &[Step],
    ) -> Result<(), Violation> {
        for (number, upload) in &self.uploads {
            let was_closing = steps.get(self.answered) == Some(&Step::Close { upload: *number });
            let stands = match store.upload_offset(&upload.at).await {
                Ok(stands) => usize::try_from(stands).unwrap(),
                Err(Error::UploadUnknown) if loss == Loss::Nothing && !was_closing => {
                    return Err(Violation::new("P2", format!("upload {number} did not survive the process")));
                }
                Err(Error::UploadUnknown) => continue,
                Err(error) => return Err(Violation::new("P2", format!("upload {number}: {error:?}"))),
            };
            if stands > upload.asked || (loss == Loss::Nothing && stands < upload.acked) {
                let what = format!(
                    "upload {number} stands at {stands}; {} was answered and {} asked for",
                    upload.acked, upload.asked
                );
                return Err(Violation::new("P2", what));
            }
            let closed = steps::close(store, upload, stands).await;
            closed.map_err(|error| {
                let what =
                    format!("upload {number} says that it stands at {stands}, and cannot go on: {error:?}");
                Violation::new("P2", what)
            })?;
            let blob = digest(&CONTENTS.blobs[upload.blob]);
            let world = audit::observe(store, &self.repositories).await?;
            if !world.contains_key(&Fact::Blob(upload.at.repository.clone(), blob)) {
                return Err(Violation::new("P2", format!("upload {number} was committed and is not there")));
            }
        }
        Ok(())
    }

    /// Asks again for everything that was not answered; all of it must succeed and be there, also
    /// after the next power cut.
    pub(super) async fn finish(
        mut self,
        disk: MemoryDisk,
        wrap: Wrap<'_>,
        steps: &[Step],
    ) -> Result<(), Violation> {
        let store = start(wrap(Arc::new(disk.clone()))).await?;
        self.end_all(&store, steps).await?;
        self.find(&disk, Loss::Everything, steps).await
    }

    /// Takes all steps that are left, on a disk without faults.
    pub(super) async fn end_all(&mut self, store: &Store, steps: &[Step]) -> Result<(), Violation> {
        self.go_on(store, steps, Attempt::Again).await.map_err(|error| {
            let step = &steps[self.answered];
            Violation::new("P2", format!("{step:?} was asked again after the fault, and failed: {error:?}"))
        })?;
        self.audit(store).await
    }
}

async fn start(disk: Arc<dyn Disk>) -> Result<Store, Violation> {
    let opened = steps::open(disk).await;
    opened.map_err(|error| Violation::new("P2", format!("the store does not start again: {error:?}")))
}
