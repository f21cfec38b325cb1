//! `report.json`: the machine-readable report.

use serde_json::{Value, json};

use super::Report;
use crate::run::ScenarioResult;

impl Report {
    /// Returns the machine-readable report.
    #[must_use]
    pub fn json(&self) -> String {
        let results: Vec<_> = self
            .results
            .iter()
            .map(|result| {
                json!({
                    "scenario": result.plan.scenario.name,
                    "about": result.plan.scenario.about,
                    "seed": result.plan.seed,
                    "replay": self.replay(result),
                    "verdicts": result.verdicts,
                    "faults": faults(result),
                    "stuck": result.stuck,
                    "moot": result.moot,
                    "figures": result.figures,
                    "took_ms": result.took_ms,
                })
            })
            .collect();
        let report = json!({ "target": self.target, "summary": self.summary(), "results": results });
        format!("{report:#}\n")
    }
}

fn faults(result: &ScenarioResult) -> Vec<Value> {
    let rules = result.plan.scenario.faults.iter().zip(&result.fired);
    rules.map(|(rule, fired)| json!({ "rule": rule, "fired": fired })).collect()
}
