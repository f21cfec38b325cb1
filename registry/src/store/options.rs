//! What the store can be told.

use std::path::PathBuf;
use std::time::Duration;

pub use crate::backend::object::options::BucketOptions;

/// Settings of the store, resolved from the section `storage` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the objects are.
    pub place: Place,
    /// Whether this process is the only one that writes to it (`storage.shared`).
    pub writers: Writers,
    /// Whether a GET of a whole blob is answered by a redirect to the bucket (`storage.redirectBlobURL`).
    pub redirect: bool,
    /// Whether answers wait for the disk (`storage.commit`); [`Commit::No`] gives up P2 after power loss.
    pub commit: Commit,
    /// How long an upload may stand still before it is removed (`storage.uploadExpiry`).
    pub upload_expiry: Duration,
    /// Upload sessions open at once; more are answered 429 (`storage.maxUploads`).
    pub uploads_max: usize,
    /// Bytes of manifests and small records kept in memory (`storage.memoryCacheBytes`).
    pub memory_cache_bytes_max: u64,
    /// What an image may refer to that is not here (`http.missingReferences.image`).
    pub missing_in_image: Missing,
    /// What an index may refer to that is not here (`http.missingReferences.index`).
    pub missing_in_index: Missing,
    /// Whether a GET hashes what it sends and cuts a body that is wrong (`storage.verifyOnRead`).
    pub verify_on_read: bool,
    /// Share of the disk, in percent, below which nothing more is cached (`storage.minFree`).
    pub free_min_percent: u64,
}

/// Where the objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this host (`storage.rootDirectory`).
    Folder(PathBuf),
    /// A bucket (`storage.bucket`, or zot's `storage.storageDriver`).
    Bucket(Box<BucketPlace>),
    /// This process; lost when it ends (`serve --memory`).
    Memory,
}

/// A bucket, and the folder beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPlace {
    /// Which bucket, and how to reach it.
    pub bucket: BucketOptions,
    /// The folder in which fills are staged (`extensions.sync.downloadDir`, or `rootDirectory`).
    pub spool: PathBuf,
}

/// How many processes write to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// This one alone: what it remembers is what is there.
    One,
    /// Others too: what it remembers may be old, and is asked for again (P13).
    Several,
}

/// Whether answers wait until the disk has the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Every 201 and 202 survives power loss.
    Yes,
    /// They survive the process, not the machine.
    No,
}

/// What happens to a manifest that refers to content that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is answered 404 MANIFEST_BLOB_UNKNOWN, naming each.
    Refuse,
    /// It is stored.
    Accept,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            place: Place::Folder(PathBuf::from("wharfinger-data")),
            writers: Writers::One,
            redirect: false,
            commit: Commit::Yes,
            upload_expiry: Duration::from_secs(24 * 3600),
            uploads_max: 10_000,
            memory_cache_bytes_max: 32 * 1024 * 1024,
            missing_in_image: Missing::Refuse,
            missing_in_index: Missing::Refuse,
            verify_on_read: false,
            free_min_percent: 5,
        }
    }
}
