//! Leftovers in source: ignored tests, unfinished code, notes to oneself, debugging.

use std::sync::LazyLock;

use regex::Regex;

use super::Fault;
use super::source::{line_of, regex};
use super::tree::Tree;

// Each pattern holds a class of one character, so that it does not find itself.
static IN_CODE: LazyLock<[(Regex, &'static str); 3]> = LazyLock::new(|| {
    [
        (
            regex(r"#\[\s*ignor[e]\b"),
            "a test runs or does not exist; make it runnable, or let it say that it is skipped",
        ),
        (regex(r"\b(?:tod[o]|unimplemente[d])\s*!"), "finish it, or leave it out"),
        (regex(r"\bdb[g]\s*!"), "remove the debugging"),
    ]
});
static ANYWHERE: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(?:TOD[O]|FIXM[E])\b"));

/// Finds leftovers in every source, tests too.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, source) in tree.sources() {
        for (pattern, advice) in IN_CODE.iter() {
            let found = pattern.find_iter(source.code());
            faults.extend(found.map(|found| Fault::new(path, source.line(found.start()), *advice)));
        }
        let notes = ANYWHERE.find_iter(source.raw());
        faults.extend(notes.map(|found| {
            let line = line_of(source.raw(), found.start());
            Fault::new(path, line, "do it, or write an issue; a note in the source is read by nobody")
        }));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    #[test]
    fn leftovers_are_found_where_they_are_code_or_notes() {
        let planted = [
            format!("//! A file.\n#[ig{}] fn a() {{}}", "nore"),
            format!("//! A file.\nfn a() {{ to{}() }}", "do!"),
            format!("//! A file.\nfn a() {{ unimplement{}() }}", "ed!"),
            format!("//! A file.\nfn a() {{ d{}(1); }}", "bg!"),
            format!("//! A file.\n// TO{}: later", "DO"),
            format!("//! A file.\n// FIX{}", "ME"),
        ];
        for text in planted {
            let faults = check(&Tree::of(&[("a/b.rs", &text)]));
            assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2], "{text}");
        }
        let clean = format!("//! Speaks of to{} and mastodon!\nlet x = \"to{}()\";", "do!", "do!");
        assert_eq!(check(&Tree::of(&[("a/b.rs", &clean)])), []);
    }
}
