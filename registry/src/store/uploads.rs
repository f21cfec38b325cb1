//! Uploads: blobs on their way in. They survive a restart, and expire.
//!
//! The running hashes are saved only after the bytes they cover were synced, and taking an upload
//! up again cuts its file to what they cover: *state before data* would publish zeros with a
//! matching digest. See `docs/adr/0003-hash-while-receiving.md`.
//!
//! *Spec:* `spec.md#pushing-blobs`.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::record::{self, UploadRecord};
use super::session::{Checkout, Received, Session, Workings};
use super::{Error, RepositoryKey, Store, layout};
use crate::backend::{Error as BackendError, Outcome, When};
use crate::clock::Timestamp;
use crate::oci::{Algorithm, BlobHasher, Digest, RepositoryName};

pub use super::session::{Body, BodyBroken};

/// The name of an upload: a random UUID, which cannot be guessed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// Parses a UUID in lowercase with hyphens, or returns `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let id = uuid::Uuid::try_parse(text).ok()?.hyphenated().to_string();
        (id == text).then_some(Self(id))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which upload a request means, and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRef {
    /// The repository in the request's path.
    pub repository: RepositoryKey,
    /// The upload in the request's path.
    pub id: UploadId,
    /// The account that asks; uploads of others do not exist for it (P10).
    pub owner: String,
}

/// What a request's headers say of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins; `None` is where the upload stands.
    pub start: Option<u64>,
    /// How many bytes it has; `None` is as many as come.
    pub len: Option<u64>,
    /// How many bytes the whole blob may have.
    pub blob_bytes_max: u64,
}

impl Store {
    /// Opens an upload, and returns its name.
    ///
    /// *Errors:* [`Error::UploadsFull`].
    ///
    /// *Durability:* it survives the process.
    pub async fn open_upload(
        &self,
        repository: &RepositoryKey,
        owner: &str,
        hint: Option<Algorithm>,
    ) -> Result<UploadId, Error> {
        let (store, repository, owner) = (self.clone(), repository.clone(), owner.to_owned());
        self.change(async move {
            let max = store.0.options.uploads_max;
            let id = uuid::Uuid::new_v4().hyphenated().to_string();
            let now = store.0.clock.now();
            let session = Arc::new(Session::new(id.clone(), repository, owner, None, (0, now)));
            {
                // Known before anything of it is on the disk: what nobody knows there is swept.
                let mut sessions = store.sessions();
                if sessions.len() >= max {
                    return Err(Error::UploadsFull { max });
                }
                sessions.insert(id.clone(), Arc::clone(&session));
            }
            let checkout = session.check_out()?;
            match store.begin(&checkout, hint).await {
                Ok(workings) => store.keep(checkout, workings, now),
                Err(error) => {
                    // What says that a disk is full must not stay on it.
                    let _ = store.end(checkout).await;
                    return Err(error);
                }
            }
            metrics::counter!("wharfinger_uploads_opened_total").increment(1);
            Ok(UploadId(id))
        })
        .await
    }

    /// Stages an upload's file and writes its first record.
    async fn begin(&self, checkout: &Checkout, hint: Option<Algorithm>) -> Result<Workings, Error> {
        let id = checkout.session.id.as_str();
        let stage = self.0.backend.stage(&layout::upload_data(id)).await?;
        let workings = Workings { stage, hasher: BlobHasher::new(hint) };
        let saved = workings.record(&checkout.session, hint, checkout.session.touched_at());
        self.0.backend.write_unsynced(&layout::upload_state(id), saved).await?;
        Ok(workings)
    }

    /// Returns the offset after the last byte of an upload that survives the process.
    ///
    /// *Errors:* [`Error::UploadUnknown`].
    ///
    /// *Spec:* `[end-13]`.
    pub async fn upload_offset(&self, upload: &UploadRef) -> Result<u64, Error> {
        let session = self.session(upload).await?;
        // The record of a request that failed may be written all the same: the next chunk begins where it says.
        if session.is_left() {
            match self.saved(upload.id.as_str()).await? {
                Some(saved) => session.catch_up(&saved),
                // Its record is what is left of one that has ended.
                None if self.is_shared() => return Err(Error::UploadUnknown),
                None => {}
            }
        }
        Ok(session.offset())
    }

