//! What the extensions are told.

use std::time::Duration;

/// Settings of the regular scrub (`extensions.scrub`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Whether there is one (`extensions.scrub.enable`).
    pub enable: bool,
    /// How long after the start of one the next begins (`extensions.scrub.interval`).
    pub interval: Duration,
    /// How many bytes it reads in a second (`extensions.scrub.bytesPerSecond`).
    pub bytes_per_second: u64,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        Self { enable: false, interval: Duration::from_secs(24 * 3600), bytes_per_second: 64 * 1024 * 1024 }
    }
}
