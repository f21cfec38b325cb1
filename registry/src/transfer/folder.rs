//! Files below a folder, and never outside it: no path is followed through a symbolic link.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;

use super::Error;

/// A folder that was opened.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// Content in a file.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) file: File,
    /// Where it begins in the file, in bytes.
    pub(super) offset: u64,
    /// How many bytes it has.
    pub(super) len: u64,
    /// What to call it.
    pub(super) place: String,
    /// Which bytes on the disk these are, whatever they are called: device, file, offset.
    pub(super) identity: (u64, u64, u64),
}

/// The most names that are looked at to see whether a folder is empty.
const NAMES_MAX: usize = 16;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Without blocking: a pipe that nobody writes to would be waited for.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder; the path itself is the operator's, and may be a link.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let fd = rustix::fs::open(path, FOLDER, Mode::empty());
        Ok(Self { fd: fd.map_err(|errno| failed("open", path.into(), errno))?, path: path.into() })
    }

    pub(super) const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Returns the path of something below it, for an error's text.
    pub(super) fn at(&self, below: &str) -> PathBuf {
        if below.is_empty() { self.path.clone() } else { self.path.join(below) }
    }

    /// Opens a file below it, or returns `None` when it is not there.
    pub(super) fn file(&self, below: &str) -> Result<Option<Section>, Error> {
        let (parent, name) = below.rsplit_once('/').unwrap_or(("", below));
        let parent = match self.walk(parent) {
            Err(Error::Absent { .. }) => return Ok(None),
            parent => parent?,
        };
        let from = parent.as_ref().unwrap_or(&self.fd);
        let file = match rustix::fs::openat(from, name, FILE | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            file => File::from(file.map_err(|errno| failed("open", self.at(below), errno))?),
        };
        let path = self.at(below);
        let found = file.metadata().map_err(|source| io_error("stat", &path, source))?;
        if !found.is_file() {
            return Err(Error::Kind { path, wanted: "file" });
        }
        let identity = (found.dev(), found.ino(), 0);
        Ok(Some(Section { file, offset: 0, len: found.len(), place: path.display().to_string(), identity }))
    }

    /// Reads a small file below it, or returns `None` when it is not there.
    ///
    /// *Errors:* [`Error::TooLarge`] beyond `max` bytes.
    pub(super) fn read(&self, below: &str, max: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(section) = self.file(below)? else { return Ok(None) };
        section.read(max, &self.at(below)).map(Some)
    }

    /// Says whether there is such a folder below it; a link is none.
    pub(super) fn has_folder(&self, below: &str) -> bool {
        self.walk(below).is_ok()
    }

    /// Returns the names of the folders directly below `below`, sorted; of what is not there, none.
    ///
    /// *Errors:* [`Error::Link`] for a link to a folder, unless it is a registry's own.
    /// *Errors:* [`Error::TooMany`] beyond `max` entries.
    pub(super) fn folders(&self, below: &str, max: usize) -> Result<Vec<String>, Error> {
        let path = || self.at(below);
        let opened = match self.walk(below) {
            Err(Error::Absent { .. }) => return Ok(Vec::new()),
            opened => opened?,
        };
        let failed = |errno| failed("readdir", path(), errno);
        let (mut names, mut seen) = (Vec::new(), 0);
        for entry in Dir::read_from(opened.as_ref().unwrap_or(&self.fd)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            seen += 1;
            if seen > max {
                return Err(Error::TooMany { path: path(), what: "entries", max });
            }
            let Ok(name) = entry.file_name().to_str() else { continue };
            let is_one = match entry.file_type() {
                rustix::fs::FileType::Directory => true,
                // Some file systems do not say.
                rustix::fs::FileType::Unknown => self.has_folder(&join(below, name)),
                // A folder that is left out in silence would be missed too late.
                rustix::fs::FileType::Symlink
                    if !is_own(name) && leads_to_folder(opened.as_ref().unwrap_or(&self.fd), name) =>
                {
                    return Err(Error::Link { path: path().join(name) });
                }
                _ => false,
            };
            if is_one && !matches!(name, "." | "..") {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Returns the names of all that is in it, unless that is more than anybody needs to know.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |errno| failed("readdir", self.path.clone(), errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)?.take(NAMES_MAX) {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if !matches!(name.as_str(), "." | "..") {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Opens the folder at a path, component by component; `None` is this one.
    pub(super) fn walk(&self, below: &str) -> Result<Option<OwnedFd>, Error> {
        let mut at: Option<OwnedFd> = None;
        for component in below.split('/').filter(|component| !component.is_empty()) {
            let from = at.as_ref().unwrap_or(&self.fd);
            let next = rustix::fs::openat(from, component, FOLDER | OFlags::NOFOLLOW, Mode::empty());
            at = Some(next.map_err(|errno| match errno {
                // What the flags make of a link, which is no folder.
                Errno::NOTDIR if is_link(from, component) => Error::Link { path: self.at(below) },
                Errno::NOTDIR => Error::Kind { path: self.at(below), wanted: "folder" },
                errno => failed("open", self.at(below), errno),
            })?);
        }
        Ok(at)
    }
}

impl Section {
    /// Reads all of it.
    ///
    /// *Errors:* [`Error::TooLarge`] beyond `max` bytes.
    pub(super) fn read(&self, max: u64, path: &Path) -> Result<Vec<u8>, Error> {
        if self.len > max {
            return Err(Error::TooLarge { path: path.into(), size: self.len, max });
        }
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let sought = io::Seek::seek(&mut file, io::SeekFrom::Start(self.offset));
        // No more than it had when it was looked at, however it grows.
        let read = sought.and_then(|_| file.take(self.len).read_to_end(&mut bytes));
        read.map_err(|source| io_error("read", path, source))?;
        Ok(bytes)
    }
}

/// Says whether a name is of a registry's own: no component of a repository's name begins so.
pub(super) fn is_own(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Joins what stands below a folder with a name.
pub(super) fn join(below: &str, name: &str) -> String {
    if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") }
}

pub(super) fn io_error(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { operation, path: path.into(), source }
}

fn leads_to_folder(from: &OwnedFd, name: &str) -> bool {
    let found = rustix::fs::statat(from, name, rustix::fs::AtFlags::empty());
    found.is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir())
}

fn is_link(from: &OwnedFd, name: &str) -> bool {
    let found = rustix::fs::statat(from, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_symlink())
}

fn failed(operation: &'static str, path: PathBuf, errno: Errno) -> Error {
    match errno {
        Errno::NOENT => Error::Absent { path },
        Errno::LOOP => Error::Link { path },
        errno => Error::Io { operation, path, source: errno.into() },
    }
}
