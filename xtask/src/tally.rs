//! Counts of passed, failed and skipped, and their sum: the last line that a task prints.

use std::fmt;
use std::ops::AddAssign;

use serde_json::Value;

/// How many passed, failed and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// One thing that passed.
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    /// One thing that failed.
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };

    /// Returns one pass or one failure.
    pub(crate) fn of(passed: bool) -> Self {
        if passed { Self::PASSED } else { Self::FAILED }
    }

    /// Says whether the run may exit 0: nothing failed, and something passed. A run in which nothing
    /// ran proves nothing, so it is no success.
    pub(crate) fn is_green(self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Returns the tally with at least one failure when the program that was counted exited with one.
    /// A compile error or an abort leaves no line to count.
    pub(crate) fn with_exit(mut self, success: bool) -> Self {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
        self
    }

    /// Returns the tally with `skips` of its passes turned into skips, or into failures where the
    /// caller requires that everything runs.
    pub(crate) fn with_skips(mut self, skips: u64, required: bool) -> Self {
        self.passed = self.passed.saturating_sub(skips);
        if required {
            self.failed += skips;
        } else {
            self.skipped += skips;
        }
        self
    }

    /// Reads a summary line of libtest; `None` for any other line.
    ///
    /// *Shape*: `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished …`.
    pub(crate) fn from_libtest(line: &str) -> Option<Self> {
        let counts = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
        let mut tally = Self::default();
        for part in counts.split("; ") {
            let Some((count, what)) = part.split_once(' ') else { continue };
            let Ok(count) = count.parse::<u64>() else { continue };
            match what {
                "passed" => tally.passed = count,
                "failed" => tally.failed = count,
                "ignored" => tally.skipped = count,
                _ => {}
            }
        }
        Some(tally)
    }

    /// Reads the `summary` of a `report.json`; `None` when it has none.
    ///
    /// A known failure and a verdict on nothing count as skipped: they are no pass.
    pub(crate) fn from_report(report: &Value) -> Option<Self> {
        let summary = report.get("summary")?.as_object()?;
        let count = |key: &str| summary.get(key).and_then(Value::as_u64);
        let sum = |keys: &[&str]| keys.iter().filter_map(|key| count(key)).sum();
        Some(Self {
            passed: count("pass")?,
            failed: count("fail")? + sum(&["error"]),
            skipped: sum(&["skip", "moot", "known", "vacuous"]),
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Tally;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally { passed, failed, skipped }
    }

    #[test]
    fn reads_the_lines_of_libtest() {
        fn check(line: &str, expect: Option<Tally>) {
            assert_eq!(Tally::from_libtest(line), expect, "{line}");
        }
        check(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.05s",
            Some(tally(12, 0, 1)),
        );
        check(
            "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
            Some(tally(7, 2, 0)),
        );
        check("test oci::digest::tests::parses ... ok", None);
        check("running 12 tests", None);
    }

    #[test]
    fn reads_a_report() {
        let report = json!({"summary": {"pass": 9, "fail": 1, "skip": 2, "moot": 3, "known": 4, "error": 5}, "checks": []});
        assert_eq!(Tally::from_report(&report), Some(tally(9, 6, 9)));
        assert_eq!(Tally::from_report(&json!({"summary": {"pass": 1}})), None, "no count of failures");
        assert_eq!(Tally::from_report(&json!({"checks": []})), None);
    }

    #[test]
    fn a_skip_is_never_a_pass() {
        assert_eq!(tally(5, 0, 1).with_skips(2, false), tally(3, 0, 3));
        assert_eq!(tally(5, 0, 1).with_skips(2, true), tally(3, 2, 1));
    }

    #[test]
    fn a_failed_exit_always_counts() {
        assert_eq!(tally(5, 0, 0).with_exit(false), tally(5, 1, 0));
        assert_eq!(tally(5, 2, 0).with_exit(false), tally(5, 2, 0));
        assert_eq!(tally(5, 0, 0).with_exit(true), tally(5, 0, 0));
    }

    #[test]
    fn nothing_run_is_not_green() {
        assert!(!Tally::default().is_green());
        assert!(tally(1, 0, 9).is_green());
        assert!(!tally(9, 1, 0).is_green());
    }

    #[test]
    fn the_last_line_has_its_form() {
        assert_eq!(tally(1, 2, 3).to_string(), "1 passed, 2 failed, 3 skipped");
    }
}
