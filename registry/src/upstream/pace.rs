//! How many requests a second an upstream is sent: each waits for its turn, in the order of arrival.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The pace of one upstream.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When the next turn is.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(rate: NonZeroU32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.get(), next: Mutex::default() }
    }

    /// Takes a turn and waits for it, unless that would take longer than `patience`: then it says so at once.
    pub(super) async fn turn(&self, patience: Duration) -> bool {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let at = next.map_or(now, |next| next.max(now));
            if at > now + patience {
                return false;
            }
            *next = Some(at + self.interval);
            at
        };
        tokio::time::sleep_until(at).await;
        true
    }
}

#[cfg(test)]
mod tests {
    //! Goal (P6): no more a second than configured, and nobody waits for ever. Method: paused time.

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_one_after_another() {
        let pace = Pace::new(NonZeroU32::new(4).unwrap());
        let begun = Instant::now();
        for turn in 0..9_u32 {
            assert!(pace.turn(Duration::from_secs(1)).await);
            assert_eq!(begun.elapsed(), Duration::from_millis(250) * turn);
        }
        tokio::time::sleep(Duration::from_secs(100)).await;
        let begun = Instant::now();
        let many = (0..9).map(|_| pace.turn(Duration::from_secs(1)));
        let taken = futures_util::future::join_all(many).await;
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 5, "the others would wait too long");
        assert_eq!(begun.elapsed(), Duration::from_secs(1), "what was not used is not saved up");
    }
}
