//! Fills: one fetch of one blob, followed by any number of readers.
//!
//! The upstream's body goes to a staged file and a hasher, in a task that belongs to no client.
//! Readers follow the staged file at their own pace. The last byte is held back until the digest
//! has been checked, so that a wrong body never completes (P1); a blob of up to
//! [`VERIFIED_FIRST_BYTES`] is checked before its reader is told that there is one.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;

use super::Error;
use super::service::cached;
use crate::oci::{Digest, Hasher, RepositoryName};
use crate::store::{BackendError, ReadAt, Stage, Store};
use crate::upstream::error::Wrong;
use crate::upstream::{self, RemoteBlob, Upstream};

/// Blobs up to this size are verified before the status line, so that a bad one is a clean 502.
pub const VERIFIED_FIRST_BYTES: u64 = 64 * 1024;

/// The most that one read of the staged file returns.
const CHUNK_BYTES: u64 = 256 * 1024;
/// Bytes taken in before they are written and hashed.
const BATCH_BYTES: usize = 256 * 1024;
/// Pieces of an upstream's body that are written together; each is at most one read of a socket.
const PIECES_AT_ONCE: usize = 16;

/// Fills under way.
#[derive(Debug)]
pub(super) struct Fills {
    store: Store,
    table: Arc<Mutex<HashMap<Key, Arc<Fill>>>>,
}

/// A fill belongs to a repository, since being allowed to fetch a digest from one says nothing of
/// another (P10).
type Key = (Arc<str>, RepositoryName, Digest);

/// One fetch of one blob.
#[derive(Debug)]
pub struct Fill {
    upstream: Arc<str>,
    digest: Digest,
    progress: watch::Receiver<Progress>,
}

/// How far a fill is.
#[derive(Debug, Clone)]
struct Progress {
    stage: FillStage,
    /// Bytes that can be read.
    written: u64,
    /// The size, when the upstream has announced it.
    size: Option<u64>,
    source: Option<Arc<dyn ReadAt>>,
}

#[derive(Debug, Clone)]
enum FillStage {
    /// The upstream has not answered yet.
    Asking,
    /// The body is arriving.
    Receiving,
    /// The whole body is there and has the digest.
    Verified,
    /// There will be no whole body.
    Failed(Arc<upstream::Error>),
    /// This side failed.
    Broken,
}

impl Fills {
    pub(super) fn new(store: Store) -> Self {
        Self { store, table: Arc::default() }
    }

