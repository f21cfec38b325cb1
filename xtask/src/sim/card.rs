//! What `sim` found about one target, read from its `report.json` and folded: several seeds of a scenario
//! into one row, a family of scenarios into one row with counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Everything about one target.
#[derive(Debug, Default)]
pub(super) struct Card {
    /// What reports call it.
    pub(super) target: String,
    /// The scenarios, in the order in which they were run.
    pub(super) scenarios: Vec<Row>,
}

/// One scenario, or a family of them.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) promises: BTreeMap<String, Count>,
    pub(super) figures: Figures,
    /// For a family, its members: a name and the promises that failed, or what it lacks.
    pub(super) members: Vec<(String, String)>,
    pub(super) is_moot: bool,
}

/// How often a promise was kept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) kept: usize,
    pub(super) broken: usize,
    pub(super) vacuous: usize,
    pub(super) moot: usize,
}

/// Figures of a row: the worst of its members, and sums of what can be summed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) upstream_bytes: u64,
    pub(super) blob_bytes: u64,
    pub(super) first_byte_ms: Option<u64>,
    pub(super) wait_ms: u64,
    pub(super) statuses: BTreeMap<String, u64>,
    pub(super) cells: Option<(u64, u64)>,
}

#[derive(Debug, Deserialize)]
struct Report {
    target: String,
    results: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    scenario: String,
    verdicts: Vec<Verdict>,
    stuck: Option<String>,
    moot: Option<String>,
    figures: RawFigures,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    promise: String,
    ruling: String,
}

#[derive(Debug, Default, Deserialize)]
struct RawFigures {
    upstream_bytes: u64,
    blob_bytes: u64,
    first_byte_ms: Option<u64>,
    wait_ms: u64,
    statuses: BTreeMap<String, u64>,
    cells: Option<Cells>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Cells {
    hit: u64,
    all: u64,
}

impl Card {
    /// Reads a report.
    ///
    /// *Errors*: the file cannot be read, or is no report.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("understanding {}", file.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let Report { target, results } = serde_json::from_str(text)?;
        let mut card = Self { target, scenarios: Vec::new() };
        for outcome in results {
            let (family, member) = match outcome.scenario.split_once('/') {
                Some((family, member)) => (family.to_owned(), Some(member.to_owned())),
                None => (outcome.scenario.clone(), None),
            };
            let row = match card.scenarios.iter_mut().position(|it| it.name == family) {
                Some(row) => &mut card.scenarios[row],
                None => {
                    card.scenarios.push(Row { name: family, is_moot: true, ..Row::default() });
                    card.scenarios.last_mut().expect("one was pushed just now")
                }
            };
            row.add(&outcome, member);
        }
        Ok(card)
    }

    /// Returns how often each promise was kept, over all scenarios.
    pub(super) fn promises(&self) -> BTreeMap<String, Count> {
        let mut all: BTreeMap<String, Count> = BTreeMap::new();
        for (promise, count) in self.scenarios.iter().flat_map(|it| &it.promises) {
            all.entry(promise.clone()).or_default().add(*count);
        }
        all
    }

    /// Returns the row of a scenario.
    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.scenarios.iter().find(|it| it.name == name)
    }
}

impl Row {
    fn add(&mut self, outcome: &Outcome, member: Option<String>) {
        let mut broken = Vec::new();
        for Verdict { promise, ruling } in &outcome.verdicts {
            let count = self.promises.entry(promise.clone()).or_default();
            count.add(Count::of(ruling));
            if ruling == "fail" {
                broken.push(short(promise).to_owned());
            }
        }
        if outcome.moot.is_none() {
            self.is_moot = false;
            let recovery = self.promises.entry("L1 recovery".to_owned()).or_default();
            recovery.add(Count::of(if outcome.stuck.is_some() { "fail" } else { "pass" }));
        }
        if outcome.stuck.is_some() {
            broken.push("no recovery".to_owned());
        }
        self.figures.add(&outcome.figures);
        if let Some(member) = member {
            let said = match &outcome.moot {
                Some(_) => "moot".to_owned(),
                None if broken.is_empty() => "pass".to_owned(),
                None => format!("FAIL {}", broken.join(", ")),
            };
            self.members.push((member, said));
        }
    }
}

