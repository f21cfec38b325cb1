//! The lines of a result, as a terminal shows them, and the words that every form of a report shares.

use std::fmt::Write as _;

use super::{Report, Summary};
use crate::{
    figures::{Cells, Figures},
    run::ScenarioResult,
    validate::{Finding, Ruling, Verdict},
};

impl Report {
    /// Returns the text of one result: a line for each verdict, and for a failure the promise, the
    /// scenario and seed, the command that replays it, and the exchange.
    #[must_use]
    pub fn text(&self, result: &ScenarioResult) -> String {
        let mut text = String::new();
        let (name, seed) = (&result.plan.scenario.name, result.plan.seed);
        for verdict in &result.verdicts {
            let Verdict { ruling, validator, promise, judged, .. } = verdict;
            line(&mut text, &format!("{ruling:<8} {name:<26} {validator:<11} {promise} ({judged} judged)"));
            for finding in &verdict.findings {
                line(&mut text, &format!("         {}", finding.text));
                if let Some(exchange) = &finding.exchange {
                    line(&mut text, &format!("           {exchange}"));
                }
            }
            if verdict.wrong > verdict.findings.len() {
                line(&mut text, &format!("         and {} more", verdict.wrong - verdict.findings.len()));
            }
            if *ruling == Ruling::Fail {
                line(
                    &mut text,
                    &format!("         scenario {name}, seed {seed}; again: {}", self.replay(result)),
                );
            }
        }
        if let Some(lacks) = &result.moot {
            line(&mut text, &format!("moot     {name:<26} the target lacks {lacks}"));
        }
        for fault in result.silent_faults() {
            line(&mut text, &format!("vacuous  {name:<26} fault {fault} never happened"));
        }
        if let Some(stuck) = &result.stuck {
            line(
                &mut text,
                &format!(
                    "FAIL     {name:<26} recovery    L1 the target does not serve an honest image any more"
                ),
            );
            line(&mut text, &format!("           {stuck}"));
            line(
                &mut text,
                &format!("         scenario {name}, seed {seed}; again: {}", self.replay(result)),
            );
        }
        text
    }

    /// Returns the last line of a run.
    #[must_use]
    pub fn last_line(&self) -> String {
        let Summary { pass, fail, vacuous, moot } = self.summary();
        let moot = if moot > 0 { format!(", {moot} moot") } else { String::new() };
        format!("{pass} passed, {fail} failed, {vacuous} vacuous{moot}; {} scenario runs", self.results.len())
    }
}

/// Returns what was wrong in a result, one line each.
pub(super) fn findings(result: &ScenarioResult) -> Vec<String> {
    let name = &result.plan.scenario.name;
    let show = |verdict: &Verdict, finding: &Finding| {
        let exchange = finding.exchange.as_ref().map(|it| format!(" `{it}`")).unwrap_or_default();
        format!("{name}, {}: {}.{exchange}", verdict.validator, finding.text)
    };
    let of_verdicts = result.verdicts.iter().flat_map(|v| v.findings.iter().map(move |f| show(v, f)));
    let stuck = result.stuck.iter().map(|it| format!("{name}, recovery: `{it}`"));
    of_verdicts.chain(stuck).collect()
}

/// Returns figures in words: bytes ratio, first byte, worst wait, statuses, cells.
pub(super) fn figures(figures: &Figures) -> [String; 5] {
    let Figures { first_byte_ms, wait_ms, statuses, cells, .. } = figures;
    let statuses: Vec<_> = statuses.iter().map(|(status, count)| format!("{count}×{status}")).collect();
    [
        figures.bytes_ratio().map_or_else(|| "–".to_owned(), |it| format!("{it:.2}")),
        first_byte_ms.map_or_else(|| "–".to_owned(), |it| format!("{it} ms")),
        format!("{wait_ms} ms"),
        statuses.join(" "),
        cells.map_or_else(|| "–".to_owned(), |Cells { hit, all }| format!("{hit} of {all}")),
    ]
}

/// Appends a line.
pub(super) fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}
