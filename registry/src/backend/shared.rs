//! A folder that several processes of one host write to.
//!
//! What a process has under way (temporary files, fills) stands in a folder of its own, its *slot*; changes
//! that depend on what is there are kept apart by locks of files, which the kernel drops with the process.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::disk::{self, Disk, DiskFile, OsDisk, Space, Stat};
use super::error::OpenError;

/// A folder of the operating system that other processes of this host write to as well.
#[derive(Debug)]
pub struct SharedDisk {
    disk: OsDisk,
    slot: String,
    /// Held for its lock.
    _slot: OwnedFd,
}

/// Processes at once.
const PROCESSES_MAX: usize = 64;
const SLOTS: &str = "slots";
const LOCKS: &str = "locks";
/// What is of one process alone.
const OWN: [&str; 3] = ["tmp", "fills", "parked"];
/// Below which one process at a time may write a file.
const ONE_AT_A_TIME: &str = "uploads/";

/// Kinds of file system whose locks do not reach other hosts, or only sometimes, by their numbers in
/// `statfs(2)`: NFS, SMB, CIFS, SMB2, FUSE, 9P, Ceph, AFS, Lustre, GFS2, OCFS2.
const REMOTE: [u64; 11] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x0bd0_0bd0,
    0x0116_1970,
    0x7461_636f,
];

impl SharedDisk {
    /// Opens a folder, making it if need be.
    ///
    /// *Errors:* [`OpenError::Held`] when a process has it alone, [`OpenError::Remote`] on a network's file
    /// system, [`OpenError::Crowded`] when too many processes have it; else [`OpenError::Folder`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |operation| {
            move |error: io::Error| OpenError::Folder { path: path.to_owned(), operation, source: error }
        };
        let disk = OsDisk::open_beside(path)?;
        let kind =
            rustix::fs::fstatfs(disk.root()).map_err(io::Error::from).map_err(failed("statfs"))?.f_type;
        if REMOTE.contains(&(kind as u64)) {
            return Err(OpenError::Remote { path: path.to_owned() });
        }
        for folder in [SLOTS, LOCKS] {
            make(&disk, folder).map_err(failed("mkdir"))?;
        }
        for number in 0..PROCESSES_MAX {
            let slot = format!("{SLOTS}/{number}");
            make(&disk, &slot).map_err(failed("mkdir"))?;
            let lock = disk.open_fd(&format!("{slot}/lock"), OFlags::RDWR | OFlags::CREATE);
            let lock = lock.map_err(failed("open"))?;
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { disk, slot, _slot: lock }),
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed("flock")(error.into())),
            }
        }
        Err(OpenError::Crowded { path: path.to_owned(), max: PROCESSES_MAX })
    }

    fn at(&self, path: &str) -> String {
        let first = path.split('/').next().unwrap_or_default();
        if OWN.contains(&first) { format!("{}/{path}", self.slot) } else { path.to_owned() }
    }

    fn open_writable_alone(&self, path: &str, flags: OFlags) -> io::Result<Arc<dyn DiskFile>> {
        let fd = self.disk.open_fd(&self.at(path), flags)?;
        if path.starts_with(ONE_AT_A_TIME) {
            rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
        }
        Ok(disk::file(fd))
    }
}

fn make(disk: &OsDisk, path: &str) -> io::Result<()> {
    match disk.create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

impl Disk for SharedDisk {
    fn blocks(&self) -> bool {
        true
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_writable_alone(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(&self.at(path))
    }

    fn open_cached(&self, path: &str) -> Option<Arc<dyn DiskFile>> {
        self.disk.open_cached(&self.at(path))
    }

    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_writable_alone(path, OFlags::RDWR)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.at(from), &self.at(to))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename_new(&self.at(from), &self.at(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(&self.at(path))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.disk.create_dir(&self.at(path))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.disk.remove_dir(&self.at(path))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.disk.sync_dir(&self.at(path))
    }

    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.entries(&self.at(path))
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        self.disk.stat(&self.at(path))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn keep_out(&self, stripe: usize) -> io::Result<Option<OwnedFd>> {
        let lock = self.disk.open_fd(&format!("{LOCKS}/{stripe}"), OFlags::RDWR | OFlags::CREATE)?;
        loop {
            match rustix::fs::flock(&lock, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Some(lock)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn space(&self) -> io::Result<Option<Space>> {
        self.disk.space()
    }
}
