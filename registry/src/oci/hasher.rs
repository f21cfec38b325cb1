//! Hashing while receiving, with a state that survives a restart.
//!
//! The state is that of the `sha2` crate, which it promises only within one version; so a saved
//! state begins with a version byte of ours, and a state that cannot be read is `None`: the
//! caller hashes the bytes again. See `docs/adr/0003-hash-while-receiving.md`.

use std::fmt;

use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest as _, Sha256, Sha512};

use super::{Algorithm, Digest};

/// Raised whenever `sha2` changes its layout, so that an old state is refused and not misread.
const STATE_VERSION: u8 = 1;

/// A running hash of one algorithm.
#[derive(Clone)]
pub enum Hasher {
    /// A running SHA-256.
    Sha256(Sha256),
    /// A running SHA-512.
    Sha512(Sha512),
}

impl Hasher {
    /// Begins a hash.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    /// Hashes bytes in one call.
    pub fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hasher = Self::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Takes in further bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the digest of everything taken in.
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Puts the running hash to rest.
    pub fn save(&self) -> Vec<u8> {
        let mut state = vec![STATE_VERSION];
        match self {
            Self::Sha256(hasher) => state.extend_from_slice(&hasher.serialize()),
            Self::Sha512(hasher) => state.extend_from_slice(&hasher.serialize()),
        }
        state
    }

    /// Takes up a hash that was put to rest, or returns `None` when the state is not one of this version.
    pub fn restore(algorithm: Algorithm, state: &[u8]) -> Option<Self> {
        let state = state.strip_prefix(&[STATE_VERSION])?;
        Some(match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::deserialize(state.try_into().ok()?).ok()?),
            Algorithm::Sha512 => Self::Sha512(Sha512::deserialize(state.try_into().ok()?).ok()?),
        })
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({})", self.algorithm())
    }
}

/// The hashes of a blob whose digest is not known yet: SHA-256 always, SHA-512 when hinted.
#[derive(Debug, Clone)]
pub struct BlobHasher {
    sha256: Hasher,
    sha512: Option<Hasher>,
}

/// A [`BlobHasher`] put to rest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SavedHashes {
    sha256: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha512: Option<Vec<u8>>,
}

impl BlobHasher {
    /// Begins the hashes of a blob; `hint` is the algorithm that the client announced.
    ///
    /// *Spec:* `[end-4c]`.
    pub fn new(hint: Option<Algorithm>) -> Self {
        let sha512 = (hint == Some(Algorithm::Sha512)).then(|| Hasher::new(Algorithm::Sha512));
        Self { sha256: Hasher::new(Algorithm::Sha256), sha512 }
    }

    /// Takes in further bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// Returns the digest so far, or `None` for an algorithm that was not running.
    pub fn current(&self, algorithm: Algorithm) -> Option<Digest> {
        match algorithm {
            Algorithm::Sha256 => Some(self.sha256.clone().finish()),
            Algorithm::Sha512 => self.sha512.clone().map(Hasher::finish),
        }
    }

    /// Puts the running hashes to rest.
    pub fn save(&self) -> SavedHashes {
        SavedHashes { sha256: self.sha256.save(), sha512: self.sha512.as_ref().map(Hasher::save) }
    }

    /// Wakes saved hashes, or returns `None` when another version of this program saved them.
    pub fn restore(saved: &SavedHashes) -> Option<Self> {
        let sha256 = Hasher::restore(Algorithm::Sha256, &saved.sha256)?;
        let sha512 = match &saved.sha512 {
            Some(state) => Some(Hasher::restore(Algorithm::Sha512, state)?),
            None => None,
        };
        Some(Self { sha256, sha512 })
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a hash that slept is the hash that did not. Method: every cut of a message, and a property.

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answers() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Hasher::digest(Algorithm::Sha256, b"").to_string(), empty);
        assert!(Hasher::digest(Algorithm::Sha512, b"").to_string().starts_with("sha512:cf83e1357eefb8bd"));
    }

    #[test]
    fn a_state_of_another_version_is_refused() {
        let mut saved = BlobHasher::new(None).save();
        saved.sha256[0] += 1;
        assert!(BlobHasher::restore(&saved).is_none());
        saved.sha256.clear();
        assert!(BlobHasher::restore(&saved).is_none());
    }

    proptest! {
        #[test]
        fn any_partition_gives_the_same_digest(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            cuts in proptest::collection::vec(0_usize..600, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut hasher = BlobHasher::new(Some(Algorithm::Sha512));
            let mut at = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                hasher.update(&bytes[at..cut]);
                at = cut;
                hasher = BlobHasher::restore(&hasher.save()).unwrap();
            }
            for algorithm in Algorithm::ALL {
                prop_assert_eq!(hasher.current(algorithm), Some(Hasher::digest(algorithm, &bytes)));
            }
        }
    }
}
