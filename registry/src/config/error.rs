//! What can be wrong with a configuration.

use std::fmt;

/// One thing that is wrong, or worth knowing, at one place of a configuration.
///
/// It quotes only what the file itself says and never what the environment put in its place, so it
/// may be printed and logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key (`http.auth.failDelay`), or `line N, column M` of a file that cannot be parsed, or
    /// `(file)` for one that cannot be read.
    pub path: String,
    /// What is wrong there, as a lowercase fragment without a period.
    pub message: String,
}

/// A configuration that must not be started, with everything that is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    /// What is wrong, in the file's order; never empty in an error.
    pub faults: Vec<Fault>,
    /// What would have been warned of, had it started.
    pub warnings: Vec<Fault>,
}

impl Fault {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl Faults {
    /// Returns the faults of a file of which nothing else can be said.
    pub(super) fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { faults: vec![Fault::new(path, message)], warnings: Vec::new() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.message)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(out, "{separator}{fault}")?;
        }
        Ok(())
    }
}
