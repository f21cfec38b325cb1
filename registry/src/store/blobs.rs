//! Blobs: content, stored once, and the records that say which repository may serve it.

use super::claims::Claim;
use super::record::{self, HeldRecord, Member};
use super::{Error, RepositoryKey, Space, Store, layout};
use crate::backend::{Content, Key, Outcome, Stage, When};
use crate::oci::{Digest, MediaType};

impl Store {
    /// Returns the size in bytes of a blob of the repository, or `None` when it has no such blob.
    ///
    /// Whoever hears of a hosted blob may be about to push a manifest that needs it: it is not collected as
    /// garbage for as long as one that was just linked (ADR 10).
    pub async fn blob_size(&self, repository: &RepositoryKey, digest: &Digest) -> Result<Option<u64>, Error> {
        if repository.space == Space::Hosted && !self.0.asked.note(repository, digest, self.0.clock.now()) {
            // On its way out, and needed by nobody: a push brings it again.
            return Ok(None);
        }
        let key = (repository.clone(), *digest);
        if let Some(size) = self.0.members.find(&key) {
            return Ok(Some(size));
        }
        let ticket = self.0.members.ticket(&key);
        let at = layout::member(repository, digest);
        let Some(bytes) = self.0.backend.read(&at).await? else { return Ok(None) };
        let Member { size, .. } = record::decode(&at, &bytes)?;
        self.0.members.offer(ticket, key, size);
        Ok(Some(size))
    }

    /// Says whether the repository has the blob, whole: one whose content was lost or cut short on
    /// the disk is absent, so that a push brings it again and heals it.
    pub async fn has_blob(&self, repository: &RepositoryKey, digest: &Digest) -> Result<bool, Error> {
        let Some(size) = self.blob_size(repository, digest).await? else { return Ok(false) };
        Ok(self.0.backend.size(&layout::blob(digest)).await? == Some(size))
    }

