//! The folder backend: the commit protocol over a [`Disk`], and the one door to blocking work.
//!
//! A record is written to a file of its own, synced, renamed over its key, and its folder is
//! synced, in that order; every folder that is new gains its entry durably before anything in it
//! counts. Why each step, and what a crash between any two leaves, is in `docs/storage-layout.md`.
//!
//! *Spec:* `docs/adr/0004-crash-model.md`.

mod condemn;

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::disk::{Disk, DiskFile, Space, Stat};
use super::stage::FsStage;
use super::{
    Backend, Content, Error, Key, Outcome, RECORD_BYTES_MAX, ReadAt, Reclaimed, Sentence, Stage, When,
};

/// A [`Backend`] over a disk.
#[derive(Debug, Clone)]
pub struct FsBackend(Arc<Fs>);

/// Whether changes wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// They do: what was answered survives power loss.
    Synced,
    /// They do not: it survives the process only.
    Unsynced,
}

/// What a backend's operations share; its methods block.
#[derive(Debug)]
pub(super) struct Fs {
    pub(super) disk: Arc<dyn Disk>,
    durability: Durability,
    /// Folders whose own entry is known to be durable. Derived: losing it costs syncs.
    folders: Mutex<HashSet<String>>,
    /// One lock per group of keys: a compare-and-set is a lock in the process.
    stripes: [Mutex<()>; STRIPES],
    /// Numbers the temporary files.
    next_temporary: AtomicU64,
    /// Turns at work that waits for the disk, so that it never takes every thread from readers.
    syncing: Arc<Semaphore>,
}

/// Changes that wait for the disk at once; the threads beyond them are the readers' (P9).
const SYNCING_MAX: usize = 32;
const STRIPES: usize = 64;
/// Folders remembered as durable; when they are more, all are forgotten and learnt again.
const FOLDERS_MAX: usize = 100_000;
/// Where records are written before they are renamed; emptied at start.
const TEMPORARY: &str = "tmp";

impl FsBackend {
    /// Opens a backend on a disk, and removes what unfinished writes of records left there.
    ///
    /// *Errors:* [`Error`] when the root cannot be written.
    pub async fn open(disk: Arc<dyn Disk>, durability: Durability) -> Result<Self, Error> {
        #[cfg(feature = "mutants")]
        let disk = super::planted::over(disk);
        let fs = Arc::new(Fs {
            disk,
            durability,
            folders: Mutex::new(HashSet::new()),
            stripes: std::array::from_fn(|_| Mutex::new(())),
            next_temporary: AtomicU64::new(0),
            syncing: Arc::new(Semaphore::new(SYNCING_MAX)),
        });
        fs.run(&Key::new(TEMPORARY), |fs, key| {
            fs.sweep(key)?;
            fs.create_dir_durably(TEMPORARY).map_err(|error| Error::new("mkdir", key, error))
        })
        .await?;
        Ok(Self(fs))
    }
}

