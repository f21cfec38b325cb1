//! A regular expression that stands in an expression.

use regex::{Regex, RegexBuilder};

use super::{ExpressionError, REGEX_BYTES_MAX};

/// A compiled regular expression. It finds itself anywhere in a text, as in CEL, and in time that is linear in it.
#[derive(Debug, Clone)]
pub(in crate::auth) struct Pattern(Regex);

impl Pattern {
    pub(super) fn compile(pattern: String) -> Result<Self, ExpressionError> {
        let compiled = RegexBuilder::new(&pattern).size_limit(REGEX_BYTES_MAX).build();
        compiled.map(Self).map_err(|error| ExpressionError::Pattern { pattern, reason: error.to_string() })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}
