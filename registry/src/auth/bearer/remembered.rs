//! Tokens that were verified, so that a pull of a hundred layers costs one verification.
//!
//! A token is remembered under a hash with a key that never leaves the process, until it ends, and for
//! [`REMEMBERED_TIME_MAX`] at most: then a key that its issuer has withdrawn verifies it no more.

use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::auth::credentials::BearerToken;
use crate::auth::identity::Identity;
use crate::auth::token::{random, weight};
use crate::clock::Timestamp;

/// What tokens that are remembered may weigh together, in bytes.
pub(super) const REMEMBERED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a token is remembered, at most.
pub(super) const REMEMBERED_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// Tokens that were verified.
pub(super) struct Remembered {
    key: [u8; 32],
    known: moka::sync::Cache<[u8; 32], (Identity, Timestamp, u32)>,
}

impl Remembered {
    /// Makes one that knows no token.
    pub(super) fn new() -> Self {
        let known = moka::sync::Cache::builder()
            .max_capacity(REMEMBERED_BYTES_MAX)
            .weigher(|_, (_, _, weight): &(Identity, Timestamp, u32)| *weight)
            .time_to_live(REMEMBERED_TIME_MAX)
            .build();
        Self { key: random(), known }
    }

    /// Returns whose a token is, if that is known and still so.
    pub(super) fn find(&self, token: &BearerToken, now: Timestamp) -> Option<Identity> {
        self.known.get(&self.hash(token)).filter(|(_, end, _)| now < *end).map(|(identity, ..)| identity)
    }

    /// Notes whose a token is until it ends, in seconds since 1970.
    pub(super) fn insert(&self, token: &BearerToken, identity: Identity, now: Timestamp, expires: u64) {
        let end = Timestamp::from_millis(expires.saturating_mul(1000)).min(now.after(REMEMBERED_TIME_MAX));
        self.known.insert(self.hash(token), (identity, end, weight(token)));
    }

    /// Hashes with the key in front, which is as good as HMAC while no hash is ever shown to anybody.
    fn hash(&self, token: &BearerToken) -> [u8; 32] {
        Sha256::new().chain_update(self.key).chain_update(token.reveal()).finalize().into()
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").field("tokens", &self.known.entry_count()).finish_non_exhaustive()
    }
}
