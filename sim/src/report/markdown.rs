//! `report.md`: the scorecard of one target.

use super::{
    Report,
    text::{figures, findings, line},
};
use crate::validate::Verdict;

impl Report {
    /// Returns the scorecard.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# Resilience of {}\n\n{}\n\n", self.target, self.last_line());
        text.push_str("| scenario | seed | validator | promise | verdict | judged | again |\n|---|---|---|---|---|---|---|\n");
        for result in &self.results {
            let (name, seed, replay) = (&result.plan.scenario.name, result.plan.seed, self.replay(result));
            for verdict in &result.verdicts {
                let Verdict { validator, promise, ruling, judged, .. } = verdict;
                line(
                    &mut text,
                    &format!(
                        "| {name} | {seed} | {validator} | {promise} | {ruling} | {judged} | `{replay}` |"
                    ),
                );
            }
            if result.stuck.is_some() {
                line(
                    &mut text,
                    &format!("| {name} | {seed} | recovery | L1 pulls complete | FAIL | 1 | `{replay}` |"),
                );
            }
        }
        self.push_figures(&mut text);
        self.push_faults(&mut text);
        let findings: Vec<String> = self.results.iter().flat_map(findings).collect();
        if !findings.is_empty() {
            text.push_str("\n## Findings\n\n");
            findings.iter().for_each(|it| line(&mut text, &format!("- {it}")));
        }
        text
    }

    fn push_figures(&self, text: &mut String) {
        text.push_str(
            "\n## Figures\n\nUpstream bytes for each byte of a blob that was needed, longest time to the first byte \
             of a cold blob, longest wait, what clients saw, cells in which the fault happened.\n\n\
             | scenario | seed | bytes | first byte | worst wait | statuses | cells |\n|---|---|---|---|---|---|---|\n",
        );
        for result in self.results.iter().filter(|it| it.moot.is_none()) {
            let (name, seed) = (&result.plan.scenario.name, result.plan.seed);
            line(text, &format!("| {name} | {seed} | {} |", figures(&result.figures).join(" | ")));
        }
    }

    fn push_faults(&self, text: &mut String) {
        text.push_str(
            "\n## Faults that happened\n\n| scenario | seed | fault | times |\n|---|---|---|---|\n",
        );
        for result in &self.results {
            for (rule, fired) in result.plan.scenario.faults.iter().zip(&result.fired) {
                let (name, seed, fault) = (&result.plan.scenario.name, result.plan.seed, rule.fault.name());
                line(text, &format!("| {name} | {seed} | {fault} | {fired} |"));
            }
        }
    }
}