impl Fs {
    /// Runs blocking work where it may block. It goes on when the caller is cancelled.
    pub(super) fn run<T: Send + 'static>(
        self: &Arc<Self>,
        key: &Key,
        work: impl FnOnce(&Self, &Key) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let (fs, key) = (Arc::clone(self), key.clone());
        if !self.disk.blocks() {
            return std::future::ready(work(&fs, &key)).boxed();
        }
        let task = tokio::task::spawn_blocking({
            let key = key.clone();
            move || work(&fs, &key)
        });
        async move { task.await.unwrap_or(Err(Error::Abandoned { key })) }.boxed()
    }

    /// Runs blocking work that may wait for the disk to sync, when it is its turn.
    pub(super) async fn run_syncing<T: Send + 'static>(
        self: &Arc<Self>,
        key: &Key,
        work: impl FnOnce(&Self, &Key) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = Arc::clone(&self.syncing).acquire_owned().await.expect("the turns are never closed");
        let work = move |fs: &Self, key: &Key| {
            let result = work(fs, key);
            // Held by the work, which goes on when the caller is cancelled.
            drop(turn);
            result
        };
        self.run(key, work).await
    }

    /// Makes a file's bytes durable, unless nothing is to be.
    pub(super) fn sync_file(&self, file: &dyn DiskFile) -> io::Result<()> {
        if self.durability == Durability::Synced { file.sync() } else { Ok(()) }
    }

    /// Makes a folder's entries durable, and the folder's own existence with them.
    pub(super) fn sync_parent(&self, path: &str) -> io::Result<()> {
        if self.durability == Durability::Unsynced {
            return Ok(());
        }
        let parent = parent(path);
        self.disk.sync_dir(parent)?;
        self.make_known(parent)
    }

    /// Makes every folder above a path, durably, top down: the entry of the first new one in its
    /// *existing* parent too, since without it all below is lost.
    pub(super) fn create_parents(&self, path: &str) -> io::Result<()> {
        if self.disk.is_shared() {
            // Another process may have removed this one since, and made it again without having synced that yet.
            // Those above it stay while anybody has the disk.
            self.folders().remove(parent(path));
        }
        self.create_above(path)
    }

    fn create_above(&self, path: &str) -> io::Result<()> {
        let parent = parent(path);
        if parent.is_empty() || self.folders().contains(parent) {
            return Ok(());
        }
        self.create_above(parent)?;
        self.create_dir_durably(parent)
    }

    fn create_dir_durably(&self, path: &str) -> io::Result<()> {
        match self.disk.create_dir(path) {
            // Somebody else made it and may not have synced it yet.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        if self.durability == Durability::Synced {
            self.disk.sync_dir(parent(path))?;
        }
        self.remember(path);
        Ok(())
    }

    /// Syncs the entries of folders that an earlier process made, up to one that is known.
    fn make_known(&self, path: &str) -> io::Result<()> {
        if path.is_empty() || self.folders().contains(path) {
            return Ok(());
        }
        // From the top: a folder is known only when everything above it is.
        self.make_known(parent(path))?;
        self.disk.sync_dir(parent(path))?;
        self.remember(path);
        Ok(())
    }

    fn remember(&self, path: &str) {
        let mut folders = self.folders();
        if folders.len() >= FOLDERS_MAX {
            folders.clear();
        }
        folders.insert(path.to_owned());
    }

    fn folders(&self) -> MutexGuard<'_, HashSet<String>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps others out of a key, and of some more, until what is returned is dropped.
    fn lock(&self, key: &Key) -> Result<(MutexGuard<'_, ()>, Option<OwnedFd>), Error> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key.as_str());
        let stripe = usize::try_from(hash % STRIPES as u64).expect("a stripe's number is small");
        let guard = self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        let others = self.disk.keep_out(stripe).map_err(|error| Error::new("flock", key, error))?;
        Ok((guard, others))
    }

    fn stat_file(&self, key: &Key) -> Result<Option<u64>, Error> {
        match found(self.disk.stat(key.as_str())) {
            Ok(Some(Stat::File(size))) => Ok(Some(size)),
            Ok(Some(Stat::Folder) | None) => Ok(None),
            Err(error) => Err(Error::new("stat", key, error)),
        }
    }

    fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        let opened = self.disk.open(key.as_str());
        let Some(file) = found(opened).map_err(|error| Error::new("open", key, error))? else {
            return Ok(None);
        };
        self.read_file(key, file.as_ref()).map(Some)
    }

    fn read_file(&self, key: &Key, file: &dyn DiskFile) -> Result<Bytes, Error> {
        let size = file.len().map_err(|error| Error::new("fstat", key, error))?;
        match usize::try_from(size) {
            Ok(len) if len <= RECORD_BYTES_MAX => {
                Ok(file.read_at(0, len).map_err(|error| Error::new("read", key, error))?.into())
            }
            _ => Err(Error::TooLarge { key: key.clone(), size }),
        }
    }

    fn temporary(&self) -> String {
        format!("{TEMPORARY}/{}", self.next_temporary.fetch_add(1, Ordering::Relaxed))
    }

    fn write_unsynced(&self, key: &Key, record: &[u8]) -> Result<(), Error> {
        let failed = |operation| move |error| Error::new(operation, key, error);
        let temporary = self.temporary();
        self.create_parents(key.as_str()).map_err(failed("mkdir"))?;
        let file = self.disk.create(&temporary).map_err(failed("create"))?;
        let written = file.write_at(0, record).map_err(failed("write"));
        let renamed =
            written.and_then(|()| self.disk.rename(&temporary, key.as_str()).map_err(failed("rename")));
        if renamed.is_err() {
            let _ = self.disk.remove(&temporary);
        }
        renamed
    }

    fn write(&self, key: &Key, record: &[u8], when: &When) -> Result<Outcome, Error> {
        let temporary = self.temporary();
        let written = self.write_temporary(&temporary, record);
        let outcome = match written {
            Ok(()) => self.rename_when(&temporary, key, when),
            Err(error) => Err(Error::new("write", key, error)),
        };
        if !matches!(outcome, Ok(Outcome::Done)) {
            // What stays is removed at the next start.
            let _ = self.disk.remove(&temporary);
        }
        outcome
    }

    fn write_temporary(&self, path: &str, record: &[u8]) -> io::Result<()> {
        let file = self.disk.create(path)?;
        file.write_at(0, record)?;
        self.sync_file(file.as_ref())
    }

    fn rename_when(&self, from: &str, key: &Key, when: &When) -> Result<Outcome, Error> {
        self.create_parents(key.as_str()).map_err(|error| Error::new("mkdir", key, error))?;
        {
            let _guard = self.lock(key)?;
            let renamed = match when {
                When::Absent => self.disk.rename_new(from, key.as_str()),
                When::Is(expected) if self.read(key)?.as_ref() != Some(expected) => {
                    return Ok(Outcome::Refused);
                }
                When::Is(_) | When::Always => self.disk.rename(from, key.as_str()),
            };
            match renamed {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Outcome::Refused),
                other => other.map_err(|error| Error::new("rename", key, error))?,
            }
        }
        self.sync_parent(key.as_str()).map_err(|error| Error::new("fsync", key, error))?;
        Ok(Outcome::Done)
    }

    fn delete(&self, key: &Key, when: &When) -> Result<Outcome, Error> {
        {
            let _guard = self.lock(key)?;
            let refused = match when {
                When::Always => false,
                When::Absent => true,
                When::Is(expected) => self.read(key)?.as_ref() != Some(expected),
            };
            if refused {
                return Ok(Outcome::Refused);
            }
            let removed =
                found(self.disk.remove(key.as_str())).map_err(|error| Error::new("unlink", key, error))?;
            if removed.is_none() {
                return Ok(Outcome::Refused);
            }
        }
        self.sync_parent(key.as_str()).map_err(|error| Error::new("fsync", key, error))?;
        Ok(Outcome::Done)
    }

    fn settle(&self, keys: &[Key]) -> Result<(), Error> {
        let mut done = HashSet::new();
        for key in keys.iter().filter(|key| done.insert(key.parent())) {
            // In a folder that is not there nothing is visible.
            found(self.sync_parent(key.as_str())).map_err(|error| Error::new("fsync", key, error))?;
        }
        Ok(())
    }

    fn list(&self, key: &Key) -> Result<Vec<String>, Error> {
        let entries =
            found(self.disk.entries(key.as_str())).map_err(|error| Error::new("readdir", key, error))?;
        let mut names = entries.unwrap_or_default();
        // What no key can name was not written by us.
        names.retain(|name| Key::is_component(name));
        names.sort_unstable();
        Ok(names)
    }

    fn sweep(&self, key: &Key) -> Result<(), Error> {
        let failed = |operation| move |error| Error::new(operation, key, error);
        match found(self.disk.stat(key.as_str())).map_err(failed("stat"))? {
            None => Ok(()),
            Some(Stat::File(_)) => found(self.disk.remove(key.as_str())).map(drop).map_err(failed("unlink")),
            Some(Stat::Folder) => {
                for name in self.list(key)? {
                    self.sweep(&key.child(&name))?;
                }
                self.folders().remove(key.as_str());
                match found(self.disk.remove_dir(key.as_str())) {
                    // A foreign file keeps its folder.
                    Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                    other => other.map(drop).map_err(failed("rmdir")),
                }
            }
        }
    }

    fn content(self: &Arc<Self>, key: &Key, file: Arc<dyn DiskFile>) -> Result<Content, Error> {
        let size = file.len().map_err(|error| Error::new("fstat", key, error))?;
        Ok(Content::new(size, Arc::new(FsFile { fs: Arc::clone(self), key: key.clone(), file })))
    }
}

