//! One run of a scrub: what it is told, how far it is, what it found.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::finding::{Done, Finding, Kind};
use super::pace::Pace;
use crate::backend::Key;
use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::store::record::{self, ScrubRecord};
use crate::store::{Error, RepositoryKey, Space, Store, layout};
use crate::telemetry::WithCauses;

/// How a store is scrubbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many bytes of content are read in a second; `None` is as fast as the disk.
    pub bytes_per_second: Option<u64>,
    /// What is done about what is found.
    pub acting: Acting,
    /// Where it begins.
    pub from: From,
}

/// What is done about what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acting {
    /// Nothing is changed.
    Report,
    /// What is corrupt goes to the quarantine; what can be made good is.
    Repair,
}

/// Where a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the first byte; nothing is written down of how far it is.
    Beginning,
    /// Where the last run of the same sort stood, if it did not end.
    WhereItStood(By),
}

/// Whose run it is. One does not go on where the other stood: what the other has found was told to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The server's, beside its requests.
    Server,
    /// A command's, which has the store alone.
    Command,
}

/// What of a cached repository is to be fetched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// A blob.
    Blob,
    /// A manifest.
    Manifest,
}

/// Who is told of a run, and can ask upstreams.
#[async_trait::async_trait]
pub trait Watch: fmt::Debug + Send + Sync {
    /// Hears how far it is, often.
    fn progress(&self, progress: &Progress);

    /// Hears of each finding, once what can be done about it was done.
    fn finding(&self, finding: &Finding);

    /// Fetches something cached again, into its repository; says whether that was done.
    async fn refetch(&self, repository: &RepositoryKey, digest: &Digest, lost: Lost) -> bool;
}

/// What a run is looking at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Content, byte by byte.
    Content,
    /// What the repositories hold.
    Structure,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is looking at.
    pub phase: Phase,
    /// Content that was looked at, and how much there was when it began.
    pub objects: u64,
    /// See above.
    pub objects_total: u64,
    /// The bytes of that content.
    pub bytes: u64,
    /// Repositories that were looked at.
    pub repositories: u64,
}

/// What a run found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The first findings, up to [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many there are of each kind, and what was done about them.
    pub counts: BTreeMap<(Kind, Done), u64>,
    /// Content that was looked at.
    pub objects: u64,
    /// The bytes of that content.
    pub bytes: u64,
    /// Repositories that were looked at.
    pub repositories: u64,
    /// Contents in the quarantine.
    pub quarantined: u64,
    /// The folder of content after which it went on, if an earlier run was broken off there.
    pub resumed_after: Option<String>,
}

/// How many findings a report lists; further ones are counted, and told as they are found.
pub const FINDINGS_MAX: usize = 10_000;
/// As how many bytes a record counts, where bytes have their pace: about what a disk reads for it.
const RECORD_COST_BYTES: u64 = 4096;
/// How many digests a run knows to be corrupt that are where they were.
const CORRUPT_MAX: usize = 100_000;

impl Report {
    /// Returns how many findings there are.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Returns how many are still wrong at the end.
    pub fn unsettled(&self) -> u64 {
        self.counts.iter().filter(|((_, done), _)| !done.is_settled()).map(|(_, count)| count).sum()
    }

    /// Sorts the findings by where they are.
    pub fn sort(&mut self) {
        self.findings.sort_by(Finding::order);
    }

    /// Adds another store's.
    pub fn add(&mut self, other: Self) {
        let room = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.into_iter().take(room));
        self.resumed_after = self.resumed_after.take().or(other.resumed_after);
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.repositories += other.repositories;
        self.quarantined += other.quarantined;
    }
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) store: &'a Store,
    pub(super) options: Options,
    pub(super) watch: &'a dyn Watch,
    pub(super) pace: Pace,
    pub(super) progress: Progress,
    /// Content that is wrong and where it was.
    pub(super) corrupt: HashSet<Digest>,
    /// How far the walk over content is, for the next process.
    pub(super) state: ScrubRecord,
    /// Contents in the quarantine.
    pub(super) quarantined: u64,
    report: Report,
}

