//! Whether a cached tag may be served without asking: pure, beside the memory of when it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::oci::{RepositoryName, Tag};

/// What to do with a cached tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Serve it; the upstream is not asked.
    Serve,
    /// Ask the upstream whether it has moved.
    Check,
}

/// Decides about a tag that was last checked at `checked_at`, if ever in this process.
pub fn decide(now: Timestamp, checked_at: Option<Timestamp>, interval: Duration) -> Decision {
    match checked_at {
        // A clock that went back makes `since` zero: serving is bounded by the interval all the same.
        Some(checked_at) if !interval.is_zero() && now.since(checked_at) < interval => Decision::Serve,
        _ => Decision::Check,
    }
}

type Key = (Arc<str>, RepositoryName, Tag);

/// When each tag was last checked. Derived: losing it costs a check.
#[derive(Debug, Default)]
pub(super) struct CheckedAt(Mutex<HashMap<Key, Timestamp>>);

/// Tags remembered; when they are more, all are forgotten.
const TAGS_MAX: usize = 100_000;

impl CheckedAt {
    pub(super) fn find(&self, key: &Key) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    pub(super) fn set(&self, key: Key, at: Timestamp) {
        let mut tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tags.len() >= TAGS_MAX {
            tags.clear();
        }
        tags.insert(key, at);
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the interval means what it says. Method: a table at its edges.

    use super::*;

    #[test]
    fn decisions() {
        let (at, minute) = (Timestamp::from_millis, Duration::from_secs(60));
        for (now, checked_at, interval, expect) in [
            (0, None, minute, Decision::Check),
            (59_999, Some(0), minute, Decision::Serve),
            (60_000, Some(0), minute, Decision::Check),
            (0, Some(0), Duration::ZERO, Decision::Check),
            (0, Some(5_000), minute, Decision::Serve),
        ] {
            assert_eq!(
                decide(at(now), checked_at.map(at), interval),
                expect,
                "{now} {checked_at:?} {interval:?}"
            );
        }
    }
}
