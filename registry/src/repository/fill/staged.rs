//! What has arrived of a blob: the staged file, the hash of it, and from which urls it came.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::oci::{Algorithm, Digest, Hasher};
use crate::repository::Error;
use crate::store::{Stage, Store};

/// Bytes taken in before they are written and hashed.
const BATCH_BYTES: usize = 256 * 1024;

/// The bytes so far.
pub(super) struct Staged {
    stage: Box<dyn Stage>,
    hasher: Hasher,
    algorithm: Algorithm,
    /// Which urls they came from, by their place in the configuration.
    pub(super) sources: BTreeSet<usize>,
}

impl Staged {
    pub(super) async fn open(store: &Store, algorithm: Algorithm) -> Result<Self, Error> {
        let stage = store.stage_fill().await?;
        Ok(Self { stage, hasher: Hasher::new(algorithm), algorithm, sources: BTreeSet::new() })
    }

    pub(super) fn len(&self) -> u64 {
        self.stage.len()
    }

    pub(super) fn stage(&self) -> &dyn Stage {
        self.stage.as_ref()
    }

    /// Returns the file, to be published.
    pub(super) fn into_stage(self) -> Box<dyn Stage> {
        self.stage
    }

    /// Returns the digest of all of them.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Says whether the hash is of the algorithm that is wanted.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Writes and hashes, side by side, in pieces that do not hold the executor.
    pub(super) async fn take_in(&mut self, pieces: Vec<Bytes>) -> Result<(), Error> {
        let hashed = pieces.clone();
        let hasher = &mut self.hasher;
        let hashing = async {
            for piece in &hashed {
                for part in piece.chunks(BATCH_BYTES) {
                    hasher.update(part);
                    tokio::task::yield_now().await;
                }
            }
        };
        let (written, ()) = tokio::join!(self.stage.append(pieces), hashing);
        written.map_err(crate::store::Error::from)?;
        Ok(())
    }

    /// Removes the file. Readers that have it open go on to what they may still read.
    pub(super) async fn discard(self) {
        if let Err(error) = self.stage.discard().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a staged fill could not be removed");
        }
    }
}