/// Turns *not found* into `None`.
pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A file that is read.
#[derive(Debug)]
pub(super) struct FsFile {
    pub(super) fs: Arc<Fs>,
    pub(super) key: Key,
    pub(super) file: Arc<dyn DiskFile>,
}

impl ReadAt for FsFile {
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, Error>> {
        if let Some(bytes) = self.file.read_at_cached(offset, len) {
            return std::future::ready(Ok(bytes.into())).boxed();
        }
        let file = Arc::clone(&self.file);
        self.fs.run(&self.key, move |_, key| {
            file.read_at(offset, len).map(Bytes::from).map_err(|error| Error::new("read", key, error))
        })
    }
}

#[async_trait::async_trait]
impl Backend for FsBackend {
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        self.0.run(key, Fs::read).await
    }

    async fn write(&self, key: &Key, record: Bytes, when: When) -> Result<Outcome, Error> {
        self.0.run_syncing(key, move |fs, key| fs.write(key, &record, &when)).await
    }

    async fn write_unsynced(&self, key: &Key, record: Bytes) -> Result<(), Error> {
        self.0.run_syncing(key, move |fs, key| fs.write_unsynced(key, &record)).await
    }

    async fn delete(&self, key: &Key, when: When) -> Result<Outcome, Error> {
        self.0.run_syncing(key, move |fs, key| fs.delete(key, &when)).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.0.run(key, Fs::stat_file).await
    }

    async fn settle(&self, keys: &[Key]) -> Result<(), Error> {
        let Some(first) = keys.first().cloned() else { return Ok(()) };
        let keys = keys.to_vec();
        self.0.run_syncing(&first, move |fs, _| fs.settle(&keys)).await
    }

    async fn list(&self, key: &Key) -> Result<Vec<String>, Error> {
        self.0.run(key, Fs::list).await
    }

    async fn open(&self, key: &Key) -> Result<Option<Content>, Error> {
        if let Some(file) = self.0.disk.open_cached(key.as_str()) {
            return self.0.content(key, file).map(Some);
        }
        let opened = self.0.run(key, |fs, key| {
            found(fs.disk.open(key.as_str())).map_err(|error| Error::new("open", key, error))
        });
        opened.await?.map(|file| self.0.content(key, file)).transpose()
    }

    async fn stage(&self, key: &Key) -> Result<Box<dyn Stage>, Error> {
        let created = self.0.run_syncing(key, |fs, key| {
            fs.create_parents(key.as_str()).map_err(|error| Error::new("mkdir", key, error))?;
            fs.disk.create(key.as_str()).map_err(|error| Error::new("create", key, error))
        });
        Ok(Box::new(FsStage::new(Arc::clone(&self.0), key.clone(), created.await?, 0)))
    }

    async fn resume(&self, key: &Key, len: u64) -> Result<Option<Box<dyn Stage>>, Error> {
        let opened = self.0.run(key, move |fs, key| {
            let failed = |operation| move |error| Error::new(operation, key, error);
            let file = found(fs.disk.open_writable(key.as_str())).map_err(failed("open"))?;
            let Some(file) = file else { return Ok(None) };
            if file.len().map_err(failed("fstat"))? < len {
                return Ok(None);
            }
            file.set_len(len).map_err(failed("truncate"))?;
            Ok(Some(file))
        });
        let stage =
            |file| Box::new(FsStage::new(Arc::clone(&self.0), key.clone(), file, len)) as Box<dyn Stage>;
        Ok(opened.await?.map(stage))
    }

    async fn sweep(&self, key: &Key) -> Result<(), Error> {
        self.0.run(key, Fs::sweep).await
    }

    async fn condemn(&self, key: &Key) -> Result<Option<Sentence>, Error> {
        self.0.run(key, Fs::condemn).await
    }

    async fn execute(&self, key: &Key, sentence: &Sentence) -> Result<Outcome, Error> {
        let sentence = sentence.clone();
        self.0.run_syncing(key, move |fs, key| fs.execute(key, &sentence)).await
    }

    async fn spare(&self, key: &Key) -> Result<bool, Error> {
        self.0.run(key, Fs::spare).await
    }

    async fn reclaim(&self, _idle: std::time::Duration) -> Result<Reclaimed, Error> {
        // Content is its file, and goes with it.
        Ok(Reclaimed::default())
    }

    async fn space(&self) -> Result<Option<Space>, Error> {
        let asked = self.0.run(&Key::new(TEMPORARY), |fs, key| {
            fs.disk.space().map_err(|error| Error::new("statvfs", key, error))
        });
        asked.await
    }
}

#[cfg(test)]
mod tests;