    /// Joins the fill of a blob, or begins it.
    pub(super) fn join(&self, upstream: &Arc<Upstream>, name: &RepositoryName, digest: &Digest) -> Arc<Fill> {
        let key = (Arc::clone(upstream.name()), name.clone(), *digest);
        let mut table = self.table();
        if let Some(fill) = table.get(&key) {
            metrics::counter!("wharfinger_fills_joined_total", "upstream" => upstream.name().to_string())
                .increment(1);
            return Arc::clone(fill);
        }
        let begun = Progress { stage: FillStage::Asking, written: 0, size: None, source: None };
        let (sender, progress) = watch::channel(begun);
        let fill = Arc::new(Fill { upstream: Arc::clone(upstream.name()), digest: *digest, progress });
        table.insert(key.clone(), Arc::clone(&fill));
        let landing = Landing { table: Arc::clone(&self.table), key };
        let work = Work {
            store: self.store.clone(),
            upstream: Arc::clone(upstream),
            name: name.clone(),
            digest: *digest,
        };
        tokio::spawn(async move {
            work.run(&sender).await;
            // Held until the blob is visible in the store, or else the next reader fetches again.
            drop(landing);
        });
        fill
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Key, Arc<Fill>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a fill off the table, also when its task panics.
struct Landing {
    table: Arc<Mutex<HashMap<Key, Arc<Fill>>>>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

struct Work {
    store: Store,
    upstream: Arc<Upstream>,
    name: RepositoryName,
    digest: Digest,
}

impl Work {
    async fn run(&self, progress: &watch::Sender<Progress>) {
        // An earlier fill may have ended between the look into the store and the join (P4).
        if self.is_stored(progress).await {
            return;
        }
        let outcome = match self.fetch(progress).await {
            Ok(stage) => {
                progress.send_modify(|progress| progress.stage = FillStage::Verified);
                self.commit(stage).await
            }
            Err(Error::Upstream(error)) => {
                tracing::warn!(upstream.name = %self.upstream.name(), repo.name = %self.name,
                    blob.digest = %self.digest, error = %error, "a blob could not be fetched");
                progress.send_modify(|progress| progress.stage = FillStage::Failed(Arc::new(error)));
                "upstream_error"
            }
            Err(error) => {
                tracing::error!(repo.name = %self.name, blob.digest = %self.digest,
                    error = &error as &dyn std::error::Error, "a fetched blob could not be staged");
                progress.send_modify(|progress| progress.stage = FillStage::Broken);
                "storage_error"
            }
        };
        metrics::counter!("wharfinger_fills_total",
            "upstream" => self.upstream.name().to_string(), "outcome" => outcome)
        .increment(1);
    }

    async fn is_stored(&self, progress: &watch::Sender<Progress>) -> bool {
        let stored = self.store.open_blob(&cached(&self.upstream, &self.name), &self.digest).await;
        let Ok(Some(content)) = stored else { return false };
        progress.send_modify(|progress| {
            progress.size = Some(content.size());
            progress.written = content.size();
            progress.source = Some(content.source());
            progress.stage = FillStage::Verified;
        });
        true
    }

    /// Stages the upstream's body, and returns it when it has the digest.
    async fn fetch(&self, progress: &watch::Sender<Progress>) -> Result<Box<dyn Stage>, Error> {
        let remote = self.upstream.blob(&self.name, &self.digest).await?;
        let mut stage = self.store.stage_fill().await?;
        progress.send_modify(|progress| {
            progress.stage = FillStage::Receiving;
            progress.size = remote.size;
            progress.source = Some(stage.reader());
        });
        match self.receive(remote, stage.as_mut(), progress).await {
            Ok(()) => Ok(stage),
            Err(error) => {
                // Readers that have it open go on to what they may still read.
                let discarded = stage.discard().await;
                if let Err(error) = discarded {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a staged fill could not be removed"
                    );
                }
                Err(error)
            }
        }
    }

    async fn receive(
        &self,
        remote: RemoteBlob,
        stage: &mut dyn Stage,
        progress: &watch::Sender<Progress>,
    ) -> Result<(), Error> {
        let wrong = |reason| Error::Upstream(upstream::Error::wrong(self.upstream.label(), reason));
        let mut hasher = Hasher::new(self.digest.algorithm());
        let mut body = remote.body.ready_chunks(PIECES_AT_ONCE);
        while let Some(pieces) = body.next().await {
            let pieces: Vec<Bytes> = pieces.into_iter().collect::<Result<_, _>>()?;
            let len: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
            if remote.size.is_some_and(|size| stage.len() + len > size) {
                return Err(wrong(Wrong::Length));
            }
            take_in(stage, &mut hasher, pieces).await?;
            progress.send_modify(|progress| progress.written = stage.len());
        }
        if remote.size.is_some_and(|size| stage.len() != size) {
            return Err(wrong(Wrong::Length));
        }
        if hasher.finish() != self.digest {
            return Err(wrong(Wrong::Digest));
        }
        metrics::counter!("wharfinger_fills_bytes_total", "upstream" => self.upstream.name().to_string())
            .increment(stage.len());
        Ok(())
    }

    /// Stores what was verified; readers have it all, so a failure costs another fetch.
    async fn commit(&self, stage: Box<dyn Stage>) -> &'static str {
        let repository = cached(&self.upstream, &self.name);
        match self.store.commit_blob(stage, &repository, &self.digest).await {
            Ok(()) => "stored",
            Err(error) => {
                tracing::error!(repo.name = %self.name, blob.digest = %self.digest,
                    error = &error as &dyn std::error::Error, "a fetched blob could not be stored");
                "not_stored"
            }
        }
    }
}

/// Writes and hashes, side by side, in pieces that do not hold the executor.
async fn take_in(stage: &mut dyn Stage, hasher: &mut Hasher, pieces: Vec<Bytes>) -> Result<(), Error> {
    let hashing = async {
        for piece in &pieces {
            for part in piece.chunks(BATCH_BYTES) {
                hasher.update(part);
                tokio::task::yield_now().await;
            }
        }
    };
    let (written, ()) = tokio::join!(stage.append(pieces.clone()), hashing);
    written.map_err(crate::store::Error::from)?;
    Ok(())
}

/// A blob that is being fetched, ready to be read.
pub struct Filling {
    /// Its size, when it is known.
    pub size: Option<u64>,
    fill: Arc<Fill>,
    source: Arc<dyn ReadAt>,
}

/// Why a body of a blob that was being fetched did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The upstream's body was not whole, or not right.
    #[error("the fetch of {digest} from the upstream {upstream} failed")]
    Upstream {
        /// The blob.
        digest: Digest,
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// The staged bytes could not be read.
    #[error("the staged bytes could not be read")]
    Backend(#[from] BackendError),
}

impl Fill {
    /// Waits until the blob can be read: until the upstream has answered; of a small one, until it
    /// was verified.
    ///
    /// *Errors:* those of the upstream.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<Filling, Error> {
        let mut progress = self.progress.clone();
        let is_ready = |progress: &Progress| match &progress.stage {
            FillStage::Asking => false,
            FillStage::Receiving => {
                let seen = progress.size.unwrap_or(progress.written);
                seen > VERIFIED_FIRST_BYTES
            }
            FillStage::Verified | FillStage::Failed(_) | FillStage::Broken => true,
        };
        let waited = progress.wait_for(is_ready).await.map(|progress| progress.clone());
        let Ok(progress) = waited else { return Err(crate::store::Error::Abandoned.into()) };
        match (progress.stage, progress.source) {
            (FillStage::Failed(error), _) => Err(Error::Upstream((*error).clone())),
            (FillStage::Verified, Some(source)) => {
                Ok(Filling { size: Some(progress.written), fill: Arc::clone(self), source })
            }
            (FillStage::Receiving, Some(source)) => {
                Ok(Filling { size: progress.size, fill: Arc::clone(self), source })
            }
            _ => Err(crate::store::Error::Abandoned.into()),
        }
    }
}

impl Fill {
    /// Waits until the fill has ended, and the blob is in the store if it could be had.
    ///
    /// *Errors:* those of the upstream.
    pub(super) async fn stored(self: &Arc<Self>) -> Result<(), Error> {
        let mut progress = self.progress.clone();
        // The sender goes when the task has ended, after the commit.
        while progress.changed().await.is_ok() {}
        let ended = progress.borrow().stage.clone();
        match ended {
            FillStage::Failed(error) => Err(Error::Upstream((*error).clone())),
            _ => Ok(()),
        }
    }
}

impl Filling {
    /// Waits for the verdict, for a client that cannot be told of a cut.
    ///
    /// *Errors:* those of the upstream.
    pub async fn verified(mut self) -> Result<Self, Error> {
        let mut progress = self.fill.progress.clone();
        let is_over =
            |progress: &Progress| !matches!(progress.stage, FillStage::Asking | FillStage::Receiving);
        let ended = progress.wait_for(is_over).await.map(|ended| ended.clone());
        let Ok(ended) = ended else { return Err(crate::store::Error::Abandoned.into()) };
        match ended.stage {
            FillStage::Verified => {
                self.size = Some(ended.written);
                Ok(self)
            }
            FillStage::Failed(error) => Err(Error::Upstream((*error).clone())),
            _ => Err(crate::store::Error::Abandoned.into()),
        }
    }

