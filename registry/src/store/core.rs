//! The store itself: what its parts share, and its start.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::asked::Asked;
use tokio::time::Instant;

use super::claims::Claims;
use super::derived::Derived;
use super::fills::InUseTable;
use super::index::RepositoryIndex;
use super::linking::Linking;
use super::manifests::StoredManifest;
use super::options::{Options, Writers};
use super::record::{self, Version};
use super::replicas::Replicas;
use super::retention::InForce;
use super::room::Room;
use super::session::Session;
use super::steady::Steady;
use super::tags::TagEntry;
use super::{Error, RepositoryKey, Space, layout};
use crate::backend::{Backend, Sentence, When};
use crate::clock::Clock;
use crate::oci::{Digest, RepositoryName, Tag};

/// What a registry keeps. Clones share it.
#[derive(Clone)]
pub struct Store(pub(super) Arc<Shared>);

/// What the store's parts share.
pub(super) struct Shared {
    pub(super) backend: Arc<dyn Backend>,
    /// But for `retention`, which is below.
    pub(super) options: Options,
    pub(super) retention: InForce,
    pub(super) clock: Clock,
    /// What age is told by, where what is too old goes.
    pub(super) steady: Steady,
    pub(super) claims: Claims,
    pub(super) replicas: Replicas,
    /// Content that the last garbage collection condemned, where other processes write to the store.
    pub(super) condemned: Mutex<HashMap<Digest, Sentence>>,
    pub(super) reclaimed_at: Mutex<Option<Instant>>,
    pub(super) linking: Arc<Linking>,
    pub(super) asked: Arc<Asked>,
    /// Held by who removes what was evicted.
    pub(super) collecting: tokio::sync::Mutex<()>,
    /// Held by who looks for garbage.
    pub(super) sweeping: tokio::sync::Mutex<()>,
    pub(super) fills_in_use: InUseTable,
    pub(super) room: Room,
    pub(super) sessions: Mutex<HashMap<String, Arc<Session>>>,
    pub(super) members: Derived<(RepositoryKey, Digest), u64>,
    pub(super) manifests: Derived<(RepositoryKey, Digest), Arc<StoredManifest>>,
    pub(super) tags: Derived<(RepositoryKey, Tag), TagEntry>,
    pub(super) tag_lists: Derived<RepositoryKey, Arc<Vec<String>>>,
    pub(super) existing: Derived<RepositoryKey, bool>,
    pub(super) names: Derived<Space, Arc<Vec<RepositoryName>>>,
    pub(super) indexes: Derived<RepositoryKey, Arc<Mutex<RepositoryIndex>>>,
}

/// What a key and its entry weigh beside the value, roughly.
const ENTRY_BYTES: usize = 256;
/// What a text of a list weighs beside its characters: where it is, and what its allocation is rounded up by.
const TEXT_BYTES: usize = 40;

// What each cache may hold, in sixteenths of `storage.memoryCacheBytes`. By default a list of 100,000 tags of
// 40 characters fits into the share of lists: what does not fit is read from the disk again for every page.
const MEMBERS: u64 = 2;
const MANIFESTS: u64 = 5;
const TAGS: u64 = 2;
const TAG_LISTS: u64 = 4;
const EXISTING: u64 = 1;
const INDEXES: u64 = 2;
const _: () = assert!(MEMBERS + MANIFESTS + TAGS + TAG_LISTS + EXISTING + INDEXES == 16);

impl Store {
    /// Opens a store on a backend: checks its layout's version, and removes what fills have left
    /// that cannot go on.
    ///
    /// *Errors:* [`Error::Version`] when a newer program wrote it; those of the backend.
    pub async fn open(backend: Arc<dyn Backend>, options: Options, clock: Clock) -> Result<Self, Error> {
        let key = layout::version();
        match backend.read(&key).await? {
            Some(bytes) => {
                let found = record::decode::<Version>(&key, &bytes)?.layout;
                if found > layout::VERSION {
                    return Err(Error::Version { found, known: layout::VERSION });
                }
            }
            None => {
                let version = record::encode(&Version { layout: layout::VERSION });
                backend.write(&key, version, When::Absent).await?;
            }
        }
        let mut options = options;
        let retention = InForce::new(std::mem::take(&mut options.retention));
        let share = |sixteenths: u64| options.memory_cache_bytes_max / 16 * sixteenths;
        // What others may change is asked for again; bytes that have a digest are the same for ever.
        let changing = |bytes: u64| if options.writers == Writers::Several { 0 } else { bytes };
        let store = Self(Arc::new(Shared {
            backend,
            asked: Arc::new(Asked::new(options.gc.delay, clock.passed())),
            steady: Steady::new(clock.clone(), options.gc.delay),
            clock,
            claims: Claims::default(),
            replicas: Replicas::default(),
            condemned: Mutex::default(),
            reclaimed_at: Mutex::default(),
            linking: Arc::default(),
            collecting: tokio::sync::Mutex::new(()),
            sweeping: tokio::sync::Mutex::new(()),
            fills_in_use: InUseTable::default(),
            room: Room::default(),
            sessions: Mutex::default(),
            members: Derived::new(changing(share(MEMBERS)), |_, _| ENTRY_BYTES),
            manifests: Derived::new(share(MANIFESTS), |_, manifest: &Arc<StoredManifest>| {
                ENTRY_BYTES + manifest.bytes.len()
            }),
            tags: Derived::new(changing(share(TAGS)), |_, _| ENTRY_BYTES),
            tag_lists: Derived::new(changing(share(TAG_LISTS)), |_, tags: &Arc<Vec<String>>| {
                ENTRY_BYTES + tags.iter().map(|tag| tag.len() + TEXT_BYTES).sum::<usize>()
            }),
            existing: Derived::new(changing(share(EXISTING)), |_, _| ENTRY_BYTES),
            names: Derived::new(changing(u64::MAX), |_, _| ENTRY_BYTES),
            indexes: Derived::new(share(INDEXES), |_, index: &Arc<Mutex<RepositoryIndex>>| {
                ENTRY_BYTES + index.lock().unwrap_or_else(PoisonError::into_inner).weight()
            }),
            options,
            retention,
        }));
        store.sweep_fills().await?;
        Ok(store)
    }

    /// Says whether this is another handle of the same store.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Says whether other processes write to it too.
    pub(super) fn is_shared(&self) -> bool {
        self.0.options.writers == Writers::Several
    }

    /// Says whether stored bytes are to be hashed while they are sent.
    pub fn verifies_on_read(&self) -> bool {
        self.0.options.verify_on_read
    }

    /// Says whether clients are sent to the bucket for whole blobs, which it hashes nothing of.
    pub fn redirects(&self) -> bool {
        self.0.options.redirect && !self.0.options.verify_on_read
    }

    /// Returns how long an upload may stand still.
    pub fn upload_expiry(&self) -> std::time::Duration {
        self.0.options.upload_expiry
    }

    /// Returns when and how garbage is looked for.
    pub fn gc(&self) -> &super::options::GcOptions {
        &self.0.options.gc
    }

    /// Runs a change to its end, also when the caller leaves: a client that goes away in the
    /// middle leaves neither half a change nor a cache that has not heard of it.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        tokio::spawn(work).await.unwrap_or(Err(Error::Abandoned))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("backend", &self.0.backend).finish_non_exhaustive()
    }
}
