//! L1: what a scenario says must succeed does, in the end: nothing stays broken after its cause is gone.

use super::verdict::{Evidence, Tally};

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    for exchange in evidence.exchanges {
        let step = evidence.scenario.traffic.get(exchange.step);
        let must = !exchange.wanted.trespass && step.is_some_and(|it| it.must_succeed(exchange.client));
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

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, findings, good, layer, refused},
        *,
    };
    use crate::traffic::Exchange;

    #[test]
    fn l1_what_does_not_heal_is_caught() {
        let again = Exchange { attempt: 2, ..good(layer()) };
        assert_eq!(findings(&check(judge, &[refused(layer(), 502), again], &[])), [""; 0]);
        let verdict = check(judge, &[refused(layer(), 502)], &[]);
        assert_eq!(findings(&verdict), ["a pull that must succeed did not"]);
    }
}
