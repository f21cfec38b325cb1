//! Files that grow: uploads and fills.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{DiskFile, Stat};
use super::fs::{Fs, FsFile, found};
use super::{Error, Key, Outcome, ReadAt, Stage};

/// A staged file.
#[derive(Debug)]
pub(super) struct FsStage {
    fs: Arc<Fs>,
    key: Key,
    file: Arc<dyn DiskFile>,
    len: u64,
}

impl FsStage {
    pub(super) fn new(fs: Arc<Fs>, key: Key, file: Arc<dyn DiskFile>, len: u64) -> Self {
        Self { fs, key, file, len }
    }
}

#[async_trait::async_trait]
impl Stage for FsStage {
    fn len(&self) -> u64 {
        self.len
    }

    async fn append(&mut self, bytes: Vec<Bytes>) -> Result<(), Error> {
        let (file, mut at) = (Arc::clone(&self.file), self.len);
        let total: u64 = bytes.iter().map(|piece| piece.len() as u64).sum();
        let write = move |_: &Fs, key: &Key| {
            for piece in bytes {
                file.write_at(at, &piece).map_err(|error| Error::new("write", key, error))?;
                at += piece.len() as u64;
            }
            Ok(())
        };
        self.fs.run(&self.key, write).await?;
        self.len += total;
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), Error> {
        let file = Arc::clone(&self.file);
        let sync = move |fs: &Fs, key: &Key| {
            fs.sync_file(file.as_ref()).map_err(|error| Error::new("fsync", key, error))
        };
        self.fs.run_syncing(&self.key, sync).await
    }

    fn reader(&self) -> Arc<dyn ReadAt> {
        Arc::new(FsFile { fs: Arc::clone(&self.fs), key: self.key.clone(), file: Arc::clone(&self.file) })
    }

    async fn publish(self: Box<Self>, to: &Key) -> Result<Outcome, Error> {
        let (from, file, len) = (self.key.clone(), Arc::clone(&self.file), self.len);
        self.fs.run_syncing(to, move |fs, to| publish(fs, &from, file.as_ref(), len, to)).await
    }

    async fn discard(self: Box<Self>) -> Result<(), Error> {
        let remove = |fs: &Fs, key: &Key| {
            found(fs.disk.remove(key.as_str())).map(drop).map_err(|error| Error::new("unlink", key, error))
        };
        self.fs.run(&self.key, remove).await
    }
}

/// The order is the promise: bytes, then the folders, then the name, then the name's folder.
fn publish(fs: &Fs, from: &Key, file: &dyn DiskFile, len: u64, to: &Key) -> Result<Outcome, Error> {
    let failed = |operation| move |error| Error::new(operation, to, error);
    fs.sync_file(file).map_err(failed("fsync"))?;
    fs.create_parents(to.as_str()).map_err(failed("mkdir"))?;
    let outcome = match fs.disk.rename_new(from.as_str(), to.as_str()) {
        Ok(()) => Outcome::Done,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let stat = fs.disk.stat(to.as_str()).map_err(failed("stat"))?;
            // Also over content of the same size: its bytes may have rotted, and these are whole and synced.
            fs.disk.rename(from.as_str(), to.as_str()).map_err(failed("rename"))?;
            if stat == Stat::File(len) { Outcome::Refused } else { Outcome::Done }
        }
        Err(error) => return Err(failed("rename")(error)),
    };
    // Also when the name was there: its maker may not have synced it yet.
    fs.sync_parent(to.as_str()).map_err(failed("fsync"))?;
    Ok(outcome)
}
