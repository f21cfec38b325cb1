//! Fills: one fetch of one blob, followed by any number of readers.
//!
//! The upstream's body goes to a staged file and a hasher, in a task that belongs to no client (`work`).
//! Readers follow the staged file at their own pace (`follow`). The last byte is held back until the digest
//! has been checked, so that a wrong body never completes (P1); a blob of up to [`VERIFIED_FIRST_BYTES`] is
//! checked before its reader is told that there is one.
//!
//! A body that breaks off is resumed where it stopped, at the next url too. Between two attempts the fill
//! waits; a reader that would wait too long is answered or cut, and the fill goes on without it.
//!
//! | file | what it is |
//! |---|---|
//! | `work` | the task: attempts at every url, until the blob is there or the schedule has ended |
//! | `staged` | what has arrived, and what a restart would find of it |
//! | `follow` | readers |
//! | `passing` | what the disk has no room for |
//! | `slice`, `cold` | parts of a blob that no fill is near |
//! | `speed` | a body that drips |

mod cold;
mod follow;
mod passing;
mod slice;
mod speed;
mod staged;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use super::Error;
use super::evict::Arrivals;
use super::service::cached;
use super::stores::Stores;
use crate::mutants;
use crate::oci::range::RangeSpec;
use crate::oci::{Digest, RepositoryName};
use crate::store::ReadAt;
use crate::upstream::options::ColdRange;
use crate::upstream::{self, Upstream};

pub use cold::Cold;
pub use follow::{FillError, Filling};
use passing::Passing;
use slice::{Source, Turns};
use work::Work;

/// Blobs up to this size are verified before the status line, so that a bad one is a clean 502.
pub const VERIFIED_FIRST_BYTES: u64 = 64 * 1024;

/// Fills under way. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Fills {
    stores: Stores,
    table: Arc<Mutex<HashMap<Key, Arc<Fill>>>>,
    /// Fills that wait for an attempt that no client waits for.
    waiting: Arc<Semaphore>,
    /// Told when the process ends: what has arrived is then made durable.
    closing: watch::Sender<bool>,
    /// Turns at slices of blobs.
    turns: Turns,
    /// What was stored.
    arrivals: Arc<Arrivals>,
}

/// A fill belongs to a repository, since being allowed to fetch a digest from one says nothing of
/// another (P10).
type Key = (Arc<str>, RepositoryName, Digest);

/// One fetch of one blob.
#[derive(Debug)]
pub struct Fill {
    source: Source,
    /// How long after its request a reader may still wait for an attempt to begin.
    patience: Duration,
    progress: watch::Receiver<Progress>,
    /// Wakes a fill that waits in the background: somebody wants it now.
    wanted: Arc<Notify>,
    /// When the blob was last asked for.
    asked_at: Arc<Mutex<Instant>>,
}

/// How far a fill is.
#[derive(Debug, Clone)]
struct Progress {
    stage: FillStage,
    /// Attempts that have failed.
    failed: u32,
    /// Which start from the first byte this is: what readers of an earlier one were sent was wrong.
    generation: u32,
    /// Bytes that can be read.
    written: u64,
    /// When the last of them came.
    written_at: Instant,
    /// The size, when the upstream has announced it.
    size: Option<u64>,
    source: Option<Arc<dyn ReadAt>>,
    /// Whether it is in the store.
    is_stored: bool,
    /// What is passed on without being kept, after the bytes of `source`.
    passing: Option<Arc<Passing>>,
}

#[derive(Debug, Clone)]
enum FillStage {
    /// The upstream has not answered yet.
    Asking,
    /// The body is arriving.
    Receiving,
    /// An attempt has failed.
    Waiting(Wait),
    /// The whole body is there and has the digest.
    Verified,
    /// There will be no whole body.
    Failed(Arc<upstream::Error>),
    /// This side failed.
    Broken,
}

/// The time between two attempts.
#[derive(Debug, Clone)]
struct Wait {
    /// What the last attempt failed with.
    error: Arc<upstream::Error>,
    /// When the next one begins.
    due: Instant,
    /// Whether that was too late for everybody who wanted the blob when the attempt failed. Whoever comes
    /// then has an attempt of his own.
    is_background: bool,
}

