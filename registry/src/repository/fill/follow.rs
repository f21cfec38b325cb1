//! Readers of a fill: each at its own pace, from any offset, never past what was verified at the end.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::{Fill, FillStage, Progress, Wait};
use crate::oci::Digest;
use crate::repository::Error;
use crate::store::{BackendError, ReadAt};

/// The most that one read of the staged file returns.
const CHUNK_BYTES: u64 = 256 * 1024;

/// A blob that is being fetched, ready to be read.
pub struct Filling {
    /// Its size, when it is known.
    pub size: Option<u64>,
    fill: Arc<Fill>,
    generation: u32,
    source: Arc<dyn ReadAt>,
}

/// Why a body of a blob that was being fetched did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The upstream's body was not whole, or not right, or goes on too late.
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

impl Filling {
    pub(super) fn new(size: Option<u64>, fill: Arc<Fill>, generation: u32, source: Arc<dyn ReadAt>) -> Self {
        Self { size, fill, generation, source }
    }

    /// Waits for the verdict, for a client that cannot be told of a cut.
    ///
    /// *Errors:* those of the upstream.
    pub async fn verified(mut self) -> Result<Self, Error> {
        let mut progress = self.fill.progress.clone();
        let patience = self.fill.patience;
        let is_over = |progress: &Progress| progress.stage.is_over() || is_too_late(progress, patience);
        let ended = progress.wait_for(is_over).await.map(|ended| ended.clone());
        let Ok(ended) = ended else { return Err(crate::store::Error::Abandoned.into()) };
        match (ended.stage, ended.source) {
            (FillStage::Verified, Some(source)) => {
                (self.size, self.generation, self.source) = (Some(ended.written), ended.generation, source);
                Ok(self)
            }
            (FillStage::Failed(error) | FillStage::Waiting(Wait { error, .. }), _) => {
                Err(Error::Upstream((*error).clone()))
            }
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

/// Says whether the next attempt begins too late for a body that has begun.
fn is_too_late(progress: &Progress, patience: std::time::Duration) -> bool {
    matches!(progress.stage, FillStage::Waiting(Wait { due, .. }) if due > progress.written_at + patience)
}

/// Returns how far a reader may go now.
fn limit(progress: &Progress) -> u64 {
    match progress.stage {
        FillStage::Verified => progress.written,
        // One byte short of the end, or of what may be the end.
        _ => progress
            .size
            .map_or(progress.written.saturating_sub(1), |size| progress.written.min(size.saturating_sub(1))),
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
        let Filling { fill, generation, .. } = &self.filling;
        let failed = || FillError::Upstream { digest: fill.digest, upstream: Arc::clone(&fill.upstream) };
        if self.end.is_some_and(|end| self.at >= end) {
            return Ok(None);
        }
        let mut progress = fill.progress.clone();
        let is_telling = |progress: &Progress| {
            progress.generation != *generation
                || progress.stage.is_over()
                || limit(progress) > self.at
                || is_too_late(progress, fill.patience)
        };
        let seen = progress.wait_for(is_telling).await;
        let Ok(seen) = seen.map(|seen| seen.clone()) else { return Err(failed()) };
        if seen.generation != *generation {
            // What this reader was sent was wrong somewhere: it must not come to an end.
            return Err(failed());
        }
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
