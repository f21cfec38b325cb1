//! The list of known failures of one target: still run, expected to fail, never silently stale.
//!
//! *Shape*: one id a line; `#` begins a comment, on a line of its own or after the id. The comment lines
//! above an id are its cause, and an id without a cause is refused: a list nobody can explain hides bugs.
//! `ID sometimes` is a failure that shows itself in some runs only, such as a race: it counts as known in all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Known failures by id, each with its cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    failures: BTreeMap<String, Failure>,
}

/// A failure that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why the target fails.
    pub cause: String,
    /// Whether it may pass all the same.
    pub is_sometimes: bool,
}

/// The word after an id that says that it fails in some runs only.
const SOMETIMES: &str = "sometimes";

/// Says what is wrong with a list of known failures.
#[derive(Debug, Error)]
pub enum KnownError {
    /// The file cannot be read.
    #[error("cannot read the known failures in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An id stands without a comment above or beside it.
    #[error("line {line}: {id} has no cause in a comment above it")]
    Cause {
        /// Line number, from 1.
        line: usize,
        /// The id.
        id: String,
    },
    /// No check has this id.
    #[error("line {line}: no check has the id {id}")]
    Id {
        /// Line number, from 1.
        line: usize,
        /// The id.
        id: String,
    },
    /// An id stands twice.
    #[error("line {line}: {id} is listed twice")]
    Twice {
        /// Line number, from 1.
        line: usize,
        /// The id.
        id: String,
    },
}

impl Known {
    /// Reads a list from a file.
    ///
    /// *Errors*: every variant of [`KnownError`].
    pub fn read(path: &Path, ids: &[&str]) -> Result<Self, KnownError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| KnownError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, ids)
    }

    /// Parses a list; `ids` are those that exist.
    ///
    /// *Errors*: every variant of [`KnownError`] but `Read`.
    pub fn parse(text: &str, ids: &[&str]) -> Result<Self, KnownError> {
        let mut failures = BTreeMap::new();
        let mut above: Vec<&str> = Vec::new();
        let mut used = false;
        for (number, line) in text.lines().enumerate() {
            let (id, comment) = line.split_once('#').map_or((line, None), |(id, c)| (id, Some(c.trim())));
            let (id, line) = (id.trim(), number + 1);
            let often = id.strip_suffix(SOMETIMES).map(str::trim_end);
            let (id, is_sometimes) = (often.unwrap_or(id).to_owned(), often.is_some());
            if id.is_empty() {
                // A blank line or a comment after an id begins a new group of causes.
                if used || comment.is_none() {
                    above.clear();
                    used = false;
                }
                above.extend(comment);
                continue;
            }
            used = true;
            let cause = above.iter().copied().chain(comment).collect::<Vec<_>>().join(" ");
            if cause.is_empty() {
                return Err(KnownError::Cause { line, id });
            }
            if !ids.contains(&id.as_str()) {
                return Err(KnownError::Id { line, id });
            }
            if failures.insert(id.clone(), Failure { cause, is_sometimes }).is_some() {
                return Err(KnownError::Twice { line, id });
            }
        }
        Ok(Self { failures })
    }

    /// Returns what is known when the id is listed.
    pub fn failure(&self, id: &str) -> Option<&Failure> {
        self.failures.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = ["T-001", "T-002", "R-009"];

    #[test]
    fn causes_stand_above_or_beside() {
        let text = "# title\n\n# It has\n# no header.\nT-001\nT-002 # Same.\n# Other.\nR-009 sometimes\n";
        let known = Known::parse(text, &IDS).unwrap();
        let failure = |cause: &str, is_sometimes| Failure { cause: cause.to_owned(), is_sometimes };
        assert_eq!(known.failure("T-001"), Some(&failure("It has no header.", false)));
        assert_eq!(known.failure("T-002"), Some(&failure("It has no header. Same.", false)));
        assert_eq!(known.failure("R-009"), Some(&failure("Other.", true)));
        assert_eq!(known.failure("T-003"), None);
    }

    #[test]
    fn bad_lists_are_refused() {
        let check = |text: &str, expect: &str| {
            assert_eq!(Known::parse(text, &IDS).unwrap_err().to_string(), expect, "{text:?}");
        };
        check("T-001", "line 1: T-001 has no cause in a comment above it");
        check("# a\n\nT-001", "line 3: T-001 has no cause in a comment above it");
        check("# a\nT-999", "line 2: no check has the id T-999");
        check("# a\nT-001\nT-001", "line 3: T-001 is listed twice");
        assert!(matches!(Known::read(Path::new("/nonexistent/x"), &IDS), Err(KnownError::Read { .. })));
    }
}
