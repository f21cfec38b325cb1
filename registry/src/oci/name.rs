//! Repository names.
//!
//! *Spec:* `spec.md#pulling-manifests`, the grammar of `<name>`.

use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes: a store uses it as one file name, and clients put a host before it.
pub const NAME_BYTES_MAX: usize = 255;

/// A repository's name, such as `library/alpine`.
///
/// *Shape:* one or more components joined by `/`; a component is lowercase letters and digits,
/// with single `.`, single or double `_`, or runs of `-` between them. At most 255 bytes. It
/// follows that no component is empty, `.` or `..`, or begins with `_`.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Arc<str>);

/// Why a text is not a repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("the name is empty")]
    Empty,
    /// The text has more than [`NAME_BYTES_MAX`] bytes.
    #[error("the name has {len} bytes, more than {NAME_BYTES_MAX}")]
    TooLong {
        /// How many it has.
        len: usize,
    },
    /// A component does not follow the grammar.
    #[error(
        "the component {component:?} of the name is not lowercase letters and digits separated by '.', '_', '__' or '-'"
    )]
    Component {
        /// The component.
        component: String,
    },
}

impl RepositoryName {
    /// Parses a repository name.
    ///
    /// *Errors:* every variant of [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong { len: text.len() });
        }
        match text.split('/').find(|component| !component_is_valid(component.as_bytes())) {
            Some(component) => Err(NameError::Component { component: component.to_owned() }),
            None => Ok(Self(Arc::from(text))),
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn component_is_valid(component: &[u8]) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut at = 0;
    loop {
        let word = component[at..].iter().take_while(|byte| is_alphanumeric(**byte)).count();
        if word == 0 {
            return false;
        }
        at += word;
        if at == component.len() {
            return true;
        }
        let rest = &component[at..];
        at += match rest[0] {
            b'.' => 1,
            b'_' if rest.get(1) == Some(&b'_') => 2,
            b'_' => 1,
            b'-' => rest.iter().take_while(|byte| **byte == b'-').count(),
            _ => return false,
        };
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: exactly the grammar of the spec. Method: tables, and a property against the spec's own
    //! regular expression written as a slow matcher.

    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, valid: bool) {
        assert_eq!(RepositoryName::parse(text).is_ok(), valid, "{text:?}");
    }

    #[test]
    fn names_follow_the_grammar() {
        for text in
            ["a", "library/alpine", "a--b", "a__b", "a.b/c_d/e-f", "blobs", "tags/list", "a/manifests/b", "0"]
        {
            check(text, true);
        }
        for text in [
            "", "/", "a/", "/a", "a//b", "A", "a___b", "-a", "a-", "a..b", "a/./b", "a/../b", "_a", "a_",
            "a b", "é", "a\0", "a%2fb", "a:b", "a._b",
        ] {
            check(text, false);
        }
        check(&"a".repeat(255), true);
        check(&"a".repeat(256), false);
    }

    /// The grammar as a regular expression over a component, matched by backtracking.
    fn model(component: &str) -> bool {
        fn words(rest: &str) -> bool {
            let end =
                rest.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit()).unwrap_or(rest.len());
            if end == 0 {
                return false;
            }
            let tail = &rest[end..];
            if tail.is_empty() {
                return true;
            }
            let dashes = tail.len() - tail.trim_start_matches('-').len();
            let separators = [tail.strip_prefix("__"), tail.strip_prefix('_'), tail.strip_prefix('.')];
            separators.into_iter().flatten().any(words) || (dashes > 0 && words(&tail[dashes..]))
        }
        words(component)
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(text in "[ab0._/A-]{0,12}") {
            let valid = !text.is_empty() && text.split('/').all(model);
            prop_assert_eq!(RepositoryName::parse(&text).is_ok(), valid);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,300}") {
            if let Ok(name) = RepositoryName::parse(&text) {
                prop_assert_eq!(name.as_str(), text);
            }
        }
    }
}
