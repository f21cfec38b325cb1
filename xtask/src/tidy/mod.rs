//! `cargo xtask tidy`: checks that lints cannot make. Each check is a pure function over the texts of
//! the checkout; each fault names its file and line and says what to do.

mod layers;
mod limits;
mod links;
mod modules;
mod reserved;
mod sizes;
mod source;
mod tree;
mod where_is;
mod words;

use std::fmt;

use anyhow::Result;

use crate::cargo::Workspace;
use crate::tally::Tally;
use tree::Tree;

/// Something to mend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    /// Relative to the checkout, with `/`.
    file: String,
    /// Counted from 1.
    line: usize,
    /// What is wrong, and what to do.
    message: String,
}

impl Fault {
    fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// A check: its name, and what it finds.
type Check = (&'static str, fn(&Tree) -> Vec<Fault>);

/// Every check, in the order of the report.
const CHECKS: &[Check] = &[
    ("layers import only what lies below", layers::check),
    ("what one file alone may do", reserved::check),
    ("files are short", sizes::check),
    ("modules say what they are for", modules::check_headers),
    ("every source file is compiled", modules::check_forgotten),
    ("no leftovers", words::check),
    ("every limit has a row", limits::check),
    ("documents point at what exists", links::check),
    ("the where-is table is true", where_is::check),
];

/// Runs every check, prints the faults, and counts the checks.
pub(crate) fn run(workspace: &Workspace) -> Result<Tally> {
    let tree = Tree::read(workspace.root())?;
    let mut tally = Tally::default();
    for (name, check) in CHECKS {
        let mut faults = check(&tree);
        faults.sort();
        for fault in &faults {
            println!("{fault}");
        }
        println!("tidy: {name}: {}", if faults.is_empty() { "ok" } else { "FAILED" });
        tally += Tally::of(faults.is_empty());
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn a_fault_names_its_place() {
        assert_eq!(Fault::new("a/b.rs", 7, "mend it").to_string(), "a/b.rs:7: mend it");
    }
}
