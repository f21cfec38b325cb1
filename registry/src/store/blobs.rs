//! Blobs: content, stored once, and the records that say which repository may serve it.

use bytes::Bytes;

use super::claims::Claim;
use super::record::{self, HeldRecord, Member};
use super::replicas::settle;
use super::{Error, RepositoryKey, Space, Store, layout};
use crate::backend::{Content, Error as BackendError, Key, Outcome, Stage, When};
use crate::clock::Timestamp;
use crate::oci::{Digest, MediaType};

impl Store {
    /// Returns the size in bytes of a blob of the repository, or `None` when it has no such blob.
    ///
    /// Whoever hears of a hosted blob may be about to push a manifest that needs it: it is not collected as
    /// garbage for as long as one that was just linked (ADR 10).
    pub async fn blob_size(&self, repository: &RepositoryKey, digest: &Digest) -> Result<Option<u64>, Error> {
        if repository.space == Space::Hosted && !self.0.asked.note(repository, digest, self.0.clock.passed())
        {
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
        let Member { size, linked_at } = record::decode(&at, &bytes)?;
        if self.is_shared() && !self.renew_link(repository, digest, (size, linked_at), bytes).await? {
            return Ok(None);
        }
        self.0.members.offer(ticket, key, size);
        Ok(Some(size))
    }

    /// Makes a hosted link young again that a client is told of, where another process may collect garbage: it
    /// knows only the record. Says whether the link is still there.
    async fn renew_link(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        (size, linked_at): (u64, Timestamp),
        found: Bytes,
    ) -> Result<bool, Error> {
        let now = self.0.clock.now();
        if repository.space != Space::Hosted || now.since(linked_at) < self.0.options.gc.delay / 2 {
            return Ok(true);
        }
        let (key, renewed) =
            (layout::member(repository, digest), record::encode(&Member { size, linked_at: now }));
        // Refused, somebody has renewed it, or removed it.
        Ok(self.0.backend.write(&key, renewed, When::Is(found)).await? == Outcome::Done
            || self.0.backend.size(&key).await?.is_some())
    }

    /// Says whether the repository has the blob, whole: one whose content was lost or cut short on
    /// the disk is absent, so that a push brings it again and heals it.
    pub async fn has_blob(&self, repository: &RepositoryKey, digest: &Digest) -> Result<bool, Error> {
        let Some(size) = self.blob_size(repository, digest).await? else { return Ok(false) };
        Ok(self.0.backend.size(&layout::blob(digest)).await? == Some(size))
    }

    /// Opens a blob of the repository, or returns `None` when it has no such blob.
    ///
    /// *Errors:* [`Error::Damaged`] when the content has not the size that was stored (P1);
    /// [`Error::BlobUnknown`] when it is in quarantine: a push brings it again, and no upstream is asked in its
    /// place. What was cached is then absent, and fetched again.
    pub async fn open_blob(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<Option<Content>, Error> {
        let Some(expected) = self.blob_size(repository, digest).await? else { return Ok(None) };
        match self.open_content(digest, expected).await {
            Err(Error::Damaged { found: None, .. }) if self.is_quarantined(digest).await? => {
                match repository.space {
                    Space::Hosted => Err(Error::BlobUnknown { digest: *digest }),
                    Space::Upstream(_) => Ok(None),
                }
            }
            // Removed since the look by another process; or its link came late, when nobody waited for it.
            Err(Error::Damaged { found: None, .. }) if self.is_shared() => Ok(None),
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
            store.keep_link(&to, &digest).await
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
            let object = Claim::Object(repository.clone(), digest);
            let announced = store.announce_alone(&object).await?;
            let _alone = store.0.claims.exclude(object).await;
            settle(announced, store.delete_claimed_blob(&repository, &digest)).await
        })
        .await
    }

    async fn delete_claimed_blob(&self, repository: &RepositoryKey, digest: &Digest) -> Result<(), Error> {
        if self.blob_size(repository, digest).await?.is_none() {
            return Err(Error::BlobUnknown { digest: *digest });
        }
        self.refuse_if_referenced(repository, digest).await?;
        let deleted = self.0.backend.delete(&layout::member(repository, digest), When::Always).await;
        self.0.members.forget(&(repository.clone(), *digest));
        match deleted? {
            Outcome::Done => Ok(()),
            Outcome::Refused => Err(Error::BlobUnknown { digest: *digest }),
        }
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
            if !store.keep_link(&repository, &digest).await? {
                // Removed as linked by nobody, between the look and the link; the bytes have to come again.
                return Err(BackendError::Contended { key: layout::blob(&digest) }.into());
            }
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
                store.0.asked.note(&repository, &digest, store.0.clock.passed());
            }
            Ok(())
        })
        .await
    }

    /// Makes sure, after content was linked, that no process removes it that did not see the link; says whether
    /// the content is there, and takes the link back when it is not.
    async fn keep_link(&self, repository: &RepositoryKey, digest: &Digest) -> Result<bool, Error> {
        let is_here = self.spare(digest).await?;
        if !is_here {
            self.0.backend.delete(&layout::member(repository, digest), When::Always).await?;
            self.0.members.forget(&(repository.clone(), *digest));
        }
        Ok(is_here)
    }

    /// Takes back what condemns content that somebody links now, where another process may have condemned it;
    /// says whether the content is there.
    pub(super) async fn spare(&self, digest: &Digest) -> Result<bool, Error> {
        // Where no other process writes, claims see to it.
        Ok(!self.is_shared() || self.0.backend.spare(&layout::blob(digest)).await?)
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
                Some(_) => (
                    self.has_whole_manifest(repository, &digest).await?,
                    layout::manifest(repository, &digest),
                ),
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
