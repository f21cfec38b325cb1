//! An image layout in a tar: the headers are read once, from front to back, and content from where it stands.
//!
//! So the entries may come in any order, and nothing is unpacked that no manifest needs. The file is read with
//! `pread`; a compressed tar or a pipe would have to be unpacked first.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use ::tar::{EntryType, Header, PaxExtensions};

use super::Error;
use super::folder::{Section, io_error};
use super::index::{INDEX, INDEX_BYTES_MAX, LAYOUT, SMALL_BYTES_MAX, check_layout, read_index};
use super::oci_layout::blob_path;
use super::source::Roots;
use crate::oci::Digest;

/// A tar that was looked through.
#[derive(Debug)]
pub(super) struct Tar {
    file: File,
    path: PathBuf,
    /// What a layout is made of: where each file's bytes begin, and how many there are.
    entries: HashMap<String, Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Bytes {
        offset: u64,
        len: u64,
    },
    /// A link, or another thing that is no file.
    Odd,
}

/// What a tar counts in, in bytes.
const BLOCK_BYTES: u64 = 512;
/// The most entries that a tar may have.
const ENTRIES_MAX: usize = 1_000_000;
/// The largest header of a long name or of extensions, in bytes.
const LONG_BYTES_MAX: u64 = 1024 * 1024;

impl Tar {
    /// Looks through a tar.
    ///
    /// *Errors:* [`Error::Tar`] for what is no tar, is compressed, is cut short, leaves itself by a path, or
    /// holds no layout.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| io_error("open", path, source))?;
        let len = file.metadata().map_err(|source| io_error("stat", path, source))?.len();
        let mut walk = Walk { file: &file, path, len, at: 0, long_name: None, long_size: None };
        let (mut entries, mut count, mut is_of_docker) = (HashMap::new(), 0, false);
        while let Some((name, place)) = walk.next()? {
            count += 1;
            if count > ENTRIES_MAX {
                return Err(Error::TooMany { path: path.into(), what: "entries", max: ENTRIES_MAX });
            }
            let name = walk.inside(&name)?;
            is_of_docker |= matches!(name.as_str(), "manifest.json" | "repositories");
            let is_small = matches!(name.as_str(), LAYOUT | INDEX);
            if !is_small && !name.starts_with("blobs/") {
                continue;
            }
            let earlier = entries.insert(name.clone(), place);
            if earlier.is_some() && is_small {
                return Err(walk.fault(format!("the entry {name} stands twice in it")));
            }
        }
        if entries.contains_key(LAYOUT) {
            return Ok(Self { file, path: path.into(), entries });
        }
        let reason = if is_of_docker {
            "it is what `docker save` of an older docker writes, and no OCI image layout; \
             `skopeo copy docker-archive:FILE oci-archive:OTHER.tar:TAG` makes one of it"
        } else {
            "it has no `oci-layout`, so it is no OCI image layout"
        };
        Err(Error::Tar { path: path.into(), reason: reason.to_owned() })
    }

    pub(super) fn roots(&self) -> Result<Roots, Error> {
        let read = |name: &str, max| {
            let path = self.path.join(name);
            let section = self.section(name)?.ok_or_else(|| Error::Absent { path: path.clone() })?;
            Ok::<_, Error>((section.read(max, &path)?, path))
        };
        let (layout, path) = read(LAYOUT, SMALL_BYTES_MAX)?;
        check_layout(&layout, &path)?;
        let (index, path) = read(INDEX, INDEX_BYTES_MAX)?;
        read_index(&index, &path)
    }

    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<Section>, Error> {
        self.section(&blob_path(digest))
    }

    fn section(&self, name: &str) -> Result<Option<Section>, Error> {
        let path = self.path.join(name);
        let (offset, len) = match self.entries.get(name) {
            None => return Ok(None),
            Some(Place::Odd) => return Err(Error::Kind { path, wanted: "file" }),
            Some(Place::Bytes { offset, len }) => (*offset, *len),
        };
        let failed = |source| io_error("open", &self.path, source);
        let file = self.file.try_clone().map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        let identity = (found.dev(), found.ino(), offset);
        Ok(Some(Section { file, offset, len, place: path.display().to_string(), identity }))
    }
}

