//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before it counts as never.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Asks until there is an answer.
///
/// Panics when there is none within [`LIMIT`].
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < LIMIT, "within {LIMIT:?} it never happened that {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
