//! Content that is being fetched from an upstream, and goes on after a restart where it stopped.
//!
//! What is known of it is written down only after the bytes that it covers were synced: *state before data*
//! would go on from zeros under a hash of the real bytes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::record::{self, ParkedRecord};
use super::{Error, RepositoryKey, Space, Store, layout};
use crate::backend::{Key, ReadAt, Stage};
use crate::clock::Timestamp;
use crate::oci::{Digest, Hasher};

/// The staged bytes of one blob.
#[derive(Debug)]
pub struct FillFile {
    store: Store,
    /// The child of `layout::fills`.
    file: String,
    /// The repository that was asked for it.
    repository: RepositoryKey,
    /// Where what is known of it is written down.
    state: Key,
    stage: Box<dyn Stage>,
    is_parked: bool,
    _in_use: InUse,
}

/// Files that fetches are writing: nobody else removes them.
pub(super) type InUseTable = Arc<Mutex<HashSet<String>>>;

/// Says that a file is in use, until it is dropped.
#[derive(Debug)]
struct InUse {
    table: InUseTable,
    file: String,
}

impl InUse {
    /// Takes a file for use; `None` when somebody has it.
    fn claim(store: &Store, file: &str) -> Option<Self> {
        let table = Arc::clone(&store.0.fills_in_use);
        let is_new = table.lock().unwrap_or_else(PoisonError::into_inner).insert(file.to_owned());
        is_new.then(|| Self { table, file: file.to_owned() })
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.file);
    }
}

/// What was fetched of a blob before its fetch was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedPart {
    /// The record of it.
    name: String,
    file: String,
    /// The repository that was asked.
    pub repository: String,
    /// How many bytes are here.
    pub bytes: u64,
    /// When it was last gone on with.
    pub touched_at: Timestamp,
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
    /// Stages content that is copied, and whose copy begins again if it does not end; returns the name of the
    /// file too.
    pub async fn stage_copy(&self) -> Result<(String, Box<dyn Stage>), Error> {
        let file = new_file();
        let stage = self.0.backend.stage(&layout::fills().child(&file)).await?;
        Ok((file, stage))
    }

    /// Removes what is left of a copy.
    pub async fn remove_copy(&self, file: &str) -> Result<(), Error> {
        Ok(self.0.backend.sweep(&layout::fills().child(file)).await?)
    }

    /// Begins to stage a blob that a repository of an upstream is asked for.
    pub async fn begin_fill(&self, repository: &RepositoryKey, digest: &Digest) -> Result<FillFile, Error> {
        let file = new_file();
        // Nobody else can have made up the same name.
        let in_use = InUse::claim(self, &file).ok_or(Error::Abandoned)?;
        let stage = self.0.backend.stage(&layout::fills().child(&file)).await?;
        Ok(self.fill_file(repository, digest, in_use, stage, false))
    }

    /// Returns what was fetched before of a blob from the same repository, cut to what is known to be right
    /// on the disk; `None` when there is nothing, or another fetch goes on with it at the moment.
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
        // Before it is cut: two fetches that write into one file would make it neither's.
        let Some(in_use) = InUse::claim(self, &record.file) else { return Ok(None) };
        let key = layout::fills().child(&record.file);
        let Some(stage) = self.0.backend.resume(&key, record.offset).await? else { return Ok(None) };
        let file = self.fill_file(repository, digest, in_use, stage, true);
        Ok(Some(Parked { file, hasher, size: record.size }))
    }

    fn fill_file(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        in_use: InUse,
        stage: Box<dyn Stage>,
        is_parked: bool,
    ) -> FillFile {
        let (state, file) = (layout::parked_fill(repository, digest), in_use.file.clone());
        let (store, repository) = (self.clone(), repository.clone());
        FillFile { store, file, repository, state, stage, is_parked, _in_use: in_use }
    }

    /// Returns what was fetched in part of an upstream's blobs, and is not gone on with at the moment; what
    /// was touched longest ago first.
    pub async fn parked_parts(&self, upstream: &str) -> Result<Vec<ParkedPart>, Error> {
        let mut parts = Vec::new();
        for name in self.0.backend.list(&layout::parked()).await? {
            let record = self.parked_record(&layout::parked().child(&name)).await?;
            let Some(record) = record.filter(|it| it.upstream == upstream && !self.is_in_use(&it.file))
            else {
                continue;
            };
            let ParkedRecord { file, repository, offset, touched_at, .. } = record;
            parts.push(ParkedPart { name, file, repository, bytes: offset, touched_at });
        }
        parts.sort_by_key(|part| part.touched_at);
        Ok(parts)
    }

    /// Removes what was fetched in part, unless it is gone on with by now.
    pub async fn remove_parked(&self, part: &ParkedPart) -> Result<(), Error> {
        if !self.is_in_use(&part.file) {
            self.0.backend.sweep(&layout::parked().child(&part.name)).await?;
            self.0.backend.sweep(&layout::fills().child(&part.file)).await?;
        }
        Ok(())
    }

    fn is_in_use(&self, file: &str) -> bool {
        self.0.fills_in_use.lock().unwrap_or_else(PoisonError::into_inner).contains(file)
    }

    /// Removes what was fetched in part and not gone on with for as long as an upload may stand still.
    pub async fn expire_fills(&self) -> Result<usize, Error> {
        let (now, mut expired) = (self.0.steady.now(), 0);
        for name in self.0.backend.list(&layout::parked()).await? {
            let state = layout::parked().child(&name);
            let Some(record) = self.parked_record(&state).await? else { continue };
            if now.since(record.touched_at) >= self.0.options.upload_expiry && !self.is_in_use(&record.file) {
                self.0.backend.sweep(&state).await?;
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
        let upstream = match &self.repository.space {
            Space::Hosted => String::new(),
            Space::Upstream(upstream) => upstream.to_string(),
        };
        let record = ParkedRecord {
            upstream,
            repository: self.repository.name.to_string(),
            file: self.file.clone(),
            offset: covered,
            hash: hasher.save(),
            size,
            touched_at,
        };
        match self.store.0.backend.write_unsynced(&self.state, record::encode(&record)).await {
            Ok(()) => self.is_parked = true,
            // Then a later fetch begins anew; the file is as it was.
            Err(error) if error.is_full() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Publishes the content, which the caller has hashed, and links it to the repository.
    ///
    /// *Durability:* when this returns, no crash can lose the blob.
    pub async fn commit(self, repository: &RepositoryKey, digest: &Digest) -> Result<(), Error> {
        let Self { store, file, state, stage, is_parked, .. } = self;
        if let Err(error) = store.commit_blob(stage, repository, digest).await {
            // What could not be published keeps no room.
            store.0.backend.sweep(&state).await?;
            store.0.backend.sweep(&layout::fills().child(&file)).await?;
            return Err(error);
        }
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
pub(super) fn is_file(name: &str) -> bool {
    uuid::Uuid::try_parse(name).is_ok()
}