    /// Appends a chunk, and returns the offset after it.
    ///
    /// *Errors:* [`Error::UploadUnknown`]; [`Error::UploadBusy`]; [`Error::UploadOffset`];
    /// [`Error::UploadLength`] and [`Error::TooLarge`], which leave the upload as it was;
    /// [`Error::BodyBroken`], which keeps what came; a backend's error, which ends the upload.
    ///
    /// *Cancellation:* it runs until the body ends.
    ///
    /// *Durability:* what was appended survives the process; after power loss the upload stands
    /// at an earlier offset, or is unknown.
    ///
    /// *Spec:* `[end-5]`.
    pub async fn append_upload(&self, upload: &UploadRef, chunk: Chunk, body: Body) -> Result<u64, Error> {
        let (store, upload) = (self.clone(), upload.clone());
        self.change(async move {
            let checkout = store.check_out(&upload).await?;
            let (checkout, workings, result) = store.receive(checkout, chunk, body).await?;
            let offset = workings.stage.len();
            store.save(checkout, workings).await?;
            result.map(|()| offset)
        })
        .await
    }

    /// Appends the last chunk, which may be empty, and makes the upload a blob of its repository;
    /// returns the blob's size.
    ///
    /// *Errors:* as [`Store::append_upload`]; [`Error::DigestMismatch`], which ends the upload and
    /// leaves nothing of it.
    ///
    /// *Cancellation:* it runs to its end.
    ///
    /// *Durability:* when this returns, no crash can lose the blob.
    ///
    /// *Spec:* `[end-6]`.
    pub async fn commit_upload(
        &self,
        upload: &UploadRef,
        chunk: Chunk,
        body: Body,
        expected: &Digest,
    ) -> Result<u64, Error> {
        let (store, upload, expected) = (self.clone(), upload.clone(), *expected);
        self.change(async move {
            let checkout = store.check_out(&upload).await?;
            let (checkout, workings, result) = store.receive(checkout, chunk, body).await?;
            if let Err(error) = result {
                store.save(checkout, workings).await?;
                return Err(error);
            }
            let committed = store.commit(&upload, workings, &expected).await;
            store.end(checkout).await?;
            committed
        })
        .await
    }

    async fn commit(&self, upload: &UploadRef, workings: Workings, expected: &Digest) -> Result<u64, Error> {
        let actual = workings.digest(expected.algorithm()).await?;
        if actual != *expected {
            return Err(Error::DigestMismatch { expected: *expected, actual });
        }
        let size = workings.stage.len();
        self.commit_blob(workings.stage, &upload.repository, expected).await?;
        metrics::counter!("wharfinger_uploads_committed_total").increment(1);
        metrics::counter!("wharfinger_uploads_bytes_total").increment(size);
        Ok(size)
    }

    /// Ends an upload and removes what it staged.
    ///
    /// *Errors:* [`Error::UploadUnknown`]; [`Error::UploadBusy`].
    ///
    /// *Spec:* `[end-14]`.
    pub async fn cancel_upload(&self, upload: &UploadRef) -> Result<(), Error> {
        let (store, upload) = (self.clone(), upload.clone());
        self.change(async move {
            let checkout = store.session(&upload).await?.check_out()?;
            store.end(checkout).await
        })
        .await
    }

    /// Ends every upload that stood still for longer than they may, and returns how many.
    pub async fn expire_uploads(&self) -> Result<usize, Error> {
        let (now, mut expired) = (self.0.steady.now(), 0);
        let mut unrecorded = HashSet::new();
        for id in self.0.backend.list(&layout::uploads()).await? {
            let session = match self.open_session(&id).filter(|_| !self.is_shared()) {
                Some(session) => session,
                // What is no record is of no use to anybody; what only cannot be read now is kept.
                None => {
                    let saved = self.saved(&id).await?;
                    match saved.and_then(|saved| self.adopt(&id, &saved).ok()) {
                        Some(session) => session,
                        None => {
                            // Another process may be opening it, and about to write its record.
                            if !self.is_shared() || self.0.replicas.is_unrecorded_for_long(&id) {
                                self.0.backend.sweep(&layout::upload(&id)).await?;
                            }
                            unrecorded.insert(id);
                            continue;
                        }
                    }
                }
            };
            if now.since(session.touched_at()) < self.0.options.upload_expiry {
                continue;
            }
            // Looked at again once nobody else can have it: a chunk may have come in between.
            if let Ok(mut checkout) = session.check_out()
                && now.since(session.touched_at()) >= self.0.options.upload_expiry
                && self.take_turn(&mut checkout).await.is_ok_and(|saved| {
                    saved.is_none_or(|saved| now.since(saved.touched_at) >= self.0.options.upload_expiry)
                })
            {
                self.end(checkout).await?;
                expired += 1;
            }
        }
        self.0.replicas.forget_recorded(&unrecorded);
        metrics::counter!("wharfinger_uploads_expired_total").increment(expired as u64);
        Ok(expired)
    }

