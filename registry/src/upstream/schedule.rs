//! When a failed attempt is repeated: pure, and exactly what the configuration says (P6).

use std::time::Duration;

use super::options::Options;
use crate::mutants;

/// How often and after which waits an upstream is attempted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    retries_max: u32,
    delay: Duration,
    delay_max: Duration,
}

impl Schedule {
    /// Returns the schedule of an upstream.
    pub const fn of(options: &Options) -> Self {
        Self {
            retries_max: options.retries_max,
            delay: options.retry_delay,
            delay_max: options.retry_delay_max,
        }
    }

    /// Returns how long to wait after so many attempts have failed, or `None` when that was the last one.
    ///
    /// The first wait is `retryDelay`; each further one is twice as long, up to `maxRetryDelay`.
    pub fn wait(&self, failed: u32) -> Option<Duration> {
        let retries_max = match self.retries_max {
            all if mutants::is("MU36-attempts-are-retries") => all.saturating_sub(1),
            all if mutants::is("MU37-one-attempt-too-many") => all.saturating_add(1),
            all => all,
        };
        if failed == 0 || failed > retries_max {
            return None;
        }
        if mutants::is("MU38-seconds-are-milliseconds") {
            return Some(self.delay / 1000);
        }
        let doubled = 1_u32.checked_shl(failed - 1).and_then(|factor| self.delay.checked_mul(factor));
        Some(doubled.unwrap_or(Duration::MAX).min(self.delay_max.max(self.delay)))
    }
}

#[cfg(test)]
mod tests {
    //! Goal (P6): the number of attempts and the waits are those configured. Method: a table.

    use super::*;

    fn waits(retries_max: u32, delay: u64, delay_max: u64) -> Vec<u64> {
        let seconds = Duration::from_secs;
        let schedule = Schedule { retries_max, delay: seconds(delay), delay_max: seconds(delay_max) };
        (1..).map_while(|failed| schedule.wait(failed)).map(|wait| wait.as_secs()).take(100).collect()
    }

    #[test]
    fn p6_waits_are_as_configured() {
        for (retries_max, delay, delay_max, expect) in [
            (0, 5, 5, vec![]),
            (1, 5, 5, vec![5]),
            (2, 300, 300, vec![300, 300]),
            (5, 1, 8, vec![1, 2, 4, 8, 8]),
            (3, 2, 3, vec![2, 3, 3]),
            (2, 0, 0, vec![0, 0]),
            // A limit below the first wait is that wait: `retryDelay` means what it says.
            (2, 5, 1, vec![5, 5]),
        ] {
            assert_eq!(waits(retries_max, delay, delay_max), expect, "{retries_max} {delay} {delay_max}");
        }
        assert_eq!(waits(u32::MAX, 1, u64::MAX / 4).len(), 100, "no shift is too far");
    }
}
