//! Failed logins, and who has to wait for the next.
//!
//! Failures are counted *by address and user*, and an address has to wait as a whole only when *many different
//! users* have failed from it. Behind one address there may be a whole cluster: one client of it with a wrong
//! password must not stop the others, and its user must not stop the same user elsewhere, who would otherwise be
//! shut out by anybody who knows the name. Whoever tries one password with many names is seen by the address.
//!
//! *Who is known is never held*: whoever has logged in from an address is let through with the same user and
//! password from there, to be verified as always. So a node goes on while a neighbour of the same name fails. It
//! gives a guesser nothing but what he has without it, a verification: he has to share the address with somebody
//! who is logged in as that user, and is as slow as hashes are.
//!
//! *A success forgives* what its user has failed from that address, and nothing else: with an account of one's own
//! the failures of others cannot be undone. The success of somebody who is known forgives nothing, or his neighbour
//! could guess on for as long as he pulls.
//!
//! *It tells nothing*: a user is what a client says, whether there is one or not.
//!
//! What is judged already when the first failure counts is not called back: at most as many guesses as
//! verifications may be pending (`verdicts::PENDING_MAX`).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use super::credentials::Credentials;
use super::proof::ProofKey;
use super::source::Source;

/// Addresses, and users at addresses, whose failures are remembered; beyond it the one of longest ago is forgotten.
const FAILING_MAX: u64 = 65_536;
/// Users with their passwords at their addresses that are known.
const KNOWN_MAX: u64 = 65_536;
/// How long somebody who has not come again is known.
const KNOWN_LIFE: Duration = Duration::from_secs(60 * 60);
/// How long the first wait is.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// How long waits grow to.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Counts failed logins.
pub(super) struct Backoff {
    failures_max: u32,
    window: Duration,
    key: ProofKey,
    failing: Cache<Place, Arc<Mutex<Failures>>>,
    known: Cache<(Source, [u8; 32]), ()>,
}

/// What failures are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// Different users of an address.
    Address(Source),
    /// One user of it, by the hash of the name, which may be long.
    User(Source, [u8; 32]),
}

/// How often it failed, and until when it has to wait.
#[derive(Debug)]
struct Failures {
    count: u32,
    /// The first failure, or the end of what the last one is held for: a window later all are forgiven.
    since: Instant,
    held_until: Option<Instant>,
}

/// A login that was let through, until its verdict.
#[derive(Debug)]
pub(super) struct Attempt {
    source: Source,
    user: Place,
    proof: [u8; 32],
    is_known: bool,
}

impl Backoff {
    /// Makes it; `None` where nothing is counted.
    pub(super) fn new(failures_max: u32, window: Duration) -> Option<Self> {
        if failures_max == 0 || window.is_zero() {
            return None;
        }
        // Past it, an entry says nothing any more.
        let life = window.saturating_add(WAIT_MAX).saturating_mul(2);
        let failing = Cache::builder().max_capacity(FAILING_MAX).eviction_policy(EvictionPolicy::lru());
        let known = Cache::builder().max_capacity(KNOWN_MAX).eviction_policy(EvictionPolicy::lru());
        Some(Self {
            failures_max,
            window,
            key: ProofKey::random(),
            failing: failing.time_to_idle(life).build(),
            known: known.time_to_idle(KNOWN_LIFE).build(),
        })
    }

    /// Lets a login through.
    ///
    /// *Errors:* how long to wait.
    pub(super) fn admit(
        &self,
        source: Source,
        credentials: &Credentials,
        now: Instant,
    ) -> Result<Attempt, Duration> {
        let proof = self.key.proof(0, credentials.user().as_bytes(), credentials.password().reveal());
        let user = Place::User(source, self.key.user(credentials));
        let is_known = self.known.contains_key(&(source, proof));
        if !is_known {
            self.look(user, now)?;
            self.look(Place::Address(source), now)?;
            // Both are open. Until there is a verdict, the next waits, so that many at once are no more guesses
            // than one after the other.
            self.take(user, now);
            self.take(Place::Address(source), now);
        }
        Ok(Attempt { source, user, proof, is_known })
    }

    /// Notes that a login succeeded.
    pub(super) fn succeeded(&self, attempt: &Attempt, now: Instant) {
        // Also of somebody who is known: it is how he stays so.
        self.known.insert((attempt.source, attempt.proof), ());
        if attempt.is_known {
            return;
        }
        let counted = self.failing.remove(&attempt.user);
        let counted = counted.is_some_and(|it| !locked(&it).is_over(now, self.window));
        if let Some(address) = self.failing.get(&Place::Address(attempt.source)) {
            let mut address = locked(&address);
            address.count = address.count.saturating_sub(u32::from(counted));
            // It was held for this one, which was right: the next of many newcomers need not wait.
            address.held_until = None;
        }
    }

    /// Notes that a login was refused.
    pub(super) fn failed(&self, attempt: &Attempt, now: Instant) {
        self.known.invalidate(&(attempt.source, attempt.proof));
        if self.count(attempt.user, now) == 1 {
            self.count(Place::Address(attempt.source), now);
        }
    }

    /// Says whether there is nothing to wait for.
    fn look(&self, place: Place, now: Instant) -> Result<(), Duration> {
        let Some(failures) = self.failing.get(&place) else { return Ok(()) };
        let held_until = locked(&failures).held_until;
        match held_until.map(|until| until.saturating_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// Holds the next as long as it would be held if this one failed.
    fn take(&self, place: Place, now: Instant) {
        let Some(failures) = self.failing.get(&place) else { return };
        let mut failures = locked(&failures);
        if !failures.is_over(now, self.window) && failures.count >= self.failures_max {
            failures.held_until = Some(now + self.wait(failures.count));
        }
    }

    /// Counts a failure; returns how many there are.
    fn count(&self, place: Place, now: Instant) -> u32 {
        let failures = self
            .failing
            .get_with(place, || Arc::new(Mutex::new(Failures { count: 0, since: now, held_until: None })));
        let mut failures = locked(&failures);
        if failures.is_over(now, self.window) {
            *failures = Failures { count: 0, since: now, held_until: None };
        }
        failures.count = failures.count.saturating_add(1);
        if failures.count >= self.failures_max {
            failures.since = now + self.wait(failures.count);
            failures.held_until = Some(failures.since);
        }
        failures.count
    }

    /// Returns how long that many failures are held for.
    fn wait(&self, count: u32) -> Duration {
        let doublings = count.saturating_sub(self.failures_max).min(16);
        (WAIT_MIN * (1 << doublings)).min(WAIT_MAX)
    }
}

impl Failures {
    /// Says whether they are forgiven.
    fn is_over(&self, now: Instant, window: Duration) -> bool {
        now.saturating_duration_since(self.since) >= window
    }
}

fn locked(failures: &Mutex<Failures>) -> MutexGuard<'_, Failures> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Backoff");
        shown.field("failures_max", &self.failures_max).field("window", &self.window);
        shown.field("failing", &self.failing.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
