//! Which hosted blobs were asked for lately, so that none is collected as garbage between a client's look
//! and the manifest that it pushes then.
//!
//! It is kept in memory of a fixed size: two filters of bits, the younger of which takes the place of the
//! elder when it is as old as garbage must be. A filter may say of a blob that nobody asked for that somebody
//! did, which keeps garbage for a while; it never says the opposite. A process that has just started does not
//! know what an earlier one was asked, and takes everything for asked for until that no longer matters.
//!
//! Moments are how much time has passed (`Clock::passed`): a wall clock that jumps forward forgets nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::RepositoryKey;
use super::filter::Filter;
use crate::oci::Digest;

/// The bits of one filter; half a mebibyte. Of a million blobs asked for within the delay, about one in eight
/// others is taken for asked for.
const FILTER_BITS: u64 = 1 << 22;
/// Whom a store answers while garbage is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Those of a server, which may have asked for something lately.
    Served,
    /// Nobody: the store has no server.
    Absent,
}

/// What was asked for lately, and what is on its way out.
#[derive(Debug)]
pub(super) struct Asked {
    state: Mutex<State>,
    /// How long a question counts.
    delay: Duration,
}

#[derive(Debug)]
struct State {
    recent: Filter,
    before: Filter,
    /// Until when what was asked for is not known.
    unknown_until: Duration,
    /// When the recent filter was empty.
    turned_at: Duration,
    going: Option<(RepositoryKey, Digest)>,
}

/// A blob that is being removed from its repository: nobody is told of it until this is dropped.
#[derive(Debug)]
pub(super) struct Condemned(Arc<Asked>);

impl Asked {
    pub(super) fn new(delay: Duration, opened_at: Duration) -> Self {
        let unknown_until = opened_at.saturating_add(delay);
        let state =
            State { recent: empty(), before: empty(), unknown_until, turned_at: opened_at, going: None };
        Self { state: Mutex::new(state), delay }
    }

    /// Takes everything for asked for until it no longer matters, since not all questions were noted until now.
    pub(super) fn doubt(&self, now: Duration) {
        self.state(now).unknown_until = now.saturating_add(self.delay);
    }

    /// Notes that a blob is asked for, and says whether it may be answered: not while it is removed.
    pub(super) fn note(&self, repository: &RepositoryKey, digest: &Digest, now: Duration) -> bool {
        let mut state = self.state(now);
        if !self.delay.is_zero() {
            state.recent.add(&(repository, digest));
        }
        state.going.as_ref().is_none_or(|(of, what)| what != digest || of != repository)
    }

    /// Lets a blob be removed that nobody has asked for lately; of those who ask from now on, none is told of it.
    pub(super) fn condemn(
        self: &Arc<Self>,
        repository: &RepositoryKey,
        digest: &Digest,
        now: Duration,
        clients: Clients,
    ) -> Option<Condemned> {
        // One look and one lock: whoever asks before it is told of the blob, and keeps it.
        let mut state = self.state(now);
        if self.counts(&state, repository, digest, now, clients) {
            return None;
        }
        state.going = Some((repository.clone(), *digest));
        drop(state);
        Some(Condemned(Arc::clone(self)))
    }

    /// Says whether anybody may have been told of a blob lately.
    pub(super) fn was_asked(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        now: Duration,
        clients: Clients,
    ) -> bool {
        self.counts(&self.state(now), repository, digest, now, clients)
    }

    fn counts(
        &self,
        state: &State,
        repository: &RepositoryKey,
        digest: &Digest,
        now: Duration,
        clients: Clients,
    ) -> bool {
        clients == Clients::Served && (now < state.unknown_until || state.has(repository, digest))
    }

    fn state(&self, now: Duration) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.turn(now, self.delay);
        state
    }
}

impl State {
    /// Forgets what was asked for longer ago than `delay`, and perhaps twice that.
    fn turn(&mut self, now: Duration, delay: Duration) {
        let age = now.saturating_sub(self.turned_at);
        if age < delay {
            return;
        }
        let recent = std::mem::replace(&mut self.recent, empty());
        self.before = if age < delay.saturating_mul(2) { recent } else { empty() };
        self.turned_at = now;
    }

    fn has(&self, repository: &RepositoryKey, digest: &Digest) -> bool {
        let blob = (repository, digest);
        self.recent.has(&blob) || self.before.has(&blob)
    }
}

fn empty() -> Filter {
    Filter::new(FILTER_BITS)
}

impl Drop for Condemned {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).going = None;
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what was answered within the delay is never condemned, and what was not is, later. Method: a clock
    //! that is moved, and properties over the times of questions.

    use proptest::prelude::*;

    use super::*;
    use crate::oci::{Algorithm, Hasher, RepositoryName};

    const DELAY: u64 = 1_000;

    fn asked() -> Arc<Asked> {
        Arc::new(Asked::new(Duration::from_millis(DELAY), at(0)))
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(10_000_000 + millis)
    }

    fn blob(text: &str) -> (RepositoryKey, Digest) {
        let repository = RepositoryKey::hosted(RepositoryName::parse("team/app").unwrap());
        (repository, Hasher::digest(Algorithm::Sha256, text.as_bytes()))
    }

    #[test]
    fn a_start_takes_everything_for_asked_for() {
        let (asked, (repository, digest)) = (asked(), blob("x"));
        let condemn = |now, clients| asked.condemn(&repository, &digest, at(now), clients).is_some();
        assert!(!condemn(DELAY - 1, Clients::Served), "an earlier process may have been asked");
        assert!(condemn(0, Clients::Absent) && condemn(DELAY, Clients::Served));
    }

    #[test]
    fn what_is_condemned_is_told_to_nobody_until_it_is_gone() {
        let (asked, (repository, digest)) = (asked(), blob("x"));
        let condemned = asked.condemn(&repository, &digest, at(DELAY), Clients::Served).unwrap();
        assert!(!asked.note(&repository, &digest, at(DELAY)));
        assert!(asked.note(&repository, &blob("y").1, at(DELAY)));
        drop(condemned);
        assert!(asked.note(&repository, &digest, at(DELAY)));
    }

    #[test]
    fn a_doubt_takes_everything_for_asked_for_again() {
        let (asked, (repository, digest)) = (asked(), blob("x"));
        let condemn = |now, clients| asked.condemn(&repository, &digest, at(now), clients).is_some();
        assert!(condemn(5 * DELAY, Clients::Served));
        asked.doubt(at(5 * DELAY));
        assert!(!condemn(6 * DELAY - 1, Clients::Served), "somebody may have been told before");
        assert!(condemn(6 * DELAY - 1, Clients::Absent) && condemn(6 * DELAY, Clients::Served));
    }

    proptest! {
        #[test]
        fn what_was_asked_within_the_delay_stays_and_nothing_stays_for_ever(
            pauses in proptest::collection::vec(0..3 * DELAY, 1..20),
        ) {
            let (asked, (repository, digest)) = (asked(), blob("x"));
            let (_, other) = blob("other");
            let mut now = DELAY;
            for pause in pauses {
                now += pause;
                asked.note(&repository, &digest, at(now));
                // Others ask meanwhile, which turns the filters.
                for later in [0, DELAY / 3, DELAY / 2, DELAY - 1] {
                    asked.note(&repository, &other, at(now + later));
                    prop_assert!(asked.condemn(&repository, &digest, at(now + later), Clients::Served).is_none());
                }
            }
            let long_after = at(now + 4 * DELAY);
            asked.note(&repository, &other, at(now + 2 * DELAY));
            prop_assert!(asked.condemn(&repository, &digest, long_after, Clients::Served).is_some());
        }
    }
}
