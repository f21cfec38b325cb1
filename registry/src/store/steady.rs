//! What time it is, for telling what is too old to stay: a wall clock that has jumped is not believed at once.
//!
//! Records have the wall clock's time, since they outlive the process. A clock that is set forward by an hour
//! makes everything an hour older that was written before; what is young enough to stay would go, and a policy
//! of retention would let go of what nobody can push again. So a time that is ahead of what has passed counts
//! only once it has been so for long enough that somebody would have set it right, and that what was young at
//! the jump is not any more. A clock that is set back makes everything younger, and is followed at once:
//! things stay.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// How much further than what has passed a clock may go: it is being set right in small steps, or read late.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// How long another time must last before it is believed.
const DOUBT: Duration = Duration::from_secs(24 * 3600);

/// A clock that does not jump forward.
#[derive(Debug)]
pub(super) struct Steady {
    clock: Clock,
    doubt: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last time that was believed.
    now: Timestamp,
    /// How much had passed then.
    passed: Duration,
    /// How much had passed when the clock began to say something else.
    off_since: Option<Duration>,
}

impl Steady {
    /// Believes a clock as it is; a jump is doubted for no less than `delay`.
    pub(super) fn new(clock: Clock, delay: Duration) -> Self {
        let state = State { now: clock.now(), passed: clock.passed(), off_since: None };
        Self { clock, doubt: DOUBT.max(delay), state: Mutex::new(state) }
    }

    /// Returns the time by which age is told: the clock's, or an earlier one.
    pub(super) fn now(&self) -> Timestamp {
        let (now, passed) = (self.clock.now(), self.clock.passed());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = state.now.after(passed.saturating_sub(state.passed));
        let (ahead, behind) = (now.since(expected), expected.since(now));
        if ahead <= AHEAD_MAX && behind <= AHEAD_MAX {
            *state = State { now, passed, off_since: None };
            return now;
        }
        let is_new = state.off_since.is_none();
        let off_since = *state.off_since.get_or_insert(passed);
        if passed.saturating_sub(off_since) >= self.doubt {
            *state = State { now, passed, off_since: None };
            return now;
        }
        drop(state);
        if is_new {
            tracing::warn!(
                clock.ahead_s = ahead.as_secs(),
                clock.behind_s = behind.as_secs(),
                clock.doubt_s = self.doubt.as_secs(),
                "the machine's clock has jumped; look at how it is set. Until it is right, or has stayed so for \
                 long enough, nothing is taken for older than it was"
            );
        }
        now.min(expected)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: no jump makes anything old, and no clock is doubted for ever. Method: a clock that is set.

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn steady() -> (Clock, Steady) {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        (clock.clone(), Steady::new(clock, HOUR))
    }

    #[test]
    fn a_clock_that_goes_is_followed() {
        let (clock, steady) = steady();
        for step in [Duration::ZERO, Duration::from_millis(1), HOUR, 10_000 * HOUR] {
            clock.advance(step);
            // A little faster than time is what setting right in small steps looks like.
            clock.set(clock.now().after(AHEAD_MAX));
            assert_eq!(steady.now(), clock.now());
        }
    }

    #[test]
    fn a_jump_forward_counts_after_a_day() {
        let (clock, steady) = steady();
        let (before, jumped) = (clock.now(), clock.now().after(90_000 * HOUR));
        clock.set(jumped);
        assert_eq!(steady.now(), before);
        clock.advance(23 * HOUR);
        assert_eq!(steady.now(), before.after(23 * HOUR), "time goes on meanwhile");
        clock.advance(HOUR);
        assert_eq!(steady.now(), clock.now());
    }

    #[test]
    fn a_jump_back_counts_at_once_and_so_does_its_end() {
        let (clock, steady) = steady();
        let before = clock.now();
        let early = Timestamp::from_millis(0);
        clock.set(early);
        assert_eq!(steady.now(), early);
        clock.advance(HOUR);
        assert_eq!(steady.now(), early.after(HOUR));
        clock.set(before.after(HOUR));
        assert_eq!(steady.now(), before.after(HOUR), "it is right again");
        clock.set(early);
        steady.now();
        clock.advance(24 * HOUR);
        assert_eq!(steady.now(), early.after(24 * HOUR));
        clock.set(before.after(25 * HOUR));
        assert_eq!(steady.now(), early.after(24 * HOUR), "after a day it was believed");
    }

    #[test]
    fn a_clock_that_jumps_again_and_again_makes_nothing_old() {
        let (clock, steady) = steady();
        let before = clock.now();
        for hours in 1..30 {
            clock.set(before.after(hours * 100 * HOUR));
            assert!(steady.now() <= before.after(clock.passed()), "{hours}");
            clock.set(before.after(clock.passed()));
            assert_eq!(steady.now(), before.after(clock.passed()), "{hours}");
            clock.advance(HOUR);
        }
    }
}
