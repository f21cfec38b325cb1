//! A disk before whose every call a test decides: it may wait, or fail.

use std::fmt;
use std::io;
use std::sync::Arc;

use wharfinger::backend::disk::{Disk, DiskFile, Space, Stat};

/// What a call is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It changes names: what a read-only file system forbids, and one without permission.
    Name,
    /// It changes the bytes of a file that is open.
    Bytes,
    /// It makes something durable.
    Sync,
    /// It only looks.
    Look,
}

type Rule = Arc<dyn Fn(Call) -> io::Result<()> + Send + Sync>;

/// Whether calls leave the executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// They do, as those of a real disk.
    Block,
    /// They do not.
    AtOnce,
}

/// A disk with a rule.
#[derive(Clone)]
pub(crate) struct RuledDisk {
    below: Arc<dyn Disk>,
    rule: Rule,
    calls: Calls,
}

impl RuledDisk {
    /// Puts a rule before a disk. Nothing is ever said to be in the system's memory.
    pub(crate) fn new(
        below: Arc<dyn Disk>,
        calls: Calls,
        rule: impl Fn(Call) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { below, rule: Arc::new(rule), calls }
    }

    fn wrap(&self, file: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        let rule = Arc::clone(&self.rule);
        file.map(|below| Arc::new(RuledFile { below, rule }) as Arc<dyn DiskFile>)
    }
}

impl fmt::Debug for RuledDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RuledDisk").field(&self.below).finish()
    }
}

impl Disk for RuledDisk {
    fn blocks(&self) -> bool {
        self.calls == Calls::Block
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        (self.rule)(Call::Name)?;
        self.wrap(self.below.create(path))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        (self.rule)(Call::Look)?;
        self.wrap(self.below.open(path))
    }

    fn open_cached(&self, _path: &str) -> Option<Arc<dyn DiskFile>> {
        None
    }

    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        (self.rule)(Call::Name)?;
        self.wrap(self.below.open_writable(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.rule)(Call::Name)?;
        self.below.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        (self.rule)(Call::Name)?;
        self.below.rename_new(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        (self.rule)(Call::Name)?;
        self.below.remove(path)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        (self.rule)(Call::Name)?;
        self.below.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        (self.rule)(Call::Name)?;
        self.below.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        (self.rule)(Call::Sync)?;
        self.below.sync_dir(path)
    }

    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        (self.rule)(Call::Look)?;
        self.below.entries(path)
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        (self.rule)(Call::Look)?;
        self.below.stat(path)
    }

    fn space(&self) -> io::Result<Option<Space>> {
        (self.rule)(Call::Look)?;
        self.below.space()
    }
}

struct RuledFile {
    below: Arc<dyn DiskFile>,
    rule: Rule,
}

impl fmt::Debug for RuledFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RuledFile").field(&self.below).finish()
    }
}

impl DiskFile for RuledFile {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        (self.rule)(Call::Look)?;
        self.below.read_at(offset, len)
    }

    fn read_at_cached(&self, _offset: u64, _len: usize) -> Option<Vec<u8>> {
        None
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (self.rule)(Call::Bytes)?;
        self.below.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        (self.rule)(Call::Sync)?;
        self.below.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (self.rule)(Call::Bytes)?;
        self.below.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        // The system knows it of a file that is open.
        self.below.len()
    }
}
