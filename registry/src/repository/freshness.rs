//! Whether a cached tag may be served without asking, and after an upstream's refusal: pure, beside the
//! memory of when each was asked.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::mutants;
use crate::upstream;
use crate::upstream::options::{OnRefusal, Options};

/// What to do with a cached tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Serve it; the upstream is not asked.
    Serve,
    /// Serve it, and ask the upstream afterwards.
    ServeThenCheck,
    /// Ask the upstream whether it has moved.
    Check,
}

/// Returns how long ago a tag was checked; a clock that went back tells no age.
pub fn age(now: Timestamp, checked_at: Option<Timestamp>) -> Option<Duration> {
    checked_at.filter(|checked_at| *checked_at <= now).map(|checked_at| now.since(checked_at))
}

/// Decides about a tag that was last checked so long ago, if that is known.
pub fn decide(age: Option<Duration>, options: &Options) -> Decision {
    let within = |limit: Duration| !limit.is_zero() && age.is_some_and(|age| age < limit);
    let is_served = age.is_some() && mutants::is("MU54-a-tag-never-grows-old");
    if is_served || within(options.manifest_check_interval) {
        Decision::Serve
    } else if within(options.stale_while_revalidate) {
        Decision::ServeThenCheck
    } else {
        Decision::Check
    }
}

/// Says whether a cached tag of this age is served although the upstream answered with an error.
///
/// *Shape*: a 404 and a refusal are answers, which may be followed; anything else says nothing of the tag.
pub fn outlives(error: &upstream::Error, age: Option<Duration>, options: &Options) -> bool {
    // What nobody knows the age of is older than any limit.
    let within = |limit: Option<Duration>| limit.is_none_or(|limit| age.is_some_and(|age| age <= limit));
    match error {
        upstream::Error::NotFound { .. } => options.on_delete == OnRefusal::Keep,
        upstream::Error::Denied { .. } => {
            options.on_denied == OnRefusal::Keep && within(Some(options.denied_stale_max))
        }
        _ => within(options.stale_age_max) && !mutants::is("MU53-a-tag-dies-with-its-upstream"),
    }
}

/// When each thing was last checked or pulled. What is older on the disk than an interval is written again.
#[derive(Debug)]
pub(super) struct Times<K> {
    table: Mutex<HashMap<K, Noted>>,
    persist_interval: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    at: Timestamp,
    written_at: Option<Timestamp>,
}

/// How much earlier than a later answer one may have been asked for; what is earlier still was noted by a clock
/// that has been set back.
const LATE_MAX: Duration = Duration::from_secs(600);
/// Things remembered; when they are more, all are forgotten, and read from the disk again.
const TIMES_MAX: usize = 100_000;

impl<K: Eq + Hash> Times<K> {
    pub(super) fn new(persist_interval: Duration) -> Self {
        Self { table: Mutex::default(), persist_interval }
    }

    /// Forgets some.
    pub(super) fn forget(&self, which: impl Fn(&K) -> bool) {
        self.table().retain(|key, _| !which(key));
    }

    pub(super) fn find(&self, key: &K) -> Option<Timestamp> {
        self.table().get(key).map(|checked| checked.at)
    }

    /// Keeps what was read from the disk.
    pub(super) fn found(&self, key: K, at: Timestamp) {
        self.put(key, Noted { at, written_at: Some(at) });
    }

    /// Keeps a time, unless a later one is known; says whether it is to be written to the disk.
    pub(super) fn set(&self, key: K, at: Timestamp) -> bool {
        let known = self.table().get(&key).copied();
        if known.is_some_and(|known| known.at > at && known.at.since(at) <= LATE_MAX) {
            return false;
        }
        let written_at = known.and_then(|noted| noted.written_at);
        let is_due = |written_at| written_at > at || at.since(written_at) >= self.persist_interval;
        let is_due = written_at.is_none_or(is_due);
        self.put(key, Noted { at, written_at: if is_due { Some(at) } else { written_at } });
        is_due
    }

