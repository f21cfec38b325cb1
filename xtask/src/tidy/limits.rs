//! Limits that no key sets: each constant of the registry whose name ends in `_MAX` has a row in
//! `docs/limits.md`, and each row names a constant.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::Fault;
use super::source::regex;
use super::tree::Tree;

const DOCUMENT: &str = "docs/limits.md";
const SOURCES: &str = "registry/src/";

static LIMIT: LazyLock<Regex> = LazyLock::new(|| regex(r"\bconst ([A-Z][A-Z0-9_]*_MAX)\b"));
static ROW: LazyLock<Regex> = LazyLock::new(|| regex(r"^\| `([A-Z][A-Z0-9_]*_MAX)` \| `([^`]+)` \|"));

/// Finds limits without a row, and rows without a limit.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let text = tree.document(DOCUMENT).unwrap_or_default();
    let rows = text.lines().enumerate().filter_map(|(index, line)| {
        let found = ROW.captures(line)?;
        Some((found[1].to_owned(), found[2].to_owned(), index + 1))
    });
    let rows: Vec<(String, String, usize)> = rows.collect();
    let known: BTreeSet<(&str, &str)> =
        rows.iter().map(|(name, file, _)| (name.as_str(), file.as_str())).collect();
    let (mut faults, mut found) = (Vec::new(), BTreeSet::new());
    for (path, source) in tree.sources().filter(|(path, _)| path.starts_with(SOURCES) && !tree.is_test(path))
    {
        for limit in LIMIT.captures_iter(source.code()) {
            let offset = limit.get(0).expect("group 0 is the match").start();
            if source.is_test(offset) {
                continue;
            }
            let name = limit[1].to_owned();
            if !known.contains(&(name.as_str(), path)) {
                let message =
                    format!("`{name}` has no row in {DOCUMENT}; say there what happens at the limit");
                faults.push(Fault::new(path, source.line(offset), message));
            }
            found.insert((name, path.to_owned()));
        }
    }
    let stale = rows.into_iter().filter(|(name, file, _)| !found.contains(&(name.clone(), file.clone())));
    faults.extend(stale.map(|(name, file, line)| {
        Fault::new(DOCUMENT, line, format!("{file} has no limit `{name}`; remove the row"))
    }));
    faults
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    const LIB: (&str, &str) = ("registry/src/lib.rs", "//! A.\nconst WAIT_MAX: u8 = 1;\n");

    #[test]
    fn a_limit_without_a_row_is_found() {
        let faults = check(&Tree::of(&[LIB, ("docs/limits.md", "| limit | where | at it |\n")]));
        assert_eq!((faults.len(), faults[0].file.as_str(), faults[0].line), (1, LIB.0, 2));
    }

    #[test]
    fn a_row_without_a_limit_is_found() {
        let rows = "| `WAIT_MAX` | `registry/src/lib.rs` | x |\n| `GONE_MAX` | `registry/src/lib.rs` | x |\n";
        let faults = check(&Tree::of(&[LIB, ("docs/limits.md", rows)]));
        assert_eq!((faults.len(), faults[0].line), (1, 2));
    }
}