    /// Opens a blob of the repository, or returns `None` when it has no such blob.
    ///
    /// *Errors:* [`Error::Damaged`] when the content has not the size that was stored (P1).
    pub async fn open_blob(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<Option<Content>, Error> {
        let Some(expected) = self.blob_size(repository, digest).await? else { return Ok(None) };
        match self.open_content(digest, expected).await {
            // It may have been removed since the look, and its content then.
            Err(Error::Damaged { found: None, .. }) if !self.is_linked(repository, digest).await? => Ok(None),
            opened => opened.map(Some),
        }
    }

    async fn is_linked(&self, repository: &RepositoryKey, digest: &Digest) -> Result<bool, Error> {
        Ok(self.0.backend.size(&layout::member(repository, digest)).await?.is_some())
    }

    pub(super) async fn open_content(&self, digest: &Digest, expected: u64) -> Result<Content, Error> {
        let content = self.0.backend.open(&layout::blob(digest)).await?;
        match content {
            Some(content) if content.size() == expected => Ok(content),
            other => {
                Err(Error::Damaged { digest: *digest, expected, found: other.map(|content| content.size()) })
            }
        }
    }

    /// Gives a repository the blob of another one, and returns whether that has it.
    ///
    /// *Durability:* as a push: when this returns `true`, no crash can undo it.
    ///
    /// *Spec:* `[end-11]`.
    pub async fn mount_blob(
        &self,
        from: &RepositoryKey,
        to: &RepositoryKey,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let Some(size) = self.blob_size(from, digest).await? else { return Ok(false) };
        self.link_content(to, digest, size).await
    }

    /// Links content that is here with this size, and returns whether it is.
    async fn link_content(&self, to: &RepositoryKey, digest: &Digest, size: u64) -> Result<bool, Error> {
        let (store, to, digest) = (self.clone(), to.clone(), *digest);
        // To its end: content must not go between the look and the link, though the caller has left.
        self.change(async move {
            let _linked = store.linking(&digest).await;
            if store.0.backend.size(&layout::blob(&digest)).await? != Some(size) {
                return Ok(false);
            }
            // The content's entry may have been written by a process that died before syncing it.
            store.0.backend.settle(&[layout::blob(&digest)]).await?;
            store.link_blob(&to, &digest, size).await?;
            Ok(true)
        })
        .await
    }

    /// Deletes a blob from the repository; its content stays until nothing needs it.
    ///
    /// *Errors:* [`Error::BlobUnknown`]; [`Error::Referenced`] while a manifest of the repository
    /// refers to it.
    ///
    /// *Spec:* `[end-10]`.
    pub async fn delete_blob(&self, repository: &RepositoryKey, digest: &Digest) -> Result<(), Error> {
        let (store, repository, digest) = (self.clone(), repository.clone(), *digest);
        self.change(async move {
            let _alone = store.0.claims.exclude(Claim::Object(repository.clone(), digest)).await;
            if store.blob_size(&repository, &digest).await?.is_none() {
                return Err(Error::BlobUnknown { digest });
            }
            store.refuse_if_referenced(&repository, &digest).await?;
            let deleted = store.0.backend.delete(&layout::member(&repository, &digest), When::Always).await;
            store.0.members.forget(&(repository, digest));
            match deleted? {
                Outcome::Done => Ok(()),
                Outcome::Refused => Err(Error::BlobUnknown { digest }),
            }
        })
        .await
    }

    /// Publishes staged content that has this digest, and links it to the repository.
    ///
    /// The caller has hashed the content.
    ///
    /// *Durability:* when this returns, no crash can lose the blob.
    pub async fn commit_blob(
        &self,
        stage: Box<dyn Stage>,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<(), Error> {
        let (store, repository, digest, size) = (self.clone(), repository.clone(), *digest, stage.len());
        self.change(async move {
            let _linked = store.linking(&digest).await;
            stage.publish(&layout::blob(&digest)).await?;
            store.link_blob(&repository, &digest, size).await?;
            if let Space::Upstream(upstream) = &repository.space {
                // Derived, and without a sync: losing it costs a fetch.
                let held = record::encode(&HeldRecord { size });
                store.0.backend.write_unsynced(&layout::held(upstream, &digest), held).await?;
            }
            Ok(())
        })
        .await
    }

    /// Returns the size of content that is here because some repository of an upstream had it.
    ///
    /// It says nothing of another repository there: who asks for that one must hear it from the upstream.
    pub async fn held(&self, upstream: &str, digest: &Digest) -> Result<Option<u64>, Error> {
        let Some(bytes) = self.0.backend.read(&layout::held(upstream, digest)).await? else {
            return Ok(None);
        };
        let Ok(HeldRecord { size }) = serde_json::from_slice(&bytes) else { return Ok(None) };
        let here = self.0.backend.size(&layout::blob(digest)).await?;
        Ok(here.filter(|here| *here == size))
    }

    /// Opens content that is here with this size, for who was told that he may have it.
    pub async fn open_held(&self, digest: &Digest, size: u64) -> Result<Option<Content>, Error> {
        let content = self.0.backend.open(&layout::blob(digest)).await?;
        Ok(content.filter(|content| content.size() == size))
    }

    /// Links content that is here into another repository of its upstream, and returns whether it is here.
    pub async fn link_held(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        size: u64,
    ) -> Result<bool, Error> {
        self.link_content(repository, digest, size).await
    }

    async fn link_blob(&self, repository: &RepositoryKey, digest: &Digest, size: u64) -> Result<(), Error> {
        let (store, repository, digest) = (self.clone(), repository.clone(), *digest);
        self.change(async move {
            let _with_others = store.0.claims.share(vec![Claim::Object(repository.clone(), digest)]).await;
            let member = record::encode(&Member { size, linked_at: store.0.clock.now() });
            let key = layout::member(&repository, &digest);
            // Also when it is linked: that may have been long ago, or by somebody who has not synced it yet, or
            // with a size that content has lost meanwhile.
            let written = store.0.backend.write(&key, member, When::Always).await;
            store.0.members.forget(&(repository.clone(), digest));
            written?;
            if repository.space == Space::Hosted {
                // The time counts from the answer, which comes after the write.
                store.0.asked.note(&repository, &digest, store.0.clock.now());
            }
            Ok(())
        })
        .await
    }

    /// Returns those of a manifest's references that the repository does not have.
    ///
    /// What is there is made durable, since the manifest will rely on it and somebody else wrote
    /// it (P2).
    pub(super) async fn missing(
        &self,
        repository: &RepositoryKey,
        references: impl Iterator<Item = (Digest, &MediaType)> + Send,
    ) -> Result<Vec<Digest>, Error> {
        let mut missing = Vec::new();
        let mut relied_on: Vec<Key> = Vec::new();
        for (digest, media_type) in references {
            // An index may list blobs, as BuildKit's caches do; but what is called a manifest must
            // be one, or nobody could pull it.
            let (is_here, relies_on) = match media_type.manifest_kind() {
                Some(_) => {
                    (self.has_manifest(repository, &digest).await?, layout::manifest(repository, &digest))
                }
                None => (self.has_blob(repository, &digest).await?, layout::member(repository, &digest)),
            };
            if is_here {
                relied_on.push(relies_on);
            } else {
                missing.push(digest);
            }
        }
        self.0.backend.settle(&relied_on).await?;
        Ok(missing)
    }
}
