//! `report.md`, for a comment or a README: a line of counts, and a table for everything else.

use crate::check::{Level, Outcome};
use crate::report::escape::{brief, cell, cut, shell};
use crate::report::tally::{Tally, Verdict};
use crate::report::{CheckResult, Report, group};

/// Characters shown of what a check saw: a table with pages in a cell cannot be read.
const MESSAGE_CHARS_MAX: usize = 400;

/// Renders the counts, what did not pass, what was skipped and why, and the observations.
pub fn markdown(report: &Report) -> String {
    let tallies = Tally::of(report);
    let verdict = Verdict::of(report);
    let mut text = format!("# Conformance of {}\n\n", cell(&report.target));
    text.push_str(&format!("**{}**\n\n", badge(&tallies)));
    text.push_str(&format!("{}. {} Seed {}.\n\n", verdict.headline, verdict.detail, report.seed));
    push_levels(&mut text, &tallies);
    push_failures(&mut text, report);
    push_known(&mut text, report);
    push_grouped(&mut text, report, Outcome::Moot, "Could not be judged");
    push_grouped(&mut text, report, Outcome::Skip, "Skipped");
    push_observations(&mut text, report);
    text
}

/// Returns `must 84/84 · should 35/35 · …`.
fn badge(tallies: &[Tally]) -> String {
    let judged = tallies.iter().filter(|tally| tally.judged() > 0);
    let parts: Vec<String> =
        judged.map(|tally| format!("{} {}/{}", tally.level, tally.passed(), tally.judged())).collect();
    if parts.is_empty() { "nothing judged".to_owned() } else { parts.join(" · ") }
}

fn push_levels(text: &mut String, tallies: &[Tally]) {
    text.push_str("| level |");
    for outcome in Outcome::ALL {
        text.push_str(&format!(" {outcome} |"));
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(Outcome::ALL.len()));
    text.push('\n');
    for tally in tallies {
        text.push_str(&format!("| {} |", tally.level));
        for outcome in Outcome::ALL {
            text.push_str(&format!(" {} |", tally.count(outcome)));
        }
        text.push('\n');
    }
}

fn push_failures(text: &mut String, report: &Report) {
    let failures = report.failures();
    if failures.is_empty() {
        return;
    }
    text.push_str(&format!(
        "\n## Failures\n\nRun one again: `conformance run --target {} --filter ID --seed {}`\n",
        shell(&report.target),
        report.seed
    ));
    for level in Level::ALL {
        let of_level: Vec<_> = failures.iter().filter(|check| check.level == level).collect();
        if of_level.is_empty() {
            continue;
        }
        text.push_str(&format!("\n### {level}\n\n| id | demanded | seen |\n|---|---|---|\n"));
        for check in of_level {
            let error = if check.outcome == Outcome::Error { "**error:** " } else { "" };
            let seen = shown(&check.message);
            text.push_str(&format!("| {} | {} | {error}{seen} |\n", check.id, demanded(check)));
        }
    }
}

fn push_known(text: &mut String, report: &Report) {
    let groups = group::by(report, Outcome::Known, |check| group::known(check).0);
    if groups.is_empty() {
        return;
    }
    text.push_str("\n## Known failures\n");
    for (cause, checks) in groups {
        text.push_str(&format!("\n{}\n\n| id | level | demanded | seen |\n|---|---|---|---|\n", cell(cause)));
        for check in checks {
            let seen = shown(group::known(check).1);
            text.push_str(&format!("| {} | {} | {} | {seen} |\n", check.id, check.level, demanded(check)));
        }
    }
}

fn push_grouped(text: &mut String, report: &Report, outcome: Outcome, title: &str) {
    let groups = group::by(report, outcome, |check| &check.message);
    if groups.is_empty() {
        return;
    }
    text.push_str(&format!("\n## {title}\n\n| reason | count | checks |\n|---|---:|---|\n"));
    for (reason, checks) in groups {
        let ids: Vec<&str> = checks.iter().map(|check| check.id.as_str()).collect();
        text.push_str(&format!("| {} | {} | {} |\n", shown(reason), ids.len(), ids.join(" ")));
    }
}

fn push_observations(text: &mut String, report: &Report) {
    if report.observations.is_empty() {
        return;
    }
    text.push_str("\n## Observations\n\n| check | seen |\n|---|---|\n");
    for observation in &report.observations {
        text.push_str(&format!("| {} | {} |\n", observation.id, shown(&observation.text)));
    }
}

fn demanded(check: &CheckResult) -> String {
    let (anchor, says) = group::clause(check);
    format!("{} ({})", cell(says), cell(anchor))
}

fn shown(message: &str) -> String {
    cell(&cut(&brief(message), MESSAGE_CHARS_MAX))
}
