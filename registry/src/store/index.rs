//! Which manifest of a repository refers to what: derived from the manifests' records, so that a
//! delete can be refused, and a repository that holds nothing be told.
//!
//! It is read from the records at the first delete and forgotten at every push of a manifest; a
//! run of deletes keeps it and updates it in place, so that deleting many costs one scan.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;

use super::record::{self, ManifestRecord};
use super::{Error, RepositoryKey, Store, layout};
use crate::oci::{Algorithm, Digest};

/// What a repository's manifests are and refer to.
#[derive(Debug, Default)]
pub(super) struct RepositoryIndex {
    manifests: HashMap<Digest, Vec<Digest>>,
    parents: HashMap<Digest, HashSet<Digest>>,
}

/// Records read at once.
pub(super) const READS_AT_ONCE: usize = 16;

impl RepositoryIndex {
    fn add(&mut self, manifest: Digest, references: Vec<Digest>) {
        for child in &references {
            self.parents.entry(*child).or_default().insert(manifest);
        }
        self.manifests.insert(manifest, references);
    }

    /// Takes a deleted manifest out, and returns whether others are left.
    pub(super) fn remove(&mut self, manifest: &Digest) -> bool {
        for child in self.manifests.remove(manifest).unwrap_or_default() {
            if let Some(parents) = self.parents.get_mut(&child) {
                parents.remove(manifest);
                if parents.is_empty() {
                    self.parents.remove(&child);
                }
            }
        }
        !self.manifests.is_empty()
    }

    /// Returns about how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let references: usize = self.manifests.values().map(Vec::len).sum();
        self.manifests.len() * 160 + references * 200
    }

    fn parent_of(&self, digest: &Digest) -> Option<Digest> {
        self.parents.get(digest)?.iter().min().copied()
    }
}

impl Store {
    /// Refuses when a manifest of the repository refers to the digest.
    ///
    /// The caller claims the digest alone, so that no push can begin to refer to it meanwhile.
    pub(super) async fn refuse_if_referenced(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<(), Error> {
        let index = self.index(repository).await?;
        let by = index.lock().unwrap_or_else(PoisonError::into_inner).parent_of(digest);
        by.map_or(Ok(()), |by| Err(Error::Referenced { digest: *digest, by }))
    }

    /// Says whether a manifest of the repository refers to the digest.
    pub async fn is_referred_to(&self, repository: &RepositoryKey, digest: &Digest) -> Result<bool, Error> {
        let index = self.index(repository).await?;
        let parent = index.lock().unwrap_or_else(PoisonError::into_inner).parent_of(digest);
        Ok(parent.is_some())
    }

    pub(super) async fn index(
        &self,
        repository: &RepositoryKey,
    ) -> Result<Arc<Mutex<RepositoryIndex>>, Error> {
        let known = self.0.indexes.find(repository);
        if let (Some(index), false) = (&known, self.is_shared()) {
            return Ok(Arc::clone(index));
        }
        let ticket = self.0.indexes.ticket(repository);
        let mut index = RepositoryIndex::default();
        for algorithm in Algorithm::ALL {
            let names = self.0.backend.list(&layout::manifests(repository, algorithm)).await?;
            let mut digests: Vec<Digest> =
                names.iter().filter_map(|hex| Digest::from_hex(algorithm, hex).ok()).collect();
            if let Some(known) = &known {
                // Others may have pushed and deleted; what a manifest refers to never changes.
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                digests.retain(|digest| match known.manifests.get(digest) {
                    None => true,
                    Some(references) => {
                        index.add(*digest, references.clone());
                        false
                    }
                });
            }
            for some in digests.chunks(READS_AT_ONCE) {
                let reads = some.iter().map(|digest| self.manifest_record(repository, digest));
                for (digest, record) in some.iter().zip(try_join_all(reads).await?) {
                    // One that is gone again was deleted meanwhile.
                    if let Some(record) = record {
                        index.add(*digest, record.references);
                    }
                }
            }
            // What is not listed may have been deleted by somebody who has not synced it yet, or
            // who failed to: a power cut would bring it back without what it refers to.
            let folder = layout::manifests(repository, algorithm);
            self.0.backend.settle(&[folder.child("any")]).await?;
        }
        let index = Arc::new(Mutex::new(index));
        self.0.indexes.offer(ticket, repository.clone(), Arc::clone(&index));
        Ok(index)
    }

    pub(super) async fn manifest_record(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<Option<ManifestRecord>, Error> {
        let key = layout::manifest(repository, digest);
        self.0.backend.read(&key).await?.map(|bytes| record::decode(&key, &bytes)).transpose()
    }
}