/// The way through a tar.
struct Walk<'a> {
    file: &'a File,
    path: &'a Path,
    /// How many bytes the file has.
    len: u64,
    at: u64,
    /// What a header before the next one says of it.
    long_name: Option<String>,
    long_size: Option<u64>,
}

impl Walk<'_> {
    /// Returns the next entry, or `None` at the end.
    fn next(&mut self) -> Result<Option<(String, Place)>, Error> {
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let own = header.entry_size().map_err(|_| self.fault("an entry has no readable size"))?;
            let kind = header.entry_type();
            let is_about_next = matches!(
                kind,
                EntryType::GNULongName
                    | EntryType::GNULongLink
                    | EntryType::XHeader
                    | EntryType::XGlobalHeader
            );
            let len = if is_about_next { own } else { self.long_size.take().unwrap_or(own) };
            let offset = self.at;
            let end = offset.checked_add(len).filter(|end| *end <= self.len);
            let end = end.ok_or_else(|| {
                self.fault(format!("it is cut short: an entry of {len} bytes begins at byte {offset}"))
            })?;
            self.at = end.next_multiple_of(BLOCK_BYTES);
            match kind {
                EntryType::GNULongName => self.long_name = Some(text(&self.long(offset, len)?)),
                EntryType::XHeader => self.extend(&self.long(offset, len)?),
                EntryType::GNULongLink | EntryType::XGlobalHeader => {}
                _ => {
                    let name = self.long_name.take().unwrap_or_else(|| text(&header.path_bytes()));
                    let is_file = matches!(kind, EntryType::Regular | EntryType::Continuous);
                    return Ok(Some((name, if is_file { Place::Bytes { offset, len } } else { Place::Odd })));
                }
            }
        }
    }

    fn header(&mut self) -> Result<Option<Header>, Error> {
        let mut header = Header::new_old();
        if self.at + BLOCK_BYTES > self.len {
            return if self.at == 0 { Err(self.fault("it is too short to be a tar")) } else { Ok(None) };
        }
        let read = self.file.read_exact_at(header.as_mut_bytes(), self.at);
        read.map_err(|source| io_error("read", self.path, source))?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return if self.at == 0 { Err(self.fault("it is no tar")) } else { Ok(None) };
        }
        if let Some(form) = compression(bytes).filter(|_| self.at == 0) {
            return Err(self.fault(format!("it is compressed ({form}); unpack it first, to a plain tar")));
        }
        let others = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte));
        // The field counts as eight spaces.
        let sum: u32 = others.sum::<u32>() + 8 * u32::from(b' ');
        if header.cksum().ok() != Some(sum) {
            return Err(self.fault(format!("it is no tar, or damaged at byte {}", self.at)));
        }
        self.at += BLOCK_BYTES;
        Ok(Some(header))
    }

    /// Reads what a header says of the next entry.
    fn long(&self, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
        if len > LONG_BYTES_MAX {
            return Err(self.fault(format!("a name or extension has {len} bytes")));
        }
        let mut bytes = vec![0; usize::try_from(len).expect("it is below the limit")];
        let read = self.file.read_exact_at(&mut bytes, offset);
        read.map_err(|source| io_error("read", self.path, source))?;
        Ok(bytes)
    }

    fn extend(&mut self, bytes: &[u8]) {
        for extension in PaxExtensions::new(bytes).flatten() {
            match extension.key_bytes() {
                b"path" => self.long_name = Some(text(extension.value_bytes())),
                b"size" => self.long_size = extension.value().ok().and_then(|size| size.parse().ok()),
                _ => {}
            }
        }
    }

    /// Returns an entry's path without what says nothing.
    fn inside(&self, name: &str) -> Result<String, Error> {
        if name.starts_with('/') || name.split('/').any(|component| component == "..") {
            return Err(self.fault(format!("the entry {name:?} leaves the archive")));
        }
        let components = name.split('/').filter(|component| !matches!(*component, "" | "."));
        Ok(components.collect::<Vec<_>>().join("/"))
    }

    fn fault(&self, reason: impl Into<String>) -> Error {
        Error::Tar { path: self.path.into(), reason: reason.into() }
    }
}

/// Names that are no UTF-8 name nothing that a layout has.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn compression(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0x42, 0x5a, 0x68, ..] => Some("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Some("xz"),
        _ => None,
    }
}