/// Something that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) detail: String,
}

impl Fault {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// Makes the fault of something that could not be looked at.
    pub(super) fn unreadable(error: &dyn std::error::Error) -> Self {
        Self::new(Kind::Record, chain(error))
    }
}

impl Store {
    /// Looks at every stored byte, and at the structure of every repository.
    ///
    /// What cannot be read is a finding, and does not end the run.
    ///
    /// *Units and limits:* holds one folder of content, the names of one repository and a chunk of content in
    /// memory.
    ///
    /// *Cancellation:* with [`From::WhereItStood`] the next run goes on after the last folder of content that
    /// was looked at to its end; what was begun of a quarantine or a removal runs to its end.
    pub async fn scrub(&self, options: Options, watch: &dyn Watch) -> Report {
        let (by, state) = match options.from {
            From::Beginning => (By::Command, None),
            From::WhereItStood(by) => {
                let stood = self.scrub_record().await;
                (by, stood.filter(|record| record.ended_at.is_none() && record.by == by))
            }
        };
        let state = state.unwrap_or_else(|| ScrubRecord {
            by,
            started_at: self.0.clock.now(),
            after: None,
            objects: 0,
            bytes: 0,
            ended_at: None,
        });
        let report = Report { resumed_after: state.after.clone(), ..Report::default() };
        let mut run = Run {
            store: self,
            options,
            watch,
            pace: Pace::new(options.bytes_per_second),
            progress: Progress {
                phase: Phase::Content,
                objects: state.objects,
                objects_total: 0,
                bytes: state.bytes,
                repositories: 0,
            },
            corrupt: HashSet::new(),
            state,
            quarantined: 0,
            report,
        };
        run.note().await;
        run.walk_content().await;
        run.walk_tree().await;
        run.end().await
    }

    /// Returns when the last scrub was begun, if it has come to its end.
    pub async fn scrubbed_at(&self) -> Option<Timestamp> {
        self.scrub_record().await.filter(|record| record.ended_at.is_some()).map(|record| record.started_at)
    }

    /// Reads how far the last scrub came. It is written without a sync: what power loss has left of it may be
    /// nothing, and then the next one begins anew.
    async fn scrub_record(&self) -> Option<ScrubRecord> {
        let bytes = self.0.backend.read(&layout::scrub()).await.ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }
}

