//! Manifests: put, get, delete. The order of the writes is what P3 promises.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::claims::Claim;
use super::options::Missing;
use super::record::{self, ManifestRecord};
use super::replicas::settle;
use super::{Error, RepositoryKey, Space, Store, layout};
use crate::backend::{Key, Outcome, When};
use crate::oci::{Algorithm, Descriptor, Digest, Hasher, Kind, Manifest, MediaType, Reference, Tag};
use crate::telemetry::WithCauses;

/// A manifest as it is served.
#[derive(Debug, Clone)]
pub struct StoredManifest {
    /// The digest it was pushed with.
    pub digest: Digest,
    /// The digest as text, ready for a header.
    pub digest_text: Bytes,
    /// The digest in quotes, ready for a header.
    pub etag: Bytes,
    /// The type it was pushed with.
    pub media_type: MediaType,
    /// Exactly the bytes that were pushed.
    pub bytes: Bytes,
}

impl StoredManifest {
    /// Puts a manifest together.
    pub fn new(digest: Digest, media_type: MediaType, bytes: Bytes) -> Self {
        let text = digest.to_string();
        Self { digest, etag: format!("\"{text}\"").into(), digest_text: text.into(), media_type, bytes }
    }
}

/// A manifest to be stored.
#[derive(Debug, Clone)]
pub struct NewManifest {
    /// What it says.
    pub manifest: Manifest,
    /// Its bytes.
    pub bytes: Bytes,
    /// Their digest, which the caller has computed.
    pub digest: Digest,
    /// The tags to point at it.
    pub tags: Vec<Tag>,
    /// What may become of tags that are there.
    pub tagging: Tagging,
    /// Whether what it refers to has to be here.
    pub references: References,
}

/// What may become of tags that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagging {
    /// They are moved; the last writer wins.
    Move,
    /// They may not be moved by this caller.
    Keep,
    /// They must be absent: `If-None-Match: *`.
    Absent,
    /// They must point at this digest: `If-Match`.
    At(Digest),
}

/// Whether what a manifest refers to has to be here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum References {
    /// It has to be, unless the operator allows sparse manifests; for what is pushed.
    Required,
    /// It arrives on demand; for what is cached.
    OnDemand,
}

/// Which tags may go with a manifest that is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Along {
    /// All that point at it.
    All,
    /// These, if they do.
    These(Vec<Tag>),
}

