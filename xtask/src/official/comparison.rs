//! Where the official suite and ours differ on one target. Pure: reports in, text out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign as _;

use anyhow::{Context, Result};
use serde_json::Value;

use super::junit::{Case, Outcome};
use super::table::Table;
use crate::tally::Tally;

/// How many tests a line names before it only counts them.
const NAMES_SHOWN: usize = 5;
/// How much of a message is shown: one that quotes a manifest of 4 MiB would bury the rest.
const MESSAGE_LENGTH: usize = 160;
/// The levels of a check, in the order in which they are counted.
const LEVELS: [&str; 4] = ["must", "should", "may", "observe"];

/// A check of ours, as `report.json` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) id: String,
    pub(super) level: String,
    /// The word of the report: `pass`, `fail`, `skip`…
    pub(super) outcome: String,
    pub(super) message: String,
}

/// What the two suites say of a target.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    tally: Tally,
    /// Official tests that fail, and all checks that look at the same pass.
    official_alone: Vec<Group<'a>>,
    /// Official tests that fail, where some check that looks at the same did not run, and none failed.
    unjudged: Vec<Group<'a>>,
    /// Checks that fail, and no official test that looks at the same does.
    ours_alone: Vec<Passed<'a>>,
    /// How many official tests fail together with a check of ours.
    both: usize,
    /// Official tests that fail while they prepare or tidy up.
    around: Vec<Test<'a>>,
    /// Official tests that the table does not know.
    unknown: Vec<Test<'a>>,
    /// Checks that no official test of this run is for.
    beyond: Vec<&'a Check>,
}

/// A name of the official suite with its worst outcome: one failure of several runs is a failure.
#[derive(Debug, Clone, Copy)]
struct Test<'a> {
    name: &'a str,
    outcome: Outcome,
    said: &'a str,
}

/// Failed official tests that the same checks are for.
#[derive(Debug)]
struct Group<'a> {
    checks: Vec<&'a Check>,
    tests: Vec<Test<'a>>,
}

/// A failed check, with the official tests that let the target pass.
#[derive(Debug)]
struct Passed<'a> {
    check: &'a Check,
    tests: Vec<Test<'a>>,
}

impl Check {
    /// Reads the checks of a `report.json`.
    ///
    /// *Errors*: it is no report, or a check lacks a field.
    pub(super) fn read(report: &str) -> Result<Vec<Self>> {
        let report: Value = serde_json::from_str(report)?;
        let checks = report["checks"].as_array().context("it has no list `checks`")?;
        checks.iter().map(Self::parse).collect()
    }

    fn parse(check: &Value) -> Result<Self> {
        let field = |key: &str| {
            check[key].as_str().map(str::to_owned).with_context(|| format!("a check has no `{key}`: {check}"))
        };
        Ok(Self {
            id: field("id")?,
            level: field("level")?,
            outcome: field("outcome")?,
            message: field("message")?,
        })
    }

    fn passes(&self) -> bool {
        self.outcome == "pass"
    }

    /// A failure that is known is one here: the question is what the suites see.
    fn fails(&self) -> bool {
        ["fail", "known", "error"].contains(&self.outcome.as_str())
    }
}

impl<'a> Comparison<'a> {
    /// Compares the cases of the official suite with the checks of ours.
    pub(super) fn new(table: &'a Table, cases: &'a [Case], checks: &'a [Check]) -> Self {
        let by_id: BTreeMap<&str, &Check> = checks.iter().map(|check| (check.id.as_str(), check)).collect();
        let mut comparison = Self {
            tally: tally(cases),
            official_alone: Vec::new(),
            unjudged: Vec::new(),
            ours_alone: Vec::new(),
            both: 0,
            around: Vec::new(),
            unknown: Vec::new(),
            beyond: Vec::new(),
        };
        let mut tests_of: BTreeMap<&str, Vec<Test<'_>>> = BTreeMap::new();
        let mut failed: BTreeMap<BTreeSet<&str>, Vec<Test<'_>>> = BTreeMap::new();
        for test in tests(cases) {
            let Some(ids) = table.checks_of(test.name) else {
                comparison.unknown.push(test);
                continue;
            };
            for id in &ids {
                tests_of.entry(id).or_default().push(test);
            }
            if test.outcome == Outcome::Failed {
                failed.entry(ids).or_default().push(test);
            }
        }
        for (ids, tests) in failed {
            let checks: Vec<&Check> = ids.iter().filter_map(|id| by_id.get(id).copied()).collect();
            comparison.add_failures(Group { checks, tests });
        }
        for check in checks {
            match tests_of.remove(check.id.as_str()) {
                None => comparison.beyond.push(check),
                Some(tests) if check.fails() && tests.iter().all(|test| test.outcome != Outcome::Failed) => {
                    comparison.ours_alone.push(Passed { check, tests });
                }
                Some(_) => {}
            }
        }
        comparison
    }

