//! What is cached of an upstream: what there is, when it was pulled, and its removal.
//!
//! None of it is ever the only copy: a crash may bring back what was removed, or half of it, and what is
//! missing is fetched again.

use std::collections::{BTreeMap, HashSet};

use super::claims::Claim;
use super::record::{self, CheckedRecord};
use super::replicas::settle;
use super::{Error, RepositoryKey, Space, Store, layout};
use crate::clock::Timestamp;
use crate::oci::{Algorithm, Digest, RepositoryName, Tag};

/// What is cached in one repository of an upstream.
#[derive(Debug, Clone, Default)]
pub struct Cached {
    /// Its manifests.
    pub manifests: Vec<CachedManifest>,
    /// Its blobs, and their sizes in bytes.
    pub blobs: BTreeMap<Digest, u64>,
}

/// A cached manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
    /// What it refers to.
    pub references: Vec<Digest>,
    /// When it was last pulled, as far as that was written down; or else fetched.
    pub used_at: Timestamp,
    /// Whether it was mirrored, and not fetched for a client.
    pub is_mirrored: bool,
}

impl Store {
    /// Returns the repositories of an upstream of which anything is cached.
    pub async fn cached_repositories(&self, upstream: &str) -> Result<Vec<RepositoryName>, Error> {
        let paths = self.repository_paths(&layout::repositories_of(upstream)).await?;
        let mut found: Vec<RepositoryName> =
            paths.iter().filter_map(|path| RepositoryName::parse(path).ok()).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Returns what is cached in a repository.
    pub async fn cached(&self, repository: &RepositoryKey) -> Result<Cached, Error> {
        let mut cached = Cached::default();
        for algorithm in Algorithm::ALL {
            for hex in self.0.backend.list(&layout::members(repository, algorithm)).await? {
                let Ok(digest) = Digest::from_hex(algorithm, &hex) else { continue };
                if let Some(size) = self.blob_size(repository, &digest).await? {
                    cached.blobs.insert(digest, size);
                }
            }
            for hex in self.0.backend.list(&layout::manifests(repository, algorithm)).await? {
                let Ok(digest) = Digest::from_hex(algorithm, &hex) else { continue };
                let Some(record) = self.manifest_record(repository, &digest).await? else { continue };
                let pulled = self.pulled_at(repository, &digest).await?;
                let mirrored = self.0.backend.size(&layout::mirrored(repository, &digest)).await?;
                cached.manifests.push(CachedManifest {
                    digest,
                    size: record.size,
                    references: record.references,
                    used_at: pulled.map_or(record.pushed_at, |at| at.max(record.pushed_at)),
                    is_mirrored: mirrored.is_some(),
                });
            }
        }
        Ok(cached)
    }

    pub(super) async fn pulled_at(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<Option<Timestamp>, Error> {
        let bytes = self.0.backend.read(&layout::pulled(repository, digest)).await?;
        let record = bytes.and_then(|bytes| serde_json::from_slice::<CheckedRecord>(&bytes).ok());
        Ok(record.map(|record| record.checked_at))
    }

    /// Writes down when a manifest was pulled.
    pub async fn note_pull(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        at: Timestamp,
    ) -> Result<(), Error> {
        let record = record::encode(&CheckedRecord { checked_at: at });
        Ok(self.0.backend.write_unsynced(&layout::pulled(repository, digest), record).await?)
    }

    /// Writes down that a cached manifest was mirrored.
    pub async fn note_mirrored(&self, repository: &RepositoryKey, digest: &Digest) -> Result<(), Error> {
        let key = layout::mirrored(repository, digest);
        if self.0.backend.size(&key).await?.is_none() {
            self.0.backend.write_unsynced(&key, bytes::Bytes::new()).await?;
        }
        Ok(())
    }

    /// Takes the marks of mirrored manifests away, but for these: the others are cached as any.
    pub async fn keep_mirrored(
        &self,
        repository: &RepositoryKey,
        digests: &HashSet<Digest>,
    ) -> Result<(), Error> {
        for algorithm in Algorithm::ALL {
            for hex in self.0.backend.list(&layout::all_mirrored(repository, algorithm)).await? {
                let Ok(digest) = Digest::from_hex(algorithm, &hex) else { continue };
                if !digests.contains(&digest) {
                    self.0.backend.sweep(&layout::mirrored(repository, &digest)).await?;
                }
            }
        }
        Ok(())
    }

    /// Removes a cached tag, and returns whether it was there.
    ///
    /// *Cancellation:* it runs to its end.
    pub async fn remove_cached_tag(&self, repository: &RepositoryKey, tag: &Tag) -> Result<bool, Error> {
        let removed = match self.delete_tag(repository, tag).await {
            Ok(()) => true,
            Err(Error::TagUnknown { .. }) => false,
            Err(error) => return Err(error),
        };
        self.0.backend.sweep(&layout::checked(repository, tag)).await?;
        Ok(removed)
    }

    /// Removes a cached manifest with its tags, and returns whether it was there. What refers to it, and what
    /// it refers to, stays: that comes again on demand.
    ///
    /// *Cancellation:* it runs to its end.
    pub async fn remove_cached_manifest(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let (store, repository, digest) = (self.clone(), repository.clone(), *digest);
        self.change(async move {
            let _marking = store.0.claims.share(vec![Claim::Mark(repository.clone())]).await;
            let object = Claim::Object(repository.clone(), digest);
            let announced = store.announce_alone(&object).await?;
            let alone = store.0.claims.exclude(object).await;
            let removing = async {
                let record = store.manifest_record(&repository, &digest).await?;
                if let Some(record) = &record {
                    store.delete_tags_of(&repository, &digest).await?;
                    let removed = store.remove_manifest(&repository, &digest, record).await;
                    store.0.indexes.forget(&repository);
                    removed?;
                }
                Ok(record)
            };
            let record = settle(announced, removing).await?;
            store.0.backend.sweep(&layout::pulled(&repository, &digest)).await?;
            store.0.backend.sweep(&layout::mirrored(&repository, &digest)).await?;
            drop(alone);
            store.unmark_name_if_empty(&repository).await?;
            Ok(record.is_some())
        })
        .await
    }

    /// Takes blobs out of a cached repository. Their content stays while anything links it.
    pub async fn remove_cached_blobs(
        &self,
        repository: &RepositoryKey,
        digests: impl IntoIterator<Item = Digest> + Send,
    ) -> Result<(), Error> {
        debug_assert_ne!(repository.space, Space::Hosted, "what was pushed is not removed here");
        for digest in digests {
            let removed = self.0.backend.sweep(&layout::member(repository, &digest)).await;
            self.0.members.forget(&(repository.clone(), digest));
            removed?;
        }
        Ok(())
    }

    /// Returns what some repository of an upstream had: no more than what is here of it, and no less.
    pub async fn held_digests(&self, upstream: &str) -> Result<Vec<Digest>, Error> {
        let mut digests = Vec::new();
        for algorithm in Algorithm::ALL {
            let names = self.0.backend.list(&layout::all_held(upstream, algorithm)).await?;
            digests.extend(names.iter().filter_map(|hex| Digest::from_hex(algorithm, hex).ok()));
        }
        Ok(digests)
    }

    /// Forgets that content is here for an upstream, because no repository of it has it any more.
    pub async fn forget_held(&self, upstream: &str, digest: &Digest) -> Result<(), Error> {
        Ok(self.0.backend.sweep(&layout::held(upstream, digest)).await?)
    }
}
