//! What can go wrong with what a repository does.

use crate::auth::Refusal;
use crate::oci::{Digest, ManifestError, RepositoryName, Tag};
use crate::{store, upstream};

/// Why a repository refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused or failed.
    #[error("the store could not do it")]
    Store(#[from] store::Error),
    /// Who asks may not have an upstream asked.
    #[error("the right to have an upstream asked is missing")]
    Refused {
        /// How that is to be said.
        refusal: Refusal,
    },
    /// Who asks is not to delete by digest what several tags name.
    #[error("{digest} has {tags} tags; delete the tags that are meant instead")]
    ManifestCollision {
        /// The manifest.
        digest: Digest,
        /// How many tags it has.
        tags: usize,
    },
    /// No upstream could be made to answer.
    #[error("no upstream had an answer")]
    Upstream(#[from] upstream::Error),
    /// What was pushed is no manifest.
    #[error("the body is not a manifest that this registry stores")]
    Manifest(#[from] ManifestError),
    /// The body does not have the digest in the path.
    #[error("the manifest has the digest {actual}, not {expected}")]
    ManifestDigest {
        /// The digest in the path.
        expected: Digest,
        /// The digest of the body.
        actual: Digest,
    },
    /// The repository has no such tag.
    #[error("{repository} has no tag {tag}")]
    TagUnknown {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
    },
    /// The repository has no such manifest.
    #[error("{repository} has no manifest {digest}")]
    ManifestUnknown {
        /// The repository.
        repository: RepositoryName,
        /// The manifest.
        digest: Digest,
    },
    /// The repository has no such blob.
    #[error("{repository} has no blob {digest}")]
    BlobUnknown {
        /// The repository.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// There is no such repository.
    #[error("there is no repository {repository}")]
    NameUnknown {
        /// The repository.
        repository: RepositoryName,
    },
}
