//! The only reader of the wall clock.
//!
//! Waiting is `tokio::time`, which a test can pause; this is for what is written down or compared
//! with what was written down. A wall clock may be set: what must not depend on that is counted by
//! the time that has [passed](Clock::passed).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment of the wall clock, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last moment that RFC 3339 can tell: the end of the year 9999.
    pub const LAST: Self = Self(253_402_300_799_999);

    /// Makes a moment of milliseconds since 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the moment that comes this much later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// Returns the minute of its day, in UTC, from 0 to 1,439.
    pub const fn minute_of_day(self) -> u64 {
        self.0 / 60_000 % (24 * 60)
    }

    /// Returns the time that has passed since an earlier moment; zero when the clock went back.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Shows it as RFC 3339 has it, in UTC and with milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Later years have five digits, which no reader of RFC 3339 takes.
        let moment = UNIX_EPOCH + Duration::from_millis(self.0.min(Self::LAST.0));
        humantime::format_rfc3339_millis(moment).fmt(f)
    }
}

/// A wall clock: the machine's, or one that a test sets.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<Manual>>);

/// A clock of a test, in milliseconds.
#[derive(Default)]
struct Manual {
    now: AtomicU64,
    passed: AtomicU64,
}

impl Clock {
    /// Returns the machine's clock.
    pub const fn system() -> Self {
        Self(None)
    }

    /// Returns a clock that stands at `start` until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self(Some(Arc::new(Manual { now: AtomicU64::new(start.0), passed: AtomicU64::new(0) })))
    }

    /// Returns the present moment; 1970 on a machine whose clock stands before it.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(manual) => Timestamp(manual.now.load(Ordering::Relaxed)),
            None => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(millis(since_epoch))
            }
        }
    }

    /// Returns how much time has passed since some moment of this process, whatever the wall clock was set to
    /// meanwhile.
    pub fn passed(&self) -> Duration {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Some(manual) => Duration::from_millis(manual.passed.load(Ordering::Relaxed)),
            None => BEGUN.elapsed(),
        }
    }

    /// Moves a manual clock forward, as time does that passes; the machine's stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            manual.now.fetch_add(millis(by), Ordering::Relaxed);
            manual.passed.fetch_add(millis(by), Ordering::Relaxed);
        }
    }

    /// Sets a manual clock to another moment, in no time; the machine's stays as it is.
    pub fn set(&self, to: Timestamp) {
        if let Some(manual) = &self.0 {
            manual.now.store(to.0, Ordering::Relaxed);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(manual)" } else { "Clock(system)" })
    }
}

#[cfg(test)]
mod tests {
    //! Goal: every moment can be shown. Method: the ends of what there is.

    use super::Timestamp;

    #[test]
    fn what_comes_after_all_years_is_shown_as_their_end() {
        let shown = |millis| Timestamp::from_millis(millis).to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        for late in [Timestamp::LAST.0, Timestamp::LAST.0 + 1, u64::MAX] {
            assert_eq!(shown(late), "9999-12-31T23:59:59.999Z");
        }
    }
}
