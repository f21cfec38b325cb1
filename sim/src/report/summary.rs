//! What a run has found, and what that comes to.

use serde::Serialize;

use crate::{run::ScenarioResult, validate::Ruling};

/// Everything that a run has found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The target's name, or else its URL.
    pub target: String,
    /// How the scenarios were chosen, and so how one is chosen again.
    pub choice: Choice,
    /// The command that starts the same targets again, where they end with the run.
    pub again: Option<String>,
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
    /// Every verdict is a pass or moot, every fault happened.
    Passed,
    /// Something failed.
    Failed,
    /// Nothing failed, but something was not put to the test.
    Vacuous,
}

/// How many verdicts of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Everything that was looked at was right.
    pub pass: usize,
    /// Something was wrong.
    pub fail: usize,
    /// Nothing was looked at.
    pub vacuous: usize,
    /// The target is not configured for it.
    pub moot: usize,
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
        let seed = result.plan.seed;
        let what = match &self.choice {
            Choice::BuiltIn => format!("--scenario {} --seed {seed}", result.plan.scenario.name),
            Choice::File(path) => format!("--scenario {path} --seed {seed}"),
            Choice::Plan(path) => format!("--plan {path}"),
        };
        match &self.again {
            Some(command) => format!("{command} {what}"),
            None => format!("sim run {} {what}", result.stand.arguments()),
        }
    }

    /// Counts the verdicts.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for verdict in self.results.iter().flat_map(|it| &it.verdicts) {
            match verdict.ruling {
                Ruling::Pass => summary.pass += 1,
                Ruling::Fail => summary.fail += 1,
                Ruling::Vacuous => summary.vacuous += 1,
                Ruling::Moot => summary.moot += 1,
            }
        }
        summary
    }
}

/// Says whether something in a result is wrong.
pub(super) fn failed(result: &ScenarioResult) -> bool {
    result.stuck.is_some() || result.verdicts.iter().any(|it| it.ruling == Ruling::Fail)
}
