//! L1: what a scenario says must succeed does, in the end: nothing stays broken after its cause is gone.

use super::verdict::{Evidence, Tally};
use crate::scenario::{Expect, Step};

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    for exchange in evidence.exchanges {
        let must = match evidence.scenario.traffic.get(exchange.step) {
            Some(Step::Pull { expect, .. }) => *expect == Expect::Complete,
            // All but the one that leaves, who is numbered last.
            Some(Step::Leave { clients, .. }) => exchange.client < *clients,
            _ => false,
        };
        let is_last = !evidence.exchanges.iter().any(|it| {
            it.attempt > exchange.attempt
                && (it.step, it.client) == (exchange.step, exchange.client)
                && it.wanted == exchange.wanted
        });
        if !must || !is_last {
            continue;
        }
        tally.look();
        if !exchange.succeeded() {
            tally.wrong("a pull that must succeed did not".to_owned(), Some(exchange));
        }
    }
    tally
}