impl Count {
    fn of(ruling: &str) -> Self {
        let mut count = Self::default();
        match ruling {
            "pass" => count.kept = 1,
            "fail" => count.broken = 1,
            "moot" => count.moot = 1,
            _ => count.vacuous = 1,
        }
        count
    }

    fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.broken += other.broken;
        self.vacuous += other.vacuous;
        self.moot += other.moot;
    }

    /// Returns what a cell says: a word for one verdict, counts for several.
    pub(super) fn said(self) -> String {
        let Self { kept, broken, vacuous, moot } = self;
        match (kept + broken, kept + broken + vacuous + moot) {
            (0, _) if vacuous > 0 => "vacuous".to_owned(),
            (0, _) => "moot".to_owned(),
            (_, 1) if broken == 0 => "pass".to_owned(),
            (_, 1) => "**FAIL**".to_owned(),
            (judged, _) if broken == 0 => format!("pass {kept} of {judged}"),
            (judged, _) => format!("**FAIL** {kept} of {judged}"),
        }
    }
}

impl Figures {
    fn add(&mut self, raw: &RawFigures) {
        self.upstream_bytes += raw.upstream_bytes;
        self.blob_bytes += raw.blob_bytes;
        self.first_byte_ms = self.first_byte_ms.max(raw.first_byte_ms);
        self.wait_ms = self.wait_ms.max(raw.wait_ms);
        for (status, count) in &raw.statuses {
            *self.statuses.entry(status.clone()).or_default() += count;
        }
        if let Some(Cells { hit, all }) = raw.cells {
            let (so_far_hit, so_far_all) = self.cells.unwrap_or_default();
            self.cells = Some((so_far_hit + hit, so_far_all + all));
        }
    }

    /// Returns the figures in words: bytes, first byte, worst wait, statuses.
    pub(super) fn said(&self) -> [String; 4] {
        let Self { upstream_bytes, blob_bytes, first_byte_ms, wait_ms, statuses, .. } = self;
        #[expect(clippy::cast_precision_loss, reason = "A ratio is shown with two decimals.")]
        let ratio = (*blob_bytes > 0).then(|| *upstream_bytes as f64 / *blob_bytes as f64);
        let statuses: Vec<_> = statuses.iter().map(|(status, count)| format!("{count}×{status}")).collect();
        [
            ratio.map_or_else(|| "–".to_owned(), |it| format!("{it:.2}")),
            first_byte_ms.map_or_else(|| "–".to_owned(), |it| format!("{it} ms")),
            format!("{wait_ms} ms"),
            statuses.join(" "),
        ]
    }
}

/// Returns the promise's number.
fn short(promise: &str) -> &str {
    promise.split(' ').next().unwrap_or(promise)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Card, Count};

    fn outcome(scenario: &str, ruling: &str, stuck: Option<&str>) -> serde_json::Value {
        let moot = (ruling == "moot").then_some("pushes");
        json!({
            "scenario": scenario, "stuck": stuck, "moot": moot,
            "verdicts": [{"promise": "P1 bytes", "ruling": ruling}],
            "figures": {"upstream_bytes": 150, "blob_bytes": 100, "first_byte_ms": 7, "wait_ms": 9,
                        "statuses": {"200": 2}, "cells": {"hit": 3, "all": 4}},
        })
    }

    #[test]
    fn families_and_seeds_are_folded() {
        let results = [
            outcome("honest", "pass", None),
            outcome("honest", "fail", None),
            outcome("matrix/a", "pass", None),
            outcome("matrix/b", "fail", Some("502")),
            outcome("pushes", "moot", None),
        ];
        let report = json!({"target": "t", "results": results}).to_string();
        let card = Card::parse(&report).unwrap();
        let names: Vec<_> = card.scenarios.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["honest", "matrix", "pushes"]);
        assert_eq!(card.row("honest").unwrap().promises["P1 bytes"].said(), "**FAIL** 1 of 2");
        let matrix = card.row("matrix").unwrap();
        assert_eq!(matrix.members[1], ("b".to_owned(), "FAIL P1, no recovery".to_owned()));
        assert_eq!(matrix.figures.cells, Some((6, 8)));
        assert_eq!(matrix.figures.said(), ["1.50", "7 ms", "9 ms", "4×200"].map(str::to_owned));
        assert!(card.row("pushes").unwrap().is_moot);
        assert_eq!(card.promises()["P1 bytes"], Count { kept: 2, broken: 2, vacuous: 0, moot: 1 });
    }
}
