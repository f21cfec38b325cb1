//! Several targets side by side, as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::card::{Card, Row};

/// What the counts of a family's members say.
pub(super) const MET: &str = "Questions that a fault really met; what is cached under its digest needs no \
                              upstream, and none meets it";

/// Renders the scorecard.
pub(super) fn markdown(cards: &[Card]) -> String {
    let names: Vec<&str> = cards.iter().map(|it| it.target.as_str()).collect();
    let mut text = format!("# Behind a flaky upstream: {}\n\n", names.join(" and "));
    text.push_str("## Promises\n\nHow many scenarios kept it, of those that put it to the test.\n\n");
    table(&mut text, &["promise"], &names, promises(cards));
    text.push_str("\n## Scenarios\n\n");
    table(&mut text, &["scenario", "promise"], &names, scenarios(cards));
    text.push_str(
        "\n## Figures\n\nUpstream bytes for each byte of a blob that was needed; the longest wait for the first byte \
         of a cold blob; the longest wait of all; what clients saw. Scenarios run side by side, so waits are those \
         of a busy machine, and ours is a build for development.\n\n",
    );
    table(&mut text, &["scenario", "figure"], &names, figures(cards));
    for family in members(cards) {
        let Members { name, cells, rows } = family;
        let _ = write!(text, "\n## {name}, fault by fault\n\n{MET}: {cells}.\n\n");
        table(&mut text, &["fault"], &names, rows);
    }
    text
}

/// A family of scenarios, and what became of each.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) name: String,
    pub(super) cells: String,
    pub(super) rows: Vec<Vec<String>>,
}

/// Returns a row a promise.
pub(super) fn promises(cards: &[Card]) -> Vec<Vec<String>> {
    let counted: Vec<_> = cards.iter().map(Card::promises).collect();
    let names: BTreeSet<&String> = counted.iter().flat_map(|it| it.keys()).collect();
    let mut names: Vec<&String> = names.into_iter().collect();
    names.sort_by_key(|it| order(it));
    let cell = |promise: &str, number: usize| counted[number].get(promise).map(|it| it.said());
    names.into_iter().map(|it| row(vec![it.clone()], cards.len(), |number| cell(it, number))).collect()
}

/// Returns a row a scenario and promise.
pub(super) fn scenarios(cards: &[Card]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for name in scenario_names(cards) {
        let found: Vec<Option<&Row>> = cards.iter().map(|it| it.row(name)).collect();
        let promises: BTreeSet<&String> = found.iter().flatten().flat_map(|it| it.promises.keys()).collect();
        let mut promises: Vec<&String> = promises.into_iter().collect();
        promises.sort_by_key(|it| order(it));
        for promise in promises {
            let cell = |number: usize| found[number].map(|it| cell_of(it, promise));
            rows.push(row(vec![name.to_owned(), promise.clone()], cards.len(), cell));
        }
    }
    rows
}

/// Returns four rows a scenario: bytes, first byte, worst wait, statuses.
pub(super) fn figures(cards: &[Card]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for name in scenario_names(cards) {
        let said: Vec<Option<[String; 4]>> = cards
            .iter()
            .map(|it| it.row(name).filter(|it| !it.is_moot).map(|it| it.figures.said()))
            .collect();
        for (which, label) in ["bytes", "first byte", "worst wait", "statuses"].into_iter().enumerate() {
            let cell = |number: usize| said[number].as_ref().map(|it| it[which].clone());
            rows.push(row(vec![name.to_owned(), label.to_owned()], cards.len(), cell));
        }
    }
    rows
}

/// Returns the families with their members.
pub(super) fn members(cards: &[Card]) -> Vec<Members> {
    let of = |name: &str| {
        let found: Vec<Option<&Row>> = cards.iter().map(|it| it.row(name)).collect();
        let first = found.iter().flatten().next()?;
        if first.members.is_empty() {
            return None;
        }
        let cells: Vec<_> = cards
            .iter()
            .zip(&found)
            .filter_map(|(card, row)| {
                let (hit, all) = (*row)?.figures.cells?;
                Some(format!("{hit} of {all} through {}", card.target))
            })
            .collect();
        let said = |member: &str, number: usize| {
            let members = &found[number]?.members;
            members.iter().find(|(name, _)| name == member).map(|(_, said)| said.clone())
        };
        let rows = first
            .members
            .iter()
            .map(|(member, _)| row(vec![member.clone()], cards.len(), |number| said(member, number)));
        Some(Members { name: name.to_owned(), cells: cells.join(", "), rows: rows.collect() })
    };
    scenario_names(cards).into_iter().filter_map(of).collect()
}

fn scenario_names(cards: &[Card]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in cards.iter().flat_map(|it| &it.scenarios).map(|it| it.name.as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn cell_of(row: &Row, promise: &str) -> String {
    row.promises.get(promise).map_or_else(|| "moot".to_owned(), |it| it.said())
}

/// Orders P1, P4, P10 by their numbers, and L1 after them.
fn order(promise: &str) -> (char, u32, String) {
    let letter = promise.chars().next().unwrap_or(' ');
    let digits: String = promise.chars().skip(1).take_while(char::is_ascii_digit).collect();
    // P stands before L: what is promised comes before what just has to be so.
    let letter = if letter == 'P' { 'A' } else { letter };
    (letter, digits.parse().unwrap_or(0), promise.to_owned())
}

fn row(head: Vec<String>, columns: usize, cell: impl Fn(usize) -> Option<String>) -> Vec<String> {
    let cells = (0..columns).map(|number| cell(number).unwrap_or_else(|| "–".to_owned()));
    head.into_iter().chain(cells).collect()
}

fn table(text: &mut String, head: &[&str], names: &[&str], rows: Vec<Vec<String>>) {
    let head: Vec<&str> = head.iter().chain(names).copied().collect();
    let _ = writeln!(text, "| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MET, markdown, order};
    use crate::sim::card::Card;

    #[test]
    fn promises_are_ordered_by_number() {
        let mut promises = ["L1 x", "P10 x", "P4 x", "P1 x"];
        promises.sort_by_key(|it| order(it));
        assert_eq!(promises, ["P1 x", "P4 x", "P10 x", "L1 x"]);
    }

    #[test]
    fn targets_stand_side_by_side() {
        let card = |target: &str, ruling: &str| {
            let figures = json!({"upstream_bytes": 2, "blob_bytes": 1, "first_byte_ms": null, "wait_ms": 5,
                                 "statuses": {"200": 1}, "cells": {"hit": 1, "all": 2}});
            let result = |scenario: &str| {
                json!({"scenario": scenario, "stuck": null, "moot": null, "figures": figures,
                       "verdicts": [{"promise": "P1 bytes", "ruling": ruling}]})
            };
            let report = json!({"target": target, "results": [result("honest"), result("matrix/html")]});
            Card::parse(&report.to_string()).unwrap()
        };
        let text = markdown(&[card("ours", "pass"), card("theirs", "fail")]);
        for line in [
            "| promise | ours | theirs |",
            "| P1 bytes | pass 2 of 2 | **FAIL** 0 of 2 |",
            "| honest | P1 bytes | pass | **FAIL** |",
            "| honest | bytes | 2.00 | 2.00 |",
            "| html | pass | FAIL P1 |",
            &format!("{MET}: 1 of 2 through ours, 1 of 2 through theirs."),
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}
