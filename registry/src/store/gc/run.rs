//! A run over a store: what is asked of it, and its course.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::report::{Item, Kind, Report};
use crate::backend::{Key, Sentence};
use crate::clock::Timestamp;
use crate::oci::{Algorithm, Digest, RepositoryName};
use crate::store::asked::Clients;
use crate::store::filter::Filter;
use crate::store::linking::Removal;
use crate::store::retention::Pulls;
use crate::store::{Error, RepositoryKey, Space, Store, layout};
use crate::telemetry::WithCauses;

/// What is asked of a run.
#[derive(Clone)]
pub struct Request {
    /// Whether anything is removed.
    pub mode: Mode,
    /// Whether clients may have been told of what looks like garbage.
    pub clients: Clients,
    /// The upstreams whose caches are in this store; `None` takes all that are there for configured.
    pub upstreams: Option<BTreeSet<String>>,
    /// What becomes of those that are not among them.
    pub orphans: Orphans,
    /// Says when a hosted manifest was pulled, where that is not written down yet.
    pub pulls: Pulls,
    /// Told of each thing that goes, or would.
    pub told: Arc<dyn Fn(&Item) + Send + Sync>,
}

/// Whether anything is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Garbage is removed.
    Remove,
    /// It is only told what would be.
    Tell,
}

/// What becomes of the caches of upstreams that are no longer configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphans {
    /// They stay: the upstream may come back.
    Keep,
    /// They are removed. No server may have the store.
    Remove,
}

/// The bits of the set of all links, 8 MiB. Of ten million links, one in twenty pieces of garbage is taken for
/// linked, and stays until a later run.
const LINKED_BITS: u64 = 1 << 26;

/// How often a server looks for content in the bucket that nothing leads to.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// How much longer than anything is under way it must have stood still.
const RECLAIM_MARGIN: Duration = Duration::from_secs(3600);

/// A run under way.
pub(super) struct Sweep<'a> {
    pub(super) store: &'a Store,
    pub(super) request: &'a Request,
    pub(super) removal: Arc<Removal>,
    /// The digests that a link stays of.
    pub(super) linked: Filter,
    pub(super) report: Report,
    /// Content that the run before has condemned, where other processes write to the store.
    pub(super) condemned: HashMap<Digest, Sentence>,
    pub(super) pulls_known_since: Timestamp,
}

impl Store {
    /// Removes garbage, or tells what it would remove.
    ///
    /// What cannot be looked at or removed is kept and counted, and does not end the run, but for a folder that
    /// cannot be listed: then nothing is known of links, and no content is removed.
    ///
    /// *Units and limits:* takes the same memory whatever the store holds, beside the names in one folder. One
    /// run at a time; each record and each piece of content is looked at once.
    ///
    /// *Cancellation:* leaves some of the garbage; a removal under way ends.
    ///
    /// *Durability:* of what goes, links go durably before their content; a crash leaves garbage, and nothing
    /// that needs what is gone.
    pub async fn collect_garbage(&self, request: &Request) -> Result<Report, Error> {
        let mut report = self.look_for_garbage(request).await?;
        if self.is_shared() && request.clients == Clients::Absent && request.mode == Mode::Remove {
            // Content is condemned by the first look, and removed by the second; a server has its next one.
            report.append(self.look_for_garbage(request).await?);
        }
        Ok(report)
    }

    async fn look_for_garbage(&self, request: &Request) -> Result<Report, Error> {
        let _one_at_a_time = self.0.sweeping.lock().await;
        // Before anything is looked at: what is linked from here on is seen.
        let removal = Arc::new(self.0.linking.remove());
        let mut sweep = Sweep {
            store: self,
            request,
            removal,
            linked: Filter::new(LINKED_BITS),
            report: Report::default(),
            condemned: std::mem::take(&mut *self.0.condemned.lock().unwrap_or_else(PoisonError::into_inner)),
            pulls_known_since: self.0.clock.now(),
        };
        sweep.pulls_known_since = sweep.pulls_known().await?;
        sweep.uploads().await?;
        sweep.spaces().await?;
        sweep.content().await?;
        sweep.held().await?;
        if sweep.removes() && self.is_time_to_reclaim(request.clients) {
            let options = &self.0.options;
            let idle = options.upload_expiry.max(options.gc.delay) + RECLAIM_MARGIN;
            let reclaimed = self.0.backend.reclaim(idle).await?;
            tracing::debug!(
                gc.objects = reclaimed.objects,
                gc.bytes = reclaimed.bytes,
                "content was reclaimed"
            );
        }
        Ok(sweep.report)
    }

