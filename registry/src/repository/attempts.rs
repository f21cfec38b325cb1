//! Asking an upstream for a manifest until there is an answer, exactly as often as is configured (P6).
//!
//! One *attempt* asks every url. While a client waits, attempts follow each other in the foreground; once the
//! next one would begin too late for it, it is told what went wrong, and the rest of the schedule goes on in
//! the background, so that the cache fills all the same. Whoever asks meanwhile makes an attempt of his own:
//! its success ends the schedule, its failure changes nothing of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pull::Fetched;
use super::service::cached;
use super::{Error, Repositories, WRITE_PATIENCE};
use crate::mutants;
use crate::oci::{Algorithm, Digest, Manifest, Reference, RepositoryName};
use crate::store::manifests::{NewManifest, References, StoredManifest, Tagging, digest_of};
use crate::telemetry::WithCauses;
use crate::upstream::error::Wrong;
use crate::upstream::options::Options;
use crate::upstream::{self, Candidate, Id, Schedule, Upstream, Url, Worst};

/// Which manifest of which upstream.
pub(super) type ManifestKey = (Id, RepositoryName, Reference);

/// What an upstream is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) upstream: Arc<Upstream>,
    pub(super) name: RepositoryName,
    pub(super) reference: Reference,
    /// The cached copy, when the question is whether it is still the right one.
    pub(super) copy: Option<Arc<StoredManifest>>,
}

impl Question {
    pub(super) fn new(
        candidate: &Candidate,
        reference: Reference,
        copy: Option<Arc<StoredManifest>>,
    ) -> Self {
        let Candidate { upstream, name, .. } = candidate.clone();
        Self { upstream, name, reference, copy }
    }

    pub(super) fn key(&self) -> ManifestKey {
        (self.upstream.id(), self.name.clone(), self.reference.clone())
    }
}

/// Returns how long to wait before the next attempt, or `None` when there is none.
///
/// `failed` attempts have failed so far, the last one with `error`. A url that is not asked for now fails an
/// attempt that was scheduled, and schedules none: a client is better told at once.
pub(super) fn next_wait(error: &upstream::Error, failed: u32, options: &Options) -> Option<Duration> {
    let is_paused = matches!(error, upstream::Error::Paused { .. });
    let is_retried = error.is_retryable()
        || (error.is_not_found() && mutants::is("MU42-what-is-not-there-is-asked-for-again"));
    if !is_retried || (is_paused && failed <= 1) {
        return None;
    }
    let wait = Schedule::of(options).wait(failed)?;
    Some(wait.max(error.retry_after().unwrap_or_default().min(options.cool_down_max)))
}

/// Schedules that go on in the background, one for each object.
#[derive(Debug)]
pub(super) struct Backlog<K> {
    table: Arc<Mutex<HashMap<K, Arc<Notify>>>>,
    schedules_max: usize,
}

impl<K: Clone + Eq + std::hash::Hash> Backlog<K> {
    pub(super) fn new(schedules_max: usize) -> Self {
        Self { table: Arc::default(), schedules_max }
    }

    /// Says whether there is a schedule for the object.
    pub(super) fn has(&self, key: &K) -> bool {
        self.table().contains_key(key)
    }

    /// Begins one, unless there is one or there are too many; it hears when it is ended.
    pub(super) fn begin(&self, key: &K) -> Option<Arc<Notify>> {
        let mut table = self.table();
        if table.len() >= self.schedules_max || table.contains_key(key) {
            return None;
        }
        let ended = Arc::new(Notify::new());
        table.insert(key.clone(), Arc::clone(&ended));
        Some(ended)
    }

