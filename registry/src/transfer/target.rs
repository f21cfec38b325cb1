//! What is written: an image layout in a folder or in a tar.
//!
//! Content comes first and `index.json` last, so that what was cut short names nothing that is not there. A
//! folder that has a layout is gone on with: what is in it stays. The bytes of a tar are decided by what is
//! in it: no times, no owners, one order.
//!
//! Everything here blocks.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ::tar::{EntryType, Header};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::Error;
use super::folder::{Folder, io_error, join};
use super::index::{
    INDEX, INDEX_BYTES_MAX, LAYOUT, LAYOUT_TEXT, SMALL_BYTES_MAX, WrittenIndex, check_layout,
};
use super::oci_layout::blob_path;
use crate::oci::{Algorithm, Digest, Hasher};

/// Where an export goes.
pub enum Destination {
    /// A folder, which is made if it is not there.
    Folder(PathBuf),
    /// A tar in a file, which takes the place of what is there when it is whole.
    Tar(PathBuf),
    /// A tar that is written to whoever reads it.
    Stream(Box<dyn Write + Send>),
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
            Self::Tar(path) => f.debug_tuple("Tar").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A layout that is being written.
pub(super) enum Target {
    Folder(FolderTarget),
    Tar(TarTarget),
}

/// What has not its name yet.
const PARTIAL: &str = ".wharfinger-export";
const WRITTEN_TO: &str = "is written to by another export at the moment";
/// What a tar counts in, in bytes.
const BLOCK_BYTES: u64 = 512;
/// What a header has room for of a name, in bytes.
const NAME_BYTES: usize = 100;
/// What is gathered before it is written, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;
/// The mode of what is written.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

impl Target {
    /// Begins a layout, or goes on with the one that is there.
    ///
    /// *Errors:* [`Error::Target`] for a folder with something else in it, and where another export writes.
    pub(super) fn open(destination: Destination) -> Result<Self, Error> {
        match destination {
            Destination::Folder(path) => FolderTarget::open(&path).map(Self::Folder),
            Destination::Tar(path) => TarTarget::file(path).map(Self::Tar),
            Destination::Stream(out) => TarTarget::begin(out, "stdout".into(), None).map(Self::Tar),
        }
    }

    /// Returns the index to go on with.
    pub(super) fn index(&self) -> WrittenIndex {
        match self {
            Self::Folder(folder) => folder.index.clone(),
            Self::Tar(_) => WrittenIndex::new(),
        }
    }

    /// Says whether content is there already, which takes reading it.
    pub(super) fn has(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        match self {
            Self::Folder(folder) => folder.has(digest, size),
            Self::Tar(_) => Ok(false),
        }
    }

    /// Begins content of this size.
    pub(super) fn begin(&mut self, digest: &Digest, size: u64) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => folder.begin(),
            Self::Tar(tar) => tar.header(&blob_path(digest), EntryType::Regular, size),
        }
    }

    /// Appends to the content that was begun.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => folder.append(bytes),
            Self::Tar(tar) => tar.append(bytes),
        }
    }

    /// Ends content of which the caller has seen that it is what its digest says.
    pub(super) fn end(&mut self, digest: &Digest) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => folder.end(digest),
            Self::Tar(tar) => tar.pad(),
        }
    }

    /// Writes the index, with which the layout is whole.
    ///
    /// *Durability:* when this returns, no crash can lose a folder or a file.
    pub(super) fn finish(self, index: &[u8]) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => folder.finish(index),
            Self::Tar(tar) => tar.finish(index),
        }
    }
}

/// A folder that is written to. Dropped, it keeps what is whole.
pub(super) struct FolderTarget {
    folder: Folder,
    index: WrittenIndex,
    partial: Option<File>,
}

