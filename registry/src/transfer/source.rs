//! What is read: its shape, its repositories, their manifests and content.
//!
//! Everything here blocks.

use std::path::{Path, PathBuf};

use super::Error;
use super::distribution::Distribution;
use super::folder::{Folder, Section, io_error};
use super::index::LAYOUT;
use super::oci_layout::OciLayout;
use super::tar::Tar;
use super::zot::Zot;
use crate::oci::{Digest, MediaType, Tag};

/// Something that holds images.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Layout(OciLayout),
    Tar(Tar),
    Zot(Zot),
    Distribution(Distribution),
}

/// What a repository of a source names.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) roots: Vec<Root>,
    /// What is left out, and why that is no fault.
    pub(super) notes: Vec<String>,
    /// What cannot be read.
    pub(super) faults: Vec<Error>,
}

/// A manifest that a repository of a source names.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) digest: Digest,
    /// Its type, where the source says it.
    pub(super) media_type: Option<MediaType>,
    /// Its size in bytes, where the source says it.
    pub(super) size: Option<u64>,
    pub(super) tags: Vec<Tag>,
}

/// The most repositories that a source may have.
pub(super) const REPOSITORIES_MAX: usize = 100_000;

impl Source {
    /// Looks what shape a file or folder has.
    ///
    /// *Errors:* [`Error::Unrecognised`] and [`Error::Tar`] for what is none of the four; [`Error::OwnStore`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let found = std::fs::metadata(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::Absent { path: path.into() },
            _ => io_error("stat", path, source),
        })?;
        let shape = if found.is_file() {
            Shape::Tar(Tar::open(path)?)
        } else if found.is_dir() {
            Self::folder(Folder::open(path)?, path)?
        } else {
            return Err(Error::Kind { path: path.into(), wanted: "file or a folder" });
        };
        Ok(Self { path: path.into(), shape })
    }

    fn folder(folder: Folder, path: &Path) -> Result<Shape, Error> {
        if folder.file(LAYOUT)?.is_some() {
            return Ok(Shape::Layout(OciLayout::new(folder)));
        }
        if folder.file("wharfinger.json")?.is_some() {
            return Err(Error::OwnStore { path: path.into() });
        }
        let folder = match Distribution::find(folder)? {
            Ok(distribution) => return Ok(Shape::Distribution(distribution)),
            Err(folder) => folder,
        };
        match Zot::find(folder)? {
            Some(zot) => Ok(Shape::Zot(zot)),
            None => Err(Error::Unrecognised { path: path.into() }),
        }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says what it is, for who reads it.
    pub const fn describe(&self) -> &'static str {
        match self.shape {
            Shape::Layout(_) => "an OCI image layout",
            Shape::Tar(_) => "an OCI image layout in a tar",
            Shape::Zot(_) => "the folder of a zot",
            Shape::Distribution(_) => "the folder of a distribution registry",
        }
    }

    /// Returns the names of its repositories, as they are written there; a layout has one without a name.
    pub(super) fn repositories(&self) -> Option<&[String]> {
        match &self.shape {
            Shape::Layout(_) | Shape::Tar(_) => None,
            Shape::Zot(zot) => Some(zot.repositories()),
            Shape::Distribution(distribution) => Some(distribution.repositories()),
        }
    }

    /// Returns what a repository names.
    pub(super) fn roots(&self, repository: &str) -> Result<Roots, Error> {
        match &self.shape {
            Shape::Layout(layout) => layout.roots(""),
            Shape::Tar(tar) => tar.roots(),
            Shape::Zot(zot) => zot.roots(repository),
            Shape::Distribution(distribution) => distribution.roots(repository),
        }
    }

    /// Opens a manifest of a repository, or returns `None` when it has none of this digest.
    pub(super) fn manifest(&self, repository: &str, digest: &Digest) -> Result<Option<Section>, Error> {
        match &self.shape {
            Shape::Distribution(distribution) => distribution.manifest(repository, digest),
            _ => self.blob(repository, digest, None),
        }
    }

    /// Opens a blob of a repository, which should have this size, or returns `None` when it has none of this
    /// digest.
    pub(super) fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<Option<Section>, Error> {
        match &self.shape {
            Shape::Layout(layout) => layout.blob("", digest),
            Shape::Tar(tar) => tar.blob(digest),
            Shape::Zot(zot) => zot.blob(repository, digest, size),
            Shape::Distribution(distribution) => distribution.blob(repository, digest),
        }
    }
}
