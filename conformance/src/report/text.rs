//! The report on stdout: what failed, with the exchange that shows it, and the counts last.

use crate::check::{Check, Outcome};
use crate::checks;
use crate::report::escape::{brief, cut, line};
use crate::report::message::Message;
use crate::report::tally::{Tally, Verdict};
use crate::report::{CheckResult, Observation, Report, group};
use crate::wire::Exchange;

/// Columns of the narrowest terminal that is catered for. Commands alone are longer: they are copied.
const WIDTH: usize = 80;
/// Characters shown of what a check saw: a registry's error can fill pages.
const MESSAGE_CHARS_MAX: usize = 600;
/// Headers and lines of a body shown of one message; the HTML report has all.
const HEADERS_SHOWN: usize = 5;
const BODY_LINES_SHOWN: usize = 3;
/// Headers that every message has and that rarely tell anything.
const DULL_HEADERS: [&str; 4] = ["date", "host", "user-agent", "docker-distribution-api-version"];

/// Renders failures, known failures, skips by their reason, observations, and the summary.
///
/// Nothing is coloured and lines end before column 80, except for commands.
pub fn text(report: &Report) -> String {
    render(report, checks::all())
}

/// Renders the report with what the given checks say of themselves.
pub(super) fn render(report: &Report, checks: &[Check]) -> String {
    let mut text = format!("Conformance of {}, seed {}\n", line(&report.target), report.seed);
    for outcome in [Outcome::Fail, Outcome::Error] {
        for result in report.checks.iter().filter(|result| result.outcome == outcome) {
            let check = checks.iter().find(|check| check.id == result.id);
            push_failure(&mut text, report, result, check);
        }
    }
    push_groups(&mut text, report, Outcome::Known, |result| group::known(result).0);
    push_groups(&mut text, report, Outcome::Moot, |result| &result.message);
    push_groups(&mut text, report, Outcome::Skip, |result| &result.message);
    push_observations(&mut text, &report.observations);
    push_summary(&mut text, report);
    text
}

fn push_failure(text: &mut String, report: &Report, result: &CheckResult, check: Option<&Check>) {
    let (anchor, says) = group::clause(result);
    let title = result.outcome.name().to_uppercase();
    text.push_str(&format!("\n{title} {} ({}) {}\n", result.id, result.level, line(anchor)));
    push_wrapped(text, "  ", "  ", says);
    let seen = brief(&line(&result.message));
    push_wrapped(text, "  seen:   ", "          ", &cut(&seen, MESSAGE_CHARS_MAX));
    text.push_str(&format!("  replay: {}\n", group::replay(report, &result.id, check)));
    if let Some(at) = group::telling(result) {
        push_exchange(text, &result.exchanges[at]);
        let others = result.exchanges.len() - 1;
        if others > 0 {
            let noun = if others == 1 { "exchange" } else { "exchanges" };
            text.push_str(&format!("    ({others} other {noun}: see report.html of --report)\n"));
        }
    }
}

fn push_exchange(text: &mut String, exchange: &Exchange) {
    for (mark, part) in [(">", &exchange.request), ("<", &exchange.response)] {
        let message = Message::parse(part);
        push_cut(text, mark, &brief(&line(message.start)));
        let dull = |name: &str| DULL_HEADERS.iter().any(|dull| name.eq_ignore_ascii_case(dull));
        let telling: Vec<_> = message.headers.iter().filter(|(name, _)| !dull(name)).collect();
        for (name, value) in telling.iter().take(HEADERS_SHOWN) {
            push_cut(text, mark, &line(&format!("  {name}: {}", brief(value))));
        }
        if telling.len() > HEADERS_SHOWN {
            push_cut(text, mark, &format!("  ({} more headers)", telling.len() - HEADERS_SHOWN));
        }
        let mut lines = message.body.lines();
        for body in lines.by_ref().take(BODY_LINES_SHOWN) {
            push_cut(text, mark, &format!("  {}", brief(&line(body))));
        }
        let hidden = lines.count();
        if hidden > 0 {
            push_cut(text, mark, &format!("  ({hidden} more lines)"));
        }
    }
}

fn push_cut(text: &mut String, mark: &str, content: &str) {
    text.push_str(&format!("    {mark} {}\n", cut(content, WIDTH - 7)));
}

/// Writes the results of one outcome, those of one reason together.
fn push_groups<'r>(
    text: &mut String,
    report: &'r Report,
    outcome: Outcome,
    reason: impl Fn(&'r CheckResult) -> &'r str,
) {
    let count = report.count(outcome);
    if count == 0 {
        return;
    }
    text.push_str(&format!("\n{} ({count})\n", outcome.name().to_uppercase()));
    for (reason, checks) in group::by(report, outcome, reason) {
        push_wrapped(text, "  ", "  ", &brief(&line(reason)));
        let ids: Vec<&str> = checks.iter().map(|check| check.id.as_str()).collect();
        push_wrapped(text, "    ", "    ", &ids.join(" "));
    }
}

fn push_observations(text: &mut String, observations: &[Observation]) {
    if observations.is_empty() {
        return;
    }
    text.push_str(&format!("\nOBSERVATIONS ({})\n", observations.len()));
    for observation in observations {
        let first = format!("  {:8} ", observation.id);
        push_wrapped(text, &first, &" ".repeat(11), &brief(&line(&observation.text)));
    }
}

fn push_summary(text: &mut String, report: &Report) {
    let columns = [Outcome::Fail, Outcome::Error, Outcome::Known, Outcome::Moot, Outcome::Skip];
    text.push_str("\nlevel       pass");
    for outcome in columns {
        text.push_str(&format!("{outcome:>7}"));
    }
    text.push('\n');
    for tally in Tally::of(report) {
        let passed = format!("{}/{}", tally.passed(), tally.judged());
        text.push_str(&format!("{:8}{passed:>8}", tally.level));
        for outcome in columns {
            text.push_str(&format!("{:>7}", tally.count(outcome)));
        }
        text.push('\n');
    }
    let verdict = Verdict::of(report);
    text.push('\n');
    push_wrapped(text, "", "", &format!("{}. {}", verdict.headline, verdict.detail));
}

/// Writes words in lines of at most [`WIDTH`] columns; a word that is longer gets a line of its own.
fn push_wrapped(text: &mut String, first: &str, further: &str, words: &str) {
    let mut current = first.to_owned();
    let mut empty = true;
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        if !empty && current.chars().count() + 1 + word.chars().count() >= WIDTH {
            text.push_str(&current);
            text.push('\n');
            further.clone_into(&mut current);
            empty = true;
        }
        if !empty {
            current.push(' ');
        }
        current.push_str(word);
        empty = false;
    }
    text.push_str(current.trim_end());
    text.push('\n');
}