    /// Ends it: the object is there, or will not be.
    pub(super) fn end(&self, key: &K) {
        if let Some(ended) = self.table().remove(key) {
            ended.notify_one();
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<K, Arc<Notify>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repositories {
    /// Fetches or checks a manifest, once for all who want it.
    ///
    /// *Errors:* those of the upstream.
    pub(super) async fn ask_for_manifest(&self, question: Question) -> Result<Fetched, Error> {
        let (this, key) = (self.clone(), question.key());
        let flights = if question.copy.is_some() { &self.0.checks } else { &self.0.flights };
        let answer = flights.ask(key, async move { this.persist(&question).await }).await;
        Ok(answer.ok_or(crate::store::Error::Abandoned)??)
    }

    /// Makes attempts while a client waits for them.
    async fn persist(&self, question: &Question) -> Result<Fetched, upstream::Error> {
        let (key, options, begun) = (question.key(), question.upstream.options(), Instant::now());
        // An attempt beside a schedule is one, and no more.
        let is_beside = self.0.backlog.has(&key);
        let mut failed = 0;
        loop {
            let error = match self.attempt(question).await {
                Ok(fetched) => {
                    self.0.backlog.end(&key);
                    return Ok(fetched);
                }
                Err(error) => error,
            };
            failed += 1;
            let wait = next_wait(&error, failed, options).filter(|_| !is_beside);
            let Some(wait) = wait else { return Err(error) };
            count_retry(question.upstream.name());
            // Who has a cached copy is not kept waiting for the next attempt (P7).
            if question.copy.is_some() || begun.elapsed() + wait > options.on_demand_timeout {
                self.go_on_later(question.clone(), wait, failed);
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes the attempts that are left of a schedule in the background.
    fn go_on_later(&self, question: Question, wait: Duration, failed: u32) {
        let key = question.key();
        let Some(ended) = self.0.backlog.begin(&key) else { return };
        let (this, mut wait, mut failed) = (self.clone(), wait, failed);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(wait) => {}
                    () = ended.notified() => return,
                }
                if question.upstream.is_retired() {
                    break;
                }
                let Err(error) = this.attempt(&question).await else { break };
                failed += 1;
                let Some(next) = next_wait(&error, failed, question.upstream.options()) else {
                    tracing::warn!(upstream.name = %question.upstream.name(), repo.name = %question.name,
                        error = %WithCauses(&error), "a manifest could not be fetched in the background");
                    break;
                };
                count_retry(question.upstream.name());
                wait = next;
            }
            this.0.backlog.end(&key);
        });
    }

    /// Makes one attempt. A tag that it brings, or finds as it was, has been checked when it began.
    async fn attempt(&self, question: &Question) -> Result<Fetched, upstream::Error> {
        let begun = self.0.clock.now();
        let fetched = self.ask_each(question).await?;
        if let Reference::Tag(tag) = &question.reference
            && !question.upstream.is_retired()
        {
            self.note_check(&question.upstream, &question.name, tag, begun).await;
        }
        Ok(fetched)
    }

    /// Asks every url once, until one has the right answer.
    async fn ask_each(&self, question: &Question) -> Result<Fetched, upstream::Error> {
        let Question { upstream, name, reference, copy } = question;
        if let Some(copy) = copy
            && upstream.manifest_digest(name, reference).await? == Some(copy.digest)
        {
            return Ok(Fetched(Arc::clone(copy)));
        }
        let mut worst = Worst::default();
        for url in upstream.urls() {
            match self.fetch_from(url, question).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => worst.add(upstream, error),
            }
        }
        Err(upstream.failed(worst))
    }

    /// Fetches a manifest from one url, and stores it when it is right.
    async fn fetch_from(&self, url: &Url, question: &Question) -> Result<Fetched, upstream::Error> {
        let Question { upstream, name, reference, .. } = question;
        let remote = upstream.manifest(url, name, reference).await?;
        let wrong = |reason| upstream::Error::wrong(upstream.label(), reason);
        let algorithm = match reference {
            Reference::Digest(digest) => digest.algorithm(),
            Reference::Tag(_) => Algorithm::Sha256,
        };
        // Always our own hash, never the upstream's claim.
        let digest = digest_of(algorithm, &remote.bytes).await;
        if matches!(reference, Reference::Digest(expected) if *expected != digest) {
            return Err(wrong(Wrong::Digest));
        }
        // The claim is never passed on. But when the bytes of a tag do not fit it, one of them was spoiled, and
        // nothing else could tell; clients that ask the upstream itself refuse it as well.
        if let (Reference::Tag(_), Some(claimed)) = (reference, remote.claimed)
            && claimed != digest
            && claimed != digest_of(claimed.algorithm(), &remote.bytes).await
        {
            return Err(wrong(Wrong::Digest));
        }
        let manifest =
            Manifest::parse(&remote.bytes, remote.media_type.as_ref()).map_err(|_| wrong(Wrong::Manifest))?;
        if !self.is_admitted(question, &manifest, &digest).await? {
            return Err(upstream::Error::Unsigned { upstream: Arc::clone(upstream.label()) });
        }
        let stored = StoredManifest::new(digest, manifest.media_type.clone(), remote.bytes.clone());
        self.keep(question, digest, manifest, remote.bytes).await;
        Ok(Fetched(Arc::new(stored)))
    }

    /// Stores a fetched manifest.
    async fn keep(&self, question: &Question, digest: Digest, manifest: Manifest, bytes: bytes::Bytes) {
        let tags = match &question.reference {
            // A tag is what the upstream says that is configured now.
            Reference::Tag(tag) if !question.upstream.is_retired() => vec![tag.clone()],
            Reference::Tag(_) | Reference::Digest(_) => Vec::new(),
        };
        let references = References::OnDemand;
        let new = NewManifest { manifest, bytes, digest, tags, tagging: Tagging::Move, references };
        let repository = cached(&question.upstream, &question.name);
        let size = new.bytes.len() as u64;
        self.0.arrivals.add(question.upstream.name(), size);
        let store = self.at(&repository).clone();
        let keeping = tokio::spawn(async move {
            if let Err(error) = store.put_manifest(&repository, new).await
                && !error.is_standing()
            {
                // The client has its answer all the same; the next one asks the upstream again.
                tracing::error!(repo.name = %repository, error = %WithCauses(&error),
                    "a fetched manifest could not be stored");
            }
        });
        _ = tokio::time::timeout(WRITE_PATIENCE, keeping).await;
    }
}

/// Counts an attempt that will be made again.
pub(super) fn count_retry(upstream: &Arc<str>) {
    metrics::counter!("wharfinger_upstream_retries_total", "upstream" => upstream.to_string()).increment(1);
}

#[cfg(test)]
mod tests {
    //! Goal (P6): what is tried again, and when. Method: a table; a backlog of two.

