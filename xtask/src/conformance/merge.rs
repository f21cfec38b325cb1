//! One report of several: each check counts once, by the best that a configuration could say of it, unless
//! it failed in any.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::tally::Tally;

/// The levels, the strongest first.
pub(super) const LEVELS: [&str; 4] = ["must", "should", "may", "observe"];
/// The outcomes, each before those that it outweighs.
const OUTCOMES: [&str; 6] = ["fail", "error", "known", "pass", "moot", "skip"];
/// The order in which they are counted in a report.
const COUNTED: [&str; 6] = ["pass", "fail", "skip", "moot", "known", "error"];

/// The checks of all configurations.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// In the order of the first report.
    order: Vec<String>,
    checks: BTreeMap<String, Check>,
    observations: Vec<Value>,
}

#[derive(Debug)]
struct Check {
    stand: &'static str,
    value: Value,
}

impl Merged {
    /// Adds the report of one configuration.
    ///
    /// *Errors*: it has no list of checks, or a check has no id.
    pub(super) fn add(&mut self, stand: &'static str, report: &Value) -> Result<()> {
        for value in report["checks"].as_array().context("a report has no list `checks`")? {
            let id = value["id"].as_str().context("a check has no `id`")?.to_owned();
            let new = Check { stand, value: value.clone() };
            match self.checks.get(&id) {
                // A later configuration has more to say about why a check did not run there either.
                Some(old) if old.rank() < new.rank() || !new.is_telling() => {}
                Some(_) => drop(self.checks.insert(id, new)),
                None => {
                    self.order.push(id.clone());
                    self.checks.insert(id, new);
                }
            }
        }
        let observed = report["observations"].as_array().into_iter().flatten();
        let fresh: Vec<Value> = observed.filter(|it| !self.observations.contains(it)).cloned().collect();
        self.observations.extend(fresh);
        Ok(())
    }

    /// Returns the report, in the shape of the suite's own.
    pub(super) fn report(&self) -> String {
        let summary: serde_json::Map<String, Value> =
            COUNTED.iter().map(|name| ((*name).to_owned(), json!(self.count(None, name)))).collect();
        let checks: Vec<&Value> = self.all().map(|check| &check.value).collect();
        let report = json!({
            "target": "wharfinger",
            "summary": summary,
            "checks": checks,
            "observations": self.observations,
        });
        format!("{report:#}\n")
    }

    /// Returns the counts.
    pub(super) fn tally(&self) -> Tally {
        let count = |names: &[&str]| names.iter().map(|name| self.count(None, name)).sum();
        Tally {
            passed: count(&["pass"]),
            failed: count(&["fail", "error"]),
            skipped: count(&["skip", "moot", "known"]),
        }
    }

    /// Returns how many checks failed as listed.
    pub(super) fn known(&self) -> u64 {
        self.count(None, "known")
    }

    /// Returns how many checks of a level passed, and how many judged the target.
    pub(super) fn passed_of(&self, level: &str) -> (u64, u64) {
        let judged = ["pass", "fail", "known", "error"];
        let judged = judged.iter().map(|outcome| self.count(Some(level), outcome)).sum();
        (self.count(Some(level), "pass"), judged)
    }

    fn all(&self) -> impl Iterator<Item = &Check> {
        self.order.iter().map(|id| &self.checks[id])
    }

    fn count(&self, level: Option<&str>, outcome: &str) -> u64 {
        let matching = self.all().filter(|check| {
            check.outcome() == outcome && level.is_none_or(|level| check.value["level"] == level)
        });
        matching.count() as u64
    }
}

impl Check {
    fn outcome(&self) -> &str {
        self.value["outcome"].as_str().unwrap_or("error")
    }

    /// Says whether it ran, or was skipped for another reason than the kind of the run.
    fn is_telling(&self) -> bool {
        let message = self.value["message"].as_str().unwrap_or_default();
        self.outcome() != "skip" || !message.contains("this run")
    }

    fn rank(&self) -> usize {
        OUTCOMES.iter().position(|name| *name == self.outcome()).unwrap_or(0)
    }
}

/// A row for each level, and a line for each check that did not pass anywhere.
impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "all configurations:")?;
        for check in self.all().filter(|check| check.outcome() != "pass") {
            let text = |key: &str| check.value[key].as_str().unwrap_or_default();
            let (id, level, message) = (text("id"), text("level"), text("message"));
            writeln!(f, "{:5} {id:7} {level:8} {message} [{}]", check.outcome(), check.stand)?;
        }
        for level in LEVELS {
            let passed = self.count(Some(level), "pass");
            let all: u64 = OUTCOMES.iter().map(|outcome| self.count(Some(level), outcome)).sum();
            if all > 0 {
                writeln!(f, "{level:8} {passed} of {all} passed")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Merged;
    use crate::tally::Tally;

    fn report(outcomes: &[(&str, &str)]) -> Value {
        let check = |(id, outcome): &(&str, &str)| json!({"id": id, "level": "must", "outcome": outcome, "message": "m"});
        let checks: Vec<Value> = outcomes.iter().map(check).collect();
        json!({"checks": checks, "observations": [{"id": "T-001", "text": "t"}]})
    }

    #[test]
    fn a_check_counts_once_and_its_failure_wins() {
        let mut merged = Merged::default();
        let one = [("T-1", "pass"), ("T-2", "skip"), ("T-3", "fail"), ("T-4", "skip"), ("T-5", "moot")];
        merged.add("one", &report(&one)).unwrap();
        let two = [("T-1", "skip"), ("T-2", "pass"), ("T-3", "pass"), ("T-4", "skip"), ("T-6", "error")];
        merged.add("two", &report(&two)).unwrap();
        assert_eq!(merged.tally(), Tally { passed: 2, failed: 2, skipped: 2 });
        let text = merged.to_string();
        assert!(text.contains("fail  T-3     must     m [one]"), "{text}");
        assert!(text.contains("must     2 of 6 passed"), "{text}");
        let value: Value = serde_json::from_str(&merged.report()).unwrap();
        assert_eq!(Tally::from_report(&value), Some(merged.tally()));
        assert_eq!(value["observations"].as_array().unwrap().len(), 1);
        assert_eq!(value["checks"][1]["outcome"], "pass");
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        assert!(Merged::default().add("one", &json!({})).is_err());
        assert!(Merged::default().add("one", &json!({"checks": [{}]})).is_err());
    }
}
