//! What the tests of the official suite look at, in the ids of our checks: `table.txt`, read.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use regex::Regex;

/// The table of this build.
const TEXT: &str = include_str!("table.txt");

/// Which checks of ours look at what a test of the official suite looks at.
///
/// *Shape*: blocks of rows. The name of a test says what is done, and with what; each block looks at one of
/// the two. In a block the first row that matches counts, and the blocks add up.
#[derive(Debug)]
pub(super) struct Table {
    blocks: Vec<Vec<Row>>,
}

/// A line of the table.
#[derive(Debug)]
struct Row {
    checks: Vec<String>,
    tests: Regex,
}

impl Table {
    /// Reads the table of this build.
    pub(super) fn load() -> Result<Self> {
        Self::parse(TEXT).context("reading the table of the official tests")
    }

    /// Reads a table.
    ///
    /// *Shape*: a line is `CHECKS PATTERN`; the checks stand between commas, `-` is none; in the pattern `*`
    /// is any text. `#` begins a comment, an empty line ends a block.
    fn parse(text: &str) -> Result<Self> {
        let mut blocks = vec![Vec::new()];
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if line.is_empty() {
                blocks.push(Vec::new());
            } else if !line.starts_with('#') {
                let row = Row::parse(line).with_context(|| format!("line {number}: `{line}`"))?;
                blocks.last_mut().expect("there is a first block").push(row);
            }
        }
        Ok(Self { blocks })
    }

    /// Returns the checks that look at what this test looks at: none for a test that only prepares or tidies
    /// up, and `None` for one that the table does not know.
    pub(super) fn checks_of(&self, test: &str) -> Option<BTreeSet<&str>> {
        let rows: Vec<&Row> = self.rows_of(test).collect();
        (!rows.is_empty()).then(|| rows.iter().flat_map(|row| &row.checks).map(String::as_str).collect())
    }

    /// Returns the row of each block that counts for this test.
    fn rows_of(&self, test: &str) -> impl Iterator<Item = &Row> {
        self.blocks.iter().filter_map(move |block| block.iter().find(|row| row.tests.is_match(test)))
    }
}

impl Row {
    fn parse(line: &str) -> Result<Self> {
        let (checks, pattern) = line.split_once(char::is_whitespace).context("no pattern")?;
        let checks: Vec<String> = match checks {
            "-" => Vec::new(),
            checks => checks.split(',').map(str::to_owned).collect(),
        };
        ensure!(checks.iter().all(|check| is_id(check)), "an id is T-nnn or R-nnn, with a letter or without");
        let tests = format!("^{}$", regex::escape(pattern.trim()).replace(r"\*", ".*"));
        Ok(Self { checks, tests: Regex::new(&tests)? })
    }
}

/// Says whether this is the id of a check, such as `T-001a`.
fn is_id(text: &str) -> bool {
    let Some((number, letter)) = text
        .strip_prefix("T-")
        .or_else(|| text.strip_prefix("R-"))
        .and_then(|number| number.split_at_checked(3))
    else {
        return false;
    };
    number.bytes().all(|b| b.is_ascii_digit())
        && letter.len() <= 1
        && letter.bytes().all(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use regex::Regex;

    use super::{Table, is_id};

    /// What the current suite called its tests, against a registry that offers all and one that does not.
    const CURRENT: &str = include_str!("names-current.txt");
    /// What the former suite, that of version 1.1 of the specification, called its tests.
    const FORMER: &str = include_str!("names-former.txt");

    fn names() -> Vec<&'static str> {
        CURRENT.lines().chain(FORMER.lines()).filter(|line| !line.starts_with('#')).collect()
    }

    #[test]
    fn the_first_row_of_a_block_counts_and_the_blocks_add_up() {
        fn check(table: &Table, test: &str, expect: &[&str]) {
            let expect: BTreeSet<&str> = expect.iter().copied().collect();
            assert_eq!(table.checks_of(test), Some(expect), "{test}");
        }
        let table =
            "# what is done\nT-021,T-021a bad */post\nR-047  */post\n\n# with what\nT-027 sha512*\n- setup";
        let table = Table::parse(table).unwrap();
        check(&table, "bad digest/post", &["T-021", "T-021a"]);
        check(&table, "image/post", &["R-047"]);
        check(&table, "sha512 a.b/post", &["R-047", "T-027"]);
        check(&table, "sha512", &["T-027"]);
        check(&table, "setup", &[]);
        assert_eq!(table.checks_of("setups"), None);
        assert_eq!(table.checks_of("image/post/x"), None, "a pattern is for the whole name");
    }

    #[test]
    fn a_bad_line_is_named() {
        fn check(text: &str, expect: &str) {
            let error = format!("{:#}", Table::parse(text).unwrap_err());
            assert!(error.starts_with("line 2: ") && error.contains(expect), "{error}");
        }
        check("# a\nT-001", "no pattern");
        check("# a\nT-1 ping", "an id is");
        check("# a\nT-001, ping", "an id is");
        assert!(is_id("R-047") && is_id("T-001a"));
        assert!(!is_id("T-0001") && !is_id("X-001") && !is_id("T-01é") && !is_id("T-001A"));
    }

    #[test]
    fn every_official_test_is_in_the_table() {
        let table = Table::load().unwrap();
        let names = names();
        assert!(names.len() > 400, "the fixtures hold {} names", names.len());
        let unknown: Vec<_> = names.iter().filter(|name| table.checks_of(name).is_none()).collect();
        assert!(unknown.is_empty(), "add to table.txt: {unknown:#?}");
    }

    #[test]
    fn every_row_is_for_a_test() {
        let table = Table::load().unwrap();
        let names = names();
        let used: BTreeSet<*const super::Row> =
            names.iter().flat_map(|name| table.rows_of(name)).map(std::ptr::from_ref).collect();
        let rows = table.blocks.iter().flatten();
        let idle: Vec<_> = rows.filter(|row| !used.contains(&std::ptr::from_ref(*row))).collect();
        assert!(idle.is_empty(), "these rows of table.txt match no name: {idle:#?}");
    }

    /// The runner depends on no crate of the workspace, so the ids are looked up in the source of the checks.
    #[test]
    fn every_check_of_the_table_is_one_of_ours() {
        let mut ours = BTreeSet::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/src/checks");
        let id = Regex::new(r#""([TR]-[0-9]{3}[a-z]?)""#).unwrap();
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let source = fs::read_to_string(path).unwrap();
                    ours.extend(id.captures_iter(&source).map(|found| found[1].to_owned()));
                }
            }
        }
        assert!(ours.len() > 150, "the checks have {} ids", ours.len());
        let table = Table::load().unwrap();
        let checks = table.blocks.iter().flatten().flat_map(|row| &row.checks);
        let unknown: BTreeSet<_> = checks.filter(|check| !ours.contains(*check)).collect();
        assert!(unknown.is_empty(), "table.txt names checks that ours has not: {unknown:?}");
    }
}