    /// Returns how many uploads stood still for longer than they may.
    pub(super) async fn expired_uploads(&self) -> Result<usize, Error> {
        let (now, mut expired) = (self.0.steady.now(), 0);
        for id in self.0.backend.list(&layout::uploads()).await? {
            let touched_at = match self.open_session(&id) {
                Some(session) => Some(session.touched_at()),
                None => self.saved(&id).await?.map(|saved| saved.touched_at),
            };
            // What is no record is of no use to anybody.
            let is_expired = |at| now.since(at) >= self.0.options.upload_expiry;
            expired += usize::from(touched_at.is_none_or(is_expired));
        }
        Ok(expired)
    }

    /// Takes in a body. The inner result says what became of the chunk, and leaves workings that
    /// can be saved; the outer error has ended the upload.
    async fn receive(
        &self,
        mut checkout: Checkout,
        chunk: Chunk,
        mut body: Body,
    ) -> Result<(Checkout, Workings, Result<(), Error>), Error> {
        let workings = checkout.workings.take().expect("a checked out session was loaded");
        let offset = workings.stage.len();
        if let Some(error) =
            chunk.start.filter(|start| *start != offset).map(|_| Error::UploadOffset { offset })
        {
            return Ok((checkout, workings, Err(error)));
        }
        let before = workings.hasher.clone();
        let room = chunk.blob_bytes_max.saturating_sub(offset);
        let limit = chunk.len.unwrap_or(u64::MAX).min(room);
        let (workings, received) = match workings.receive(&mut body, limit).await {
            Ok(received) => received,
            Err(error) => {
                self.end(checkout).await?;
                return Err(error);
            }
        };
        let error = match (received, chunk.len) {
            (Received::Broken(_), _) => {
                let offset = workings.stage.len();
                return Ok((checkout, workings, Err(Error::BodyBroken { offset })));
            }
            (Received::Whole(received), Some(declared)) if received != declared => {
                Error::UploadLength { declared, received }
            }
            (Received::Whole(_), _) => return Ok((checkout, workings, Ok(()))),
            (Received::TooMuch(received), _) if received > room => {
                Error::TooLarge { max: chunk.blob_bytes_max }
            }
            (Received::TooMuch(received), declared) => {
                Error::UploadLength { declared: declared.unwrap_or_default(), received }
            }
        };
        drop(workings);
        match self.0.backend.resume(&layout::upload_data(&checkout.session.id), offset).await? {
            Some(stage) => Ok((checkout, Workings { stage, hasher: before }, Err(error))),
            None => Err(Error::UploadUnknown),
        }
    }

    /// Syncs the bytes, then writes the record that covers them, and puts the workings back.
    async fn save(&self, checkout: Checkout, mut workings: Workings) -> Result<(), Error> {
        match workings.stage.sync().await {
            Ok(()) => {}
            Err(BackendError::Contended { .. }) if self.is_shared() => return self.lost_turn(checkout).await,
            Err(error) => {
                // Nothing is known of a file whose sync failed.
                drop(workings);
                self.end(checkout).await?;
                return Err(error.into());
            }
        }
        let now = self.0.clock.now();
        let hint = workings.hasher.current(Algorithm::Sha512).map(|_| Algorithm::Sha512);
        let saved = workings.record(&checkout.session, hint, now);
        let key = layout::upload_state(&checkout.session.id);
        match &checkout.turn {
            None => self.0.backend.write_unsynced(&key, saved).await?,
            Some(turn) => {
                let written = self.0.backend.write(&key, saved, When::Is(turn.clone())).await?;
                if written == Outcome::Refused {
                    return self.lost_turn(checkout).await;
                }
            }
        }
        self.keep(checkout, workings, now);
        Ok(())
    }

    /// Puts the workings back, or leaves them to whichever process goes on with the upload.
    fn keep(&self, checkout: Checkout, workings: Workings, now: Timestamp) {
        if self.is_shared() {
            let offset = workings.stage.len();
            drop(workings);
            checkout.leave(offset, now);
        } else {
            checkout.put_back(workings, now);
        }
    }

    /// Says where an upload stands with which another process has gone on meanwhile.
    async fn lost_turn(&self, checkout: Checkout) -> Result<(), Error> {
        let saved = self.saved(&checkout.session.id).await?.ok_or(Error::UploadUnknown)?;
        checkout.leave(saved.offset, saved.touched_at);
        Err(Error::UploadOffset { offset: saved.offset })
    }

