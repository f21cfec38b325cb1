//! Views of the results that several forms share: grouped by reason, replayed, and the telling exchange.

use crate::check::{Check, Need, Outcome};
use crate::report::escape::shell;
use crate::report::{CheckResult, Report};

/// Stands between the cause of a known failure and what was seen.
const SEEN: &str = " Seen: ";

/// Groups the results of one outcome by a text that each of them bears, in the order of the first of each.
pub(super) fn by<'r>(
    report: &'r Report,
    outcome: Outcome,
    text: impl Fn(&'r CheckResult) -> &'r str,
) -> Vec<(&'r str, Vec<&'r CheckResult>)> {
    let mut groups: Vec<(&str, Vec<&CheckResult>)> = Vec::new();
    for check in report.checks.iter().filter(|check| check.outcome == outcome) {
        let text = text(check);
        match groups.iter_mut().find(|(other, _)| *other == text) {
            Some((_, checks)) => checks.push(check),
            None => groups.push((text, vec![check])),
        }
    }
    groups
}

/// Splits the message of a known failure into its cause and what was seen.
pub(super) fn known(check: &CheckResult) -> (&str, &str) {
    check.message.split_once(SEEN).unwrap_or((&check.message, ""))
}

/// Splits a clause into the anchor and the sentence.
pub(super) fn clause(check: &CheckResult) -> (&str, &str) {
    check.clause.split_once(": ").unwrap_or(("", &check.clause))
}

/// Returns the command that runs one check again, with the same content.
///
/// Credentials and the control command are the runner's: words in capitals stand for them.
pub(super) fn replay(report: &Report, id: &str, check: Option<&Check>) -> String {
    let target = shell(&report.target);
    let mut command = format!("conformance run --target {target} --filter {id} --seed {}", report.seed);
    let needs = |wanted: fn(&Need) -> bool| check.is_some_and(|check| check.needs.iter().any(wanted));
    if needs(|need| *need == Need::Heavy) {
        command.push_str(" --heavy");
    }
    if needs(|need| *need == Need::Credentials) {
        command.push_str(" --username USER --password PASSWORD");
    }
    if needs(|need| matches!(need, Need::Control(_))) {
        command.push_str(" --control COMMAND");
    }
    command
}

/// Returns the index of the exchange that a failure is about.
///
/// It is the last one that the message names, because a check tells of its requests by their first line;
/// otherwise the last one of all. There is none where nothing was sent.
pub(super) fn telling(check: &CheckResult) -> Option<usize> {
    let last = check.exchanges.len().checked_sub(1)?;
    let named = |request: &str| {
        let start = request.lines().next().unwrap_or_default();
        let mut marked = check.message.match_indices(start).map(|(at, _)| &check.message[at + start.len()..]);
        // A path that only begins like the one named is another path.
        !start.is_empty() && marked.any(|after| after.starts_with(':'))
            || check.message.split('…').any(|part| is_cut_label(part, start))
    };
    Some(check.exchanges.iter().rposition(|exchange| named(&exchange.request)).unwrap_or(last))
}

/// Says whether a part of a message ends in the beginning of this long request line.
fn is_cut_label(part: &str, start: &str) -> bool {
    let Some((method, _)) = start.split_once(" /") else {
        return false;
    };
    let Some(at) = part.rfind(&format!("{method} /")) else {
        return false;
    };
    let label = &part[at..];
    label.len() < start.len() && start.starts_with(label)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::{Control, Level};
    use crate::wire::Exchange;

    fn result(message: &str, requests: &[&str]) -> CheckResult {
        let exchange = |request: &&str| Exchange {
            request: format!("{request}\nHost: h\n"),
            response: "500\n".to_owned(),
        };
        CheckResult {
            id: "T-901".to_owned(),
            clause: "RFC 9110: Expect: it is honoured.".to_owned(),
            level: Level::Must,
            outcome: Outcome::Fail,
            message: message.to_owned(),
            elapsed: Duration::ZERO,
            exchanges: requests.iter().map(exchange).collect(),
        }
    }

    #[test]
    fn the_exchange_that_the_message_names_is_telling() {
        let check = |message: &str, requests: &[&str], expect: Option<usize>| {
            assert_eq!(telling(&result(message, requests)), expect, "{message}");
        };
        let long = format!("GET /v2/{}", "x".repeat(300));
        let other = format!("GET /v2/{}", "y".repeat(300));
        check("GET /a: answered 500", &["GET /a", "GET /ab"], Some(0));
        check("GET /a: answered 500", &["GET /a", "GET /a", "PUT /c"], Some(1));
        check("something else", &["GET /a", "PUT /c"], Some(1));
        check("after it: GET /v2/xxx…: answered 500", &[&long, &other], Some(0));
        check("GET /a: answered 500", &[], None);
    }

    #[test]
    fn commands_replay_a_check() {
        let report =
            Report { target: "http://h:1".to_owned(), seed: 7, checks: Vec::new(), observations: Vec::new() };
        let plain = "conformance run --target http://h:1 --filter T-901 --seed 7";
        assert_eq!(replay(&report, "T-901", None), plain);
        let needs = &[Need::Heavy, Need::Credentials, Need::Control(Control::Restart)];
        let check = Check::new("T-901", Level::Must, "a", "b", |_| Box::pin(async { Ok(()) })).needs(needs);
        assert_eq!(
            replay(&report, "T-901", Some(&check)),
            format!("{plain} --heavy --username USER --password PASSWORD --control COMMAND")
        );
    }

    #[test]
    fn clauses_and_causes_are_split_at_the_first_mark() {
        assert_eq!(clause(&result("", &[])), ("RFC 9110", "Expect: it is honoured."));
        assert_eq!(known(&result("It cannot. Seen: 404 Seen: 500", &[])), ("It cannot.", "404 Seen: 500"));
        assert_eq!(known(&result("It cannot.", &[])), ("It cannot.", ""));
    }
}
