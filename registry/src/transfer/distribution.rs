//! The folder of a CNCF distribution: content by digest, and for each repository small files that link to it.
//!
//! *Shape:* `docker/registry/v2/blobs/<alg>/<2 hex>/<hex>/data`, and below `…/repositories/<name>/`
//! `_manifests/revisions/<alg>/<hex>/link`, `_manifests/tags/<tag>/current/link` and `_layers/<alg>/<hex>/link`;
//! a link holds a digest.

use std::collections::BTreeMap;

use super::Error;
use super::folder::{Folder, Section, is_own, join};
use super::index::{ENTRIES_MAX, SMALL_BYTES_MAX};
use super::source::{REPOSITORIES_MAX, Root, Roots};
use crate::oci::{Algorithm, Digest, Tag};

/// The folder of a distribution.
#[derive(Debug)]
pub(super) struct Distribution {
    folder: Folder,
    /// Where `blobs` and `repositories` are, below the folder.
    root: &'static str,
    /// The names, sorted.
    repositories: Vec<String>,
}

/// Where a distribution keeps everything, below its root directory.
const ROOTS: [&str; 4] = ["docker/registry/v2", "registry/v2", "v2", ""];
/// How deep repositories may nest: a name has at most 255 bytes.
const DEPTH_MAX: usize = 128;

impl Distribution {
    /// Looks for what a distribution has in its folder; else gives the folder back.
    pub(super) fn find(folder: Folder) -> Result<Result<Self, Folder>, Error> {
        let is_one = |root: &&str| {
            folder.has_folder(&join(root, "repositories")) && folder.has_folder(&join(root, "blobs"))
        };
        let Some(root) = ROOTS.into_iter().find(is_one) else { return Ok(Err(folder)) };
        let top = join(root, "repositories");
        let (mut repositories, mut paths) = (Vec::new(), vec![(String::new(), 0)]);
        while let Some((path, depth)) = paths.pop() {
            let names = folder.folders(&join(&top, &path), REPOSITORIES_MAX)?;
            if names.iter().any(|name| name == "_manifests") {
                repositories.push(path.clone());
            }
            let below = names.into_iter().filter(|name| !is_own(name) && depth < DEPTH_MAX);
            paths.extend(below.map(|name| (join(&path, &name), depth + 1)));
            if repositories.len() > REPOSITORIES_MAX {
                return Err(Error::TooMany {
                    path: folder.at(&top),
                    what: "repositories",
                    max: REPOSITORIES_MAX,
                });
            }
        }
        repositories.sort_unstable();
        Ok(Ok(Self { folder, root, repositories }))
    }

    pub(super) fn repositories(&self) -> &[String] {
        &self.repositories
    }

    /// Returns the revisions of a repository with their tags.
    pub(super) fn roots(&self, repository: &str) -> Result<Roots, Error> {
        let (mut roots, mut by_digest) = (Roots::default(), BTreeMap::<Digest, Vec<Tag>>::new());
        for algorithm in Algorithm::ALL {
            let revisions = self.of(repository, &format!("_manifests/revisions/{algorithm}"));
            for hex in self.folder.folders(&revisions, ENTRIES_MAX)? {
                let Ok(digest) = Digest::from_hex(algorithm, &hex) else { continue };
                // A deleted manifest leaves its folder without a link.
                match self.links(repository, &format!("_manifests/revisions/{algorithm}/{hex}"), &digest) {
                    Ok(true) => drop(by_digest.entry(digest).or_default()),
                    Ok(false) => {}
                    Err(error) => roots.faults.push(error),
                }
            }
        }
        for name in self.folder.folders(&self.of(repository, "_manifests/tags"), ENTRIES_MAX)? {
            let link = format!("_manifests/tags/{name}/current");
            match (Tag::parse(&name), self.link(repository, &link)) {
                // A deleted tag leaves its folder without a link.
                (_, Ok(None)) => {}
                (Ok(tag), Ok(Some(digest))) => by_digest.entry(digest).or_default().push(tag),
                (Err(source), Ok(_)) => roots.faults.push(Error::Tag { text: name, source }),
                (_, Err(error)) => roots.faults.push(error),
            }
        }
        let named = by_digest.into_iter();
        roots.roots =
            named.map(|(digest, tags)| Root { digest, media_type: None, size: None, tags }).collect();
        Ok(roots)
    }

    /// Opens a manifest that a repository links to.
    pub(super) fn manifest(&self, repository: &str, digest: &Digest) -> Result<Option<Section>, Error> {
        let (algorithm, hex) = (digest.algorithm(), digest.hex());
        if self.links(repository, &format!("_manifests/revisions/{algorithm}/{hex}"), digest)? {
            return self.content(digest);
        }
        Ok(None)
    }

    /// Opens a blob that a repository links to: without the link it is another repository's.
    pub(super) fn blob(&self, repository: &str, digest: &Digest) -> Result<Option<Section>, Error> {
        let (algorithm, hex) = (digest.algorithm(), digest.hex());
        if self.links(repository, &format!("_layers/{algorithm}/{hex}"), digest)? {
            return self.content(digest);
        }
        Ok(None)
    }

    fn content(&self, digest: &Digest) -> Result<Option<Section>, Error> {
        let (algorithm, hex) = (digest.algorithm(), digest.hex());
        self.folder.file(&join(self.root, &format!("blobs/{algorithm}/{}/{hex}/data", &hex[..2])))
    }

    /// Says whether a link is there and names the digest.
    fn links(&self, repository: &str, below: &str, digest: &Digest) -> Result<bool, Error> {
        Ok(self.link(repository, below)? == Some(*digest))
    }

    fn link(&self, repository: &str, below: &str) -> Result<Option<Digest>, Error> {
        let at = self.of(repository, &join(below, "link"));
        let Some(bytes) = self.folder.read(&at, SMALL_BYTES_MAX)? else { return Ok(None) };
        let digest = std::str::from_utf8(&bytes).ok().and_then(|text| Digest::parse(text.trim()).ok());
        digest.map(Some).ok_or_else(|| Error::LinkText { path: self.folder.at(&at) })
    }

    fn of(&self, repository: &str, below: &str) -> String {
        join(self.root, &format!("repositories/{repository}/{below}"))
    }
}
