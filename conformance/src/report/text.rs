//! The report on stdout: what failed, with the exchange that shows it, and the counts.

use crate::check::Outcome;
use crate::report::{CheckResult, Report};

/// Exchanges shown of one failure: the last ones are those that were judged.
const EXCHANGES_SHOWN: usize = 2;

/// Renders failures, errors, known failures, observations and the summary.
pub fn text(report: &Report) -> String {
    let mut text = format!("target {}  seed {}\n", report.target, report.seed);
    for check in report.failures() {
        push_failure(&mut text, check, report);
    }
    push_short(&mut text, report, Outcome::Known);
    push_short(&mut text, report, Outcome::Moot);
    push_short(&mut text, report, Outcome::Skip);
    if !report.observations.is_empty() {
        text.push_str("\nobservations\n");
    }
    for observation in &report.observations {
        text.push_str(&format!("  {:8} {}\n", observation.id, observation.text));
    }
    text.push('\n');
    for (level, passed, judged) in report.levels() {
        text.push_str(&format!("{level:8} {passed} of {judged} passed\n"));
    }
    let totals = Outcome::ALL.map(|outcome| format!("{} {outcome}", report.count(outcome)));
    text.push_str(&format!("total    {}\n", totals.join(", ")));
    text
}

fn push_failure(text: &mut String, check: &CheckResult, report: &Report) {
    text.push_str(&format!(
        "\n{} {} ({})\n  {}\n  {}\n  replay: conformance run --target {} --seed {} --filter {}\n",
        check.outcome.name().to_uppercase(),
        check.id,
        check.level,
        check.clause,
        check.message,
        report.target,
        report.seed,
        check.id
    ));
    let hidden = check.exchanges.len().saturating_sub(EXCHANGES_SHOWN);
    for exchange in &check.exchanges[hidden..] {
        push_indented(text, "> ", &exchange.request);
        push_indented(text, "< ", &exchange.response);
    }
}

fn push_indented(text: &mut String, mark: &str, lines: &str) {
    for line in lines.lines() {
        text.push_str(&format!("  {mark}{line}\n"));
    }
}

fn push_short(text: &mut String, report: &Report, outcome: Outcome) {
    let checks: Vec<_> = report.checks.iter().filter(|check| check.outcome == outcome).collect();
    if !checks.is_empty() {
        text.push_str(&format!("\n{outcome}\n"));
    }
    for check in checks {
        text.push_str(&format!("  {:8} {}\n", check.id, check.message));
    }
}
