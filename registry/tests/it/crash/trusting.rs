//! Wrong protocols of two writers: each relies on what the other has made visible, and leaves it
//! to the other to make it durable.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use wharfinger::backend::disk::{Disk, DiskFile, Space, Stat};
use wharfinger::backend::fs::FsBackend;
use wharfinger::backend::{Backend, Content, Error, Key, Outcome, Reclaimed, Sentence, Stage, When};

use super::turns::Turns;

/// A backend that believes what it sees to be durable.
#[derive(Debug)]
pub(super) struct Unsettled(pub(super) FsBackend);

#[async_trait::async_trait]
impl Backend for Unsettled {
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        self.0.read(key).await
    }

    async fn write(&self, key: &Key, record: Bytes, when: When) -> Result<Outcome, Error> {
        self.0.write(key, record, when).await
    }

    async fn write_unsynced(&self, key: &Key, record: Bytes) -> Result<(), Error> {
        self.0.write_unsynced(key, record).await
    }

    async fn delete(&self, key: &Key, when: When) -> Result<Outcome, Error> {
        self.0.delete(key, when).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.0.size(key).await
    }

    async fn settle(&self, _: &[Key]) -> Result<(), Error> {
        Ok(())
    }

    async fn list(&self, key: &Key) -> Result<Vec<String>, Error> {
        self.0.list(key).await
    }

    async fn open(&self, key: &Key) -> Result<Option<Content>, Error> {
        self.0.open(key).await
    }

    async fn stage(&self, key: &Key) -> Result<Box<dyn Stage>, Error> {
        self.0.stage(key).await
    }

    async fn resume(&self, key: &Key, len: u64) -> Result<Option<Box<dyn Stage>>, Error> {
        self.0.resume(key, len).await
    }

    async fn sweep(&self, key: &Key) -> Result<(), Error> {
        self.0.sweep(key).await
    }

    async fn reclaim(&self, idle: Duration) -> Result<Reclaimed, Error> {
        self.0.reclaim(idle).await
    }

    async fn condemn(&self, key: &Key) -> Result<Option<Sentence>, Error> {
        self.0.condemn(key).await
    }

    async fn execute(&self, key: &Key, sentence: &Sentence) -> Result<Outcome, Error> {
        self.0.execute(key, sentence).await
    }

    async fn spare(&self, key: &Key) -> Result<bool, Error> {
        self.0.spare(key).await
    }

    async fn space(&self) -> Result<Option<Space>, Error> {
        self.0.space().await
    }
}

/// A disk under a backend that takes a blob whose name is taken for durable: the folder of the name
/// is not synced.
#[derive(Debug)]
pub(super) struct Trusting {
    below: Turns,
    trusted: Mutex<HashSet<String>>,
}

impl Trusting {
    pub(super) fn new(below: Turns) -> Self {
        Self { below, trusted: Mutex::default() }
    }
}

impl Disk for Trusting {
    fn blocks(&self) -> bool {
        self.below.blocks()
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.below.create(path)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.below.open(path)
    }

    fn open_cached(&self, path: &str) -> Option<Arc<dyn DiskFile>> {
        self.below.open_cached(path)
    }

    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.below.open_writable(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.below.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let renamed = self.below.rename_new(from, to);
        if renamed.is_err() && to.starts_with("blobs/") {
            let folder = to.rsplit_once('/').map_or("", |(folder, _)| folder);
            self.trusted.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        }
        renamed
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.below.remove(path)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.below.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.below.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let is_trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        if is_trusted { Ok(()) } else { self.below.sync_dir(path) }
    }

    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        self.below.entries(path)
    }

    fn space(&self) -> io::Result<Option<Space>> {
        self.below.space()
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        self.below.stat(path)
    }
}
