//! The "where is …" table of ARCHITECTURE.md: long enough to be useful, and true.

use std::sync::LazyLock;

use regex::Regex;

use super::Fault;
use super::links::{as_path, resolves};
use super::source::regex;
use super::tree::{Tree, normal};

const DOCUMENT: &str = "ARCHITECTURE.md";
const ROWS_MIN: usize = 20;

static HEADING: LazyLock<Regex> = LazyLock::new(|| regex(r"^#+.*\b[Ww]here[ -]is\b"));
static TICKED: LazyLock<Regex> = LazyLock::new(|| regex(r"`([^`]+)`"));
static ITEM: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?:fn|struct|enum|trait|const|static|type|mod|macro_rules!) (\w+)"));

/// Finds a table that is missing, short or wrong.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let Some(text) = tree.document(DOCUMENT) else {
        return vec![Fault::new(DOCUMENT, 1, "does not exist; write it, with a table \"where is …\"")];
    };
    let rows = rows(text);
    let mut faults: Vec<Fault> = rows
        .iter()
        .flat_map(|(line, row)| row_faults(tree, row).into_iter().map(|f| Fault::new(DOCUMENT, *line, f)))
        .collect();
    if rows.len() < ROWS_MIN {
        let message = format!(
            "the table under \"where is\" has {} rows, at least {ROWS_MIN}; add what people look for",
            rows.len()
        );
        faults.push(Fault::new(DOCUMENT, 1, message));
    }
    faults
}

/// Returns the rows of the first table below the heading, without its head and rule.
fn rows(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .skip_while(|(_, line)| !HEADING.is_match(line))
        .skip_while(|(_, line)| !line.starts_with('|'))
        .take_while(|(_, line)| line.starts_with('|'))
        .skip(2)
        .collect()
}

fn row_faults(tree: &Tree, row: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut file = None;
    for token in
        TICKED.captures_iter(row).map(|found| found.get(1).expect("the group is not optional").as_str())
    {
        // Every folder counts as a path here, also one that `as_path` takes for a key of the store.
        let path = as_path(token).or_else(|| tree.exists(token).then_some(token));
        let item = match path {
            Some(path) if !resolves(tree, DOCUMENT, path) => {
                faults.push(format!("`{path}` does not exist; say where it is now"));
                file = Some(None);
                continue;
            }
            Some(path) => {
                file = Some(find_source(tree, path));
                token.split_once("::").map(|(_, item)| Item::Named(item.rsplit("::").next().unwrap_or(item)))
            }
            None => ITEM
                .captures(token)
                .map(|found| Item::Defined(found.get(0).expect("group 0 is the match").as_str())),
        };
        if let (Some(item), Some(Some((path, source)))) = (item, &file)
            && !item.is_in(source)
        {
            faults.push(format!("{path} has no `{}`; say where it is now", item.text()));
        }
    }
    if file.is_none() {
        faults.push("the row names no file; name it in backticks".to_owned());
    }
    faults
}

/// Returns the source that a path names, with its full path.
fn find_source<'a>(tree: &'a Tree, path: &str) -> Option<(String, &'a str)> {
    let full = ["", "registry/src/", "registry/"].map(|base| normal(&format!("{base}{path}")));
    let found = full.into_iter().find(|path| tree.source(path).is_some())?;
    let source = tree.source(&found)?.code();
    Some((found, source))
}

/// What a row says to be in a file.
enum Item<'a> {
    /// `path::item`: the word occurs in its code.
    Named(&'a str),
    /// `fn item`: so it is defined.
    Defined(&'a str),
}

impl Item<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Named(text) | Self::Defined(text) => text,
        }
    }

    fn is_in(&self, code: &str) -> bool {
        let word = self.text().trim_end_matches(['(', ')', '!']);
        code.match_indices(word).any(|(at, _)| {
            let is_word =
                |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !is_word(code[..at].chars().next_back()) && !is_word(code[at + word.len()..].chars().next())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn faults(rows: &str) -> Vec<String> {
        let filler = "| urls | `http/route.rs` |\n".repeat(20);
        let text = format!(
            "# Architecture\n| no | table |\n## Where is …\n\n| what | where |\n|---|---|\n{rows}{filler}\nend\n"
        );
        let tree = Tree::of(&[
            ("ARCHITECTURE.md", &text),
            (
                "registry/src/http/route.rs",
                "//! Speaks of fn render.\npub fn parse() {}\nenum Route { Blob }",
            ),
            ("docs/adr/0001.md", ""),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn true_rows_pass() {
        assert_eq!(
            faults(
                "| a | `http/route.rs::parse` |\n| b | `registry/src/http/route.rs`, `fn parse` |\n\
                 | c | `docs/adr/` |\n| d | `http/route.rs::Route::Blob`, with `Accept` |\n"
            ),
            [""; 0]
        );
    }

    #[test]
    fn untrue_rows_are_found() {
        fn check(row: &str, expect: &str) {
            let found = faults(row);
            assert_eq!(found.len(), 1, "{row}: {found:?}");
            assert!(found[0].starts_with("ARCHITECTURE.md:7: ") && found[0].contains(expect), "{found:?}");
        }
        check("| a | `http/gone.rs` |\n", "`http/gone.rs` does not exist");
        check("| a | `http/route.rs::render` |\n", "registry/src/http/route.rs has no `render`");
        check("| a | `http/route.rs`, `fn pars` |\n", "has no `fn pars`");
        check("| a | somewhere |\n", "names no file");
    }

    #[test]
    fn a_short_or_absent_table_is_found() {
        let short = Tree::of(&[("ARCHITECTURE.md", "## Where is it\n| a | b |\n|-|-|\n")]);
        assert!(check(&short)[0].message.contains("has 0 rows"));
        assert!(check(&Tree::of(&[]))[0].message.contains("does not exist"));
    }
}
