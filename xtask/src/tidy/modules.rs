//! Source files that do not say what they are for, and those that nothing compiles.

use super::Fault;
use super::tree::Tree;

/// Finds files whose first line is not `//!`.
pub(super) fn check_headers(tree: &Tree) -> Vec<Fault> {
    tree.sources()
        .filter(|(_, source)| !source.raw().starts_with("//! "))
        .map(|(path, _)| {
            Fault::new(path, 1, "begin with `//! ` and a sentence that says what the module is for")
        })
        .collect()
}

/// Finds files that no target reaches by `mod`: tests that never run, code that never compiles.
pub(super) fn check_forgotten(tree: &Tree) -> Vec<Fault> {
    tree.sources()
        .filter(|(path, _)| !tree.is_compiled(path))
        .map(|(path, _)| {
            Fault::new(path, 1, "nothing compiles this file; declare it with `mod`, or remove it")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::super::tree::Tree;
    use super::{check_forgotten, check_headers};

    fn files(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.file.as_str()).collect()
    }

    #[test]
    fn a_module_begins_with_its_purpose() {
        let tree = Tree::of(&[
            ("a/good.rs", "//! What it is for.\nfn f() {}"),
            ("a/bare.rs", "fn f() {}"),
            ("a/late.rs", "use std::fmt;\n//! Too late.\n"),
            ("a/empty.rs", "//!\n"),
        ]);
        assert_eq!(files(&check_headers(&tree)), ["a/bare.rs", "a/empty.rs", "a/late.rs"]);
    }

    #[test]
    fn a_forgotten_test_is_found() {
        let tree = Tree::of(&[
            ("registry/Cargo.toml", ""),
            ("registry/tests/it/main.rs", "mod blobs;"),
            ("registry/tests/it/blobs.rs", ""),
            ("registry/tests/it/tags.rs", ""),
        ]);
        assert_eq!(files(&check_forgotten(&tree)), ["registry/tests/it/tags.rs"]);
    }
}
