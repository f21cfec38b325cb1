//! Patterns over tags: what `content[].tags` may say, to the check of a file and to whoever mirrors by it.

use regex::bytes::{Regex, RegexBuilder};

/// The longest pattern over tags, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// The largest program that a pattern may become, in bytes.
const PATTERN_PROGRAM_BYTES_MAX: usize = 256 * 1024;

/// Why a pattern over tags is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty, and would match every tag.
    #[error("it is empty")]
    Empty,
    /// It is longer than [`PATTERN_BYTES_MAX`].
    #[error("it is longer")]
    Long,
    /// It repeats so much that matching would take too much memory.
    #[error("it becomes too large")]
    Large,
    /// It cannot be read.
    #[error("{0}")]
    Syntax(String),
}

/// Compiles a pattern over tags. As in Go, and so in zot, it is found anywhere in a tag, its classes are those
/// of ASCII, and it cannot look around.
///
/// *Errors:* [`PatternError`], on one line.
pub fn compile(text: &str) -> Result<Regex, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::Long);
    }
    let built = RegexBuilder::new(text).unicode(false).size_limit(PATTERN_PROGRAM_BYTES_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::Large,
        error => {
            // It shows the pattern and points into it, before it says on the last line what is wrong.
            let text = error.to_string();
            let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            PatternError::Syntax(last.trim().trim_start_matches("error: ").to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    //! Goal: a pattern means what it means in zot, and none takes more than it may. Method: tables.

    use super::*;

    #[test]
    fn patterns_are_those_of_go() {
        for (text, tag, expect) in [
            ("1", "v1.2", true),
            ("^v[0-9]+$", "v12", true),
            ("^v[0-9]+$", "v12-rc", false),
            ("(?i)RC", "v1-rc", true),
            (r"^\d+\.\d+$", "1.28", true),
            (r"^\w+$", "a-b", false),
            ("^(alpine|slim)-.*$", "slim-x", true),
        ] {
            assert_eq!(compile(text).unwrap().is_match(tag.as_bytes()), expect, "{text} {tag}");
        }
    }

    #[test]
    fn what_is_none_is_told_on_one_line() {
        for (text, expect) in [
            ("", "it is empty"),
            ("(", "unclosed group"),
            ("a\nb[", "unclosed character class"),
            ("(?=x)", "look-around, including look-ahead and look-behind, is not supported"),
            ("(?:a{1000}){1000}", "it becomes too large"),
            (&*"a".repeat(PATTERN_BYTES_MAX + 1), "it is longer"),
        ] {
            assert_eq!(compile(text).unwrap_err().to_string(), expect);
        }
    }
}