    use super::*;
    use crate::upstream::Fault;

    #[test]
    fn p6_what_is_tried_again() {
        let upstream: Arc<str> = Arc::from("hub");
        let up = || Arc::clone(&upstream);
        let options = Options {
            retries_max: 2,
            retry_delay: Duration::from_secs(5),
            retry_delay_max: Duration::from_secs(5),
            cool_down_max: Duration::from_secs(60),
            ..Options::default()
        };
        let limited = |seconds| upstream::Error::RateLimited {
            upstream: up(),
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let paused = || upstream::Error::Paused { upstream: up(), retry_after: Duration::from_secs(9) };
        let status = |status| upstream::Error::Status { upstream: up(), status, retry_after: None };
        let broken = |fault| upstream::Error::Unreachable { upstream: up(), fault };
        for (error, failed, expect) in [
            (status(500), 1, Some(5)),
            (status(500), 2, Some(5)),
            (status(500), 3, None),
            (status(408), 1, Some(5)),
            (status(400), 1, None),
            (broken(Fault::Reset), 1, Some(5)),
            (broken(Fault::Tls), 1, None),
            (limited(1), 1, Some(5)),
            (limited(30), 1, Some(30)),
            (limited(9_999), 1, Some(60)),
            (limited(30), 3, None),
            (paused(), 1, None),
            (paused(), 2, Some(9)),
            (upstream::Error::NotFound { upstream: up() }, 1, None),
            (upstream::Error::Denied { upstream: up() }, 1, None),
            (upstream::Error::wrong(&upstream, Wrong::Digest), 1, None),
        ] {
            let wait = next_wait(&error, failed, &options).map(|wait| wait.as_secs());
            assert_eq!(wait, expect, "{error} after {failed}");
        }
    }

    #[tokio::test]
    async fn a_schedule_is_one_for_each_object_and_they_are_bounded() {
        let backlog: Backlog<u8> = Backlog::new(2);
        let one = backlog.begin(&1).unwrap();
        assert!(backlog.begin(&1).is_none() && backlog.begin(&2).is_some() && backlog.begin(&3).is_none());
        backlog.end(&1);
        one.notified().await;
        assert!(!backlog.has(&1) && backlog.begin(&3).is_some());
    }
}
