//! P6: what fails in a way that may pass is attempted exactly as often as the target is configured to, and no
//! sooner and not much later than it is configured to; what fails for good is attempted once.
//!
//! Judged is what one client asked for once, and what failed alike every time. Others have explanations.

use std::{collections::BTreeMap, time::Duration};

use super::verdict::{Evidence, Tally};
use crate::{fault::Fault, origin::Entry, stand::Retries, traffic::Exchange};

/// How much too early a request may seem to arrive: clocks are read at both ends of a socket.
const EARLY_MAX: Duration = Duration::from_millis(10);
/// How late it may arrive on a machine that does other things, too.
const LATE_MAX: Duration = Duration::from_millis(1500);

/// Whether another attempt may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Passing,
    Final,
}

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let Some(retries) = evidence.stand.retries else { return tally };
    let asked_to_wait = evidence.scenario.faults.iter().filter_map(|it| retry_after(&it.fault)).max();
    let mut asked: BTreeMap<(&str, &str), Vec<&Entry>> = BTreeMap::new();
    for entry in evidence.journal {
        asked.entry((&entry.method, &entry.path)).or_default().push(entry);
    }
    for ((_, path), entries) in asked {
        let Some(exchange) = only(evidence.exchanges.iter().filter(|it| it.wanted.path() == path)) else {
            continue;
        };
        let Some(failure) = alike(&entries) else { continue };
        tally.look();
        for text in faults_of(&entries, failure, retries, asked_to_wait) {
            tally.wrong(text, Some(exchange));
        }
    }
    tally
}

fn only<'a>(mut exchanges: impl Iterator<Item = &'a Exchange>) -> Option<&'a Exchange> {
    let first = exchanges.next()?;
    exchanges.next().is_none().then_some(first)
}

/// Returns how all of the requests failed, if they failed alike.
fn alike(entries: &[&Entry]) -> Option<Failure> {
    let failure = |entry: &&Entry| match entry.status {
        None | Some(408 | 429 | 500..=599) => Some(Failure::Passing),
        Some(400..=499) => Some(Failure::Final),
        _ if entry.complete && entry.faults.contains(&"corrupt") => Some(Failure::Final),
        _ => None,
    };
    let first = failure(entries.first()?)?;
    entries.iter().all(|it| failure(it) == Some(first)).then_some(first)
}

fn faults_of(
    entries: &[&Entry],
    failure: Failure,
    retries: Retries,
    asked_to_wait: Option<Duration>,
) -> Vec<String> {
    let mut faults = Vec::new();
    let attempts = match failure {
        Failure::Passing => 1 + usize::try_from(retries.max).unwrap_or(usize::MAX - 1),
        Failure::Final => 1,
    };
    // Who is asked to wait may rather give up.
    let too_few = asked_to_wait.is_none() && entries.len() < attempts;
    if entries.len() > attempts || too_few {
        faults.push(format!("{} attempts, where {attempts} are configured", entries.len()));
    }
    let delay = retries.delay().max(asked_to_wait.unwrap_or_default());
    for pair in entries.windows(2) {
        let gap = pair[1].at.saturating_sub(pair[0].at);
        if gap + EARLY_MAX < delay || gap > delay + LATE_MAX {
            let (gap, delay) = (gap.as_millis(), delay.as_millis());
            faults.push(format!("{gap} ms between two attempts, where {delay} ms are due"));
        }
    }
    faults
}

/// Returns for how long a fault asks to be left alone.
fn retry_after(fault: &Fault) -> Option<Duration> {
    match fault {
        Fault::Status { retry_after: Some(text), .. } => text.parse().ok().map(Duration::from_secs),
        // A date has no fractions: the last second may be cut off.
        Fault::StatusUntil { seconds, .. } => Some(Duration::from_secs(seconds.saturating_sub(1))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, entry, failed, findings, layer, refused},
        *,
    };

    #[test]
    fn p6_another_schedule_is_caught() {
        let path = layer().path();
        let at =
            |times: &[u64], status| times.iter().map(|at| failed(&path, *at, status)).collect::<Vec<_>>();
        let exchanges = [refused(layer(), 502)];
        let check = |times: &[u64], status, expect: &[&str]| {
            let verdict = check(judge, &exchanges, &at(times, status));
            assert_eq!(findings(&verdict), expect, "{times:?} {status}");
        };
        check(&[0, 200, 400], 500, &[]);
        check(&[0, 200], 500, &["2 attempts, where 3 are configured"]);
        check(&[0, 200, 400, 600], 500, &["4 attempts, where 3 are configured"]);
        check(&[0, 20, 220], 500, &["20 ms between two attempts, where 200 ms are due"]);
        check(&[0, 200, 2400], 503, &["2200 ms between two attempts, where 200 ms are due"]);
        check(&[0], 404, &[]);
        check(&[0, 200], 404, &["2 attempts, where 1 are configured"]);
    }

    #[test]
    fn p6_wrong_bytes_that_are_fetched_again_are_caught() {
        let path = layer().path();
        let corrupt = |at| Entry { faults: vec!["corrupt"], ..entry(&path, at) };
        let verdict = check(judge, &[refused(layer(), 502)], &[corrupt(0), corrupt(200)]);
        assert_eq!(findings(&verdict), ["2 attempts, where 1 are configured"]);
    }
}
