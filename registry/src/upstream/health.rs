//! Whether a url of an upstream is worth asking now: its circuit breaker, and the time for which it told us
//! to stay away. Every request of the process to that url shares it (P6).
//!
//! *States*: closed (asked as ever) → open after a number of failures in a row (not asked for a while) →
//! half open (one request asks; its success closes, its failure opens again).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::mutants;

/// When the breaker of a url opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Failures in a row that open it; 0 is never.
    pub failures_max: u32,
    /// How long it stays open.
    pub open_for: Duration,
    /// The longest Retry-After that is obeyed.
    pub cool_down_max: Duration,
}

/// The health of one url.
#[derive(Debug)]
pub(super) struct Health {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
    is_probed: bool,
    cool_until: Option<Instant>,
    /// Until when no more is asked than has to be: the quota is used up.
    spare_until: Option<Instant>,
}

/// How long a url is spared whose quota is used up; then one looks whether there is more.
const SPARE_FOR: Duration = Duration::from_secs(60);

/// The right to ask a url once. Dropping it without a word leaves the health as it was, and lets another
/// request be the probe.
#[derive(Debug)]
pub(super) struct Turn<'h> {
    health: &'h Health,
    is_probe: bool,
}

/// What asking showed of the url itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answered, whatever it said of the content.
    Alive,
    /// It broke, or did not answer.
    Failing,
    /// It wants to be left alone.
    Busy {
        /// For how long.
        wait: Duration,
        /// Whether it broke as well.
        is_failing: bool,
    },
}

impl Health {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Returns the right to ask.
    ///
    /// *Errors:* how long the url is not to be asked.
    pub(super) fn admit(&self, now: Instant) -> Result<Turn<'_>, Duration> {
        let mut state = self.state();
        let is_forgotten = mutants::is("MU41-a-cool-down-is-of-one-flight");
        if let Some(until) = state.cool_until.filter(|until| *until > now && !is_forgotten) {
            return Err(until - now);
        }
        let Some(until) = state.open_until else { return Ok(Turn { health: self, is_probe: false }) };
        if until > now {
            return Err(until - now);
        }
        if state.is_probed {
            // The probe's answer is awaited; whoever comes meanwhile is told to come back soon.
            return Err(Duration::from_secs(1).min(self.limits.open_for));
        }
        state.is_probed = true;
        Ok(Turn { health: self, is_probe: true })
    }

    /// Notes how many requests the url says it will still answer.
    pub(super) fn note_quota(&self, remaining: u64, now: Instant) {
        self.state().spare_until = (remaining == 0).then(|| now + SPARE_FOR);
    }

    /// Returns for how long the url had better be asked only for what cannot be had otherwise.
    pub(super) fn is_spared(&self, now: Instant) -> Option<Duration> {
        let until = self.state().spare_until?;
        (until > now).then(|| until - now)
    }

    /// Says whether the breaker lets requests through as ever.
    pub(super) fn is_closed(&self) -> bool {
        self.state().open_until.is_none()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Reports what asking showed.
    pub(super) fn report(self, sign: Sign, now: Instant) {
        let limits = &self.health.limits;
        let mut state = self.health.state();
        match sign {
            Sign::Alive => {
                state.failures = 0;
                state.open_until = None;
            }
            Sign::Failing => state.count(limits, now),
            Sign::Busy { wait, is_failing } => {
                let until = now + wait.min(limits.cool_down_max);
                // An answer that was on its way must not shorten what a later one said.
                state.cool_until = Some(state.cool_until.map_or(until, |old| old.max(until)));
                if is_failing {
                    state.count(limits, now);
                }
            }
        }
    }
}

impl State {
    fn count(&mut self, limits: &Limits, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if limits.failures_max > 0 && self.failures >= limits.failures_max {
            self.open_until = Some(now + limits.open_for);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.health.state().is_probed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the states follow each other as drawn, and what a url asked for is obeyed and bounded.
    //! Method: a clock that stands in the test's hands.

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn health() -> (Health, Instant) {
        let limits = Limits { failures_max: 3, open_for: SECOND * 10, cool_down_max: SECOND * 60 };
        (Health::new(limits), Instant::now())
    }

    const fn busy(seconds: u64) -> Sign {
        Sign::Busy { wait: Duration::from_secs(seconds), is_failing: false }
    }

    fn fail(health: &Health, now: Instant) {
        health.admit(now).unwrap().report(Sign::Failing, now);
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let (health, now) = health();
        for _ in 0..3 {
            assert!(health.is_closed());
            fail(&health, now);
        }
        assert_eq!(health.admit(now + SECOND).unwrap_err(), SECOND * 9);
        let later = now + SECOND * 10;
        let probe = health.admit(later).unwrap();
        assert_eq!(health.admit(later).unwrap_err(), SECOND, "one probe at a time");
        probe.report(Sign::Failing, later);
        assert_eq!(health.admit(later + SECOND).unwrap_err(), SECOND * 9, "a failed probe opens again");
        let again = later + SECOND * 10;
        health.admit(again).unwrap().report(Sign::Alive, again);
        assert!(health.is_closed() && health.admit(again).is_ok());
    }

    #[test]
    fn being_busy_closes_nothing_and_breaking_counts_beside_it() {
        let (health, now) = health();
        let late = health.admit(now).unwrap();
        (0..3).for_each(|_| fail(&health, now));
        late.report(Sign::Busy { wait: Duration::ZERO, is_failing: false }, now);
        assert_eq!(health.admit(now).unwrap_err(), SECOND * 10, "an answer that was on its way");
        let (health, now) = self::health();
        for _ in 0..3 {
            let broken = Sign::Busy { wait: Duration::ZERO, is_failing: true };
            health.admit(now).unwrap().report(broken, now);
        }
        assert!(!health.is_closed());
    }

    #[test]
    fn a_probe_that_left_gives_its_place() {
        let (health, now) = health();
        (0..3).for_each(|_| fail(&health, now));
        let later = now + SECOND * 10;
        drop(health.admit(later).unwrap());
        assert!(health.admit(later).is_ok());
    }

    #[test]
    fn successes_between_failures_keep_it_closed() {
        let (health, now) = health();
        for _ in 0..10 {
            fail(&health, now);
            fail(&health, now);
            health.admit(now).unwrap().report(Sign::Alive, now);
        }
        assert!(health.is_closed());
    }

    #[test]
    fn a_cool_down_is_obeyed_bounded_and_never_shortened() {
        let (health, now) = health();
        let turn = |now| health.admit(now).unwrap();
        let (one, two) = (turn(now), turn(now));
        one.report(busy(5), now);
        two.report(busy(1), now);
        assert_eq!(health.admit(now).unwrap_err(), SECOND * 5);
        let later = now + SECOND * 5;
        turn(later).report(busy(1_000_000), later);
        assert_eq!(health.admit(later).unwrap_err(), SECOND * 60);
        assert!(health.admit(later + SECOND * 60).is_ok());
    }
}
