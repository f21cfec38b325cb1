//! `report.json`, for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::{CheckResult, Observation, Report};

#[derive(Serialize)]
struct Document<'r> {
    target: &'r str,
    summary: BTreeMap<&'static str, usize>,
    checks: &'r [CheckResult],
    observations: &'r [Observation],
}

/// Renders `{"target", "summary", "checks", "observations"}`.
pub fn json(report: &Report) -> String {
    let document = Document {
        target: &report.target,
        summary: report.summary(),
        checks: &report.checks,
        observations: &report.observations,
    };
    let mut text = serde_json::to_string_pretty(&document).expect("strings and numbers always serialise");
    text.push('\n');
    text
}