    /// Says whether what nothing leads to is to be looked for in the bucket itself, which reads every pointer.
    fn is_time_to_reclaim(&self, clients: Clients) -> bool {
        let mut last = self.0.reclaimed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = clients == Clients::Absent || last.is_none_or(|at| at.elapsed() >= RECLAIM_INTERVAL);
        if is_time {
            *last = Some(Instant::now());
        }
        is_time
    }

    /// Returns the repositories that have a folder below one, as their paths there.
    pub(in crate::store) async fn repository_paths(&self, root: &Key) -> Result<Vec<String>, Error> {
        let (mut found, mut paths) = (Vec::new(), vec![String::new()]);
        while let Some(path) = paths.pop() {
            let folder = if path.is_empty() { root.clone() } else { root.child(&path) };
            let (own, below): (Vec<_>, Vec<_>) =
                self.0.backend.list(&folder).await?.into_iter().partition(|name| name.starts_with('_'));
            let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
            if !own.is_empty() {
                found.push(path);
            }
            paths.extend(below.into_iter().map(|name| format!("{prefix}{name}")));
        }
        Ok(found)
    }
}

impl Sweep<'_> {
    async fn spaces(&mut self) -> Result<(), Error> {
        let backend = &self.store.0.backend;
        let mut spaces = vec![(Space::Hosted, layout::repositories())];
        for upstream in backend.list(&layout::upstreams()).await? {
            let known = self.request.upstreams.as_ref();
            if known.is_none_or(|known| known.contains(&upstream))
                || self.orphan(&upstream).await? == Orphans::Keep
            {
                let folder = layout::repositories_of(&upstream);
                spaces.push((Space::Upstream(upstream.into()), folder));
            }
        }
        for (space, folder) in spaces {
            for path in self.store.repository_paths(&folder).await? {
                match RepositoryName::parse(&path) {
                    Ok(name) => self.repository(&RepositoryKey { space: space.clone(), name }).await?,
                    // A foreign folder: what it links stays.
                    Err(_) => self.keep_links(&folder.child(&path)).await?,
                }
            }
        }
        Ok(())
    }

    async fn repository(&mut self, repository: &RepositoryKey) -> Result<(), Error> {
        if let Err(error) = self.look_through(repository).await {
            self.failed(&error, "a repository could not be looked through, and keeps what it has");
            self.keep_links(&layout::repository(repository)).await?;
        }
        Ok(())
    }

    async fn look_through(&mut self, repository: &RepositoryKey) -> Result<(), Error> {
        let would_go = self.retain(repository).await?;
        self.links(repository, &would_go).await?;
        self.remains(repository).await
    }

    /// Keeps whatever a repository links, by the names in its folders alone.
    async fn keep_links(&mut self, repository: &Key) -> Result<(), Error> {
        for kind in [layout::BLOBS, layout::MANIFESTS] {
            for algorithm in Algorithm::ALL {
                let folder = repository.child(kind).child(&algorithm.to_string());
                for digest in self.digests(algorithm, &folder).await? {
                    self.linked.add(&digest);
                }
            }
        }
        Ok(())
    }

    /// Returns the digests that a folder's names are.
    pub(super) async fn digests(&self, algorithm: Algorithm, folder: &Key) -> Result<Vec<Digest>, Error> {
        let names = self.store.0.backend.list(folder).await?;
        Ok(names.iter().filter_map(|hex| Digest::from_hex(algorithm, hex).ok()).collect())
    }

    /// Counts something that goes, and tells of it.
    pub(super) fn gone(&mut self, kind: Kind, what: impl fmt::Display, bytes: u64) {
        self.report.add(kind, 1, bytes);
        (self.request.told)(&Item { kind, what: what.to_string(), bytes });
    }

    /// Counts something that failed.
    pub(super) fn failed(&mut self, error: &Error, what: &'static str) {
        self.report.failures += 1;
        tracing::warn!(error = %WithCauses(error), "{what}");
    }

    /// Says whether anything is removed.
    pub(super) fn removes(&self) -> bool {
        self.request.mode == Mode::Remove
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("mode", &self.mode)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}
