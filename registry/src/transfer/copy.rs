//! Content from a source into a store: in pieces, hashed once on the way, and checked before it is linked.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::error::blocking;
use super::folder::{Section, io_error};
use super::report::Progress;
use super::{Error, Source};
use crate::oci::{Digest, Hasher};
use crate::store::{RepositoryKey, Stage, Store};
use crate::telemetry::WithCauses;

/// What became of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// Its bytes were written.
    Written,
    /// It was here: in this repository, or in another one and is now in this one.
    Here,
    /// The source does not have it.
    Absent,
}

/// What a blob is copied from and to.
pub(super) struct Route<'a> {
    pub(super) source: &'a Arc<Source>,
    /// What the source calls the repository.
    pub(super) name: &'a str,
    pub(super) store: &'a Store,
    pub(super) repository: &'a RepositoryKey,
    pub(super) verified: &'a Verified,
    pub(super) progress: &'a dyn Progress,
}

/// Which bytes of a source were hashed already, so that what repositories share is read once.
#[derive(Debug, Default)]
pub(super) struct Verified(Mutex<HashMap<(u64, u64, u64), Digest>>);

/// One piece, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;
/// Pieces that are read ahead.
const CHUNKS_AHEAD_MAX: usize = 2;
/// How many contents are remembered.
const VERIFIED_MAX: usize = 500_000;

impl Route<'_> {
    /// Gives the repository a blob.
    ///
    /// *Durability:* when this returns, no crash can lose the blob. A crash before that leaves a staged file,
    /// which the next start removes.
    pub(super) async fn copy(&self, digest: &Digest, size: u64) -> Result<Copied, Error> {
        let here = self.store.blob_size(self.repository, digest).await?;
        if here == Some(size) && self.store.has_blob(self.repository, digest).await? {
            return Ok(Copied::Here);
        }
        let (source, name, wanted) = (Arc::clone(self.source), self.name.to_owned(), *digest);
        let opened = blocking(move || source.blob(&name, &wanted, Some(size))).await?;
        let Some(section) = opened.map(Arc::new) else { return Ok(Copied::Absent) };
        if section.len != size {
            let (place, found) = (section.place.clone(), section.len);
            return Err(Error::Size { place, expected: size, found });
        }
        if self.store.open_held(digest, size).await?.is_some() {
            // Naming a digest is not having its bytes: without them another repository's would be given away.
            if !self.verified.has(&section, digest) {
                self.read(&section, digest, None).await?;
            }
            if self.store.link_held(self.repository, digest, size).await? {
                return Ok(Copied::Here);
            }
        }
        let (file, mut stage) = self.store.stage_copy().await?;
        let committed = match self.read(&section, digest, Some(stage.as_mut())).await {
            Ok(()) => self.store.commit_blob(stage, self.repository, digest).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = committed {
            // What went wrong first is told; if the remains cannot be removed now, the next start does.
            if let Err(error) = self.store.remove_copy(&file).await {
                tracing::warn!(error = %WithCauses(&error), "a copy could not be removed");
            }
            return Err(error);
        }
        Ok(Copied::Written)
    }

    /// Reads content to its end, appends it to a stage if there is one, and compares its size and digest.
    async fn read(
        &self,
        section: &Arc<Section>,
        digest: &Digest,
        mut stage: Option<&mut dyn Stage>,
    ) -> Result<(), Error> {
        self.progress.expect(section.len);
        let (mut hasher, mut found) = (Hasher::new(digest.algorithm()), 0);
        let mut chunks = chunks(Arc::clone(section));
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk?;
            let len = chunk.len() as u64;
            // The write on a thread that may block, the hash beside it.
            let hashing = async { hasher.update(&chunk) };
            match &mut stage {
                Some(stage) => {
                    let (written, ()) = tokio::join!(stage.append(vec![chunk.clone()]), hashing);
                    written?;
                }
                None => hashing.await,
            }
            found += len;
            self.progress.advance(len);
        }
        let place = || section.place.clone();
        if found != section.len {
            return Err(Error::Size { place: place(), expected: section.len, found });
        }
        let found = hasher.finish();
        if found != *digest {
            return Err(Error::Digest { place: place(), expected: *digest, found });
        }
        self.verified.note(section, digest);
        Ok(())
    }
}

impl Verified {
    fn has(&self, section: &Section, digest: &Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&section.identity) == Some(digest)
    }

    fn note(&self, section: &Section, digest: &Digest) {
        let mut verified = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(section.identity, *digest);
    }
}

/// Reads content on a thread that may block, a little ahead. The thread ends when nobody listens.
fn chunks(section: Arc<Section>) -> mpsc::Receiver<Result<Bytes, Error>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD_MAX);
    tokio::task::spawn_blocking(move || {
        let mut at = 0;
        while at < section.len {
            let wanted = usize::try_from(section.len - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let mut bytes = vec![0; wanted];
            let chunk = match section.file.read_at(&mut bytes, section.offset + at) {
                // The file has become shorter: the count says so.
                Ok(0) => return,
                Ok(len) => {
                    bytes.truncate(len);
                    at += len as u64;
                    Ok(bytes.into())
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => Err(io_error("read", Path::new(&section.place), source)),
            };
            let is_last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}