impl Store {
    /// Returns a manifest of the repository, or `None` when it has no such manifest or tag.
    ///
    /// *Errors:* [`Error::Damaged`] when its bytes have not the size that was stored;
    /// [`Error::ManifestUnknown`] when they are in quarantine: a push brings it again, and no upstream is asked
    /// in its place. What was cached is then absent, and fetched again.
    pub async fn manifest(
        &self,
        repository: &RepositoryKey,
        reference: &Reference,
    ) -> Result<Option<Arc<StoredManifest>>, Error> {
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) => match self.tag(repository, tag).await? {
                Some(entry) => entry.digest,
                None => return Ok(None),
            },
        };
        if !self.note_asked(repository, &digest) {
            return Ok(None);
        }
        let key = (repository.clone(), digest);
        // Another process may have deleted it; its bytes are the same as ever.
        let is_here = !self.is_shared() || self.manifest_record(repository, &digest).await?.is_some();
        if let Some(manifest) = self.0.manifests.find(&key).filter(|_| is_here) {
            return Ok(Some(manifest));
        }
        let ticket = self.0.manifests.ticket(&key);
        let Some(record) = self.manifest_record(repository, &digest).await? else { return Ok(None) };
        let content = match self.open_content(&digest, record.size).await {
            Err(Error::Damaged { found: None, .. }) if self.is_quarantined(&digest).await? => {
                return match repository.space {
                    Space::Hosted => Err(Error::ManifestUnknown { digest }),
                    Space::Upstream(_) => Ok(None),
                };
            }
            // As in `open_blob`.
            Err(Error::Damaged { found: None, .. }) if self.is_shared() => return Ok(None),
            // It may have been deleted since the look, and its content then.
            Err(Error::Damaged { found: None, .. })
                if self.manifest_record(repository, &digest).await?.is_none() =>
            {
                return Ok(None);
            }
            opened => opened?,
        };
        let bytes = content.bytes().await?;
        // Hashed once, when it comes into memory: it is small, and served many times.
        if bytes.len() as u64 != record.size || digest_of(digest.algorithm(), &bytes).await != digest {
            let found = Some(bytes.len() as u64);
            return Err(Error::Damaged { digest, expected: record.size, found });
        }
        let manifest = Arc::new(StoredManifest::new(digest, record.media_type, bytes));
        self.0.manifests.offer(ticket, key, Arc::clone(&manifest));
        Ok(Some(manifest))
    }

    /// Notes that a client is told of a manifest that a policy might let go: an index that needs it may follow.
    /// Says whether it may be told: not while it is removed.
    fn note_asked(&self, repository: &RepositoryKey, digest: &Digest) -> bool {
        let is_mortal = repository.space == Space::Hosted && self.0.retention.is_mortal();
        !is_mortal || self.0.asked.note(repository, digest, self.0.clock.passed())
    }

    /// Says whether the repository has the manifest.
    pub(super) async fn has_manifest(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<bool, Error> {
        if !self.note_asked(repository, digest) {
            return Ok(false);
        }
        if self.is_shared() {
            // A link that came late may lead to nothing.
            let Some(record) = self.manifest_record(repository, digest).await? else { return Ok(false) };
            return Ok(self.0.backend.size(&layout::blob(digest)).await? == Some(record.size));
        }
        if self.0.manifests.find(&(repository.clone(), *digest)).is_some() {
            return Ok(true);
        }
        Ok(self.0.backend.size(&layout::manifest(repository, digest)).await?.is_some())
    }

    /// Says whether the repository has the manifest, whole: one whose content was lost on the disk or moved
    /// aside is absent, so that a push brings it again.
    pub(super) async fn has_whole_manifest(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<bool, Error> {
        // Another process may have deleted what this one remembers.
        if !self.is_shared() && self.0.manifests.find(&(repository.clone(), *digest)).is_some() {
            return Ok(true);
        }
        let Some(record) = self.manifest_record(repository, digest).await? else { return Ok(false) };
        Ok(self.0.backend.size(&layout::blob(digest)).await? == Some(record.size))
    }

    /// Stores a manifest and points tags at it.
    ///
    /// *Errors:* [`Error::ReferencesMissing`]; [`Error::TagTaken`] or [`Error::TagChanged`] as
    /// [`Tagging`] has it. After an error the manifest may be stored, but no tag was moved by this
    /// call except those before the one that failed.
    ///
    /// *Cancellation:* it runs to its end.
    ///
    /// *Durability:* when this returns, no crash can lose the manifest or its tags; a crash before
    /// that leaves it whole or absent, and each tag as it was or moved.
    pub async fn put_manifest(&self, repository: &RepositoryKey, new: NewManifest) -> Result<(), Error> {
        let (store, repository) = (self.clone(), repository.clone());
        self.change(async move {
            let _marking = store.0.claims.share(vec![Claim::Mark(repository.clone())]).await;
            let put = store.put_manifest_here(&repository, &new).await;
            if put.is_err() {
                // The name may have been marked for a manifest that did not come. If the mark cannot
                // be taken away now, it is after the next start; the client is told what went wrong first.
                if let Err(error) = store.unmark_name_if_empty(&repository).await {
                    tracing::warn!(repo.name = %repository, error = %WithCauses(&error),
                        "a repository's mark could not be looked at");
                }
            }
            put
        })
        .await
    }

    /// Returns the digests of a repository's manifests, sorted.
    pub async fn manifest_digests(&self, repository: &RepositoryKey) -> Result<Vec<Digest>, Error> {
        let mut digests = Vec::new();
        for algorithm in Algorithm::ALL {
            let names = self.0.backend.list(&layout::manifests(repository, algorithm)).await?;
            digests.extend(names.iter().filter_map(|hex| Digest::from_hex(algorithm, hex).ok()));
        }
        digests.sort_unstable();
        Ok(digests)
    }

    /// Says whether a manifest is here with all these tags, and makes them durable if so, whoever wrote them.
    ///
    /// What a push writes before them is durable when they are visible, so it need not be looked at.
    ///
    /// *Durability:* as [`Store::put_manifest`], when this returns `true`.
    pub async fn confirm_manifest(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        tags: &[Tag],
    ) -> Result<bool, Error> {
        let Some(record) = self.manifest_record(repository, digest).await? else { return Ok(false) };
        if self.0.backend.size(&layout::blob(digest)).await? != Some(record.size) {
            return Ok(false);
        }
        let mut keys = vec![layout::manifest(repository, digest)];
        for tag in tags {
            if self.tag(repository, tag).await?.is_none_or(|entry| entry.digest != *digest) {
                return Ok(false);
            }
            keys.push(layout::tag(repository, tag));
        }
        self.0.backend.settle(&keys).await?;
        Ok(true)
    }

    async fn put_manifest_here(&self, repository: &RepositoryKey, new: &NewManifest) -> Result<(), Error> {
        let object = |digest: &Digest| Claim::Object(repository.clone(), *digest);
        let mut claims = vec![Claim::Name(repository.clone()), object(&new.digest)];
        claims.extend(new.manifest.references.iter().map(|descriptor| object(&descriptor.digest)));
        let announced = self.announce_shared(&claims).await?;
        let _with_others = self.0.claims.share(claims).await;
        let _linked = self.linking(&new.digest).await;
        settle(announced, self.put_claimed_manifest(repository, new)).await
    }

    async fn put_claimed_manifest(&self, repository: &RepositoryKey, new: &NewManifest) -> Result<(), Error> {
        // First, since what is missing may be worth a fetch, and a tag that may not move is not.
        for tag in &new.tags {
            self.check_tag(repository, tag, &new.digest, &new.tagging).await?;
        }
        if new.references == References::Required {
            let needed = new.manifest.references.iter().filter(is_needed);
            let needed = needed.map(|descriptor| (descriptor.digest, &descriptor.media_type));
            let digests = self.missing(repository, needed).await?;
            let policy = match new.manifest.kind {
                Kind::Image => self.0.options.missing_in_image,
                Kind::Index => self.0.options.missing_in_index,
            };
            if policy == Missing::Refuse && !digests.is_empty() {
                return Err(Error::ReferencesMissing { digests });
            }
        }
        self.write_content(&new.digest, &new.bytes).await?;
        if let Some(subject) = &new.manifest.subject {
            self.write_referrer(repository, &subject.digest, new).await?;
        }
        self.mark_name(repository).await?;
        self.write_manifest(repository, new).await?;
        while !self.spare(&new.digest).await? {
            // Another process has removed it as linked by nobody, between the look and the link.
            self.write_content(&new.digest, &new.bytes).await?;
        }
        for tag in &new.tags {
            self.write_tag(repository, tag, &new.digest, &new.tagging).await?;
        }
        Ok(())
    }

    async fn write_content(&self, digest: &Digest, bytes: &Bytes) -> Result<(), Error> {
        let key = layout::blob(digest);
        if self.holds_content(&key, bytes).await? {
            // Whoever wrote it may not have synced it yet.
            self.0.backend.settle(&[key]).await?;
            return Ok(());
        }
        // Absent, or other bytes than the disk was given: the right ones heal it.
        self.0.backend.write(&key, bytes.clone(), When::Always).await?;
        Ok(())
    }

    /// Says whether content is there, byte for byte; it is a manifest's, and small.
    async fn holds_content(&self, key: &Key, bytes: &Bytes) -> Result<bool, Error> {
        let Some(content) = self.0.backend.open(key).await? else { return Ok(false) };
        Ok(content.size() == bytes.len() as u64 && content.bytes().await.is_ok_and(|it| it == *bytes))
    }

    async fn write_manifest(&self, repository: &RepositoryKey, new: &NewManifest) -> Result<(), Error> {
        let manifest = &new.manifest;
        let record = ManifestRecord {
            media_type: manifest.media_type.clone(),
            size: new.bytes.len() as u64,
            subject: manifest.subject.as_ref().map(|subject| subject.digest),
            artifact_type: manifest.artifact_type.clone(),
            annotations: manifest.annotations.clone(),
            references: manifest.references.iter().map(|descriptor| descriptor.digest).collect(),
            pushed_at: self.0.clock.now(),
        };
        let key = layout::manifest(repository, &new.digest);
        let written = self.0.backend.write(&key, record::encode(&record), When::Always).await;
        self.0.manifests.forget(&(repository.clone(), new.digest));
        self.0.indexes.forget(repository);
        self.0.existing.forget(repository);
        written?;
        Ok(())
    }

    /// Deletes a manifest of the repository with every tag that points at it.
    ///
    /// *Errors:* [`Error::ManifestUnknown`]; [`Error::Referenced`] while an index of the
    /// repository refers to it.
    ///
    /// *Cancellation:* it runs to its end.
    ///
    /// *Durability:* when this returns, no crash can bring it back; a crash before that leaves
    /// fewer tags on it, or all.
    ///
    /// *Spec:* `[end-9]`.
    pub async fn delete_manifest(&self, repository: &RepositoryKey, digest: &Digest) -> Result<(), Error> {
        self.delete_manifest_along(repository, digest, Along::All).await
    }

    /// Deletes a manifest of the repository with the tags that may go along.
    ///
    /// *Errors:* as [`Store::delete_manifest`]; [`Error::TagCame`] when another tag points at it, which is looked
    /// at while nobody can set one.
    ///
    /// *Cancellation* and *durability:* as [`Store::delete_manifest`].
    pub async fn delete_manifest_along(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        along: Along,
    ) -> Result<(), Error> {
        let (store, repository, digest) = (self.clone(), repository.clone(), *digest);
        self.change(async move {
            let _marking = store.0.claims.share(vec![Claim::Mark(repository.clone())]).await;
            store.delete_manifest_here(&repository, &digest, &along).await
        })
        .await
    }

    async fn delete_manifest_here(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        along: &Along,
    ) -> Result<(), Error> {
        let announced = self.announce_alone(&Claim::Object(repository.clone(), *digest)).await?;
        if !settle(announced, self.delete_announced_manifest(repository, digest, along)).await? {
            self.unmark_name_if_empty(repository).await?;
        }
        Ok(())
    }

    /// Deletes a manifest that other processes know to be claimed alone; says whether the repository has others.
    async fn delete_announced_manifest(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        along: &Along,
    ) -> Result<bool, Error> {
        let unknown = || Error::ManifestUnknown { digest: *digest };
        let others_are_left = {
            let _alone = self.0.claims.exclude(Claim::Object(repository.clone(), *digest)).await;
            let record = self.manifest_record(repository, digest).await?.ok_or_else(unknown)?;
            if let Along::These(judged) = along {
                let found = self.tags_at(repository, digest).await?;
                if let Some(tag) = found.into_iter().find(|tag| !judged.contains(tag)) {
                    return Err(Error::TagCame { digest: *digest, tag });
                }
            }
            self.delete_claimed_manifest(repository, digest, &record).await?
        };
        Ok(others_are_left)
    }

    /// Deletes a manifest that the caller claims alone, with every tag that points at it; says whether the
    /// repository has others.
    ///
    /// *Errors:* as [`Store::delete_manifest`].
    pub(super) async fn delete_claimed_manifest(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        record: &ManifestRecord,
    ) -> Result<bool, Error> {
        self.refuse_if_referenced(repository, digest).await?;
        self.delete_tags_of(repository, digest).await?;
        let removed = self.remove_manifest(repository, digest, record).await;
        if removed.is_err() {
            // It may be gone all the same; an index that still had it would refuse for ever
            // to delete what it referred to.
            self.0.indexes.forget(repository);
        }
        if removed? == Outcome::Refused {
            return Err(Error::ManifestUnknown { digest: *digest });
        }
        // Who has read the records before this, and has not offered its index yet, must not.
        self.0.indexes.touch(repository);
        let index = self.index(repository).await?;
        Ok(index.lock().unwrap_or_else(PoisonError::into_inner).remove(digest))
    }

    /// Removes the record first: a referrer that is still listed is checked against it.
    pub(super) async fn remove_manifest(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        record: &ManifestRecord,
    ) -> Result<Outcome, Error> {
        let deleted = self.0.backend.delete(&layout::manifest(repository, digest), When::Always).await;
        self.0.manifests.forget(&(repository.clone(), *digest));
        self.0.existing.forget(repository);
        let deleted = deleted?;
        if let Some(subject) = record.subject {
            self.0.backend.delete(&layout::referrer(repository, &subject, digest), When::Always).await?;
        }
        Ok(deleted)
    }
}

/// Hashes a manifest without holding the executor.
pub async fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    for part in bytes.chunks(HASHED_AT_ONCE_BYTES) {
        hasher.update(part);
        tokio::task::yield_now().await;
    }
    hasher.finish()
}

/// What is hashed before other tasks have their turn.
const HASHED_AT_ONCE_BYTES: usize = 128 * 1024;

/// Says whether content has to be here for a manifest that refers to it.
///
/// *Spec:* image-spec `layer.md#non-distributable-layers`.
pub(super) fn is_needed(descriptor: &&Descriptor) -> bool {
    !descriptor.media_type.is_non_distributable() && descriptor.urls.is_empty()
}
