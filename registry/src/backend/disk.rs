//! The system calls that the folder backend is built of.
//!
//! The trait is small so that a disk that crashes fits on a page (`memory`, `faulty`); the order
//! of the calls, which is what durability depends on, is in `fs` and `stage`, and is the same for
//! every disk. Paths are keys: relative, without `..`.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::error::OpenError;

/// A disk: a tree of folders and files.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Says whether calls may block, so that they have to leave the executor.
    fn blocks(&self) -> bool;
    /// Makes a file that is not there yet, for reading and writing.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading if that needs no I/O, else returns `None`.
    fn open_cached(&self, path: &str) -> Option<Arc<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Moves a file, replacing what is there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Moves a file to a name that is free.
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes a folder that is not there yet.
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &str) -> io::Result<()>;
    /// Makes the entries of a folder durable.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
    /// Returns the names in a folder, in any order.
    fn entries(&self, path: &str) -> io::Result<Vec<String>>;
    /// Returns what a path is.
    fn stat(&self, path: &str) -> io::Result<Stat>;
    /// Says whether other processes write to it too.
    fn is_shared(&self) -> bool {
        false
    }
    /// Keeps other processes out of a group of keys until what is returned is dropped; waits while one is in.
    fn keep_out(&self, _stripe: usize) -> io::Result<Option<OwnedFd>> {
        Ok(None)
    }
    /// Returns how much room there is, or `None` where nothing bounds it.
    fn space(&self) -> io::Result<Option<Space>>;
}

/// How much room there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// In all.
    pub size: u64,
    /// Of that, free for this process.
    pub free: u64,
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads up to `len` bytes at an offset; fewer only at the end of the file.
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// The same if all of them are in memory, else `None`.
    fn read_at_cached(&self, offset: u64, len: usize) -> Option<Vec<u8>>;
    /// Writes all bytes at an offset.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes the bytes and the length durable.
    fn sync(&self) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns the length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Says whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stat {
    /// A file of this many bytes.
    File(u64),
    /// A folder.
    Folder,
}

/// A folder of the operating system.
#[derive(Debug)]
pub struct OsDisk {
    root: OwnedFd,
    /// Held for its lock, which the kernel drops with the process, however it ends.
    _lock: OwnedFd,
}

/// The file whose lock says that a process has the folder.
const LOCK: &str = "wharfinger.lock";

impl OsDisk {
    /// Opens a folder, making it if need be, and locks it against other processes.
    ///
    /// *Errors:* [`OpenError::Held`] when another process has it, else [`OpenError::Folder`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::lock(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Opens a folder that other processes may open so too, and none alone.
    pub(super) fn open_beside(path: &Path) -> Result<Self, OpenError> {
        Self::lock(path, FlockOperation::NonBlockingLockShared)
    }

    /// Returns the folder itself.
    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    fn lock(path: &Path, operation: FlockOperation) -> Result<Self, OpenError> {
        let failed = |operation| {
            move |error: io::Error| OpenError::Folder { path: path.to_owned(), operation, source: error }
        };
        create_durably(path).map_err(failed("mkdir"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from).map_err(failed("open"))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(&root, LOCK, flags, FILE_MODE)
            .map_err(io::Error::from)
            .map_err(failed("open"))?;
        match rustix::fs::flock(&lock, operation) {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(OpenError::Held { path: path.to_owned() }),
            Err(error) => Err(failed("flock")(error.into())),
        }
    }

    fn open_with(&self, path: &str, flags: OFlags) -> io::Result<Arc<dyn DiskFile>> {
        Ok(file(self.open_fd(path, flags)?))
    }

    pub(super) fn open_fd(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(&self.root, at(path), flags, FILE_MODE)?)
    }
}

pub(super) fn file(fd: OwnedFd) -> Arc<dyn DiskFile> {
    Arc::new(OsFile(File::from(fd)))
}

/// Makes a folder and those above it, each with its entry synced in its parent.
fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_durably(parent)?;
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    File::open(parent)?.sync_all()
}

/// For this process's account alone: keys that sign are among what is kept, and who may read the rest is for the
/// policy to say.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o700);

fn at(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

impl Disk for OsDisk {
    fn blocks(&self) -> bool {
        true
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(path, OFlags::RDONLY)
    }

    fn open_cached(&self, path: &str) -> Option<Arc<dyn DiskFile>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd =
            rustix::fs::openat2(&self.root, at(path), flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
        Some(Arc::new(OsFile(File::from(fd))))
    }

    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(path, OFlags::RDWR)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.root, from, &self.root, to)?)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        match rustix::fs::renameat_with(&self.root, from, &self.root, to, RenameFlags::NOREPLACE) {
            // File systems without the flag. Two who come here for one name at once have the same
            // content, or hold the same lock; a link and an unlink would give one file two names
            // when the process dies between them.
            Err(Errno::INVAL | Errno::NOSYS) => match self.stat(to) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.rename(from, to),
                Err(error) => Err(error),
            },
            other => Ok(other?),
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.root, path, AtFlags::empty())?)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.root, path, FOLDER_MODE)?)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.root, path, AtFlags::REMOVEDIR)?)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.root, at(path), flags, Mode::empty())?;
        Ok(rustix::fs::fsync(folder)?)
    }

    fn space(&self) -> io::Result<Option<Space>> {
        let found = rustix::fs::fstatvfs(&self.root)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Some(Space { size: bytes(found.f_blocks), free: bytes(found.f_bavail) }))
    }

    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.root, at(path), flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::new(folder)? {
            // What is not UTF-8 was not written by us, and no key can name it.
            if let Ok(name) = entry?.file_name().to_str().map(str::to_owned)
                && !matches!(name.as_str(), "." | "..")
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        let stat = rustix::fs::statat(&self.root, at(path), AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Stat::Folder),
            _ => Ok(Stat::File(u64::try_from(stat.st_size).unwrap_or(0))),
        }
    }
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&self.0, rustix::buffer::spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn read_at_cached(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        let slices = &mut [io::IoSliceMut::new(&mut bytes)];
        let read = rustix::io::preadv2(&self.0, slices, offset, ReadWriteFlags::NOWAIT).ok()?;
        // Less than asked for is the end of the file, or a page that is not in memory: the
        // blocking read tells which.
        (read == len).then_some(bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        // The length is metadata that reading needs, so fdatasync covers it.
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
