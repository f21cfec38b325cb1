//! The folder of a zot: an image layout for each repository, named by its path, to any depth.
//!
//! Where zot shares equal blobs, a folder has hard links, which are read as any file. What was copied out of a
//! bucket has empty files in place of shared blobs, and the bytes in another repository or in a folder for all.

use super::Error;
use super::folder::{Folder, Section, is_own, join};
use super::index::LAYOUT;
use super::oci_layout::OciLayout;
use super::source::{REPOSITORIES_MAX, Roots};
use crate::oci::{Algorithm, Digest};

/// Layouts below a folder.
#[derive(Debug)]
pub(super) struct Zot {
    layouts: OciLayout,
    /// The paths of the layouts, sorted.
    repositories: Vec<String>,
}

/// How deep repositories may nest: a name has at most 255 bytes.
const DEPTH_MAX: usize = 128;
/// The most entries that one folder may have.
const ENTRIES_MAX: usize = 1_000_000;
/// Where some versions keep the blobs that repositories share.
const SHARED: &str = "_blobstore";

impl Zot {
    /// Looks for layouts below a folder; `None` when there are none.
    pub(super) fn find(folder: Folder) -> Result<Option<Self>, Error> {
        let (mut repositories, mut paths) = (Vec::new(), vec![(String::new(), 0)]);
        while let Some((path, depth)) = paths.pop() {
            let is_layout = depth > 0 && folder.file(&join(&path, LAYOUT))?.is_some();
            for name in folder.folders(&path, ENTRIES_MAX)? {
                let is_content =
                    path.rsplit('/').next() == Some("blobs") && Algorithm::parse(&name).is_some();
                // `_trivy`, `_blobstore`, `.sync`, `.uploads`: zot's own, and no name begins so.
                if !is_content && !is_own(&name) && depth < DEPTH_MAX {
                    paths.push((join(&path, &name), depth + 1));
                }
            }
            if is_layout {
                repositories.push(path);
            }
            if repositories.len() > REPOSITORIES_MAX {
                return Err(Error::TooMany {
                    path: folder.at(""),
                    what: "repositories",
                    max: REPOSITORIES_MAX,
                });
            }
        }
        repositories.sort_unstable();
        let found = !repositories.is_empty();
        Ok(found.then(|| Self { layouts: OciLayout::new(folder), repositories }))
    }

    pub(super) fn repositories(&self) -> &[String] {
        &self.repositories
    }

    pub(super) fn roots(&self, repository: &str) -> Result<Roots, Error> {
        self.layouts.roots(repository)
    }

    /// Opens content of a repository; in place of an empty file that should not be empty, the bytes that it
    /// stands for.
    pub(super) fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<Option<Section>, Error> {
        let own = self.layouts.blob(repository, digest)?;
        let is_placeholder = own.as_ref().is_some_and(|own| own.len == 0 && size != Some(0));
        if !is_placeholder || *digest == empty(digest.algorithm()) {
            return Ok(own);
        }
        let others = std::iter::once(SHARED).chain(self.repositories.iter().map(String::as_str));
        for other in others {
            let found = self.layouts.blob(other, digest)?;
            if found.as_ref().is_some_and(|found| found.len > 0) {
                return Ok(found);
            }
        }
        Ok(own)
    }
}

fn empty(algorithm: Algorithm) -> Digest {
    crate::oci::Hasher::digest(algorithm, b"")
}
