//! Tokens that were verified, so that a pull of a hundred layers costs one verification.
//!
//! A token is remembered by a proof of it while it is good, and for a time at most.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::credentials::BearerToken;
use super::identity::Identity;
use super::proof::{Proof, ProofKey};
use crate::clock::Timestamp;

/// What tokens of one kind that are remembered may weigh together, in bytes.
const REMEMBERED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is remembered of a token weighs more than the token: the names in it stand each for themselves.
const WEIGHT_FACTOR: u32 = 2;
const WEIGHT_MIN: u32 = 512;

/// Tokens that were verified.
pub(super) struct Remembered {
    key: ProofKey,
    time_max: Duration,
    known: moka::sync::Cache<Proof, Known>,
}

/// Whose a token is, and when.
#[derive(Clone)]
struct Known {
    identity: Identity,
    good: Range<Timestamp>,
    weight: u32,
}

impl Remembered {
    /// Makes one that knows no token, and will know none for longer than `time_max`.
    pub(super) fn new(time_max: Duration) -> Self {
        let known = moka::sync::Cache::builder()
            .max_capacity(REMEMBERED_BYTES_MAX)
            .weigher(|_, known: &Known| known.weight)
            .time_to_live(time_max)
            .build();
        Self { key: ProofKey::random(), time_max, known }
    }

    /// Returns whose a token is, if that is known and so now.
    pub(super) fn find(&self, token: &BearerToken, now: Timestamp) -> Option<Identity> {
        self.known
            .get(&self.proof(token))
            .filter(|known| known.good.contains(&now))
            .map(|known| known.identity)
    }

    /// Notes whose a token is, and when it is good, in seconds since 1970.
    pub(super) fn insert(&self, token: &BearerToken, identity: Identity, good: Range<u64>, now: Timestamp) {
        let at = |seconds: u64| Timestamp::from_millis(seconds.saturating_mul(1000));
        let good = at(good.start)..at(good.end).min(now.after(self.time_max));
        self.known.insert(self.proof(token), Known { identity, good, weight: weight(token) });
    }

    fn proof(&self, token: &BearerToken) -> Proof {
        self.key.proof(0, b"", token.reveal().as_bytes())
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").field("tokens", &self.known.entry_count()).finish_non_exhaustive()
    }
}

/// Returns about how many bytes remembering a token takes.
fn weight(token: &BearerToken) -> u32 {
    let bytes = u32::try_from(token.reveal().len()).unwrap_or(u32::MAX);
    bytes.saturating_mul(WEIGHT_FACTOR).saturating_add(WEIGHT_MIN)
}

#[cfg(test)]
mod tests {
    //! Goal: a token is found while it is good, for a time at most, and only that token. Method: a table of moments.

    use super::*;
    use crate::auth::Account;

    #[test]
    fn a_token_is_found_while_it_is_good() {
        let remembered = Remembered::new(Duration::from_secs(300));
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        let [short, long] = ["a.b.short", "a.b.long"].map(|text| BearerToken::of(text.to_owned()));
        let identity = Identity::of(Account::new("ada", Vec::new()));
        remembered.insert(&short, identity.clone(), 1000..1120, at(1100));
        remembered.insert(&long, identity.clone(), 1000..9999, at(1100));
        for (token, seconds, expect) in [
            (&short, 999, false),
            (&short, 1000, true),
            (&short, 1119, true),
            (&short, 1120, false),
            (&long, 1399, true),
            (&long, 1400, false),
            (&BearerToken::of("a.b.other".to_owned()), 1100, false),
        ] {
            let found = remembered.find(token, at(seconds));
            assert_eq!(found, expect.then(|| identity.clone()), "{token:?} {seconds}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_in_bytes() {
        let remembered = Remembered::new(Duration::from_secs(300));
        for number in 0..20 {
            let token = BearerToken::of(format!("{number}{}", "x".repeat(1024 * 1024)));
            remembered.insert(&token, Identity::ANONYMOUS, 0..9999, Timestamp::from_millis(1000));
        }
        remembered.known.run_pending_tasks();
        assert!(remembered.known.weighted_size() <= REMEMBERED_BYTES_MAX);
        assert!((1..8).contains(&remembered.known.entry_count()), "{remembered:?}");
    }
}
