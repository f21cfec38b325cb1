//! L2: every request ends, in an answer or in a connection that is cut: nobody hangs with the origin.

use super::verdict::{Evidence, Tally};
use crate::traffic::Outcome;

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    for exchange in evidence.exchanges {
        tally.look();
        if exchange.outcome == Outcome::TimedOut {
            tally.wrong("a request that never ends".to_owned(), Some(exchange));
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, findings, good, layer},
        *,
    };
    use crate::traffic::Exchange;

    #[test]
    fn l2_a_request_that_hangs_is_caught() {
        assert_eq!(findings(&check(judge, &[good(layer())], &[])), [""; 0]);
        let hung = Exchange { outcome: Outcome::TimedOut, ..good(layer()) };
        assert_eq!(findings(&check(judge, &[hung], &[])), ["a request that never ends"]);
    }
}