    /// Returns the bytes from `start` up to, not including, `end`, or to the end of the blob, as
    /// they arrive; the blob's last byte follows the verdict.
    ///
    /// *Errors:* an item of the stream, after which the response must be cut.
    pub fn stream(
        self,
        start: u64,
        end: Option<u64>,
    ) -> Pin<Box<dyn Stream<Item = Result<Bytes, FillError>> + Send>> {
        let following = Following { at: start, end, filling: self };
        stream::try_unfold(following, Following::next).boxed()
    }
}

struct Following {
    at: u64,
    end: Option<u64>,
    filling: Filling,
}

impl Following {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, FillError> {
        let end = match self.readable().await? {
            Some(end) => end,
            None => return Ok(None),
        };
        let len = usize::try_from((end - self.at).min(CHUNK_BYTES)).expect("a chunk is small");
        let bytes = self.filling.source.read_at(self.at, len).await?;
        self.at += bytes.len() as u64;
        Ok(Some((bytes, self)))
    }

    /// Waits for bytes after `at`, and returns where they end; `None` at the end.
    async fn readable(&self) -> Result<Option<u64>, FillError> {
        let fill = &self.filling.fill;
        let failed = || FillError::Upstream { digest: fill.digest, upstream: Arc::clone(&fill.upstream) };
        if self.end.is_some_and(|end| self.at >= end) {
            return Ok(None);
        }
        let mut progress = fill.progress.clone();
        let limit = |progress: &Progress| match progress.stage {
            FillStage::Verified => progress.written,
            // One byte short of the end, or of what may be the end.
            _ => progress.size.map_or(progress.written.saturating_sub(1), |size| {
                progress.written.min(size.saturating_sub(1))
            }),
        };
        let is_over =
            |progress: &Progress| !matches!(progress.stage, FillStage::Asking | FillStage::Receiving);
        let seen = progress.wait_for(|progress| is_over(progress) || limit(progress) > self.at).await;
        let Ok(seen) = seen.map(|seen| seen.clone()) else { return Err(failed()) };
        let end = self.end.map_or(limit(&seen), |end| end.min(limit(&seen)));
        match seen.stage {
            _ if end > self.at => Ok(Some(end)),
            FillStage::Verified => Ok(None),
            _ => Err(failed()),
        }
    }
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling")
            .field("digest", &self.fill.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