    /// Sorts official failures by what ours says of the same.
    fn add_failures(&mut self, group: Group<'a>) {
        let checks = &group.checks;
        if checks.is_empty() {
            self.around.extend(group.tests);
        } else if checks.iter().any(|check| check.fails()) {
            self.both += group.tests.len();
        } else if checks.iter().all(|check| check.passes()) {
            self.official_alone.push(group);
        } else {
            self.unjudged.push(group);
        }
    }

    /// Returns how many runs of official tests passed, failed and were skipped.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }
}

/// Counts the runs of official tests.
fn tally(cases: &[Case]) -> Tally {
    let mut tally = Tally::default();
    for case in cases {
        tally.add_assign(match case.outcome {
            Outcome::Passed => Tally::PASSED,
            Outcome::Failed => Tally::FAILED,
            Outcome::Skipped => Tally { skipped: 1, ..Tally::default() },
        });
    }
    tally
}

/// Brings the runs of each name together, sorted by name.
fn tests(cases: &[Case]) -> impl Iterator<Item = Test<'_>> {
    let mut tests: BTreeMap<&str, Test<'_>> = BTreeMap::new();
    for Case { name, outcome, said } in cases {
        let test = Test { name, outcome: *outcome, said };
        let worst = tests.entry(name).or_insert(test);
        if test.outcome > worst.outcome {
            *worst = test;
        }
    }
    tests.into_values()
}

// === impl Display ===

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "official suite: {}", self.tally)?;
        for Group { checks, tests } in &self.official_alone {
            writeln!(f, "the official suite fails {}, ours passes {}:", count(tests), ids(checks))?;
            write_failures(f, tests)?;
        }
        for Passed { check, tests } in &self.ours_alone {
            let does =
                if tests.iter().any(|test| test.outcome == Outcome::Passed) { "passes" } else { "skips" };
            let level = &check.level;
            writeln!(
                f,
                "ours fails {} ({level}), where the official suite {does} {}:",
                check.id,
                names(tests)
            )?;
            writeln!(f, "  {}", excerpt(&check.message))?;
        }
        for Group { checks, tests } in &self.unjudged {
            let words: Vec<_> =
                checks.iter().map(|check| format!("{}: {}", check.id, check.outcome)).collect();
            writeln!(
                f,
                "the official suite fails {}, ours does not judge ({}):",
                count(tests),
                words.join(", ")
            )?;
            write_failures(f, tests)?;
        }
        if !self.around.is_empty() {
            writeln!(f, "the official suite fails where no check of this run is for:")?;
            write_failures(f, &self.around)?;
        }
        if self.both > 0 {
            writeln!(f, "both fail: {} of the official suite", count_of(self.both))?;
        }
        if self.official_alone.is_empty() && self.ours_alone.is_empty() && self.around.is_empty() {
            writeln!(f, "no difference where both judge")?;
        }
        writeln!(f, "only ours looks at: {}", levels(&self.beyond))?;
        if !self.unknown.is_empty() {
            writeln!(f, "not in xtask/src/official/table.txt, so compared with nothing:")?;
            for test in &self.unknown {
                writeln!(f, "  {} ({:?})", test.name, test.outcome)?;
            }
        }
        Ok(())
    }
}

/// Writes failed tests, each with what it said.
fn write_failures(f: &mut fmt::Formatter<'_>, tests: &[Test<'_>]) -> fmt::Result {
    for test in tests.iter().take(NAMES_SHOWN) {
        let colon = if test.said.is_empty() { "" } else { ": " };
        writeln!(f, "  {}{colon}{}", test.name, excerpt(test.said))?;
    }
    match tests.len().saturating_sub(NAMES_SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

/// Names tests in one line.
fn names(tests: &[Test<'_>]) -> String {
    let mut names: Vec<String> =
        tests.iter().take(NAMES_SHOWN).map(|test| format!("`{}`", test.name)).collect();
    let more = tests.len().saturating_sub(NAMES_SHOWN);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

fn ids(checks: &[&Check]) -> String {
    checks.iter().map(|check| check.id.as_str()).collect::<Vec<_>>().join(", ")
}

fn count(tests: &[Test<'_>]) -> String {
    count_of(tests.len())
}

fn count_of(tests: usize) -> String {
    if tests == 1 { "1 test".to_owned() } else { format!("{tests} tests") }
}

/// Counts checks by level.
fn levels(checks: &[&Check]) -> String {
    let of = |level: &str| checks.iter().filter(|check| check.level == level).count();
    let parts: Vec<_> = LEVELS.iter().map(|level| format!("{} {level}", of(level))).collect();
    let idle = checks.iter().filter(|check| !check.passes() && !check.fails()).count();
    format!("{} checks ({}), of which {idle} did not run", checks.len(), parts.join(", "))
}

/// Shortens a message to one line of a screen or two.
fn excerpt(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    match line.char_indices().nth(MESSAGE_LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests;
