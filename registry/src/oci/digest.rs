//! Digests: an algorithm and the hash that it gave.
//!
//! *Spec:* image-spec `descriptor.md#digests`.

use std::fmt;

/// A registered digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the canonical one.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Parses the name of an algorithm as it stands before the colon of a digest.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// Returns the name as it stands before the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns the length of its hash, in bytes.
    pub const fn hash_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A digest, such as `sha256:6c3c…`.
///
/// *Shape:* `sha256:` and 64, or `sha512:` and 128, lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// A SHA-256 hash.
    Sha256([u8; 32]),
    /// A SHA-512 hash.
    Sha512([u8; 64]),
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no colon.
    #[error("the digest {text:?} is not <algorithm>:<hex>")]
    Shape {
        /// The text.
        text: String,
    },
    /// The algorithm is not one that this registry computes.
    #[error("the digest algorithm {algorithm:?} is not supported (sha256 and sha512 are)")]
    Algorithm {
        /// What stands before the colon.
        algorithm: String,
    },
    /// What follows the colon is not the algorithm's number of lowercase hexadecimal digits.
    #[error("a {algorithm} digest has {expected} lowercase hexadecimal digits")]
    Hex {
        /// The algorithm.
        algorithm: Algorithm,
        /// How many digits it takes.
        expected: usize,
    },
}

impl Digest {
    /// Parses a digest.
    ///
    /// *Errors:* every variant of [`DigestError`].
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or_else(|| DigestError::Shape { text: cut(text) })?;
        let algorithm = Algorithm::parse(algorithm)
            .ok_or_else(|| DigestError::Algorithm { algorithm: cut(algorithm) })?;
        Self::from_hex(algorithm, hex)
    }

    /// Parses the hexadecimal part of a digest.
    ///
    /// *Errors:* [`DigestError::Hex`].
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, DigestError> {
        let expected = algorithm.hash_len() * 2;
        let error = || DigestError::Hex { algorithm, expected };
        if hex.len() != expected {
            return Err(error());
        }
        let mut hash = [0_u8; 64];
        for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte =
                nibble(pair[0]).zip(nibble(pair[1])).map(|(high, low)| high << 4 | low).ok_or_else(error)?;
        }
        Ok(Self::from_hash(algorithm, &hash[..algorithm.hash_len()]))
    }

    /// Makes a digest of a finished hash, which has [`Algorithm::hash_len`] bytes.
    pub(crate) fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(hash.try_into().expect("a SHA-256 hash has 32 bytes")),
            Algorithm::Sha512 => Self::Sha512(hash.try_into().expect("a SHA-512 hash has 64 bytes")),
        }
    }

    /// Returns the algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Returns the hash.
    pub const fn hash(&self) -> &[u8] {
        match self {
            Self::Sha256(hash) => hash,
            Self::Sha512(hash) => hash,
        }
    }

    /// Returns the lowercase hexadecimal digits after the colon.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let hash = self.hash();
        let mut hex = String::with_capacity(hash.len() * 2);
        for byte in hash {
            hex.push(DIGITS[usize::from(byte >> 4)].into());
            hex.push(DIGITS[usize::from(byte & 15)].into());
        }
        hex
    }
}

/// Uppercase digits are refused, so that one content has one name.
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Cuts a client's text, so that an error cannot be made to echo megabytes.
fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: one spelling per digest. Method: tables and a round-trip property.

    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: &Result<Algorithm, DigestError>) {
        assert_eq!(&Digest::parse(text).map(|digest| digest.algorithm()), expect, "{text}");
    }

    #[test]
    fn digests_follow_the_grammar() {
        let hex = "0123456789abcdef".repeat(4);
        check(&format!("sha256:{hex}"), &Ok(Algorithm::Sha256));
        check(&format!("sha512:{hex}{hex}"), &Ok(Algorithm::Sha512));
        let wrong_hex = Err(DigestError::Hex { algorithm: Algorithm::Sha256, expected: 64 });
        check(&format!("sha256:{}", &hex[1..]), &wrong_hex);
        check(&format!("sha256:{hex}0"), &wrong_hex);
        check(&format!("sha256:{}", hex.to_uppercase()), &wrong_hex);
        check("sha256:", &wrong_hex);
        check(&hex, &Err(DigestError::Shape { text: hex.clone() }));
        for algorithm in ["md5", "sha384", "foo+bar", "SHA256", ""] {
            let error = DigestError::Algorithm { algorithm: algorithm.to_owned() };
            check(&format!("{algorithm}:{hex}"), &Err(error));
        }
    }

    proptest! {
        #[test]
        fn parse_undoes_display(hash in proptest::array::uniform32(any::<u8>()), long in any::<bool>()) {
            let digest = if long { Digest::Sha512([hash, hash].concat().try_into().unwrap()) } else { Digest::Sha256(hash) };
            prop_assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,200}") {
            if let Ok(digest) = Digest::parse(&text) {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
