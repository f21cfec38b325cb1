//! The keys that sign our tokens, and how they follow each other.
//!
//! *Shape:* keys are symmetric, since who verifies is who signs. Without a key file they are made here and kept
//! in the store, one record each, so that all replicas of a store have the same: the newest that has been there
//! for [`SETTLE`] signs, and each verifies until the last token that it may have signed has expired. A key that
//! is not known is looked for in the store, at most once per [`LOOK_INTERVAL`].
//!
//! *A clock that is wrong for a moment ends no key*: what it finds too old signs and verifies nothing, and is removed
//! only when this process has known it for as long as it is good for, by the time that has passed. A key that a clock
//! far ahead made signs and verifies nothing until its time comes, and keeps no other from following; tokens of
//! it would be refused as too early.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::error::AccessError;
use super::super::keep::{Keep, KeepError};
use super::SKEW;
use crate::clock::{Clock, Timestamp};
use crate::telemetry::WithCauses;

/// Where keys are kept.
const FOLDER: &str = "token-keys";

/// The length of a key that is made here, in bytes: that of the hash (RFC 7518 section 3.2).
const KEY_BYTES: usize = 32;

/// The longest key of a file, in bytes.
const FILE_KEY_BYTES_MAX: usize = 1024;

/// How long a key that was made is only known before it signs, so that replicas have it when they see a token of it.
const SETTLE: Duration = Duration::from_secs(10);

/// How often an unknown key is looked for, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct Keys {
    source: Source,
    clock: Clock,
    /// How long a key signs.
    rotation: Duration,
    /// How long a token lives, at most.
    life_max: Duration,
    known: RwLock<Known>,
    looked_at: Mutex<Option<Timestamp>>,
    /// Held while keys are made or looked for, so that one does it.
    looking: Arc<tokio::sync::Mutex<()>>,
}

/// Where keys are kept that no file gives.
pub(in crate::auth) type Kept = Arc<dyn Keep>;

#[derive(Debug)]
enum Source {
    Kept(Kept),
    File(PathBuf),
}

#[derive(Debug, Default)]
struct Known {
    keys: BTreeMap<String, Arc<Key>>,
}

/// One key.
pub(super) struct Key {
    pub(super) id: String,
    created_at: Timestamp,
    /// How much time had passed when it was first seen here.
    seen_at: Duration,
    pub(super) signing: EncodingKey,
    pub(super) verifying: DecodingKey,
}

/// A key as it is kept.
#[derive(Serialize, Deserialize)]
struct KeyRecord {
    created_at: Timestamp,
    secret: String,
}

impl Keys {
    /// Opens the keys that are kept, and makes one when it is time for one.
    ///
    /// A store that cannot be written, such as a full disk, is no reason not to start: passwords go on, and a key is
    /// made once it can be.
    pub(super) async fn kept(keep: Kept, clock: Clock, rotation: Duration, life_max: Duration) -> Self {
        let keys = Self::new(Source::Kept(keep), clock, rotation, life_max);
        if let Err(error) = keys.look().await {
            tracing::error!(
                error = %WithCauses(&error),
                "the keys of tokens cannot be kept in the store; http.auth.token.keyFile keeps them in a file"
            );
        }
        keys
    }

    /// Reads a key file: a line for each key, in base64; the first signs, and all verify.
    ///
    /// *Errors:* [`AccessError::KeyFile`].
    pub(super) async fn of_file(path: PathBuf, clock: Clock) -> Result<Self, AccessError> {
        let of = path.clone();
        let read = tokio::task::spawn_blocking(move || read_file(&of)).await;
        let known = read.unwrap_or_else(|error| Err(not_read(&path, std::io::Error::other(error))))?;
        let keys = Self::new(Source::File(path), clock, Duration::MAX, Duration::MAX);
        *keys.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(keys)
    }

    fn new(source: Source, clock: Clock, rotation: Duration, life_max: Duration) -> Self {
        Self {
            source,
            clock,
            rotation,
            life_max,
            known: RwLock::default(),
            looked_at: Mutex::default(),
            looking: Arc::default(),
        }
    }

