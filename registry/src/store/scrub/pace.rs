//! How fast a scrub reads: so many bytes a second, so that clients have the rest of the disk.

use std::time::Duration;

use tokio::time::Instant;

/// A rate, and when the next bytes may be read.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    free_at: Instant,
}

impl Pace {
    /// Makes a pace of so many bytes a second; `None` is as fast as the disk.
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, free_at: Instant::now() }
    }

    /// Waits until bytes that were read have had their time. What was not read while the disk was slow is not
    /// caught up with.
    pub(super) async fn spend(&mut self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.free_at = self.free_at.max(Instant::now()) + cost;
        tokio::time::sleep_until(self.free_at).await;
    }
}

#[cfg(test)]
mod tests {
    //! Goal: no second has more bytes than it may. Method: virtual time.

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_take_their_time_and_a_pause_is_not_caught_up_with() {
        let begun = Instant::now();
        let mut pace = Pace::new(Some(1000));
        for _ in 0..10 {
            pace.spend(100).await;
        }
        assert_eq!(begun.elapsed().as_millis(), 1000);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        pace.spend(2000).await;
        assert_eq!(begun.elapsed().as_millis(), 2000);
        let begun = Instant::now();
        Pace::new(None).spend(u64::MAX).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
