//! The system's disk without a thread for each call: nobody waits here who would mind, and two million small
//! files cost less than two million changes of thread.

use std::io;
use std::sync::Arc;

use wharfinger::backend::disk::{Disk, DiskFile, OsDisk, Space, Stat};

/// A disk whose calls are made where they are asked for.
#[derive(Debug)]
pub(super) struct Inline(pub(super) OsDisk);

impl Disk for Inline {
    fn blocks(&self) -> bool {
        false
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.create(path)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open(path)
    }

    fn open_cached(&self, path: &str) -> Option<Arc<dyn DiskFile>> {
        self.0.open_cached(path)
    }

    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open_writable(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename_new(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.remove(path)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.0.sync_dir(path)
    }

    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        self.0.entries(path)
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        self.0.stat(path)
    }

    fn space(&self) -> io::Result<Option<Space>> {
        self.0.space()
    }
}