    /// Returns the key that signs now.
    ///
    /// *Errors:* [`KeepError`] when it is time for a new one and none can be made, and no old one is left.
    pub(super) async fn signing(&self) -> Result<Arc<Key>, KeepError> {
        if self.is_due(self.clock.now())
            && self.may_look()
            && let Err(error) = self.look().await
        {
            let Some(newest) = self.newest(self.clock.now()) else { return Err(error) };
            tracing::warn!(error = %WithCauses(&error), "no new key could be made for tokens: the old one goes on signing");
            return Ok(newest);
        }
        match self.newest(self.clock.now()) {
            Some(key) => Ok(key),
            None => Err(KeepError::new(std::io::Error::other("there is no key that signs"))),
        }
    }

    /// Returns the key of a name, looked for where it is not known; `None` when there is none.
    pub(super) async fn verifying(&self, id: &str) -> Option<Arc<Key>> {
        if let Some(key) = self.find(id) {
            return self.is_valid(&key).then_some(key);
        }
        if !self.may_look() {
            return None;
        }
        if let Err(error) = self.look().await {
            tracing::warn!(error = %WithCauses(&error), "the keys of tokens cannot be read: a token of another replica is refused");
        }
        self.find(id).filter(|key| self.is_valid(key))
    }

    fn find(&self, id: &str) -> Option<Arc<Key>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).keys.get(id).cloned()
    }

    /// Says whether a token of the key can be valid.
    fn is_valid(&self, key: &Key) -> bool {
        let now = self.clock.now();
        let is_of_now = key.created_at <= now.after(SKEW) && now.since(key.created_at) <= self.life();
        matches!(self.source, Source::File(_)) || is_of_now
    }

    /// Returns for how long a key is good: until the last token that it may have signed has ended.
    const fn life(&self) -> Duration {
        self.rotation.saturating_add(SETTLE).saturating_add(self.life_max)
    }

    /// Says whether nothing can be of a key any more, whatever the wall clock was set to meanwhile.
    fn is_over(&self, key: &Key) -> bool {
        !self.is_valid(key) && self.clock.passed().saturating_sub(key.seen_at) >= self.life()
    }

    /// Says whether it is time to make a key: when there is none, and when the newest has signed for long enough.
    fn is_due(&self, now: Timestamp) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let newest = known.keys.values().filter(|key| self.is_valid(key)).map(|key| key.created_at).max();
        match self.source {
            Source::File(_) => false,
            Source::Kept(_) => newest.is_none_or(|at| now.since(at) >= self.rotation),
        }
    }

    fn newest(&self, now: Timestamp) -> Option<Arc<Key>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let by_age = |key: &&Arc<Key>| (key.created_at, key.id.clone());
        if matches!(self.source, Source::File(_)) {
            return known.keys.values().max_by_key(by_age).cloned();
        }
        let valid = || known.keys.values().filter(|key| self.is_valid(key));
        let settled = valid().filter(|key| now.since(key.created_at) >= SETTLE);
        // Before any has settled, the oldest is the one that others are most likely to know.
        settled.max_by_key(by_age).or_else(|| valid().min_by_key(by_age)).cloned()
    }

    fn may_look(&self) -> bool {
        let now = self.clock.now();
        let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let may = looked_at.is_none_or(|at| now.since(at) >= LOOK_INTERVAL || at > now);
        if may {
            *looked_at = Some(now);
        }
        may
    }

    /// Reads what is there, makes a key when it is time for one, and removes those that no token can be of.
    async fn look(&self) -> Result<(), KeepError> {
        match &self.source {
            Source::File(path) => self.look_at(path.clone()).await,
            Source::Kept(keep) => self.look_into(keep.as_ref()).await?,
        }
        Ok(())
    }

    /// Reads the key file, unless it is being read, which may take long: nobody waits for another's look.
    ///
    /// *Cancellation:* leaves a reading that goes on to its end, for nothing.
    async fn look_at(&self, path: PathBuf) {
        let Ok(looking) = Arc::clone(&self.looking).try_lock_owned() else { return };
        let reading = tokio::task::spawn_blocking(move || (read_file(&path), looking)).await;
        match reading {
            Ok((Ok(known), _looking)) => {
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
            }
            Ok((Err(error), _looking)) => {
                tracing::warn!(error = %WithCauses(&error), "the keys of the last reading stay");
            }
            // The runtime ends.
            Err(_) => {}
        }
    }

    async fn look_into(&self, keep: &dyn Keep) -> Result<(), KeepError> {
        let _looking = self.looking.lock().await;
        let passed = self.clock.passed();
        let mut keys = BTreeMap::new();
        for id in keep.list(FOLDER).await? {
            let known = self.find(&id);
            let key = match known {
                Some(key) => Some(key),
                None => {
                    let record = keep.read(FOLDER, &id).await?;
                    record.and_then(|record| Key::of_record(&id, &record, passed))
                }
            };
            match key {
                // What cannot be removed now is in nobody's way.
                Some(key) if self.is_over(&key) => drop(keep.remove(FOLDER, &id).await),
                Some(key) => drop(keys.insert(id, key)),
                None => {
                    tracing::warn!(key.id = %id, "a record of a token key is unreadable, and signs nothing");
                }
            }
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Known { keys };
        let now = self.clock.now();
        if !self.is_due(now) {
            return Ok(());
        }
        let secret: [u8; KEY_BYTES] = random();
        let id = Key::id_of(&secret);
        let record = KeyRecord { created_at: now, secret: BASE64_STANDARD.encode(secret) };
        let text = serde_json::to_vec(&record).map_err(KeepError::new)?;
        keep.create(FOLDER, &id, text).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.keys.insert(id.clone(), Arc::new(Key::new(id, now, passed, &secret)));
        Ok(())
    }
}

