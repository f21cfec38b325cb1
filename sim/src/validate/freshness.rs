//! L3: a tag that moved shows what it names now, while nothing keeps the target from knowing it.

use super::verdict::{Evidence, Tally};
use crate::traffic::{Ask, Upstream};

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let moved = evidence.exchanges.iter().filter(|it| {
        !it.wanted.former.is_empty()
            && it.wanted.ask == Ask::Whole
            && it.upstream == Upstream::Up
            && !it.troubled
            && it.completed()
    });
    for exchange in moved {
        tally.look();
        if exchange.wanted.former.contains(&exchange.digest) {
            tally.wrong("a tag shows what it named before it moved".to_owned(), Some(exchange));
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, findings, good, tag},
        *,
    };
    use crate::{
        digest::Digest,
        traffic::{Exchange, Wanted},
    };

    #[test]
    fn l3_a_tag_that_stays_behind_is_caught() {
        let former = Digest::sha256_of(b"former");
        let moved = || Wanted { former: vec![former.clone()], ..tag() };
        assert_eq!(findings(&check(judge, &[good(moved())], &[])), [""; 0]);
        let stale = || Exchange { digest: former.clone(), exact: false, ..good(moved()) };
        let verdict = check(judge, &[stale()], &[]);
        assert_eq!(findings(&verdict), ["a tag shows what it named before it moved"]);
        let excused = Exchange { troubled: true, ..stale() };
        assert_eq!(findings(&check(judge, &[excused, good(moved())], &[])), [""; 0]);
    }
}
