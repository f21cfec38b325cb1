//! Tags, and the `<tag-or-digest>` that ends a manifest's path.
//!
//! *Spec:* `spec.md#pulling-manifests`.

use std::fmt;
use std::sync::Arc;

use super::{Digest, DigestError};

/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;

/// A tag, such as `v1.2`.
///
/// *Shape:* a letter, digit or `_`, then at most 127 letters, digits, `.`, `_` or `-`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

/// Why a text is not a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tag is 1 to {TAG_BYTES_MAX} letters, digits, '_', '.' and '-', and begins with none of the last two"
)]
pub struct TagError;

impl Tag {
    /// Parses a tag.
    ///
    /// *Errors:* [`TagError`] when the text does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let (first, rest) = text.as_bytes().split_first().ok_or(TagError)?;
        let valid = text.len() <= TAG_BYTES_MAX
            && is_word(*first)
            && rest.iter().all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-'));
        if valid { Ok(Self(Arc::from(text))) } else { Err(TagError) }
    }

    /// Returns the tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What names a manifest within its repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By tag.
    Tag(Tag),
    /// By digest.
    Digest(Digest),
}

/// Why a text is neither a tag nor a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has no colon, so it was meant as a tag.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// It has a colon, so it was meant as a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl Reference {
    /// Parses a reference: with a colon a digest, else a tag.
    ///
    /// *Errors:* of what the text was meant as.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            Ok(Self::Digest(Digest::parse(text)?))
        } else {
            Ok(Self::Tag(Tag::parse(text)?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => fmt::Display::fmt(tag, f),
            Self::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: exactly the grammar. Method: tables and a round-trip property.

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_follow_the_grammar() {
        for text in ["a", "_", "v1.2-rc_3", "0", "A"] {
            assert!(Tag::parse(text).is_ok(), "{text}");
        }
        for text in ["", ".x", "-x", "a b", "a:b", "é", "a/b", "..", "a\n"] {
            assert!(Tag::parse(text).is_err(), "{text}");
        }
        assert!(Tag::parse(&"x".repeat(128)).is_ok());
        assert!(Tag::parse(&"x".repeat(129)).is_err());
    }

    #[test]
    fn a_colon_means_a_digest() {
        assert!(matches!(Reference::parse("sha256:x"), Err(ReferenceError::Digest(_))));
        assert!(matches!(Reference::parse(".x"), Err(ReferenceError::Tag(_))));
    }

    proptest! {
        #[test]
        fn parse_undoes_display(text in "\\PC{0,140}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }
}
