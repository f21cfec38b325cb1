//! The table of results in README.md: written by `UPDATE_DOCS=1`, else compared, so that it stays true.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::merge::{LEVELS, Merged};
use crate::cargo::Workspace;
use crate::tally::Tally;

const BEGIN: &str = "<!-- conformance -->\n";
const END: &str = "<!-- /conformance -->";

/// Compares the table with what was seen, or writes it.
///
/// *Errors*: README.md cannot be read or written, or has no place for the table.
pub(super) fn check(workspace: &Workspace, results: &[(&str, Merged)]) -> Result<Tally> {
    let file = workspace.root().join("README.md");
    let page = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let fresh = replaced(&page, &render(results)).context("README.md has no place for the table")?;
    if fresh == page {
        return Ok(Tally::PASSED);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, fresh).with_context(|| format!("writing {}", file.display()))?;
        return Ok(Tally::PASSED);
    }
    println!("the table in README.md is out of date: UPDATE_DOCS=1 cargo xtask conformance --peer");
    println!("{}", render(results));
    Ok(Tally::FAILED)
}

/// Renders a row a level: how many checks passed of those that judged the target.
fn render(results: &[(&str, Merged)]) -> String {
    let names: Vec<&str> = results.iter().map(|(name, _)| *name).collect();
    let mut table = format!("| level | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for level in LEVELS {
        let cell = |(_, merged): &(&str, Merged)| merged.passed_of(level);
        let cells = results.iter().map(cell).map(|(passed, judged)| format!("{passed} of {judged}"));
        let _ = writeln!(table, "| {level} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    table
}

/// Puts the table between its marks.
fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Merged, render, replaced};

    #[test]
    fn rows_tell_what_was_judged() {
        let check =
            |id: &str, outcome: &str| json!({"id": id, "level": "must", "outcome": outcome, "message": ""});
        let mut merged = Merged::default();
        let report = json!({"checks": [check("T-1", "pass"), check("T-2", "known"), check("T-3", "skip")]});
        merged.add("one", &report).unwrap();
        let table = render(&[("x", merged)]);
        assert!(
            table.starts_with("| level | x |\n|---|---|\n| must | 1 of 2 |\n| should | 0 of 0 |\n"),
            "{table}"
        );
    }

    #[test]
    fn only_the_table_is_replaced() {
        let page = "a\n<!-- conformance -->\nold\n<!-- /conformance -->\nb\n";
        let expect = "a\n<!-- conformance -->\nnew\n<!-- /conformance -->\nb\n";
        assert_eq!(replaced(page, "new\n").as_deref(), Some(expect));
        assert_eq!(replaced("no marks", "new\n"), None);
    }
}