impl Run<'_> {
    /// Tells of a finding, and counts it.
    pub(super) fn found(&mut self, finding: Finding) {
        self.watch.finding(&finding);
        *self.report.counts.entry((finding.kind, finding.done)).or_default() += 1;
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        }
    }

    /// Tells of something that is wrong with a thing of a repository.
    pub(super) fn found_in(
        &mut self,
        (repository, key): (&RepositoryKey, Key),
        digest: Option<&Digest>,
        fault: Fault,
        done: Done,
    ) {
        let (repository, digest) = (Some(repository.clone()), digest.copied());
        self.found(Finding { kind: fault.kind, key, repository, digest, detail: fault.detail, done });
    }

    /// Tells of a key that is none of ours.
    pub(super) fn found_foreign(&mut self, key: Key) {
        let detail = "the layout knows no such key".to_owned();
        let (kind, done) = (Kind::Foreign, Done::Reported);
        self.found(Finding { kind, key, repository: None, digest: None, detail, done });
    }

    /// Tells of a folder or record that cannot be read.
    pub(super) fn found_unreadable(&mut self, key: Key, error: &dyn std::error::Error) {
        let Fault { kind, detail } = Fault::unreadable(error);
        let done = Done::Reported;
        self.found(Finding { kind, key, repository: None, digest: None, detail, done });
    }

    pub(super) fn found_corrupt(&mut self, finding: Finding) {
        if !finding.done.is_settled()
            && self.corrupt.len() < CORRUPT_MAX
            && let Some(digest) = finding.digest
        {
            self.corrupt.insert(digest);
        }
        self.found(finding);
    }

    /// Lists a folder; one that cannot be read is a finding, and has nothing.
    pub(super) async fn list(&mut self, key: &Key) -> Vec<String> {
        match self.store.0.backend.list(key).await {
            Ok(names) => names,
            Err(error) => {
                self.found_unreadable(key.clone(), &error);
                Vec::new()
            }
        }
    }

    /// Lets a record that is about to be read have its time.
    pub(super) async fn count_record(&mut self) {
        self.pace.spend(RECORD_COST_BYTES).await;
        tokio::task::yield_now().await;
    }

    pub(super) fn tell_progress(&self) {
        self.watch.progress(&self.progress);
    }

    /// Writes down how far the walk over content is, where a next process could go on.
    pub(super) async fn note(&self) {
        if self.options.from == From::Beginning {
            return;
        }
        let written =
            self.store.0.backend.write_unsynced(&layout::scrub(), record::encode(&self.state)).await;
        if let Err(error) = written {
            tracing::warn!(
                error = %WithCauses(&error),
                "how far the scrub is could not be written down; after a restart it begins anew"
            );
        }
    }

    async fn end(mut self) -> Report {
        self.state.after = None;
        self.state.ended_at = Some(self.store.0.clock.now());
        self.note().await;
        let Progress { objects, bytes, repositories, .. } = self.progress;
        self.report.sort();
        Report { objects, bytes, repositories, quarantined: self.quarantined, ..self.report }
    }

    /// Says what is wrong with content that a record says has this size.
    pub(super) async fn content_fault(
        &self,
        digest: &Digest,
        expected: u64,
    ) -> Result<Option<String>, Error> {
        if self.corrupt.contains(digest) {
            return Ok(Some("its content is corrupt".to_owned()));
        }
        Ok(match self.store.0.backend.size(&layout::blob(digest)).await? {
            Some(size) if size == expected => None,
            Some(size) => Some(format!("its record says {expected} bytes, and its content has {size}")),
            None if self.store.is_quarantined(digest).await? => {
                Some("its content is in quarantine".to_owned())
            }
            None => Some("its content is missing".to_owned()),
        })
    }

    /// Does what makes something good, where that is wanted; a failure is added to what is told.
    pub(super) async fn repair(
        &self,
        fault: &mut Fault,
        work: impl Future<Output = Result<Done, Error>> + Send,
    ) -> Done {
        if self.options.acting == Acting::Report {
            return Done::Reported;
        }
        work.await.unwrap_or_else(|error| {
            fault.detail = format!("{}, and it could not be repaired: {}", fault.detail, chain(&error));
            Done::Failed
        })
    }

    /// Makes good what a repository has lost. What was cached is fetched again, or let go of, so that whoever
    /// asks for it has it fetched; what was pushed has no other copy, and waits for a push.
    pub(super) async fn make_good(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        lost: Lost,
        fault: &mut Fault,
    ) -> Done {
        // The wrong bytes are still there, and would be taken for it.
        if self.corrupt.contains(digest) {
            return Done::Reported;
        }
        self.repair(fault, self.bring_back(repository, digest, lost)).await
    }

    async fn bring_back(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        lost: Lost,
    ) -> Result<Done, Error> {
        if lost == Lost::Manifest && self.store.restore_from_memory(digest).await? {
            return Ok(Done::Restored);
        }
        if repository.space == Space::Hosted {
            return Ok(Done::Reported);
        }
        self.store.0.members.forget(&(repository.clone(), *digest));
        if self.watch.refetch(repository, digest, lost).await
            && self.is_whole(repository, digest, lost).await?
        {
            return Ok(Done::Refetched);
        }
        match lost {
            Lost::Blob => self.store.let_blob_go(repository, digest).await,
            Lost::Manifest => self.store.let_manifest_go(repository, digest).await,
        }
    }

    async fn is_whole(&self, repository: &RepositoryKey, digest: &Digest, lost: Lost) -> Result<bool, Error> {
        match lost {
            Lost::Blob => self.store.has_blob(repository, digest).await,
            Lost::Manifest => self.store.has_whole_manifest(repository, digest).await,
        }
    }
}

/// Writes out an error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
