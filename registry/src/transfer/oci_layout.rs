//! A folder in the form of an OCI image layout, and such folders below a folder.
//!
//! *Spec:* image-spec `image-layout.md`.

use super::Error;
use super::folder::{Folder, Section, join};
use super::index::{INDEX, INDEX_BYTES_MAX, LAYOUT, SMALL_BYTES_MAX, check_layout, read_index};
use super::source::Roots;
use crate::oci::Digest;

/// A folder with layouts: in it, or below it.
#[derive(Debug)]
pub(super) struct OciLayout {
    folder: Folder,
}

impl OciLayout {
    pub(super) const fn new(folder: Folder) -> Self {
        Self { folder }
    }

    /// Returns what the layout at a path below the folder names.
    pub(super) fn roots(&self, at: &str) -> Result<Roots, Error> {
        let (layout, index) = (join(at, LAYOUT), join(at, INDEX));
        let read = |below: &str, max| {
            let bytes = self.folder.read(below, max)?;
            bytes.ok_or_else(|| Error::Absent { path: self.folder.at(below) })
        };
        check_layout(&read(&layout, SMALL_BYTES_MAX)?, &self.folder.at(&layout))?;
        read_index(&read(&index, INDEX_BYTES_MAX)?, &self.folder.at(&index))
    }

    /// Opens content of the layout at a path below the folder.
    pub(super) fn blob(&self, at: &str, digest: &Digest) -> Result<Option<Section>, Error> {
        self.folder.file(&join(at, &blob_path(digest)))
    }
}

/// Returns where a layout has content.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
