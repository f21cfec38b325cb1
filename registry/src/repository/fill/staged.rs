//! What has arrived of a blob: the staged file, the hash of it, and from which urls it came.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::oci::{Digest, Hasher};
use crate::repository::Error;
use crate::store::fills::FillFile;
use crate::store::{ReadAt, RepositoryKey, Store};
use crate::telemetry::WithCauses;

/// Bytes taken in before they are written and hashed.
const BATCH_BYTES: usize = 256 * 1024;
/// After how many bytes they are made durable, so that a restart goes on from there.
const PARK_EVERY_BYTES: u64 = 64 * 1024 * 1024;
/// The url of bytes that an earlier process fetched, or an earlier fill: nobody knows which it was.
const UNKNOWN_URL: usize = usize::MAX;

/// The bytes so far.
pub(super) struct Staged {
    store: Store,
    /// None when the disk took no file.
    file: Option<FillFile>,
    hasher: Hasher,
    /// How many bytes the hasher has taken in, all of which are in the file.
    covered: u64,
    /// How many of them a restart would find, or was last tried to make it find.
    parked: u64,
    /// Which urls they came from, by their place in the configuration.
    pub(super) sources: BTreeSet<usize>,
}

/// What became of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenIn {
    /// They are in the file.
    Yes,
    /// The disk has no room for them, or does not take them; nothing has changed.
    NoRoom,
}

impl Staged {
    /// Begins.
    pub(super) async fn begin(store: &Store, repository: &RepositoryKey, digest: &Digest) -> Self {
        let file = match store.begin_fill(repository, digest).await {
            Ok(file) => Some(file),
            Err(error) => {
                // Full, read-only or failing: the blob can be passed on all the same.
                if !error.is_standing() {
                    tracing::error!(error = %WithCauses(&error), "a fetched blob cannot be staged");
                }
                None
            }
        };
        let hasher = Hasher::new(digest.algorithm());
        Self { store: store.clone(), file, hasher, covered: 0, parked: 0, sources: BTreeSet::new() }
    }

    /// Goes on with what was fetched before, if there is anything; the size is what an upstream said then.
    pub(super) async fn take_up(
        store: &Store,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<Option<(Self, Option<u64>)>, Error> {
        let Some(parked) = store.take_up_fill(repository, digest).await? else { return Ok(None) };
        let covered = parked.file.len();
        let staged = Self {
            store: store.clone(),
            file: Some(parked.file),
            hasher: parked.hasher,
            covered,
            parked: covered,
            sources: BTreeSet::from([UNKNOWN_URL]),
        };
        Ok(Some((staged, parked.size)))
    }

    pub(super) fn len(&self) -> u64 {
        self.covered
    }

    pub(super) fn reader(&self) -> Option<Arc<dyn ReadAt>> {
        self.file.as_ref().map(FillFile::reader)
    }

    /// Returns the digest of all of them.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Returns the running hash of all of them.
    pub(super) fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    /// Writes and hashes, side by side, in pieces that do not hold the executor. Every so often what is here
    /// is made durable; `size` is the blob's.
    ///
    /// *Cancellation:* and after an error nothing was taken in.
    pub(super) async fn take_in(&mut self, pieces: Vec<Bytes>, size: Option<u64>) -> Result<TakenIn, Error> {
        let has_room = self.store.has_room_to_cache().await;
        let Some(file) = self.file.as_mut().filter(|_| has_room) else { return Ok(TakenIn::NoRoom) };
        let hashed = pieces.clone();
        let mut hasher = self.hasher.clone();
        let hashing = async {
            for piece in &hashed {
                for part in piece.chunks(BATCH_BYTES) {
                    hasher.update(part);
                    tokio::task::yield_now().await;
                }
            }
        };
        let (written, ()) = tokio::join!(file.append(pieces), hashing);
        match written {
            Ok(()) => (self.hasher, self.covered) = (hasher, file.len()),
            Err(error) if error.is_full() => return Ok(TakenIn::NoRoom),
            Err(error) => {
                // What is in the file is right, and what is not can be passed on.
                tracing::error!(error = %WithCauses(&error), "a fetched blob cannot be staged any further");
                return Ok(TakenIn::NoRoom);
            }
        }
        if self.covered - self.parked >= PARK_EVERY_BYTES && size != Some(self.covered) {
            match self.park(size).await {
                // A restart begins the fetch anew, and this one goes on.
                Err(Error::Store(error)) if error.is_standing() => self.parked = self.covered,
                parked => parked?,
            }
        }
        Ok(TakenIn::Yes)
    }

    /// Makes what is here durable, so that a later fill goes on from it.
    pub(super) async fn park(&mut self, size: Option<u64>) -> Result<(), Error> {
        if let Some(file) = &mut self.file {
            file.park(&self.hasher, self.covered, size).await?;
        }
        self.parked = self.covered;
        Ok(())
    }

    /// Publishes the file.
    pub(super) async fn commit(self, repository: &RepositoryKey, digest: &Digest) -> Result<(), Error> {
        let Some(file) = self.file else { return Ok(()) };
        Ok(file.commit(repository, digest).await?)
    }

    /// Removes the file. Readers that have it open go on to what they may still read.
    pub(super) async fn discard(self) {
        if let Some(file) = self.file
            && let Err(error) = file.discard().await
        {
            tracing::warn!(error = %WithCauses(&error), "a staged fill could not be removed");
        }
    }
}