impl Key {
    fn new(id: String, created_at: Timestamp, seen_at: Duration, secret: &[u8]) -> Self {
        let (signing, verifying) = (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        Self { id, created_at, seen_at, signing, verifying }
    }

    /// Returns the name of a secret, from which nothing of it can be told.
    pub(super) fn id_of(secret: &[u8]) -> String {
        let hash = Sha256::new().chain_update(b"wharfinger token key ").chain_update(secret).finalize();
        hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn of_record(id: &str, record: &[u8], seen_at: Duration) -> Option<Arc<Self>> {
        let KeyRecord { created_at, secret } = serde_json::from_slice(record).ok()?;
        let secret = BASE64_STANDARD.decode(secret).ok().filter(|secret| secret.len() >= KEY_BYTES)?;
        Some(Arc::new(Self::new(id.to_owned(), created_at, seen_at, &secret)))
    }
}

/// Reads a key file, for which it blocks; the keys' names sort so that the first of the file is the newest.
fn read_file(path: &Path) -> Result<Known, AccessError> {
    let failed = |source| not_read(path, source);
    let invalid = |line: usize, what: &str| {
        failed(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("line {line} {what}")))
    };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let mut keys = BTreeMap::new();
    let lines = text.lines().map(str::trim).zip(1..).filter(|(it, _)| !it.is_empty() && !it.starts_with('#'));
    for (line, number) in lines {
        let decoded = BASE64_STANDARD.decode(line).or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(line));
        let secret = decoded.map_err(|_| invalid(number, "is not base64"))?;
        if !(KEY_BYTES..=FILE_KEY_BYTES_MAX).contains(&secret.len()) {
            return Err(invalid(number, "is not a key of 32 to 1,024 bytes (openssl rand -base64 32)"));
        }
        let id = Key::id_of(&secret);
        let age = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        // The earlier in the file, the newer.
        let created_at = Timestamp::from_millis(u64::MAX / 2 - age);
        keys.entry(id.clone()).or_insert_with(|| Arc::new(Key::new(id, created_at, Duration::ZERO, &secret)));
    }
    if keys.is_empty() {
        return Err(invalid(1, "and all others hold no key (openssl rand -base64 32)"));
    }
    Ok(Known { keys })
}

fn not_read(path: &Path, source: std::io::Error) -> AccessError {
    AccessError::KeyFile { path: path.to_owned(), source }
}

/// Returns random bytes of the system.
pub(in crate::auth) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random numbers do not fail");
    bytes
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}
