//! Readers of a fill: each at its own pace, from any offset, never past what was verified at the end.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::passing::Passing;
use super::slice::{Next, Slice};
use super::{Fill, FillStage, Progress, Wait};
use crate::mutants;
use crate::oci::{Digest, Hasher};
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
    source: Option<Arc<dyn ReadAt>>,
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
    pub(super) fn new(
        size: Option<u64>,
        fill: Arc<Fill>,
        generation: u32,
        source: Option<Arc<dyn ReadAt>>,
    ) -> Self {
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
            (FillStage::Verified, source) => {
                (self.size, self.generation, self.source) = (Some(ended.written), ended.generation, source);
                Ok(self)
            }
            (FillStage::Failed(error) | FillStage::Waiting(Wait { error, .. }), _) => {
                Err(Error::Upstream((*error).clone()))
            }
            _ => Err(crate::store::Error::Abandoned.into()),
        }
    }

    /// Returns the name of the upstream.
    pub fn upstream(&self) -> &Arc<str> {
        self.fill.source.upstream.name()
    }

    /// Waits until the blob is in the store, if it can be.
    ///
    /// *Errors:* those of the upstream.
    pub async fn stored(self) -> Result<(), Error> {
        let fill = Arc::clone(&self.fill);
        self.verified().await?;
        fill.ended().await;
        if fill.progress.borrow().is_stored { Ok(()) } else { Err(crate::store::Error::NotKept.into()) }
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
        let following = Following { start, at: start, end, filling: self, own: None, slice: None };
        stream::try_unfold(following, Following::next).boxed()
    }
}

impl Filling {
    /// Waits for bytes after `at`.
    async fn there(&self, at: u64, end: Option<u64>) -> Result<There, FillError> {
        if end.is_some_and(|end| at >= end) {
            return Ok(There::End);
        }
        let mut progress = self.fill.progress.clone();
        let is_telling = |progress: &Progress| {
            progress.generation != self.generation
                || progress.stage.is_over()
                || limit(progress) > at
                || is_ahead(progress, at)
                || is_too_late(progress, self.fill.patience)
        };
        let seen = progress.wait_for(is_telling).await;
        let Ok(seen) = seen.map(|seen| seen.clone()) else { return Err(self.failed()) };
        if seen.generation != self.generation {
            // What this reader was sent was wrong somewhere: it must not come to an end.
            return Err(self.failed());
        }
        let end = end.map_or(limit(&seen), |end| end.min(limit(&seen)));
        match seen.stage {
            _ if end > at => Ok(There::Upto(end, seen.passing)),
            FillStage::Verified => Ok(There::End),
            _ => seen.passing.map(There::Elsewhere).ok_or_else(|| self.failed()),
        }
    }

    /// Returns the next slice of a reader who goes on alone.
    async fn slice(&self, at: u64, end: Option<u64>) -> Result<Box<Slice>, FillError> {
        let slice = self.fill.source.slice(at, end).await;
        let slice = slice.ok().filter(|slice| Some(slice.size) == self.size);
        slice.map(Box::new).ok_or_else(|| self.failed())
    }

    fn failed(&self) -> FillError {
        let source = &self.fill.source;
        FillError::Upstream { digest: source.digest, upstream: Arc::clone(source.upstream.name()) }
    }
}

/// Says whether a reader is ahead of what is passed on: it goes at the pace of those who are not.
fn is_ahead(progress: &Progress, at: u64) -> bool {
    progress.passing.is_some() && progress.written < at
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
    start: u64,
    at: u64,
    end: Option<u64>,
    filling: Filling,
    /// The hash of what was sent, of a reader of the whole of a blob that is not kept: he is told the verdict
    /// by nobody else once he goes on alone.
    own: Option<Hasher>,
    /// What a reader who was left behind goes on with.
    slice: Option<Box<Slice>>,
}

/// What there is for a reader.
enum There {
    /// Bytes up to this offset, in the file or passed on.
    Upto(u64, Option<Arc<Passing>>),
    /// Bytes that only the upstream has.
    Elsewhere(Arc<Passing>),
    /// Nothing after what he has.
    End,
}

impl Following {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, FillError> {
        if self.slice.is_some() {
            return self.next_alone().await;
        }
        let (end, passing) = match self.filling.there(self.at, self.end).await? {
            There::Upto(end, passing) => (end, passing),
            There::Elsewhere(passing) => return self.leave(&passing).await,
            There::End => return Ok(None),
        };
        let at = self.at;
        let len = |end: u64| usize::try_from((end - at).min(CHUNK_BYTES)).expect("a chunk is small");
        let bytes = match passing {
            Some(passing) if self.at >= passing.kept => {
                self.begin_own(&passing);
                match passing.read(self.at, len(end)) {
                    Some(bytes) => bytes,
                    None => return self.leave(&passing).await,
                }
            }
            passing => {
                let end = passing.map_or(end, |passing| passing.kept.min(end));
                let source = self.filling.source.clone().ok_or_else(|| self.filling.failed())?;
                source.read_at(at, len(end)).await?
            }
        };
        if let Some(own) = &mut self.own {
            own.update(&bytes);
        }
        self.at += bytes.len() as u64;
        Ok(Some((bytes, self)))
    }

    /// Begins to hash what is sent, when the reader comes to the end of the file.
    fn begin_own(&mut self, passing: &Passing) {
        if self.own.is_none() && self.start == 0 && self.at == passing.kept {
            self.own = Some(passing.hasher.clone());
        }
    }

    /// Goes on alone. Who was sent the whole from its first byte goes on hashing; a part of a blob is one that
    /// no digest can check.
    async fn leave(mut self, passing: &Passing) -> Result<Option<(Bytes, Self)>, FillError> {
        self.begin_own(passing);
        let is_whole = self.start == 0 && self.end.is_none_or(|end| self.filling.size == Some(end));
        if is_whole && self.own.is_none() {
            return Err(self.filling.failed());
        }
        self.slice = Some(self.filling.slice(self.at, self.end).await?);
        Box::pin(self.next_alone()).await
    }

    /// Returns the next bytes of the reader's own slices; the last ones follow his own verdict.
    async fn next_alone(mut self) -> Result<Option<(Bytes, Self)>, FillError> {
        let (Some(size), Some(slice)) = (self.filling.size, &mut self.slice) else {
            return Err(self.filling.failed());
        };
        let end = self.end.map_or(size, |end| end.min(size));
        if self.at >= end {
            return Ok(None);
        }
        let piece = match slice.next().await {
            Next::Piece(piece) => piece,
            Next::Failed => return Err(self.filling.failed()),
            Next::End | Next::LeftBehind => {
                self.slice = Some(self.filling.slice(self.at, Some(end)).await?);
                return Box::pin(self.next_alone()).await;
            }
        };
        self.filling.fill.source.count(&piece);
        self.at += piece.len() as u64;
        if let Some(own) = &mut self.own {
            own.update(&piece);
            let is_right = || {
                own.clone().finish() == self.filling.fill.source.digest
                    || mutants::is("MU71-who-reads-alone-does-not-hash")
            };
            if self.at == size && !is_right() {
                return Err(self.filling.failed());
            }
        }
        Ok(Some((piece, self)))
    }
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling")
            .field("digest", &self.fill.source.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
