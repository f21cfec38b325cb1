//! A body that drips has failed: a drip never trips the limit for a single piece.

use std::time::Duration;

use tokio::time::Instant;

use crate::mutants;

/// Over which time a body's speed is measured.
const THROUGHPUT_WINDOW: Duration = Duration::from_secs(30);

/// Watches that a body does not drip.
pub(super) struct Speed {
    least: u64,
    seen: u64,
    until: Instant,
}

impl Speed {
    pub(super) fn new(bytes_a_second: u64) -> Self {
        let least = bytes_a_second.saturating_mul(THROUGHPUT_WINDOW.as_secs());
        Self { least, seen: 0, until: Instant::now() + THROUGHPUT_WINDOW }
    }

    pub(super) fn count(&mut self, bytes: u64) {
        self.seen = self.seen.saturating_add(bytes);
    }

    /// Leaves out a time in which it was not the body that was waited for.
    pub(super) fn leave_out(&mut self, time: Duration) {
        self.until += time;
    }

    fn restart(&mut self) {
        (self.seen, self.until) = (0, Instant::now() + THROUGHPUT_WINDOW);
    }

    /// Waits for something, while the body is fast enough.
    ///
    /// *Errors:* too little came in a whole window.
    pub(super) async fn watch<T>(&mut self, something: impl Future<Output = T>) -> Result<T, ()> {
        tokio::pin!(something);
        loop {
            match tokio::time::timeout_at(self.until, &mut something).await {
                Ok(something) => return Ok(something),
                Err(_) if self.seen < self.least && !mutants::is("MU52-a-drip-is-waited-for") => {
                    return Err(());
                }
                Err(_) => self.restart(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a drip is a failure and a pause is not. Method: paused time.

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_too_slow_and_a_pause_is_not() {
        let drip = async |bytes: u64, every: u64, pieces: u32| {
            let mut speed = Speed::new(1024);
            for _ in 0..pieces {
                speed.watch(tokio::time::sleep(Duration::from_secs(every))).await?;
                speed.count(bytes);
            }
            Ok::<(), ()>(())
        };
        assert_eq!(drip(1, 10, 10).await, Err(()));
        assert_eq!(drip(40 * 1024, 29, 10).await, Ok(()));
        assert_eq!(drip(1024, 1, 100).await, Ok(()));
    }
}
