//! Content that is being fetched from an upstream, and goes on after a restart where it stopped.
//!
//! What is known of it is written down only after the bytes that it covers were synced: *state before data*
//! would go on from zeros under a hash of the real bytes.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{self, ParkedRecord};
use super::{Error, RepositoryKey, Store, layout};
use crate::backend::{Key, ReadAt, Stage, When};
use crate::oci::{Digest, Hasher};

/// The staged bytes of one blob.
#[derive(Debug)]
pub struct FillFile {
    store: Store,
    /// The child of `layout::fills`.
    file: String,
    /// Where what is known of it is written down.
    state: Key,
    stage: Box<dyn Stage>,
    is_parked: bool,
}

/// A fetch that an earlier one, perhaps of an earlier process, has begun.
#[derive(Debug)]
pub struct Parked {
    /// Its bytes.
    pub file: FillFile,
    /// The hash of them.
    pub hasher: Hasher,
    /// The blob's size, if an upstream has announced it.
    pub size: Option<u64>,
}

impl Store {
    /// Stages content that is copied, and whose copy begins again if it does not end.
    pub async fn stage_copy(&self) -> Result<Box<dyn Stage>, Error> {
        Ok(self.0.backend.stage(&layout::fills().child(&new_file())).await?)
    }

    /// Begins to stage a blob that a repository of an upstream is asked for.
    pub async fn begin_fill(&self, repository: &RepositoryKey, digest: &Digest) -> Result<FillFile, Error> {
        let file = new_file();
        let stage = self.0.backend.stage(&layout::fills().child(&file)).await?;
        let state = layout::parked_fill(repository, digest);
        Ok(FillFile { store: self.clone(), file, state, stage, is_parked: false })
    }

    /// Returns what was fetched before of a blob from the same repository, cut to what is known to be right
    /// on the disk; `None` when there is nothing.
    pub async fn take_up_fill(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<Option<Parked>, Error> {
        let state = layout::parked_fill(repository, digest);
        let Some(bytes) = self.0.backend.read(&state).await? else { return Ok(None) };
        // Written without a sync: what power loss has left of it may be nothing, and costs a fetch.
        let Ok(record) = serde_json::from_slice::<ParkedRecord>(&bytes) else { return Ok(None) };
        let Some(hasher) = Hasher::restore(digest.algorithm(), &record.hash) else { return Ok(None) };
        if !is_file(&record.file) {
            return Ok(None);
        }
        let key = layout::fills().child(&record.file);
        let Some(stage) = self.0.backend.resume(&key, record.offset).await? else { return Ok(None) };
        let file = FillFile { store: self.clone(), file: record.file, state, stage, is_parked: true };
        Ok(Some(Parked { file, hasher, size: record.size }))
    }

    /// Removes what was fetched in part and not gone on with for as long as an upload may stand still.
    pub async fn expire_fills(&self) -> Result<usize, Error> {
        let (now, mut expired) = (self.0.clock.now(), 0);
        for name in self.0.backend.list(&layout::parked()).await? {
            let state = layout::parked().child(&name);
            let Some(record) = self.parked_record(&state).await? else { continue };
            if now.since(record.touched_at) >= self.0.options.upload_expiry {
                self.0.backend.delete(&state, When::Always).await?;
                self.0.backend.sweep(&layout::fills().child(&record.file)).await?;
                expired += 1;
            }
        }
        Ok(expired)
    }

    /// Removes staged content that nothing is known of, and what is known of content that is not there.
    pub(super) async fn sweep_fills(&self) -> Result<(), Error> {
        let files: HashSet<String> = self.0.backend.list(&layout::fills()).await?.into_iter().collect();
        let mut known = HashSet::new();
        for name in self.0.backend.list(&layout::parked()).await? {
            let state = layout::parked().child(&name);
            match self.parked_record(&state).await? {
                Some(record) if files.contains(&record.file) => {
                    known.insert(record.file);
                }
                _ => self.0.backend.sweep(&state).await?,
            }
        }
        for file in files.difference(&known) {
            self.0.backend.sweep(&layout::fills().child(file)).await?;
        }
        Ok(())
    }

    async fn parked_record(&self, state: &Key) -> Result<Option<ParkedRecord>, Error> {
        let bytes = self.0.backend.read(state).await?;
        let record = bytes.and_then(|bytes| serde_json::from_slice::<ParkedRecord>(&bytes).ok());
        Ok(record.filter(|record| is_file(&record.file)))
    }
}

impl FillFile {
    /// Returns how many bytes were appended.
    pub fn len(&self) -> u64 {
        self.stage.len()
    }

    /// Says whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a reader of what was appended so far and will be.
    pub fn reader(&self) -> Arc<dyn ReadAt> {
        self.stage.reader()
    }

    /// Appends bytes.
    ///
    /// *Errors:* those of the backend, after which what the file has beyond its length is not known.
    pub async fn append(&mut self, bytes: Vec<Bytes>) -> Result<(), Error> {
        Ok(self.stage.append(bytes).await?)
    }

    /// Makes what was appended durable, and then writes down what is known of it, so that a later fetch goes
    /// on from there. `hasher` has taken in the file's first `covered` bytes.
    ///
    /// *Errors:* those of the backend: nothing is known of a file whose sync failed, and it must be discarded.
    pub async fn park(&mut self, hasher: &Hasher, covered: u64, size: Option<u64>) -> Result<(), Error> {
        self.stage.sync().await?;
        let touched_at = self.store.0.clock.now();
        let record =
            ParkedRecord { file: self.file.clone(), offset: covered, hash: hasher.save(), size, touched_at };
        self.store.0.backend.write_unsynced(&self.state, record::encode(&record)).await?;
        self.is_parked = true;
        Ok(())
    }

    /// Publishes the content, which the caller has hashed, and links it to the repository.
    ///
    /// *Durability:* when this returns, no crash can lose the blob.
    pub async fn commit(self, repository: &RepositoryKey, digest: &Digest) -> Result<(), Error> {
        let Self { store, state, stage, is_parked, .. } = self;
        store.commit_blob(stage, repository, digest).await?;
        if is_parked {
            // Without its file it means nothing; a crash before this leaves it to the next start.
            store.0.backend.sweep(&state).await?;
        }
        Ok(())
    }

    /// Removes the file, and what is known of it. Readers that have it open go on to what they may read.
    pub async fn discard(self) -> Result<(), Error> {
        if self.is_parked {
            self.store.0.backend.sweep(&self.state).await?;
        }
        Ok(self.stage.discard().await?)
    }
}

fn new_file() -> String {
    uuid::Uuid::new_v4().hyphenated().to_string()
}

/// A record that names anything else was not written by us.
fn is_file(name: &str) -> bool {
    uuid::Uuid::try_parse(name).is_ok()
}
