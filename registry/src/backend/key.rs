//! Keys: where a thing is.

use std::fmt;
use std::sync::Arc;

/// A key, such as `repositories/library/alpine/_tags/3.20`.
///
/// *Shape:* components of visible ASCII joined by `/`, none of them empty, `.`, `..` or longer
/// than 255 bytes; the empty key is the root. So a key can be a path below a folder, and the name
/// of an object in a bucket, without escaping.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Makes a key.
    ///
    /// # Panics
    ///
    /// When the text does not have the shape of a key: keys are made of parsed names only, so
    /// that is a mistake of this program, and going on could reach outside the store (P10).
    pub fn new(path: &str) -> Self {
        assert!(path.is_empty() || path.split('/').all(Self::is_component), "{path:?} is not a key");
        Self(Arc::from(path))
    }

    /// Says whether a text can be one component of a key.
    pub(super) fn is_component(text: &str) -> bool {
        !matches!(text, "" | "." | "..")
            && text.len() <= 255
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'/')
    }

    /// Returns the key of a child.
    ///
    /// # Panics
    ///
    /// As [`Key::new`].
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self::new(name) } else { Self::new(&format!("{}/{name}", self.0)) }
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the key that this is a child of; the root's is the root.
    pub(super) fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: no key leaves the root. Method: a table of those that would.

    use super::*;

    #[test]
    fn keys_stay_below_the_root() {
        for path in ["..", "a/../b", "/a", "a/", "a//b", ".", "a\\b", "a b", "a\0", "é"] {
            assert!(std::panic::catch_unwind(|| Key::new(path)).is_err(), "{path}");
        }
        assert_eq!(Key::new("a").child("b").parent(), "a");
        assert_eq!(Key::new("").child("b").as_str(), "b");
    }
}
