//! Reports: the scorecard as text, `report.json`, `report.md`, and a plan for every failure.

use std::{fmt::Write as _, fs, io, path::Path};

use serde::Serialize;
use serde_json::json;

use crate::{
    run::ScenarioResult,
    validate::{Finding, Ruling, Verdict},
};

/// Everything that a run has found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The target's URL.
    pub target: String,
    /// The address that the origin listened on, as it was asked for.
    pub listen: String,
    /// How the scenarios were chosen, and so how one is chosen again.
    pub choice: Choice,
    /// The results, in order.
    pub results: Vec<ScenarioResult>,
}

/// Says how the scenarios of a run were chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The built-in ones, by name.
    BuiltIn,
    /// One that was read from this file.
    File(String),
    /// A plan that was read from this file.
    Plan(String),
}

/// What a whole run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Every verdict is a pass, every fault happened.
    Passed,
    /// Something failed.
    Failed,
    /// Nothing failed, but something was not put to the test.
    Vacuous,
}

/// How many verdicts of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Summary {
    pass: usize,
    fail: usize,
    vacuous: usize,
}

impl Report {
    /// Returns what the run comes to.
    #[must_use]
    pub fn total(&self) -> Total {
        let summary = self.summary();
        let stuck = self.results.iter().any(|it| it.stuck.is_some());
        let silent = self.results.iter().any(|it| !it.silent_faults().is_empty());
        if summary.fail > 0 || stuck {
            Total::Failed
        } else if summary.vacuous > 0 || silent || summary.pass == 0 {
            Total::Vacuous
        } else {
            Total::Passed
        }
    }

    /// Returns the command that runs this scenario with this seed again.
    #[must_use]
    pub fn replay(&self, result: &ScenarioResult) -> String {
        let Self { target, listen, .. } = self;
        let seed = result.plan.seed;
        let what = match &self.choice {
            Choice::BuiltIn => format!("--scenario {} --seed {seed}", result.plan.scenario.name),
            Choice::File(path) => format!("--scenario {path} --seed {seed}"),
            Choice::Plan(path) => format!("--plan {path}"),
        };
        format!("sim run --target {target} --listen {listen} {what}")
    }

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
        let Summary { pass, fail, vacuous } = self.summary();
        format!("{pass} passed, {fail} failed, {vacuous} vacuous; {} scenario runs", self.results.len())
    }

    /// Writes `report.json`, `report.md` and a plan for each failed scenario into a folder.
    ///
    /// *Errors*: what the file system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("report.json"), self.json())?;
        fs::write(folder.join("report.md"), self.markdown())?;
        for result in self.results.iter().filter(|it| failed(it)) {
            let name = format!("plan-{}-{}.json", result.plan.scenario.name, result.plan.seed);
            fs::write(folder.join(name), serde_json::to_string_pretty(&result.plan)?)?;
        }
        Ok(())
    }

    /// Returns the machine-readable report.
    #[must_use]
    pub fn json(&self) -> String {
        let results: Vec<_> = self
            .results
            .iter()
            .map(|result| {
                json!({
                    "scenario": result.plan.scenario.name,
                    "seed": result.plan.seed,
                    "replay": self.replay(result),
                    "verdicts": result.verdicts,
                    "faults": faults(result),
                    "stuck": result.stuck,
                    "upstream_requests": result.upstream_requests,
                })
            })
            .collect();
        let report = json!({ "target": self.target, "listen": self.listen, "summary": self.summary(), "results": results });
        format!("{report:#}\n")
    }

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
        text.push_str(
            "\n## Faults that happened\n\n| scenario | seed | fault | times |\n|---|---|---|---|\n",
        );
        for result in &self.results {
            for (rule, fired) in result.plan.scenario.faults.iter().zip(&result.fired) {
                let (name, seed, fault) = (&result.plan.scenario.name, result.plan.seed, rule.fault.name());
                line(&mut text, &format!("| {name} | {seed} | {fault} | {fired} |"));
            }
        }
        let findings: Vec<String> = self.results.iter().flat_map(findings).collect();
        if !findings.is_empty() {
            text.push_str("\n## Findings\n\n");
            findings.iter().for_each(|it| line(&mut text, it));
        }
        text
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for verdict in self.results.iter().flat_map(|it| &it.verdicts) {
            match verdict.ruling {
                Ruling::Pass => summary.pass += 1,
                Ruling::Fail => summary.fail += 1,
                Ruling::Vacuous => summary.vacuous += 1,
            }
        }
        summary
    }
}

fn failed(result: &ScenarioResult) -> bool {
    result.stuck.is_some() || result.verdicts.iter().any(|it| it.ruling == Ruling::Fail)
}

fn faults(result: &ScenarioResult) -> Vec<serde_json::Value> {
    let rules = result.plan.scenario.faults.iter().zip(&result.fired);
    rules.map(|(rule, fired)| json!({ "rule": rule, "fired": fired })).collect()
}

fn findings(result: &ScenarioResult) -> Vec<String> {
    let name = &result.plan.scenario.name;
    let show = |verdict: &Verdict, finding: &Finding| {
        let exchange = finding.exchange.as_ref().map(|it| format!(" `{it}`")).unwrap_or_default();
        format!("- {name}, {}: {}.{exchange}", verdict.validator, finding.text)
    };
    let of_verdicts = result.verdicts.iter().flat_map(|v| v.findings.iter().map(move |f| show(v, f)));
    let stuck = result.stuck.iter().map(|it| format!("- {name}, recovery: `{it}`"));
    of_verdicts.chain(stuck).collect()
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}
