//! Files that are too long to read at once. (Functions are clippy's: `too_many_lines`.)

use super::Fault;
use super::tree::Tree;

/// Lines of code in a file, without blank lines, comments and the tests module.
const LINES_MAX: usize = 500;

/// Finds files above the limit.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let sizes = tree.sources().map(|(path, source)| (path, source.code_lines()));
    sizes
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| {
            Fault::new(
                path,
                1,
                format!("{lines} lines of code, at most {LINES_MAX}; split the file by what it says"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{LINES_MAX, check};

    #[test]
    fn the_limit_is_on_code() {
        let limit = "f();\n".repeat(LINES_MAX);
        let with_tests = format!("//! Doc.\n\n{limit}#[cfg(test)]\nmod tests {{\n{limit}}}\n");
        let tree = Tree::of(&[("a/full.rs", with_tests.as_str()), ("a/over.rs", &format!("{limit}f();\n"))]);
        let faults = check(&tree);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].file, "a/over.rs");
        assert!(faults[0].message.starts_with("501 lines"), "{}", faults[0]);
    }
}
