//! What can go wrong with what a registry keeps.

use crate::backend::{self, Key};
use crate::oci::{Digest, Tag};

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backend failed.
    #[error("the storage backend failed")]
    Backend(#[from] backend::Error),
    /// A record cannot be read.
    #[error("the record {key} cannot be read")]
    Record {
        /// Where it is.
        key: Key,
        /// What the JSON parser said.
        source: serde_json::Error,
    },
    /// The store was written by a newer program.
    #[error(
        "the store has layout version {found}, and this program knows up to {known}; use a newer wharfinger"
    )]
    Version {
        /// The version in the store.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// Content that was stored is gone or has another size: the disk lost it.
    #[error(
        "the content {digest} is damaged on the disk: {expected} bytes were stored, and {found:?} are there, or other ones"
    )]
    Damaged {
        /// The content.
        digest: Digest,
        /// The size that was stored.
        expected: u64,
        /// The size that is there; none when it is gone.
        found: Option<u64>,
    },
    /// The repository does not have the blob.
    #[error("the repository does not have the blob {digest}")]
    BlobUnknown {
        /// The blob.
        digest: Digest,
    },
    /// The repository does not have the manifest.
    #[error("the repository does not have the manifest {digest}")]
    ManifestUnknown {
        /// The manifest.
        digest: Digest,
    },
    /// The repository does not have the tag.
    #[error("the repository does not have the tag {tag}")]
    TagUnknown {
        /// The tag.
        tag: Tag,
    },
    /// The tag is there and may not be moved.
    #[error("the tag {tag} is there already and may not be moved")]
    TagTaken {
        /// The tag.
        tag: Tag,
    },
    /// A condition on the tag does not hold.
    #[error("the tag {tag} is not what the request requires")]
    TagChanged {
        /// The tag.
        tag: Tag,
    },
    /// A manifest refers to content that the repository does not have.
    #[error("the manifest refers to content that the repository does not have")]
    ReferencesMissing {
        /// The content, in the manifest's order.
        digests: Vec<Digest>,
    },
    /// A manifest still needs what was to be deleted.
    #[error("{digest} is still needed by the manifest {by}; delete that first")]
    Referenced {
        /// What was to be deleted.
        digest: Digest,
        /// A manifest that needs it.
        by: Digest,
    },
    /// A tag points at a manifest that was to be deleted without it.
    #[error("the tag {tag} came to point at {digest} meanwhile, so it was not deleted; ask again")]
    TagCame {
        /// The manifest.
        digest: Digest,
        /// The tag.
        tag: Tag,
    },
    /// There is no such upload in the repository, or it is somebody else's.
    #[error("there is no such upload")]
    UploadUnknown,
    /// Another request is writing to the upload.
    #[error("another request is writing to this upload")]
    UploadBusy {
        /// The offset after its last durable byte.
        offset: u64,
    },
    /// A chunk does not begin where the upload stands.
    #[error("the chunk does not begin at byte {offset}, where the upload stands")]
    UploadOffset {
        /// The offset after its last byte.
        offset: u64,
    },
    /// A chunk's length is not what its headers said.
    #[error("the chunk has {received} bytes, and its headers said {declared}")]
    UploadLength {
        /// What the headers said.
        declared: u64,
        /// What came, as far as it was read.
        received: u64,
    },
    /// There are too many uploads.
    #[error("{max} uploads are open; finish or cancel some")]
    UploadsFull {
        /// The limit.
        max: usize,
    },
    /// The blob is too large.
    #[error("the blob is larger than {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: u64,
    },
    /// The client's body broke off.
    #[error("the request body broke off at byte {offset} of the upload")]
    BodyBroken {
        /// The offset after the last byte that was kept.
        offset: u64,
    },
    /// The content does not have the digest that the client said.
    #[error("the content has the digest {actual}, not {expected}")]
    DigestMismatch {
        /// What the client said.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// What was fetched could not be kept: the disk has no room, or failed.
    #[error("the disk has no room for what was fetched; storage.minFree is left to pushes")]
    NotKept,
    /// The task that did the work panicked or was stopped.
    #[error("the work was given up")]
    Abandoned,
}

impl Error {
    /// Says whether the disk has no room.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_full())
    }

    /// Says whether the backend's fault stays until somebody acts, and has been told.
    pub const fn is_standing(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_standing())
    }
}