    /// Makes it this request's turn, where several processes may go on with the upload: what others have begun
    /// with it comes to nothing. Returns the record as it was.
    ///
    /// *Errors:* [`Error::UploadBusy`] when another one was faster.
    async fn take_turn(&self, checkout: &mut Checkout) -> Result<Option<UploadRecord>, Error> {
        if !self.is_shared() {
            return Ok(None);
        }
        let key = layout::upload_state(&checkout.session.id);
        // As this request has found it, if it has looked.
        let bytes = match checkout.session.take_seen() {
            Some(bytes) => bytes,
            None => match self.0.backend.read(&key).await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        let Ok(saved) = record::decode::<UploadRecord>(&key, &bytes) else { return Ok(None) };
        let turn = Some(uuid::Uuid::new_v4().simple().to_string());
        let turn = record::encode(&UploadRecord { turn, ..saved.clone() });
        match self.0.backend.write(&key, turn.clone(), When::Is(bytes)).await? {
            Outcome::Done => checkout.turn = Some(turn),
            Outcome::Refused => return Err(Error::UploadBusy { offset: saved.offset }),
        }
        Ok(Some(saved))
    }

    async fn end(&self, checkout: Checkout) -> Result<(), Error> {
        let id = checkout.session.id.clone();
        let swept = self.0.backend.sweep(&layout::upload(&id)).await;
        // Only now: a request in between would find the remains, and take them up as a session.
        // Until here it was told that this one is busy.
        self.sessions().remove(&id);
        drop(checkout);
        Ok(swept?)
    }

    async fn check_out(&self, upload: &UploadRef) -> Result<Checkout, Error> {
        let session = self.session(upload).await?;
        let mut checkout = session.check_out()?;
        if checkout.workings.is_none() {
            let id = upload.id.as_str();
            let saved =
                if self.is_shared() { self.take_turn(&mut checkout).await? } else { self.saved(id).await? };
            let loaded = match &saved {
                Some(saved) => match Workings::load(self.0.backend.as_ref(), id, saved).await {
                    Err(Error::Backend(BackendError::Contended { .. })) => {
                        // Another process is writing to it.
                        checkout.leave(saved.offset, saved.touched_at);
                        return Err(Error::UploadBusy { offset: saved.offset });
                    }
                    loaded => loaded?,
                },
                None => None,
            };
            let Some(loaded) = loaded else {
                self.end(checkout).await?;
                return Err(Error::UploadUnknown);
            };
            checkout.workings = Some(loaded);
        }
        Ok(checkout)
    }

    async fn session(&self, upload: &UploadRef) -> Result<Arc<Session>, Error> {
        let id = upload.id.as_str();
        let session = match self.open_session(id) {
            Some(session) if !self.is_shared() => session,
            _ if self.is_shared() => self.session_of_many(id).await?,
            _ => self.adopt(id, &self.saved(id).await?.ok_or(Error::UploadUnknown)?)?,
        };
        let is_theirs = session.repository == upload.repository && session.owner == upload.owner;
        if is_theirs { Ok(session) } else { Err(Error::UploadUnknown) }
    }

    /// Returns a session as its record says, with which any process may have gone on.
    async fn session_of_many(&self, id: &str) -> Result<Arc<Session>, Error> {
        let key = layout::upload_state(id);
        let bytes = self.0.backend.read(&key).await?;
        let saved = bytes.as_ref().and_then(|bytes| record::decode::<UploadRecord>(&key, bytes).ok());
        let Some((bytes, saved)) = bytes.zip(saved) else {
            // Another process has ended it.
            self.sessions().remove(id);
            return Err(Error::UploadUnknown);
        };
        let session = self.adopt(id, &saved)?;
        session.see(bytes);
        Ok(session)
    }

    fn open_session(&self, id: &str) -> Option<Arc<Session>> {
        self.sessions().get(id).cloned()
    }

    /// Takes up a session of an earlier process.
    fn adopt(&self, id: &str, saved: &UploadRecord) -> Result<Arc<Session>, Error> {
        let name = RepositoryName::parse(&saved.repository).map_err(|_| Error::UploadUnknown)?;
        let record = (saved.offset, saved.touched_at);
        let session =
            Session::new(id.to_owned(), RepositoryKey::hosted(name), saved.owner.clone(), None, record);
        let session = Arc::clone(self.sessions().entry(id.to_owned()).or_insert_with(|| Arc::new(session)));
        if self.is_shared() {
            session.refresh(saved);
        }
        Ok(session)
    }

    /// Reads an upload's record; one that power loss has cut short is none, and so is one whose
    /// bytes are not there: a process that ended while it published them has left it behind.
    async fn saved(&self, id: &str) -> Result<Option<UploadRecord>, Error> {
        let key = layout::upload_state(id);
        let Some(bytes) = self.0.backend.read(&key).await? else { return Ok(None) };
        let Ok(saved) = record::decode::<UploadRecord>(&key, &bytes) else { return Ok(None) };
        let staged = self.0.backend.size(&layout::upload_data(id)).await?;
        Ok(staged.is_some_and(|size| size >= saved.offset).then_some(saved))
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
