//! The only reader of the wall clock.
//!
//! Waiting is `tokio::time`, which a test can pause; this is for what is written down or compared
//! with what was written down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment of the wall clock, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Makes a moment of milliseconds since 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the moment that comes this much later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
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
        let moment = UNIX_EPOCH.checked_add(Duration::from_millis(self.0)).unwrap_or(UNIX_EPOCH);
        humantime::format_rfc3339_millis(moment).fmt(f)
    }
}

/// A wall clock: the machine's, or one that a test sets.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// Returns the machine's clock.
    pub const fn system() -> Self {
        Self(None)
    }

    /// Returns a clock that stands at `start` until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicU64::new(start.0))))
    }

    /// Returns the present moment; 1970 on a machine whose clock stands before it.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(manual) => Timestamp(manual.load(Ordering::Relaxed)),
            None => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
            }
        }
    }

    /// Moves a manual clock forward; the machine's stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            manual.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(manual)" } else { "Clock(system)" })
    }
}