    fn put(&self, key: K, noted: Noted) {
        let mut table = self.table();
        if table.len() >= TIMES_MAX {
            table.clear();
        }
        table.insert(key, noted);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<K, Noted>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: each key means what it says. Method: tables at the edges.

    use std::sync::Arc;

    use super::*;
    use crate::oci::{RepositoryName, Tag};

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn decisions() {
        let at = |minutes: u64| Timestamp::from_millis(minutes * 60_000);
        for (now, checked_at, interval, revalidate, expect) in [
            (0, None, 1, 0, Decision::Check),
            (9, Some(0), 10, 0, Decision::Serve),
            (10, Some(0), 10, 0, Decision::Check),
            (0, Some(0), 0, 0, Decision::Check),
            (0, Some(5), 10, 0, Decision::Check),
            (24 * 60, Some(525_600), 10, 0, Decision::Check),
            (10, Some(0), 10, 20, Decision::ServeThenCheck),
            (5, Some(0), 0, 20, Decision::ServeThenCheck),
            (20, Some(0), 10, 20, Decision::Check),
            (5, None, 10, 20, Decision::Check),
        ] {
            let options = Options {
                manifest_check_interval: minutes(interval),
                stale_while_revalidate: minutes(revalidate),
                ..Options::default()
            };
            let decision = decide(age(at(now), checked_at.map(at)), &options);
            assert_eq!(decision, expect, "{now} {checked_at:?} {interval} {revalidate}");
        }
    }

    #[test]
    fn p7_what_outlives_which_error() {
        let upstream: Arc<str> = Arc::from("hub");
        let up = || Arc::clone(&upstream);
        let gone = || upstream::Error::NotFound { upstream: up() };
        let denied = || upstream::Error::Denied { upstream: up() };
        let down = || upstream::Error::Status { upstream: up(), status: 503, retry_after: None };
        let keep = Options { denied_stale_max: minutes(5), ..Options::default() };
        let follow =
            Options { on_delete: OnRefusal::Follow, on_denied: OnRefusal::Follow, ..Options::default() };
        let bounded = Options { stale_age_max: Some(minutes(5)), ..Options::default() };
        for (error, age, options, expect) in [
            (gone(), Some(99), &keep, true),
            (gone(), None, &keep, true),
            (gone(), Some(0), &follow, false),
            (denied(), Some(5), &keep, true),
            (denied(), Some(6), &keep, false),
            (denied(), None, &keep, false),
            (denied(), Some(0), &follow, false),
            (down(), Some(99), &keep, true),
            (down(), None, &follow, true),
            (down(), Some(5), &bounded, true),
            (down(), Some(6), &bounded, false),
            (down(), None, &bounded, false),
        ] {
            assert_eq!(outlives(&error, age.map(minutes), options), expect, "{error} {age:?}");
        }
    }

    #[test]
    fn checks_are_written_once_a_while() {
        let name = RepositoryName::parse("a").unwrap();
        let key = || (Arc::<str>::from("hub"), name.clone(), Tag::parse("t").unwrap());
        let (at, checked) =
            (|seconds: u64| Timestamp::from_millis(seconds * 1000), Times::new(Duration::from_secs(60)));
        assert!(checked.set(key(), at(0)) && !checked.set(key(), at(59)) && checked.set(key(), at(60)));
        assert_eq!(checked.find(&key()), Some(at(60)));
        checked.found(key(), at(100));
        assert!(!checked.set(key(), at(101)));
        assert!(!checked.set(key(), at(99)));
        assert_eq!(checked.find(&key()), Some(at(101)), "a late answer does not make it older");
        checked.found(key(), at(1_000_000));
        assert!(
            checked.set(key(), at(200)) && checked.find(&key()) == Some(at(200)),
            "a clock set back does"
        );
    }
}
