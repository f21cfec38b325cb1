//! P6: the origin is not asked for a thing more often than its clients and a bounded number of retries
//! explain: nobody hammers an upstream that is in trouble.

use std::collections::{BTreeMap, BTreeSet};

use super::verdict::{Evidence, Tally};
use crate::origin::Entry;

/// How many requests one request of a client may come to, where the target's schedule is not known. Most
/// have no retries at all; this is what nobody can explain any more.
const REQUESTS_MAX: usize = 8;
/// A token that has expired costs a request more for each attempt.
const REQUESTS_PER_ATTEMPT: usize = 2;

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let urls = 1 + usize::from(evidence.stand.mirror.is_some());
    let each = evidence.stand.retries.map_or(REQUESTS_MAX, |it| {
        let attempts = 1 + usize::try_from(it.max).unwrap_or(usize::MAX - 1);
        attempts.saturating_mul(REQUESTS_PER_ATTEMPT).saturating_mul(urls)
    });
    // One name can stand in several repositories, and the target may ask in any of them.
    let mut asked: BTreeMap<(&str, &str), Vec<&Entry>> = BTreeMap::new();
    for entry in evidence.journal {
        asked.entry((&entry.method, entry.reference())).or_default().push(entry);
    }
    let wanted: BTreeSet<&str> = evidence.exchanges.iter().map(|it| it.wanted.reference.as_str()).collect();
    for ((method, reference), entries) in asked {
        if !wanted.contains(reference) {
            continue;
        }
        tally.look();
        let clients = evidence.exchanges.iter().filter(|it| it.wanted.reference == reference);
        let (count, shown) = (clients.clone().count(), clients.clone().next());
        if entries.len() > count.saturating_mul(each) {
            let text = format!(
                "{} upstream {method} requests for {count} of clients, at most {each} for each",
                entries.len()
            );
            tally.wrong(text, shown);
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, entry, findings, good, layer},
        *,
    };

    #[test]
    fn p6_hammering_is_caught() {
        let path = layer().path();
        let journal = |count: u64| (0..count).map(|at| entry(&path, at)).collect::<Vec<_>>();
        let exchanges = [good(layer())];
        assert_eq!(findings(&check(judge, &exchanges, &journal(6))), [""; 0]);
        let verdict = check(judge, &exchanges, &journal(7));
        assert_eq!(findings(&verdict), ["7 upstream GET requests for 1 of clients, at most 6 for each"]);
    }
}
