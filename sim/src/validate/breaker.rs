//! P6: an origin that has failed so many times in a row is not asked again before its time is over, and by
//! one request only then.

use super::verdict::{Evidence, Tally};
use crate::origin::Entry;

/// Which share of the time has to be kept, in percent: clocks are read at both ends of a socket.
const KEPT_PERCENT: u32 = 95;

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let Some(breaker) = evidence.stand.breaker else { return tally };
    let failures = usize::try_from(breaker.failures).unwrap_or(usize::MAX);
    let quiet = std::time::Duration::from_millis(breaker.delay_ms) * KEPT_PERCENT / 100;
    let is_failure = |entry: &Entry| entry.status.is_none_or(|it| it >= 500);
    let mut in_a_row = 0;
    for pair in evidence.journal.windows(2) {
        in_a_row = if is_failure(&pair[0]) { in_a_row + 1 } else { 0 };
        if in_a_row < failures {
            continue;
        }
        tally.look();
        let gap = pair[1].at.saturating_sub(pair[0].at);
        if gap < quiet {
            let text = format!(
                "a request {} ms after {in_a_row} failures in a row, where {} ms are due",
                gap.as_millis(),
                breaker.delay_ms
            );
            tally.wrong(text, None);
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, entry, failed, findings},
        *,
    };

    #[test]
    fn p6_an_upstream_that_is_not_left_alone_is_caught() {
        let check = |journal: &[Entry], expect: &[&str]| {
            assert_eq!(findings(&check(judge, &[], journal)), expect, "{journal:#?}");
        };
        check(&[failed("/a", 0, 500), failed("/a", 100, 500), entry("/a", 1100)], &[]);
        check(
            &[failed("/a", 0, 500), failed("/a", 100, 500), entry("/b", 300)],
            &["a request 200 ms after 2 failures in a row, where 1000 ms are due"],
        );
    }
}
