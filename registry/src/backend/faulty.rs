//! A disk that fails, or stops for good, at the Nth operation.
//!
//! It counts the operations that change something or make it durable. With [`Fault::Stop`] the Nth
//! and every later one fail and change nothing, as if the process had died before it; the disk
//! below is then the live state at that moment, and
//! [`MemoryDisk::after_power_cut`](super::memory::MemoryDisk::after_power_cut) says what the
//! machine finds.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Disk, DiskFile, Space, Stat};

/// A disk with a fault.
#[derive(Debug, Clone)]
pub struct FaultyDisk {
    below: Arc<dyn Disk>,
    plan: Arc<Plan>,
}

/// What happens at the Nth operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It and all after it fail: the process is dead.
    Stop,
    /// It alone fails, with this error, and changes nothing.
    Error(io::ErrorKind),
}

#[derive(Debug)]
struct Plan {
    at: u64,
    fault: Fault,
    done: AtomicU64,
    names: Mutex<Vec<String>>,
}

impl FaultyDisk {
    /// Puts a fault at the operation with this number, counted from 1; 0 is never reached.
    pub fn new(below: Arc<dyn Disk>, at: u64, fault: Fault) -> Self {
        let plan = Plan { at, fault, done: AtomicU64::new(0), names: Mutex::new(Vec::new()) };
        Self { below, plan: Arc::new(plan) }
    }

    /// Returns how many operations were asked for.
    pub fn operations(&self) -> u64 {
        self.plan.done.load(Ordering::SeqCst)
    }

    /// Returns the operations in order, for the text of a failed test.
    pub fn trace(&self) -> Vec<String> {
        self.plan.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Plan {
    fn step(&self, operation: &str, path: &str) -> io::Result<()> {
        let number = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.push(format!("{number}: {operation} {path}"));
        match self.fault {
            Fault::Stop if self.at != 0 && number >= self.at => {
                Err(io::Error::other("the process has stopped"))
            }
            Fault::Error(kind) if number == self.at => Err(kind.into()),
            Fault::Stop | Fault::Error(_) => Ok(()),
        }
    }
}

impl FaultyDisk {
    fn wrap(&self, path: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { below: file, path: path.to_owned(), plan: Arc::clone(&self.plan) })
    }
}

impl Disk for FaultyDisk {
    fn blocks(&self) -> bool {
        self.below.blocks()
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.plan.step("create", path)?;
        Ok(self.wrap(path, self.below.create(path)?))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.below.open(path)?))
    }

    fn open_cached(&self, path: &str) -> Option<Arc<dyn DiskFile>> {
        self.below.open_cached(path)
    }

    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.below.open_writable(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.plan.step("rename", to)?;
        self.below.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.plan.step("rename_new", to)?;
        self.below.rename_new(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.plan.step("remove", path)?;
        self.below.remove(path)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.plan.step("create_dir", path)?;
        self.below.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.plan.step("remove_dir", path)?;
        self.below.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.plan.step("sync_dir", path)?;
        self.below.sync_dir(path)
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

#[derive(Debug)]
struct FaultyFile {
    below: Arc<dyn DiskFile>,
    path: String,
    plan: Arc<Plan>,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.below.read_at(offset, len)
    }

    fn read_at_cached(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        self.below.read_at_cached(offset, len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.plan.step("write", &self.path)?;
        self.below.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.plan.step("sync", &self.path)?;
        self.below.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.plan.step("set_len", &self.path)?;
        self.below.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }
}
