//! How many checks came to what, a level at a time, and the sentence that sums a run up.

use crate::check::{Level, Outcome};
use crate::report::Report;

/// The outcomes of the checks of one level.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// The level.
    pub(super) level: Level,
    counts: [usize; Outcome::ALL.len()],
}

impl Tally {
    /// Counts a report, a level at a time; levels without checks are left out.
    pub(super) fn of(report: &Report) -> Vec<Self> {
        let tally = |level| {
            let count = |outcome| {
                let counted = |check: &&_| is(check, level, outcome);
                report.checks.iter().filter(counted).count()
            };
            Self { level, counts: Outcome::ALL.map(count) }
        };
        Level::ALL
            .map(tally)
            .into_iter()
            .filter(|tally| tally.counts.iter().any(|count| *count > 0))
            .collect()
    }

    /// Returns how many checks have this outcome.
    pub(super) fn count(&self, outcome: Outcome) -> usize {
        let named = Outcome::ALL.into_iter().zip(self.counts);
        named.filter(|(other, _)| *other == outcome).map(|(_, count)| count).sum()
    }

    /// Returns how many checks passed.
    pub(super) fn passed(&self) -> usize {
        self.count(Outcome::Pass)
    }

    /// Returns how many checks came to a verdict, or should have.
    pub(super) fn judged(&self) -> usize {
        self.passed() + self.not_passed()
    }

    /// Returns how many checks were judged and did not pass, known or not.
    fn not_passed(&self) -> usize {
        [Outcome::Fail, Outcome::Known, Outcome::Error].map(|outcome| self.count(outcome)).iter().sum()
    }
}

fn is(check: &super::CheckResult, level: Level, outcome: Outcome) -> bool {
    check.level == level && check.outcome == outcome
}

/// What a run says about its target as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Every MUST that was judged is kept.
    Conforms,
    /// A MUST is not kept.
    Fails,
    /// Too little was judged to say either.
    Open,
}

/// The standing of a target, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Which it is.
    pub(super) standing: Standing,
    /// A few words for a headline.
    pub(super) headline: &'static str,
    /// What the headline rests on.
    pub(super) detail: String,
}

impl Verdict {
    /// Judges a report.
    pub(super) fn of(report: &Report) -> Self {
        let tallies = Tally::of(report);
        let must = tallies.iter().find(|tally| tally.level == Level::Must);
        let count = |outcome| must.map_or(0, |tally| tally.count(outcome));
        let (passed, judged) = must.map_or((0, 0), |tally| (tally.passed(), tally.judged()));
        let broken = count(Outcome::Fail) + count(Outcome::Known);
        let unsettled = count(Outcome::Error) + count(Outcome::Moot);
        let (standing, headline, first) = if broken > 0 {
            let text = format!("{broken} of {judged} judged MUST checks failed.");
            (Standing::Fails, "Does not conform", text)
        } else if unsettled > 0 {
            let text = format!("{unsettled} MUST checks could not be judged; {passed} passed.");
            (Standing::Open, "Not settled", text)
        } else if passed == 0 {
            (Standing::Open, "Not settled", "No MUST check was judged.".to_owned())
        } else {
            (Standing::Conforms, "Conforms", format!("All {passed} judged MUST checks passed."))
        };
        let mut detail = first;
        let weaker = tallies.iter().filter(|tally| tally.level != Level::Must && tally.not_passed() > 0);
        let weaker: Vec<String> = weaker
            .map(|t| format!("{} of {} {}", t.not_passed(), t.judged(), t.level.name().to_uppercase()))
            .collect();
        if !weaker.is_empty() {
            detail.push_str(&format!(" Not passed of the other levels: {}.", weaker.join(", ")));
        }
        if report.count(Outcome::Known) > 0 {
            let red = report.failures().len();
            let text = match red {
                0 => " Every failure is listed as known.".to_owned(),
                1 => " 1 result is not listed as known.".to_owned(),
                red => format!(" {red} results are not listed as known."),
            };
            detail.push_str(&text);
        }
        Self { standing, headline, detail }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::CheckResult;

    fn report(results: &[(Level, Outcome)]) -> Report {
        let check = |(level, outcome): &(Level, Outcome)| CheckResult {
            id: "T-901".to_owned(),
            clause: "a: b".to_owned(),
            level: *level,
            outcome: *outcome,
            message: String::new(),
            elapsed: Duration::ZERO,
            exchanges: Vec::new(),
        };
        Report {
            target: "http://h".to_owned(),
            seed: 1,
            checks: results.iter().map(check).collect(),
            observations: Vec::new(),
        }
    }

    #[test]
    fn verdicts_follow_the_musts() {
        use Level::{Must, Observe, Should};
        use Outcome::{Error, Fail, Known, Moot, Pass, Skip};
        let check = |results: &[(Level, Outcome)], standing: Standing, detail: &str| {
            let verdict = Verdict::of(&report(results));
            assert_eq!((verdict.standing, verdict.detail.as_str()), (standing, detail), "{results:?}");
        };
        check(&[(Must, Pass), (Must, Skip)], Standing::Conforms, "All 1 judged MUST checks passed.");
        check(&[(Must, Pass), (Should, Fail), (Should, Pass)], Standing::Conforms, {
            "All 1 judged MUST checks passed. Not passed of the other levels: 1 of 2 SHOULD."
        });
        check(&[(Must, Pass), (Must, Fail)], Standing::Fails, "1 of 2 judged MUST checks failed.");
        check(&[(Must, Known), (Must, Error)], Standing::Fails, {
            "1 of 2 judged MUST checks failed. 1 result is not listed as known."
        });
        check(&[(Must, Known)], Standing::Fails, {
            "1 of 1 judged MUST checks failed. Every failure is listed as known."
        });
        check(&[(Must, Pass), (Must, Moot)], Standing::Open, {
            "1 MUST checks could not be judged; 1 passed."
        });
        check(&[(Must, Skip), (Observe, Pass)], Standing::Open, "No MUST check was judged.");
        check(&[], Standing::Open, "No MUST check was judged.");
    }

    #[test]
    fn levels_without_checks_are_left_out() {
        let tallies = Tally::of(&report(&[(Level::May, Outcome::Skip), (Level::Must, Outcome::Known)]));
        let shown: Vec<_> = tallies.iter().map(|t| (t.level, t.passed(), t.judged())).collect();
        assert_eq!(shown, [(Level::Must, 0, 1), (Level::May, 0, 0)]);
    }
}
