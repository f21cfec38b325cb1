//! Stands: a target, the addresses that it has as its upstream, and what else it was configured with.
//!
//! A scenario says what it [`Needs`]; a stand that was not configured so is told *moot*, never *passed*.

use std::{fs, io, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name by which a target with an account logs in at its upstream.
pub const ACCOUNT_NAME: &str = "harbour-master";
/// The password to it.
pub const ACCOUNT_PASSWORD: &str = "lighthouse-at-dusk";

/// A target and how it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stand {
    /// The proxy under test, `http://` or `https://`, host and port.
    pub target: String,
    /// The address that the origin listens on: the target's upstream.
    pub origin: String,
    /// A second address of the origin: the target's next url of the same upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Whether the target has [`ACCOUNT_NAME`] and [`ACCOUNT_PASSWORD`] for the origin.
    #[serde(default)]
    pub account: bool,
    /// Whether the target has the same account for an origin that wants it with every request, without tokens.
    #[serde(default)]
    pub basic_account: bool,
    /// Whether the target takes pushes from everybody.
    #[serde(default)]
    pub push: bool,
    /// The target's schedule of retries, where it has one that is exact and no breaker in its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// When the target leaves a failing upstream alone, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
}

/// How often and when a target repeats an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// The most repetitions.
    pub max: u32,
    /// The milliseconds before each.
    pub delay_ms: u64,
}

/// After how many failures a target asks its upstream no more, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Failures in a row.
    pub failures: u32,
    /// The milliseconds until one request tries.
    pub delay_ms: u64,
}

/// What a scenario needs of a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Needs {
    /// An account at the upstream.
    #[serde(skip_serializing_if = "is_false")]
    pub account: bool,
    /// An account at an upstream that knows no tokens.
    #[serde(skip_serializing_if = "is_false")]
    pub basic_account: bool,
    /// Two urls of one upstream.
    #[serde(skip_serializing_if = "is_false")]
    pub mirror: bool,
    /// Pushes.
    #[serde(skip_serializing_if = "is_false")]
    pub push: bool,
    /// An exact schedule of retries.
    #[serde(skip_serializing_if = "is_false")]
    pub retries: bool,
    /// A breaker.
    #[serde(skip_serializing_if = "is_false")]
    pub breaker: bool,
}

/// Says why there are no stands.
#[derive(Debug, Error)]
pub enum StandError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no list of stands.
    #[error("{path} is no list of stands")]
    Parse {
        /// The file.
        path: String,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The list is empty.
    #[error("{0} names no stand")]
    Empty(String),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "The serializer hands over a reference.")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Retries {
    /// Returns the time before each repetition.
    #[must_use]
    pub fn delay(self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }
}

impl Stand {
    /// Makes a stand of which nothing more is known.
    #[must_use]
    pub fn plain(target: impl Into<String>, origin: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            origin: origin.into(),
            mirror: None,
            account: false,
            basic_account: false,
            push: false,
            retries: None,
            breaker: None,
        }
    }

    /// Reads a list of stands.
    ///
    /// *Errors*: [`StandError`], whose variants say when.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, StandError> {
        let name = path.display().to_string();
        let text =
            fs::read_to_string(path).map_err(|source| StandError::Read { path: name.clone(), source })?;
        let stands: Vec<Self> =
            serde_json::from_str(&text).map_err(|source| StandError::Parse { path: name.clone(), source })?;
        if stands.is_empty() { Err(StandError::Empty(name)) } else { Ok(stands) }
    }

    /// Returns what this stand lacks, in words; empty when it has all that is needed.
    #[must_use]
    pub fn lacks(&self, needs: Needs) -> Vec<&'static str> {
        [
            (needs.account && !self.account, "an account at its upstream"),
            (needs.basic_account && !self.basic_account, "an account at an upstream without tokens"),
            (needs.mirror && self.mirror.is_none(), "a second url of its upstream"),
            (needs.push && !self.push, "pushes"),
            (needs.retries && self.retries.is_none(), "a known schedule of retries"),
            (needs.breaker && self.breaker.is_none(), "a known breaker"),
        ]
        .into_iter()
        .filter_map(|(lacks, what)| lacks.then_some(what))
        .collect()
    }

    /// Returns how many things, that change how it behaves, this stand has beyond what is needed. A
    /// scenario runs on the plainest stands that have what it needs.
    #[must_use]
    pub fn excess(&self, needs: Needs) -> usize {
        let beyond = [
            self.account && !needs.account,
            self.basic_account && !needs.basic_account,
            self.mirror.is_some() && !needs.mirror,
            self.breaker.is_some() && !needs.breaker,
        ];
        beyond.into_iter().filter(|it| *it).count()
    }

    /// Returns the arguments of `sim run` that describe this stand.
    #[must_use]
    pub fn arguments(&self) -> String {
        let mut text = format!("--target {} --listen {}", self.target, self.origin);
        if let Some(mirror) = &self.mirror {
            text.push_str(&format!(" --mirror {mirror}"));
        }
        if self.account {
            text.push_str(" --has-account");
        }
        if self.basic_account {
            text.push_str(" --has-basic-account");
        }
        if self.push {
            text.push_str(" --has-push");
        }
        if let Some(Retries { max, delay_ms }) = self.retries {
            text.push_str(&format!(" --retries {max} --retry-delay-ms {delay_ms}"));
        }
        if let Some(Breaker { failures, delay_ms }) = self.breaker {
            text.push_str(&format!(" --breaker-failures {failures} --breaker-delay-ms {delay_ms}"));
        }
        text
    }
}

/// Chooses, for each of some needs, the stands that are to serve it: the plainest that have everything.
#[must_use]
pub fn eligible(stands: &[&Stand], needs: Needs) -> Vec<usize> {
    let able = || stands.iter().enumerate().filter(|(_, it)| it.lacks(needs).is_empty());
    let least = able().map(|(_, it)| it.excess(needs)).min();
    able().filter(|(_, it)| Some(it.excess(needs)) == least).map(|(number, _)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plainest_stand_that_has_everything_is_chosen() {
        let plain = Stand::plain("http://a", "127.0.0.1:1");
        let account = Stand { account: true, ..plain.clone() };
        let mirror = Stand { mirror: Some("127.0.0.1:2".into()), ..plain.clone() };
        let stands = [&plain, &account, &mirror, &plain];
        let check =
            |needs: Needs, expect: &[usize]| assert_eq!(eligible(&stands, needs), expect, "{needs:?}");
        check(Needs::default(), &[0, 3]);
        check(Needs { account: true, ..Needs::default() }, &[1]);
        check(Needs { mirror: true, ..Needs::default() }, &[2]);
        check(Needs { mirror: true, account: true, ..Needs::default() }, &[]);
        check(Needs { push: true, ..Needs::default() }, &[]);
        assert_eq!(eligible(&[&mirror], Needs::default()), [0], "the only one has to do");
    }

    #[test]
    fn what_lacks_is_said() {
        let needs = Needs { account: true, retries: true, ..Needs::default() };
        let lacks = Stand::plain("http://a", "b").lacks(needs);
        assert_eq!(lacks, ["an account at its upstream", "a known schedule of retries"]);
    }
}