impl FolderTarget {
    fn open(path: &Path) -> Result<Self, Error> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_error("mkdir", path, error));
            }
            _ => {}
        }
        let folder = Folder::open(path)?;
        lock(folder.fd(), path)?;
        let layout = folder.read(LAYOUT, SMALL_BYTES_MAX)?;
        if let Some(layout) = &layout {
            check_layout(layout, &folder.at(LAYOUT))?;
        } else if folder.names()?.iter().any(|name| name != PARTIAL) {
            return Err(Error::Target {
                path: path.into(),
                reason: "has something in it and is no OCI image layout; give an empty folder, or a new one",
            });
        }
        let index = match folder.read(INDEX, INDEX_BYTES_MAX)? {
            Some(bytes) => WrittenIndex::read(&bytes, &folder.at(INDEX))?,
            None => WrittenIndex::new(),
        };
        let mut target = Self { folder, index, partial: None };
        if layout.is_none() {
            target.whole(LAYOUT, LAYOUT_TEXT.as_bytes())?;
        }
        for algorithm in Algorithm::ALL {
            target.make(&format!("blobs/{algorithm}"))?;
        }
        Ok(target)
    }

    /// Makes folders below it.
    fn make(&self, below: &str) -> Result<(), Error> {
        let mut at = String::new();
        for name in below.split('/') {
            let parent = self.folder.walk(&at)?;
            let made = rustix::fs::mkdirat(parent.as_ref().unwrap_or(self.folder.fd()), name, FOLDER_MODE);
            at = join(&at, name);
            match made {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(io_error("mkdir", &self.folder.at(&at), errno.into())),
            }
        }
        Ok(())
    }

    /// A file that another program has cut short has the right name and the wrong bytes: it is read.
    fn has(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        let Some(section) = self.folder.file(&blob_path(digest))? else { return Ok(false) };
        if section.len != size {
            return Ok(false);
        }
        let (mut hasher, mut file) = (Hasher::new(digest.algorithm()), &section.file);
        let mut chunk = vec![0; BUFFER_BYTES];
        loop {
            match io::Read::read(&mut file, &mut chunk) {
                Ok(0) => return Ok(hasher.finish() == *digest),
                Ok(len) => hasher.update(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("read", Path::new(&section.place), error)),
            }
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        let path = self.folder.at(PARTIAL);
        // A link that lies there is not written through.
        match rustix::fs::unlinkat(self.folder.fd(), PARTIAL, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(io_error("unlink", &path, errno.into())),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(self.folder.fd(), PARTIAL, flags, FILE_MODE);
        self.partial = Some(opened.map_err(|errno| io_error("open", &path, errno.into()))?.into());
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let file = self.partial.as_mut().expect("content was begun");
        file.write_all(bytes).map_err(|source| io_error("write", &self.folder.at(PARTIAL), source))
    }

    fn end(&mut self, digest: &Digest) -> Result<(), Error> {
        self.publish(&blob_path(digest))
    }

    /// Gives the partial file its name, once the disk has its bytes.
    fn publish(&mut self, to: &str) -> Result<(), Error> {
        let partial = self.folder.at(PARTIAL);
        let file = self.partial.take().expect("content was begun");
        file.sync_all().map_err(|source| io_error("fsync", &partial, source))?;
        let (parent, name) = to.rsplit_once('/').unwrap_or(("", to));
        let parent = self.folder.walk(parent)?;
        let parent = parent.as_ref().unwrap_or(self.folder.fd());
        rustix::fs::renameat(self.folder.fd(), PARTIAL, parent, name)
            .map_err(|errno| io_error("rename", &self.folder.at(to), errno.into()))
    }

    fn whole(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.begin()?;
        self.append(bytes)?;
        self.publish(name)
    }

    fn finish(mut self, index: &[u8]) -> Result<(), Error> {
        // The names of the content before the index that names it.
        for algorithm in Algorithm::ALL {
            self.sync(&format!("blobs/{algorithm}"))?;
        }
        self.sync("blobs")?;
        self.sync("")?;
        self.whole(INDEX, index)?;
        self.sync("")
    }

    fn sync(&self, below: &str) -> Result<(), Error> {
        let opened = self.folder.walk(below)?;
        let synced = rustix::fs::fsync(opened.as_ref().unwrap_or(self.folder.fd()));
        synced.map_err(|errno| io_error("fsync", &self.folder.at(below), errno.into()))
    }
}

impl Drop for FolderTarget {
    fn drop(&mut self) {
        if self.partial.is_some() {
            // If it stays, the next export takes it away.
            let _ = rustix::fs::unlinkat(self.folder.fd(), PARTIAL, AtFlags::empty());
        }
    }
}

/// A tar that is written. Dropped before its end, it leaves no file.
pub(super) struct TarTarget {
    out: Box<dyn Write + Send>,
    path: PathBuf,
    /// Bytes of the entry that was begun.
    written: u64,
    file: Option<PartialFile>,
}

/// A file under a name for the time being.
struct PartialFile {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    is_whole: bool,
}

impl TarTarget {
    fn file(path: PathBuf) -> Result<Self, Error> {
        let Some(name) = path.file_name() else {
            return Err(Error::Target { path, reason: "has no name for a file in it" });
        };
        let mut partial_name = std::ffi::OsString::from(PARTIAL);
        partial_name.push("-");
        partial_name.push(name);
        let partial = path.with_file_name(partial_name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&partial, flags, FILE_MODE);
        let file = File::from(opened.map_err(|errno| io_error("open", &partial, errno.into()))?);
        lock(&file, &path)?;
        let failed = |source| io_error("write", &partial, source);
        // Whoever had the lock before may have given the file its name meanwhile.
        let is_same = |found: std::fs::Metadata| Ok(found.ino() == file.metadata()?.ino());
        if !std::fs::symlink_metadata(&partial).and_then(is_same).map_err(failed)? {
            return Err(Error::Target { path, reason: WRITTEN_TO });
        }
        file.set_len(0).map_err(failed)?;
        let out = Box::new(BufWriter::with_capacity(BUFFER_BYTES, file.try_clone().map_err(failed)?));
        let file = PartialFile { file, partial, path: path.clone(), is_whole: false };
        Self::begin(out, path, Some(file))
    }

    fn begin(out: Box<dyn Write + Send>, path: PathBuf, file: Option<PartialFile>) -> Result<Self, Error> {
        let mut tar = Self { out, path, written: 0, file };
        tar.small(LAYOUT, LAYOUT_TEXT.as_bytes())?;
        tar.header("blobs/", EntryType::Directory, 0)?;
        for algorithm in Algorithm::ALL {
            tar.header(&format!("blobs/{algorithm}/"), EntryType::Directory, 0)?;
        }
        Ok(tar)
    }

    fn header(&mut self, name: &str, kind: EntryType, len: u64) -> Result<(), Error> {
        let mut header = blank(kind, len);
        if header.set_path(name).is_err() {
            // Longer than a header has room for, as the path of a SHA-512 digest: it stands before the header.
            let mut long = blank(EntryType::GNULongName, name.len() as u64 + 1);
            long.set_path("././@LongLink").expect("it is short");
            long.set_cksum();
            self.put(long.as_bytes())?;
            self.append(name.as_bytes())?;
            self.append(&[0])?;
            self.pad()?;
            header.set_path(&name[..NAME_BYTES]).expect("it was cut to what has room");
        }
        header.set_cksum();
        self.put(header.as_bytes())?;
        self.written = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.written += bytes.len() as u64;
        self.put(bytes)
    }

    /// Fills up the last block of an entry.
    fn pad(&mut self) -> Result<(), Error> {
        let len = self.written.next_multiple_of(BLOCK_BYTES) - self.written;
        self.written = 0;
        self.put(&[0; BLOCK_BYTES as usize][..usize::try_from(len).expect("it is less than a block")])
    }

    fn small(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.header(name, EntryType::Regular, bytes.len() as u64)?;
        self.append(bytes)?;
        self.pad()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(|source| io_error("write", &self.path, source))
    }

    fn finish(mut self, index: &[u8]) -> Result<(), Error> {
        self.small(INDEX, index)?;
        self.put(&[0; 2 * BLOCK_BYTES as usize])?;
        self.out.flush().map_err(|source| io_error("write", &self.path, source))?;
        self.file.take().map_or(Ok(()), PartialFile::publish)
    }
}

impl PartialFile {
    fn publish(mut self) -> Result<(), Error> {
        self.file.sync_all().map_err(|source| io_error("fsync", &self.partial, source))?;
        std::fs::rename(&self.partial, &self.path)
            .map_err(|source| io_error("rename", &self.path, source))?;
        self.is_whole = true;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|source| io_error("fsync", parent, source))
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_whole {
            // If it stays, the next export to the same file begins it anew.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Makes a header that says nothing of the time or of who wrote it.
fn blank(kind: EntryType, len: u64) -> Header {
    let mut header = Header::new_gnu();
    let mode = if kind == EntryType::Directory { FOLDER_MODE } else { FILE_MODE };
    header.set_entry_type(kind);
    header.set_mode(mode.as_raw_mode());
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(len);
    header
}

fn lock(file: impl std::os::fd::AsFd, path: &Path) -> Result<(), Error> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(Error::Target { path: path.into(), reason: WRITTEN_TO }),
        Err(errno) => Err(io_error("flock", path, errno.into())),
    }
}