impl FillStage {
    /// Says whether the fill has ended, one way or the other.
    fn is_over(&self) -> bool {
        matches!(self, Self::Verified | Self::Failed(_) | Self::Broken)
    }
}

impl Progress {
    fn waits_in_background(&self) -> bool {
        matches!(self.stage, FillStage::Waiting(Wait { is_background: true, .. }))
    }
}

/// A fill of the table, and its work if that is to be begun.
struct Joined {
    fill: Arc<Fill>,
    begun: Option<(Work, Landing)>,
}

impl Joined {
    /// Begins the work, if nobody has. The table must not be locked: a runtime that shuts down drops the work here
    /// and now, which takes it off the table.
    fn under_way(self) -> Arc<Fill> {
        if let Some((work, landing)) = self.begun {
            let upstream = work.upstream.name().to_string();
            let running = metrics::gauge!("wharfinger_fills_running", "upstream" => upstream);
            running.increment(1.0);
            tokio::spawn(async move {
                work.run().await;
                running.decrement(1.0);
                // Held until the blob is visible in the store, or else the next reader fetches again.
                drop(landing);
            });
        }
        self.fill
    }
}

impl Fills {
    /// Makes the table of fills, of which so many may wait in the background.
    pub(super) fn new(stores: Stores, arrivals: Arc<Arrivals>, waiting_max: usize) -> Self {
        Self {
            stores,
            table: Arc::default(),
            waiting: Arc::new(Semaphore::new(waiting_max)),
            closing: watch::Sender::new(false),
            turns: Turns::default(),
            arrivals,
        }
    }

    /// Ends all fills, and makes durable what has arrived, so that the next process goes on from it; waits
    /// no longer than `patience`.
    pub(super) async fn close(&self, patience: Duration) {
        self.closing.send_replace(true);
        let all: Vec<Arc<Fill>> = self.table().values().map(Arc::clone).collect();
        let ends = futures_util::future::join_all(all.iter().map(|fill| fill.ended()));
        if tokio::time::timeout(patience, ends).await.is_err() {
            tracing::warn!("some fetches could not be put down in time; they begin again");
        }
    }

    /// Joins the fill of a blob, or begins it.
    pub(super) fn join(&self, upstream: &Arc<Upstream>, name: &RepositoryName, digest: &Digest) -> Arc<Fill> {
        let joined = self.join_in(&mut self.table(), upstream, name, digest);
        joined.under_way()
    }

