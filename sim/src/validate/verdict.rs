//! What a validator looks at and what it says.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    bounded, breaker, completes, content, ends, first_byte, freshness, isolation, one_fetch, outage,
    schedule, secrets, statuses,
};
use crate::{
    origin::{Entry, SeededImage},
    scenario::Scenario,
    stand::Stand,
    traffic::Exchange,
};

/// The most findings that one verdict keeps; further ones are counted.
const FINDINGS_MAX: usize = 10;

/// Names a validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validator {
    /// P1.
    Content,
    /// P4.
    OneFetch,
    /// P5.
    FirstByte,
    /// P6: no hammering.
    Bounded,
    /// P6: the schedule of retries.
    Schedule,
    /// P6: the breaker.
    Breaker,
    /// P7.
    Outage,
    /// P8.
    Statuses,
    /// P10.
    Isolation,
    /// P11.
    Secrets,
    /// L3.
    Freshness,
    /// L2.
    Ends,
    /// L1.
    Completes,
}

/// Everything that was seen in a scenario.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What was meant to happen.
    pub scenario: &'a Scenario,
    /// How the target is configured.
    pub stand: &'a Stand,
    /// What the origin held.
    pub images: &'a [SeededImage],
    /// What clients asked the target.
    pub exchanges: &'a [Exchange],
    /// What the target asked the origin.
    pub journal: &'a [Entry],
}

/// What a validator says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Who says it.
    pub validator: Validator,
    /// About which promise.
    pub promise: &'static str,
    /// What it says.
    pub ruling: Ruling,
    /// How many things were looked at.
    pub judged: usize,
    /// How many things were wrong.
    pub wrong: usize,
    /// The first of them.
    pub findings: Vec<Finding>,
}

/// The short form of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// Everything that was looked at was right.
    Pass,
    /// Something was wrong.
    Fail,
    /// There was nothing to look at: the promise was not put to the test.
    Vacuous,
    /// The target is not configured for it.
    Moot,
}

/// One thing that was wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What.
    pub text: String,
    /// Where it showed.
    pub exchange: Option<Exchange>,
}

/// A verdict in the making.
#[derive(Debug, Default)]
pub(super) struct Tally {
    judged: usize,
    wrong: usize,
    findings: Vec<Finding>,
}

/// Asks a validator.
#[must_use]
pub fn judge(validator: Validator, evidence: &Evidence<'_>) -> Verdict {
    let tally = match validator {
        Validator::Content => content::judge(evidence),
        Validator::OneFetch => one_fetch::judge(evidence),
        Validator::FirstByte => first_byte::judge(evidence),
        Validator::Bounded => bounded::judge(evidence),
        Validator::Schedule => schedule::judge(evidence),
        Validator::Breaker => breaker::judge(evidence),
        Validator::Outage => outage::judge(evidence),
        Validator::Statuses => statuses::judge(evidence),
        Validator::Isolation => isolation::judge(evidence),
        Validator::Secrets => secrets::judge(evidence),
        Validator::Freshness => freshness::judge(evidence),
        Validator::Ends => ends::judge(evidence),
        Validator::Completes => completes::judge(evidence),
    };
    ruled(validator, tally)
}

/// Makes a verdict of what was counted.
pub(super) fn ruled(validator: Validator, tally: Tally) -> Verdict {
    let ruling = match (tally.judged, tally.wrong) {
        (0, _) => Ruling::Vacuous,
        (_, 0) => Ruling::Pass,
        _ => Ruling::Fail,
    };
    let Tally { judged, wrong, findings } = tally;
    Verdict { validator, promise: validator.promise(), ruling, judged, wrong, findings }
}

impl Verdict {
    /// Returns the verdict on a target that is not configured for the scenario.
    #[must_use]
    pub fn moot(validator: Validator) -> Self {
        Self { ruling: Ruling::Moot, ..ruled(validator, Tally::default()) }
    }
}

impl Validator {
    /// All of them, in the order of their promises.
    pub const ALL: [Self; 13] = [
        Self::Content,
        Self::OneFetch,
        Self::FirstByte,
        Self::Bounded,
        Self::Schedule,
        Self::Breaker,
        Self::Outage,
        Self::Statuses,
        Self::Isolation,
        Self::Secrets,
        Self::Completes,
        Self::Ends,
        Self::Freshness,
    ];

    /// Returns the promise that this validator tests.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Self::Content => "P1 bytes",
            Self::OneFetch => "P4 one fetch",
            Self::FirstByte => "P5 first byte",
            Self::Bounded => "P6 no hammering",
            Self::Schedule => "P6 exact retries",
            Self::Breaker => "P6 a failing upstream rests",
            Self::Outage => "P7 upstream down is not down",
            Self::Statuses => "P8 honest errors",
            Self::Isolation => "P10 isolation",
            Self::Secrets => "P11 secrets",
            Self::Freshness => "L3 moved tags show",
            Self::Ends => "L2 requests end",
            Self::Completes => "L1 pulls complete",
        }
    }
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Content => "content",
            Self::OneFetch => "one_fetch",
            Self::FirstByte => "first_byte",
            Self::Bounded => "bounded",
            Self::Schedule => "schedule",
            Self::Breaker => "breaker",
            Self::Outage => "outage",
            Self::Statuses => "statuses",
            Self::Isolation => "isolation",
            Self::Secrets => "secrets",
            Self::Freshness => "freshness",
            Self::Ends => "ends",
            Self::Completes => "completes",
        })
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Vacuous => "vacuous",
            Self::Moot => "moot",
        })
    }
}

impl Tally {
    /// Counts a thing that was looked at.
    pub(super) fn look(&mut self) {
        self.judged += 1;
    }

    /// Counts a thing that was wrong.
    pub(super) fn wrong(&mut self, text: String, exchange: Option<&Exchange>) {
        self.wrong += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { text, exchange: exchange.cloned() });
        }
    }
}
