//! One upload session: its staged bytes and running hashes, used by one request at a time.
//!
//! A request takes the session's workings out and puts them back; while they are out every other
//! request is told that the session is busy. Workings that are not put back (a task that panicked)
//! are read again from what was saved.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::task::JoinHandle;

use super::record::{self, UploadRecord};
use super::{Error, RepositoryKey, layout};
use crate::backend::{Backend, ReadAt, Stage};
use crate::clock::Timestamp;
use crate::oci::{Algorithm, BlobHasher, Digest, Hasher};

/// A request body, as far as the store cares: bytes, or the news that it broke off.
pub type Body = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, BodyBroken>> + Send>>;

/// The client left, or stood still for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyBroken;

/// Bytes taken in before they are written and hashed; an upload holds twice this much and a frame.
const BATCH_BYTES: usize = 256 * 1024;

/// An upload session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) repository: RepositoryKey,
    pub(super) owner: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    workings: Where,
    /// The offset after the last byte that would survive the process.
    offset: u64,
    touched_at: Timestamp,
    /// The record as a request has found it that has not had its turn yet, where several processes may write it.
    seen: Option<Bytes>,
}

#[derive(Debug)]
enum Where {
    /// In a request's hands.
    Out,
    /// Here.
    Here(Box<Workings>),
    /// On the disk only.
    Saved,
}

/// What receiving needs.
#[derive(Debug)]
pub(super) struct Workings {
    pub(super) stage: Box<dyn Stage>,
    pub(super) hasher: BlobHasher,
}

/// A session's workings in a request's hands.
#[derive(Debug)]
pub(super) struct Checkout {
    pub(super) session: Arc<Session>,
    /// `None` until they are loaded.
    pub(super) workings: Option<Workings>,
    /// The record by which this request has its turn, where several processes may go on with the upload.
    pub(super) turn: Option<Bytes>,
}

impl Session {
    pub(super) fn new(
        id: String,
        repository: RepositoryKey,
        owner: String,
        workings: Option<Workings>,
        record: (u64, Timestamp),
    ) -> Self {
        let workings = workings.map_or(Where::Saved, |workings| Where::Here(Box::new(workings)));
        let (offset, touched_at) = record;
        Self { id, repository, owner, state: Mutex::new(State { workings, offset, touched_at, seen: None }) }
    }

    /// Returns the offset after the last byte that survives the process.
    pub(super) fn offset(&self) -> u64 {
        self.state().offset
    }

    /// Returns when a request last put the workings back.
    pub(super) fn touched_at(&self) -> Timestamp {
        self.state().touched_at
    }

    /// Keeps the record as it was found, for the turn that follows.
    pub(super) fn see(&self, record: Bytes) {
        self.state().seen = Some(record);
    }

    /// Takes the record as it was found, if a look came before.
    pub(super) fn take_seen(&self) -> Option<Bytes> {
        self.state().seen.take()
    }

    /// Takes in what another process has saved meanwhile.
    pub(super) fn refresh(&self, saved: &UploadRecord) {
        let mut state = self.state();
        state.offset = saved.offset;
        state.touched_at = saved.touched_at;
    }

    /// Says whether a request that failed has left it, or no request of this process has had it.
    pub(super) fn is_left(&self) -> bool {
        matches!(self.state().workings, Where::Saved)
    }

    /// Takes in what its record says, unless a request has it or has put it back meanwhile.
    pub(super) fn catch_up(&self, saved: &UploadRecord) {
        let mut state = self.state();
        if matches!(state.workings, Where::Saved) {
            state.offset = saved.offset;
        }
    }

