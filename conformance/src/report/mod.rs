//! What a run brought, and its forms: text, JSON, JUnit, HTML and Markdown.
//!
//! Map: one file a form (`text`, `json`, `junit`, `html` with `card` for one check, `markdown`); `tally`
//! counts and judges the whole, `group` sorts results for the forms, `message` takes recorded exchanges
//! apart, and `escape` makes text safe and short.

mod card;
mod escape;
mod group;
mod html;
mod json;
mod junit;
mod markdown;
mod message;
mod tally;
mod text;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::check::{Level, Outcome};
use crate::wire::Exchange;

pub use html::html;
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use text::text;

/// Everything that came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The target as given.
    pub target: String,
    /// The seed of the content.
    pub seed: u64,
    /// One result a check, in the order of the plan.
    pub checks: Vec<CheckResult>,
    /// What is worth knowing and neither right nor wrong.
    pub observations: Vec<Observation>,
}

/// What came of one check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    /// The check's id.
    pub id: String,
    /// What it rests on, in our words.
    pub clause: String,
    /// How strongly it is demanded.
    pub level: Level,
    /// What came of it.
    pub outcome: Outcome,
    /// What was seen, or why it did not run; empty when it passed.
    pub message: String,
    /// How long it took.
    #[serde(skip)]
    pub elapsed: Duration,
    /// What was sent and what came back.
    #[serde(skip)]
    pub exchanges: Vec<Exchange>,
}

/// Something worth knowing about the target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Observation {
    /// The check that saw it, or `features`.
    pub id: String,
    /// What it saw.
    pub text: String,
}

impl Report {
    /// Returns the results that make the run red: failures, errors, and known failures that passed.
    pub fn failures(&self) -> Vec<&CheckResult> {
        self.checks.iter().filter(|check| check.outcome.is_red()).collect()
    }

    /// Returns how many checks have this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }

    /// Returns how many checks ran to a verdict.
    pub fn ran(&self) -> usize {
        [Outcome::Pass, Outcome::Fail, Outcome::Known].into_iter().map(|outcome| self.count(outcome)).sum()
    }

    /// Returns the number of checks of every outcome.
    fn summary(&self) -> BTreeMap<&'static str, usize> {
        Outcome::ALL.into_iter().map(|outcome| (outcome.name(), self.count(outcome))).collect()
    }
}

/// Writes `report.json`, `junit.xml`, `report.html` and `report.md` into a folder, which it makes.
///
/// *Errors*: what the system says when a file cannot be written.
pub fn write(report: &Report, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("report.json"), json(report))?;
    std::fs::write(folder.join("junit.xml"), junit(report))?;
    std::fs::write(folder.join("report.html"), html(report))?;
    std::fs::write(folder.join("report.md"), markdown(report))
}

#[cfg(test)]
mod tests;