    fn join_in(
        &self,
        table: &mut HashMap<Key, Arc<Fill>>,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Joined {
        let key = (Arc::clone(upstream.name()), name.clone(), *digest);
        let followed = table.get(&key).filter(|fill| !fill.has_passed() && fill.is_good_for(upstream));
        if let Some(fill) = followed.filter(|_| !mutants::is("MU49-each-client-fetches")) {
            metrics::counter!("wharfinger_fills_joined_total", "upstream" => upstream.name().to_string())
                .increment(1);
            return Joined { fill: Arc::clone(fill), begun: None };
        }
        let begun = Progress {
            stage: FillStage::Asking,
            failed: 0,
            generation: 0,
            written: 0,
            written_at: Instant::now(),
            size: None,
            source: None,
            is_stored: false,
            passing: None,
        };
        let (sender, progress) = watch::channel(begun);
        let (wanted, asked_at) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Instant::now())));
        let fill = Arc::new(Fill {
            source: self.source(upstream, name, digest),
            patience: upstream.options().on_demand_timeout,
            progress,
            wanted: Arc::clone(&wanted),
            asked_at: Arc::clone(&asked_at),
        });
        table.insert(key.clone(), Arc::clone(&fill));
        let landing = Landing { table: Arc::clone(&self.table), key, fill: Arc::downgrade(&fill) };
        let work = Work {
            store: self.stores.of_upstream(upstream.name()).clone(),
            repository: cached(upstream, name),
            upstream: Arc::clone(upstream),
            name: name.clone(),
            digest: *digest,
            progress: sender,
            wanted,
            asked_at,
            waiting: Arc::clone(&self.waiting),
            closing: self.closing.subscribe(),
            arrivals: Arc::clone(&self.arrivals),
        };
        Joined { fill, begun: Some((work, landing)) }
    }

    /// Joins the fill of a blob, or begins it, unless there is one for another repository of the upstream.
    pub(super) fn join_unless_elsewhere(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Option<Arc<Fill>> {
        let mut table = self.table();
        let key = (Arc::clone(upstream.name()), name.clone(), *digest);
        if !table.contains_key(&key) && elsewhere(&table, &key).is_some() {
            return None;
        }
        let joined = self.join_in(&mut table, upstream, name, digest);
        drop(table);
        Some(joined.under_way())
    }

    fn source(&self, upstream: &Arc<Upstream>, name: &RepositoryName, digest: &Digest) -> Source {
        let key = (Arc::clone(upstream.name()), name.clone(), *digest);
        let turns = self.turns.of(&key);
        Source { upstream: Arc::clone(upstream), name: name.clone(), digest: *digest, turns }
    }

    /// Returns a part of a blob that is not here, unless its fill is near, or what the fill brings is to be
    /// waited for; then `None`.
    ///
    /// *Errors:* that the upstream does not have it, or refuses; for anything else a fill has more patience.
    pub(super) async fn cold(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        digest: &Digest,
        part: RangeSpec,
    ) -> Result<Option<Cold>, upstream::Error> {
        let source = self.source(upstream, name, digest);
        let definite = |error: &upstream::Error| {
            matches!(error, upstream::Error::NotFound { .. } | upstream::Error::Denied { .. })
        };
        let (start, end, mut size) = match part {
            RangeSpec::From(start) => (start, None, None),
            RangeSpec::FromTo(start, last) => (start, last.checked_add(1), None),
            RangeSpec::Last(count) => match upstream.blob_size(name, digest).await {
                // Which no blob has: it is told so, with the size.
                Ok(size) if count == 0 => return Ok(Some(Cold::new(size, self.clone(), source, None))),
                Ok(size) => (size.saturating_sub(count), Some(size), Some(size)),
                Err(error) if definite(&error) => return Err(error),
                Err(_) => return Ok(None),
            },
        };
        if upstream.options().cold_range == ColdRange::Wait || self.is_near(&source, start) {
            return Ok(None);
        }
        let first = match source.slice(start, end).await {
            Ok(slice) => Some(slice),
            Err(error) if definite(&error) => return Err(error),
            // It begins after the end: how large the blob is, is to be told.
            Err(upstream::Error::Status { status: 416, .. }) if size.is_none() => {
                size = upstream.blob_size(name, digest).await.ok();
                None
            }
            Err(_) => return Ok(None),
        };
        let Some(size) = size.or(first.as_ref().map(|slice| slice.size)) else { return Ok(None) };
        Ok(Some(Cold::new(size, self.clone(), source, first)))
    }

    /// Says whether a reader from this offset had better follow the fill, which is begun if there is none.
    fn is_near(&self, source: &Source, at: u64) -> bool {
        let wait = source.upstream.options().range_wait;
        let key = (Arc::clone(source.upstream.name()), source.name.clone(), source.digest);
        let written = self.table().get(&key).map_or(0, |fill| fill.progress.borrow().written);
        at <= written.saturating_add(wait)
    }

    /// Returns the size of a blob that has arrived whole, and will be in the store in a moment.
    pub(super) fn verified_size(
        &self,
        upstream: &Upstream,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Option<u64> {
        let table = self.table();
        let fill = table.get(&(Arc::clone(upstream.name()), name.clone(), *digest))?;
        let progress = fill.progress.borrow();
        matches!(progress.stage, FillStage::Verified).then_some(progress.written)
    }

    /// Returns the fill of a blob for another repository of its upstream, unless there is one for this.
    pub(super) fn elsewhere(
        &self,
        upstream: &Upstream,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Option<Arc<Fill>> {
        let (table, key) = (self.table(), (Arc::clone(upstream.name()), name.clone(), *digest));
        if table.contains_key(&key) { None } else { elsewhere(&table, &key).map(Arc::clone) }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Key, Arc<Fill>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds a fill of the same blob for any repository of the upstream.
fn elsewhere<'a>(table: &'a HashMap<Key, Arc<Fill>>, (upstream, _, digest): &Key) -> Option<&'a Arc<Fill>> {
    let is_same = |(whose, _, what): &Key| what == digest && whose == upstream;
    table.iter().find(|(key, _)| is_same(key)).map(|(_, fill)| fill)
}

/// Takes a fill off the table, also when its task panics.
struct Landing {
    table: Arc<Mutex<HashMap<Key, Arc<Fill>>>>,
    key: Key,
    fill: Weak<Fill>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // Another one may have begun, when this could not be followed from its start any more.
        if table.get(&self.key).is_some_and(|fill| std::ptr::eq(Arc::as_ptr(fill), self.fill.as_ptr())) {
            table.remove(&self.key);
        }
    }
}

impl Fill {
    /// Says whether it brings what another client of its upstream's name would: it asks the same, or is past asking.
    fn is_good_for(&self, upstream: &Arc<Upstream>) -> bool {
        let stage = &self.progress.borrow().stage;
        Arc::ptr_eq(&self.source.upstream, upstream)
            || matches!(stage, FillStage::Receiving | FillStage::Verified)
    }

    /// Says whether what it passes on has gone by, so that nobody who comes now could follow it.
    fn has_passed(&self) -> bool {
        self.progress.borrow().passing.as_ref().is_some_and(|passing| passing.has_slid())
    }

    /// Notes that somebody wants the blob now; a fill that waits in the background makes an attempt for him.
    /// Returns how many attempts have failed when that one has: an earlier failure is not his answer.
    fn wake(&self) -> u32 {
        *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        // Held until it is told, so that the attempt is not over before it has been asked for.
        let now = self.progress.borrow();
        if !now.waits_in_background() {
            return 0;
        }
        self.wanted.notify_one();
        now.failed.saturating_add(1)
    }

    /// Waits until the blob can be read: until the upstream has answered; of a small one, until it
    /// was verified.
    ///
    /// *Errors:* those of the upstream; of an attempt that failed, when the next one begins too late.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<Filling, Error> {
        let (own, late) = (self.wake(), Instant::now() + self.patience);
        let mut progress = self.progress.clone();
        let is_ready = |progress: &Progress| match &progress.stage {
            FillStage::Asking => false,
            FillStage::Receiving => progress.size.unwrap_or(progress.written) > VERIFIED_FIRST_BYTES,
            FillStage::Waiting(wait) => progress.failed >= own && (wait.is_background || wait.due > late),
            FillStage::Verified | FillStage::Failed(_) | FillStage::Broken => true,
        };
        let waited = progress.wait_for(is_ready).await.map(|progress| progress.clone());
        let Ok(progress) = waited else { return Err(crate::store::Error::Abandoned.into()) };
        let filling = |size, source| Filling::new(size, Arc::clone(self), progress.generation, source);
        match (progress.stage, progress.source) {
            (FillStage::Failed(error) | FillStage::Waiting(Wait { error, .. }), _) => {
                Err(Error::Upstream((*error).clone()))
            }
            (FillStage::Verified, source) => Ok(filling(Some(progress.written), source)),
            (FillStage::Receiving, source) => Ok(filling(progress.size, source)),
            _ => Err(crate::store::Error::Abandoned.into()),
        }
    }

    /// Waits until the fill has ended, and the blob is in the store if it could be had.
    ///
    /// *Errors:* those of the upstream, as for [`Fill::ready`].
    pub(super) async fn stored(self: &Arc<Self>) -> Result<(), Error> {
        self.ready().await?.stored().await
    }

    /// Waits until the fill has ended, without wanting anything of it; says whether the blob was verified.
    pub(super) async fn ended(&self) -> bool {
        let mut progress = self.progress.clone();
        // The sender goes when the task has ended, after the commit.
        while progress.changed().await.is_ok() {}
        let verdict = progress.borrow();
        matches!(verdict.stage, FillStage::Verified)
    }
}