    /// Takes the workings out.
    ///
    /// *Errors:* [`Error::UploadBusy`] while another request has them.
    pub(super) fn check_out(self: &Arc<Self>) -> Result<Checkout, Error> {
        let mut state = self.state();
        let workings = match std::mem::replace(&mut state.workings, Where::Out) {
            Where::Out => return Err(Error::UploadBusy { offset: state.offset }),
            Where::Here(workings) => Some(*workings),
            Where::Saved => None,
        };
        Ok(Checkout { session: Arc::clone(self), workings, turn: None })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checkout {
    /// Puts the workings back, as they were saved at this offset.
    pub(super) fn put_back(mut self, workings: Workings, touched_at: Timestamp) {
        let mut state = self.session.state();
        state.offset = workings.stage.len();
        state.touched_at = touched_at;
        state.workings = Where::Here(Box::new(workings));
        drop(state);
        self.workings = None;
    }

    /// Leaves the workings to be read again, by whichever process goes on with them.
    pub(super) fn leave(self, offset: u64, touched_at: Timestamp) {
        let mut state = self.session.state();
        state.offset = offset;
        state.touched_at = touched_at;
        state.workings = Where::Saved;
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let mut state = self.session.state();
        if matches!(state.workings, Where::Out) {
            state.workings =
                self.workings.take().map_or(Where::Saved, |workings| Where::Here(Box::new(workings)));
        }
    }
}

impl Workings {
    /// Takes up again what was saved, or returns `None` when the disk has less than the record says.
    ///
    /// The record was written after the bytes it covers were synced, so they are the bytes that
    /// were hashed; what was appended after it is cut off.
    pub(super) async fn load(
        backend: &dyn Backend,
        id: &str,
        saved: &UploadRecord,
    ) -> Result<Option<Self>, Error> {
        let Some(stage) = backend.resume(&layout::upload_data(id), saved.offset).await? else {
            return Ok(None);
        };
        let hasher = match BlobHasher::restore(&saved.hashes) {
            Some(hasher) => hasher,
            None => hash_again(stage.reader().as_ref(), stage.len(), BlobHasher::new(saved.hint())).await?,
        };
        Ok(Some(Self { stage, hasher }))
    }

    /// Takes in a body to its end, or to more than `limit` bytes; returns the workings with how it
    /// ended.
    ///
    /// While one batch is written and hashed by a task of its own, the next one is received.
    ///
    /// *Errors:* a backend's, after which the workings are gone.
    pub(super) async fn receive(self, body: &mut Body, limit: u64) -> Result<(Self, Received), Error> {
        let (mut total, mut batch, mut batch_bytes) = (0_u64, Vec::new(), 0);
        let mut pipeline = Pipeline::Idle(Box::new(self));
        let received = loop {
            let ended = match body.next().await {
                Some(Ok(bytes)) => {
                    total += bytes.len() as u64;
                    batch_bytes += bytes.len();
                    batch.push(bytes);
                    (total > limit).then_some(Received::TooMuch(total))
                }
                None => Some(Received::Whole(total)),
                Some(Err(BodyBroken)) => Some(Received::Broken(total)),
            };
            if matches!(ended, Some(Received::TooMuch(_))) {
                break ended;
            }
            if batch_bytes >= BATCH_BYTES || (ended.is_some() && batch_bytes > 0) {
                batch_bytes = 0;
                pipeline = Pipeline::Busy(pipeline.idle().await?.begin(std::mem::take(&mut batch)));
            }
            if ended.is_some() {
                break ended;
            }
        };
        Ok((pipeline.idle().await?, received.expect("the loop ends with a word on the body")))
    }

    /// Writes and hashes a batch in a task of its own: the write on a thread that may block, the
    /// hash beside it.
    fn begin(mut self, batch: Vec<Bytes>) -> JoinHandle<Result<Self, Error>> {
        tokio::spawn(async move {
            let Self { stage, hasher } = &mut self;
            let hashing = async {
                for bytes in &batch {
                    hasher.update(bytes);
                }
            };
            let (written, ()) = tokio::join!(stage.append(batch.clone()), hashing);
            written?;
            Ok(self)
        })
    }

    /// Returns the digest of everything taken in, reading it again for an algorithm that was not
    /// announced.
    pub(super) async fn digest(&self, algorithm: Algorithm) -> Result<Digest, Error> {
        match self.hasher.current(algorithm) {
            Some(digest) => Ok(digest),
            None => {
                let mut hasher = Hasher::new(algorithm);
                read_through(self.stage.reader().as_ref(), self.stage.len(), |bytes| hasher.update(bytes))
                    .await?;
                Ok(hasher.finish())
            }
        }
    }

    /// Returns the record that these workings can be taken up from, after their bytes were synced.
    pub(super) fn record(&self, session: &Session, hint: Option<Algorithm>, now: Timestamp) -> Bytes {
        record::encode(&UploadRecord {
            repository: session.repository.name.to_string(),
            owner: session.owner.clone(),
            hint: hint.map(|algorithm| algorithm.to_string()),
            offset: self.stage.len(),
            hashes: self.hasher.save(),
            touched_at: now,
            turn: None,
        })
    }
}

/// Workings, and whether they are at work.
enum Pipeline {
    Idle(Box<Workings>),
    Busy(JoinHandle<Result<Workings, Error>>),
}

impl Pipeline {
    async fn idle(self) -> Result<Workings, Error> {
        match self {
            Self::Idle(workings) => Ok(*workings),
            Self::Busy(work) => work.await.unwrap_or(Err(Error::Abandoned)),
        }
    }
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// With its end.
    Whole(u64),
    /// In the middle; what came was kept.
    Broken(u64),
    /// It was more than the limit, and was not read further.
    TooMuch(u64),
}

async fn hash_again(source: &dyn ReadAt, len: u64, mut hasher: BlobHasher) -> Result<BlobHasher, Error> {
    read_through(source, len, |bytes| hasher.update(bytes)).await?;
    Ok(hasher)
}

async fn read_through(source: &dyn ReadAt, len: u64, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
    let mut at = 0;
    while at < len {
        let wanted = usize::try_from(len - at).unwrap_or(usize::MAX).min(BATCH_BYTES);
        let bytes = source.read_at(at, wanted).await?;
        if bytes.is_empty() {
            // The file is shorter than what was appended: the digest will not fit.
            return Ok(());
        }
        each(&bytes);
        at += bytes.len() as u64;
        tokio::task::yield_now().await;
    }
    Ok(())
}
