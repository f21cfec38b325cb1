//! Passwords that were right a moment ago, by the header that they came in.
//!
//! A busy pull sends the same header hundreds of times a second. What is remembered here answers for at most
//! [`FRESH_MAX`], about as long as it takes until a change of the htpasswd file is seen: every so often one request
//! goes the whole way (reading the header, the back-off, the verified passwords) for all of them.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::identity::Identity;
use super::options::Options;
use super::proof::{Proof, ProofKey};
use super::source::Source;

/// For how long a header answers for itself.
const FRESH_MAX: Duration = Duration::from_secs(1);

/// Headers that were verified from where they came.
pub(super) struct Recent {
    key: ProofKey,
    fresh: Duration,
    verified: moka::sync::Cache<(Source, Proof), (Identity, Instant)>,
}

/// What a header is found by; nobody can tell the header from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Header(Source, Proof);

impl Recent {
    /// Makes it as large, and no longer-lived, than what remembers passwords; `None` where nothing does.
    pub(super) fn new(options: &Options) -> Option<Self> {
        let fresh = options.cache_ttl.min(FRESH_MAX);
        let verified = moka::sync::Cache::builder()
            .max_capacity(options.cache_entries_max)
            .time_to_live(FRESH_MAX)
            .build();
        let remembers = !fresh.is_zero() && options.cache_entries_max > 0;
        remembers.then(|| Self { key: ProofKey::random(), fresh, verified })
    }

    /// Returns what a header from somewhere is found by.
    pub(super) fn header(&self, from: Source, value: &[u8]) -> Header {
        Header(from, self.key.proof(0, b"", value))
    }

    /// Returns whose a header is, if that was verified a moment ago.
    pub(super) fn find(&self, header: Header, now: Instant) -> Option<Identity> {
        let (identity, until) = self.verified.get(&(header.0, header.1))?;
        (now < until).then_some(identity)
    }

    /// Remembers whose a header is.
    pub(super) fn remember(&self, header: Header, identity: Identity, now: Instant) {
        self.verified.insert((header.0, header.1), (identity, now + self.fresh));
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").field("fresh", &self.fresh).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    //! Goal: only what was verified is found, only from where it was, and only for a moment. Method: a clock that
    //! stands still.

    use super::*;
    use crate::auth::Account;

    #[tokio::test(start_paused = true)]
    async fn a_header_answers_for_a_moment() {
        let recent = Recent::new(&Options::default()).unwrap();
        let header = recent.header(Source::UNKNOWN, b"Basic YTpi");
        assert_eq!(recent.find(header, Instant::now()), None);
        let identity = Identity::of(Account::new("a", Vec::new()));
        recent.remember(header, identity.clone(), Instant::now());
        assert_eq!(recent.find(header, Instant::now()), Some(identity));
        let elsewhere = Source::of(Some("192.0.2.1".parse().unwrap()));
        for other in [recent.header(Source::UNKNOWN, b"Basic YTpj"), recent.header(elsewhere, b"Basic YTpi")]
        {
            assert_eq!(recent.find(other, Instant::now()), None);
        }
        tokio::time::advance(FRESH_MAX).await;
        assert_eq!(recent.find(header, Instant::now()), None);
    }

    #[test]
    fn nothing_is_remembered_where_nothing_may_be() {
        let never = Options { cache_ttl: Duration::ZERO, ..Options::default() };
        let none = Options { cache_entries_max: 0, ..Options::default() };
        assert!(Recent::new(&never).is_none() && Recent::new(&none).is_none());
    }
}
