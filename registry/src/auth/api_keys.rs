//! Keys that users make for their programs, in the place of a password.
//!
//! *Shape:* `zak_`, 32 digits of base 16 that name the key, 43 characters of base64url that are its secret. What is
//! kept has a hash of the secret alone: it is 32 random bytes, which nobody guesses, so that one round of SHA-256 is
//! enough. The name of a record begins with a hash of its user, so that a user's keys are found without reading
//! those of others, and a key under another user's name is none.
//!
//! What was looked up is used for [`LOOKUP_TIME_MAX`]: for so long may a revoked key go on at another replica.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::credentials::Password;
use super::error::ApiKeyError;
use super::identity::Origin;
use super::keep::{Keep, KeepError};
use super::scope::Scope;
use super::token::random;
use crate::clock::{Clock, Timestamp};

/// Where keys are kept.
const FOLDER: &str = "api-keys";

/// What keys begin with, as zot's do.
const PREFIX: &str = "zak_";

const ID_CHARS: usize = 32;
const SECRET_BYTES: usize = 32;

/// The most keys of one user.
pub const KEYS_MAX: usize = 100;

/// The longest label of a key, in characters.
pub(super) const LABEL_CHARS_MAX: usize = 128;

/// The most scopes of one key.
pub(super) const SCOPES_MAX: usize = 50;

/// The longest scope of a key, in bytes.
pub(super) const SCOPE_BYTES_MAX: usize = 300;

/// The most keys that are known without looking them up.
const LOOKUPS_MAX: u64 = 10_000;

/// How long a key is known without looking it up again.
pub(super) const LOOKUP_TIME_MAX: Duration = Duration::from_secs(10);

/// The keys of all users.
#[derive(Debug)]
pub(super) struct ApiKeys {
    keep: Arc<dyn Keep>,
    clock: Clock,
    known: moka::sync::Cache<String, (Arc<Known>, Timestamp)>,
    /// Those that were revoked here, for as long as somebody may still be reading one of them. No name comes back.
    revoked: moka::sync::Cache<String, ()>,
}

/// A key as its user is shown it, which is without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name.
    pub id: String,
    /// What the user calls it.
    pub label: String,
    /// What it is good for; none means everything that the user may do.
    pub scopes: Vec<String>,
    /// Since when there is one.
    pub created_at: Timestamp,
    /// When it ends, if it does by itself.
    pub expires_at: Option<Timestamp>,
    /// Whether it has ended.
    pub is_expired: bool,
}

/// What a user wants of a key.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyWish {
    /// What he calls it.
    pub label: String,
    /// Globs over repository names, each with or without verbs: `team/*`, `team/*:pull,push`.
    pub scopes: Vec<String>,
    /// When it is to end.
    pub expires_at: Option<Timestamp>,
}

/// A key as it is used: shown once, when it was made.
#[derive(Clone)]
pub struct ApiKeySecret(String);

/// Who makes a key, what vouches for him now and will be asked again whenever the key is used, and until when at most
/// it may be used.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    pub(super) user: String,
    pub(super) origin: Origin,
    pub(super) until: Option<Timestamp>,
}

/// A key as somebody presents it.
pub(super) struct Presented {
    id: String,
    hash: [u8; 32],
}

/// What a key that was verified is good for: for what its user may do, if there still is one.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    pub(super) origin: Origin,
    pub(super) scope: Option<Scope>,
}

/// A key that was looked up.
#[derive(Debug)]
struct Known {
    record: Record,
    /// Nothing when its scopes cannot be read any more.
    verified: Option<Verified>,
}

/// A key as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    user: String,
    origin: Origin,
    label: String,
    scopes: Vec<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    secret_sha256: String,
}

impl ApiKeys {
    /// Makes them of the place where they are kept.
    pub(super) fn new(keep: Arc<dyn Keep>, clock: Clock) -> Self {
        let known =
            moka::sync::Cache::builder().max_capacity(LOOKUPS_MAX).time_to_live(LOOKUP_TIME_MAX).build();
        let revoked =
            moka::sync::Cache::builder().max_capacity(LOOKUPS_MAX).time_to_live(LOOKUP_TIME_MAX).build();
        Self { keep, clock, known, revoked }
    }

