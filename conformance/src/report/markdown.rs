//! `report.md`, for a comment or a README, with a badge line.

use crate::check::{Level, Outcome};
use crate::report::Report;

/// Renders badge, summary, what did not pass, and the observations.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# Conformance of {}\n\n{}\n\n", report.target, badge(report));
    text.push_str("| level | passed | judged |\n|---|---|---|\n");
    for (level, passed, judged) in report.levels() {
        text.push_str(&format!("| {level} | {passed} | {judged} |\n"));
    }
    let totals = Outcome::ALL.map(|outcome| format!("{} {outcome}", report.count(outcome)));
    text.push_str(&format!("\n{}. Seed {}.\n", totals.join(", "), report.seed));
    for outcome in [Outcome::Fail, Outcome::Error, Outcome::Known, Outcome::Moot, Outcome::Skip] {
        let checks: Vec<_> = report.checks.iter().filter(|check| check.outcome == outcome).collect();
        if checks.is_empty() {
            continue;
        }
        text.push_str(&format!("\n## {outcome}\n\n| id | level | clause | message |\n|---|---|---|---|\n"));
        for check in checks {
            let (clause, message) = (cell(&check.clause), cell(&check.message));
            text.push_str(&format!("| {} | {} | {clause} | {message} |\n", check.id, check.level));
        }
    }
    if !report.observations.is_empty() {
        text.push_str("\n## Observations\n\n");
        for observation in &report.observations {
            text.push_str(&format!("- {}: {}\n", observation.id, cell(&observation.text)));
        }
    }
    text
}

fn badge(report: &Report) -> String {
    let must = report.levels().into_iter().find(|(level, ..)| *level == Level::Must);
    let (passed, judged) = must.map_or((0, 0), |(_, passed, judged)| (passed, judged));
    let colour = if judged > 0 && passed == judged { "brightgreen" } else { "red" };
    format!(
        "![OCI {passed}/{judged} MUST](https://img.shields.io/badge/OCI-{passed}%2F{judged}%20MUST-{colour})"
    )
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}
