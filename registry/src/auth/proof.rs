//! What secrets are remembered by: none is kept, and nobody can steer what is found.

use sha2::{Digest as _, Sha256};

use super::credentials::Credentials;
use super::token::random;

/// A keyed hash of an edition of the file, a user and a password.
///
/// The edition is in it so that a verdict on an old file cannot be taken for one on a new file,
/// however late it comes. Comparing it needs no constant time: without the key nobody can steer it.
pub(super) type Proof = [u8; 32];

/// A key of proofs, which never leaves the process.
pub(super) struct ProofKey([u8; 32]);

impl ProofKey {
    pub(super) fn random() -> Self {
        Self(random())
    }

    /// Hashes with the key in front, which is as good as HMAC while no proof is ever shown to
    /// anybody; the lengths keep `ab`, `c` and `a`, `bc` apart.
    pub(super) fn proof(&self, edition: u64, user: &[u8], password: &[u8]) -> Proof {
        self.hash(edition, &[user, password])
    }

    /// Hashes a user alone, in whatever case and between whatever spaces the name was typed.
    pub(super) fn user(&self, credentials: &Credentials) -> Proof {
        self.hash(0, &[credentials.user().trim().to_lowercase().as_bytes()])
    }

    fn hash(&self, edition: u64, fields: &[&[u8]]) -> Proof {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(edition.to_be_bytes());
        for field in fields {
            hasher.update(u64::try_from(field.len()).expect("a length fits into 64 bits").to_be_bytes());
            hasher.update(field);
        }
        hasher.finalize().into()
    }
}