    /// Makes a key.
    ///
    /// *Errors:* [`ApiKeyError::Label`], [`ApiKeyError::Scopes`], [`ApiKeyError::Scope`], [`ApiKeyError::Past`] for a
    /// wish that cannot be met; [`ApiKeyError::TooMany`]; [`ApiKeyError::Keep`].
    ///
    /// *Durability:* when this returns, the key survives power loss.
    pub(super) async fn create(
        &self,
        maker: Maker,
        wish: ApiKeyWish,
    ) -> Result<(ApiKey, ApiKeySecret), ApiKeyError> {
        let now = self.clock.now();
        check(&wish, now)?;
        let user = maker.user;
        // Two requests at once may each find room for one, which is no harm.
        if self.ids(&user).await?.len() >= KEYS_MAX {
            return Err(ApiKeyError::TooMany);
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        let secret: [u8; SECRET_BYTES] = random();
        let record = Record {
            user: user.clone(),
            origin: maker.origin,
            label: wish.label,
            scopes: wish.scopes,
            created_at: now,
            expires_at: [wish.expires_at, maker.until].into_iter().flatten().min(),
            secret_sha256: BASE64_URL_SAFE_NO_PAD.encode(hash_of(&secret)),
        };
        let text = serde_json::to_vec(&record).map_err(KeepError::new)?;
        self.keep.create(FOLDER, &name(&user, &id), text).await?;
        tracing::info!(auth.user = %user, key.id = %id, "a key was made");
        let text = format!("{PREFIX}{id}{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
        Ok((record.shown(id, now), ApiKeySecret(text)))
    }

    /// Lists a user's keys, the oldest first.
    ///
    /// *Errors:* [`KeepError`].
    pub(super) async fn list(&self, user: &str) -> Result<Vec<ApiKey>, KeepError> {
        let now = self.clock.now();
        let mut keys = Vec::new();
        for id in self.ids(user).await? {
            // One that was revoked meanwhile is none.
            if let Some(record) = self.read(user, &id).await? {
                keys.push(record.shown(id, now));
            }
        }
        keys.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        Ok(keys)
    }

    /// Revokes a key of a user; says whether there was one.
    ///
    /// *Errors:* [`KeepError`].
    ///
    /// *Durability:* when this returns, the key is worth nothing here, and after [`LOOKUP_TIME_MAX`] nowhere.
    pub(super) async fn revoke(&self, user: &str, id: &str) -> Result<bool, KeepError> {
        if !is_id(id) {
            return Ok(false);
        }
        let name = name(user, id);
        let was_there = self.keep.remove(FOLDER, &name).await?;
        self.revoked.insert(name.clone(), ());
        self.known.invalidate(&name);
        if was_there {
            tracing::info!(auth.user = %user, key.id = %id, "a key was revoked");
        }
        Ok(was_there)
    }

    /// Tells what a key is good for; `None` when it is not one of that user's, or has ended.
    ///
    /// *Errors:* [`KeepError`].
    pub(super) async fn verify(&self, user: &str, key: &Presented) -> Result<Option<Verified>, KeepError> {
        let (now, name) = (self.clock.now(), name(user, &key.id));
        let known = self.known.get(&name).filter(|(_, at)| now.since(*at) < LOOKUP_TIME_MAX && *at <= now);
        let known = match known {
            Some((known, _)) => known,
            None => {
                let Some(record) = self.read(user, &key.id).await? else { return Ok(None) };
                if self.revoked.contains_key(&name) {
                    return Ok(None);
                }
                let known = Arc::new(Known { verified: record.verified(), record });
                self.known.insert(name.clone(), (Arc::clone(&known), now));
                if self.revoked.contains_key(&name) {
                    // Between the two.
                    self.known.invalidate(&name);
                    return Ok(None);
                }
                known
            }
        };
        let is_good = known.record.is_of(&key.hash) && !known.record.is_expired(now);
        Ok(known.verified.clone().filter(|_| is_good))
    }

    async fn ids(&self, user: &str) -> Result<Vec<String>, KeepError> {
        let prefix = name(user, "");
        let names = self.keep.list(FOLDER).await?;
        Ok(names.iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    async fn read(&self, user: &str, id: &str) -> Result<Option<Record>, KeepError> {
        let Some(text) = self.keep.read(FOLDER, &name(user, id)).await? else { return Ok(None) };
        let record = serde_json::from_slice::<Record>(&text).ok();
        if record.is_none() {
            tracing::warn!(key.id = %id, "the record of a key is unreadable: the key is worth nothing");
        }
        Ok(record.filter(|record| record.user == user))
    }
}

impl Record {
    fn shown(&self, id: String, now: Timestamp) -> ApiKey {
        ApiKey {
            id,
            label: self.label.clone(),
            scopes: self.scopes.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            is_expired: self.is_expired(now),
        }
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    fn is_of(&self, hash: &[u8; 32]) -> bool {
        let kept = BASE64_URL_SAFE_NO_PAD.decode(&self.secret_sha256).unwrap_or_default();
        aws_lc_rs::constant_time::verify_slices_are_equal(&kept, hash).is_ok()
    }

    /// Returns what the key is good for; nothing when its scopes cannot be read any more.
    fn verified(&self) -> Option<Verified> {
        let scope = match self.scopes.as_slice() {
            [] => None,
            scopes => Some(Scope::of_globs(scopes.iter().map(String::as_str)).ok()?),
        };
        Some(Verified { origin: self.origin, scope })
    }
}

impl Presented {
    /// Reads a key; `None` for what is a password, or anything else.
    pub(super) fn parse(password: &Password) -> Option<Self> {
        let text = str::from_utf8(password.reveal()).ok()?.strip_prefix(PREFIX)?;
        let (id, secret) = text.split_at_checked(ID_CHARS)?;
        let secret = BASE64_URL_SAFE_NO_PAD.decode(secret).ok().filter(|it| it.len() == SECRET_BYTES)?;
        is_id(id).then(|| Self { id: id.to_owned(), hash: hash_of(&secret) })
    }
}

impl ApiKeySecret {
    /// Returns the key, for the user that it was made for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeySecret(…)")
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("id", &self.id).finish_non_exhaustive()
    }
}

fn check(wish: &ApiKeyWish, now: Timestamp) -> Result<(), ApiKeyError> {
    if wish.label.chars().count() > LABEL_CHARS_MAX || wish.label.chars().any(char::is_control) {
        return Err(ApiKeyError::Label);
    }
    if wish.scopes.len() > SCOPES_MAX {
        return Err(ApiKeyError::Scopes);
    }
    for (index, scope) in wish.scopes.iter().enumerate() {
        let verbs = scope.rsplit_once(':').map_or("*", |(_, verbs)| verbs);
        let is_verb = |verb: &str| matches!(verb.trim(), "pull" | "push" | "delete" | "*");
        let is_fit = !scope.is_empty() && scope.len() <= SCOPE_BYTES_MAX && verbs.split(',').all(is_verb);
        if !is_fit || Scope::of_globs([scope.as_str()]).is_err() {
            return Err(ApiKeyError::Scope { index });
        }
    }
    if wish.expires_at.is_some_and(|at| at <= now) { Err(ApiKeyError::Past) } else { Ok(()) }
}

/// Returns the name of a record; without an id, what all of a user begin with.
fn name(user: &str, id: &str) -> String {
    let hash = Sha256::new().chain_update(b"wharfinger api keys of ").chain_update(user).finalize();
    let user: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{user}-{id}")
}

fn is_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hash_of(secret: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"wharfinger api key ").chain_update(secret).finalize().into()
}

#[cfg(test)]
mod tests;
