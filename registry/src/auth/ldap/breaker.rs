//! Whether a directory is asked at all: after a failure it is left alone for a while, so that logins do
//! not each wait for its timeout.
//!
//! *States*: closed (asked as ever) → open for a second after a failure (not asked) → half open (one
//! login asks; its success closes, its failure opens for twice as long, up to half a minute).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::Trouble;

/// How long a directory is left alone after the first failure.
pub(super) const REST_MIN: Duration = Duration::from_secs(1);
/// How long it is left alone at most.
pub(super) const REST_MAX: Duration = Duration::from_secs(30);

/// The health of a directory.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Health>);

#[derive(Debug, Default)]
struct Health {
    state: State,
    /// Counts the failures that were acted upon, so that of many logins that fail together one counts.
    edition: u64,
    /// What the operator was told last.
    told: Option<Told>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
        rest: Duration,
    },
    HalfOpen {
        rest: Duration,
    },
}

#[derive(Debug)]
enum Told {
    Up,
    Down(std::mem::Discriminant<Trouble>),
}

/// What is new about a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It answers, for the first time or again.
    Up {
        /// Whether it had failed before.
        recovered: Recovered,
    },
    /// It fails, or fails otherwise than before.
    Down,
}

/// Whether a directory had failed before it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovered {
    Yes,
    No,
}

/// The right to ask once. Dropping it without a word leaves the health as it was, and lets another
/// login be the one that tries.
#[derive(Debug)]
pub(super) struct Turn<'b> {
    breaker: &'b Breaker,
    edition: u64,
    is_trial: bool,
}

impl Breaker {
    /// Returns the right to ask.
    ///
    /// *Errors:* for how long the directory is not to be asked.
    pub(super) fn admit(&self, now: Instant) -> Result<Turn<'_>, Duration> {
        let mut health = self.health();
        let is_trial = match health.state {
            State::Closed => false,
            State::Open { until, .. } if until > now => return Err(until - now),
            State::Open { rest, .. } => {
                health.state = State::HalfOpen { rest };
                true
            }
            State::HalfOpen { .. } => return Err(REST_MIN),
        };
        Ok(Turn { breaker: self, edition: health.edition, is_trial })
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Reports an answer, and returns what is new.
    pub(super) fn answered(self) -> Option<Change> {
        let mut health = self.breaker.health();
        if health.edition != self.edition {
            // It was asked before a failure, and says nothing of what came after.
            return None;
        }
        health.state = State::Closed;
        let recovered = match health.told.replace(Told::Up) {
            Some(Told::Up) => return None,
            Some(Told::Down(_)) => Recovered::Yes,
            None => Recovered::No,
        };
        Some(Change::Up { recovered })
    }

    /// Reports a failure, and returns what is new.
    pub(super) fn failed(self, trouble: &Trouble, now: Instant) -> Option<Change> {
        let mut health = self.breaker.health();
        if health.edition != self.edition {
            return None;
        }
        let rest = match health.state {
            State::Closed => REST_MIN,
            State::Open { rest, .. } | State::HalfOpen { rest } => (rest * 2).min(REST_MAX),
        };
        health.edition += 1;
        health.state = State::Open { until: now + rest, rest };
        let kind = std::mem::discriminant(trouble);
        match health.told.replace(Told::Down(kind)) {
            Some(Told::Down(before)) if before == kind => None,
            _ => Some(Change::Down),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut health = self.breaker.health();
        if let (true, State::HalfOpen { rest }) =
            (self.is_trial && health.edition == self.edition, &health.state)
        {
            let rest = *rest;
            health.state = State::Open { until: Instant::now(), rest };
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a directory that is down costs one login its timeout, and is tried by one at a time.
    //! Method: a table of what is reported when, with time as an argument.

    use super::*;

    fn lost() -> Trouble {
        Trouble::Connect { reason: "refused".to_owned() }
    }

    fn rests(breaker: &Breaker, now: Instant) -> Option<Duration> {
        breaker.admit(now).err()
    }

    #[test]
    fn rests_double_up_to_the_longest_and_begin_anew() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        let mut seen = Vec::new();
        for _ in 0..7 {
            breaker.admit(now).unwrap().failed(&lost(), now);
            let rest = rests(&breaker, now).unwrap();
            seen.push(rest.as_secs());
            assert_eq!(
                rests(&breaker, now + rest - Duration::from_millis(1)),
                Some(Duration::from_millis(1))
            );
            now += rest;
        }
        assert_eq!(seen, [1, 2, 4, 8, 16, 30, 30]);
        breaker.admit(now).unwrap().answered();
        breaker.admit(now).unwrap().failed(&lost(), now);
        assert_eq!(rests(&breaker, now), Some(REST_MIN));
    }

    #[test]
    fn many_failures_at_once_count_as_one() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let turns: Vec<_> = (0..9).map(|_| breaker.admit(now).unwrap()).collect();
        let told: Vec<_> = turns.into_iter().filter_map(|turn| turn.failed(&lost(), now)).collect();
        assert_eq!((told, rests(&breaker, now)), (vec![Change::Down], Some(REST_MIN)));
    }

    #[test]
    fn one_login_tries_and_a_late_answer_closes_nothing() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let early = breaker.admit(now).unwrap();
        breaker.admit(now).unwrap().failed(&lost(), now);
        assert_eq!(early.answered(), None);
        assert_eq!(rests(&breaker, now), Some(REST_MIN));
        let later = now + REST_MIN;
        let trial = breaker.admit(later).unwrap();
        assert!(rests(&breaker, later).is_some(), "one at a time");
        drop(trial);
        let trial = breaker.admit(Instant::now() + REST_MIN).expect("another one may try");
        assert_eq!(trial.answered(), Some(Change::Up { recovered: Recovered::Yes }));
        assert_eq!(rests(&breaker, later), None);
    }

    #[test]
    fn changes_are_told_once() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.admit(now).unwrap().answered(), Some(Change::Up { recovered: Recovered::No }));
        assert_eq!(breaker.admit(now).unwrap().answered(), None);
        let refused = Trouble::Account { code: 49 };
        let mut told = Vec::new();
        for trouble in [&lost(), &lost(), &refused, &refused] {
            told.push(breaker.admit(now).unwrap().failed(trouble, now));
            now += REST_MAX;
        }
        assert_eq!(told, [Some(Change::Down), None, Some(Change::Down), None]);
    }
}
