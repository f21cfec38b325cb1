//! Pushes: uploads, mounts, manifests. They go to the hosted side.

use bytes::Bytes;

use super::service::cached;
use super::{Error, Repositories, StoreError};
use crate::auth::{Grant, Overwrite, Pull, Push};
use crate::oci::{Algorithm, Digest, Manifest, MediaType, Reference, Tag};
use crate::store::manifests::{NewManifest, References, Tagging, digest_of};
use crate::store::uploads::{Body, Chunk, UploadId, UploadRef};
use crate::store::{self, RepositoryKey};
use crate::upstream::Candidate;

/// A manifest as it was pushed.
#[derive(Debug, Clone)]
pub struct PushedManifest {
    /// What the path names.
    pub reference: Reference,
    /// Further tags to point at it.
    ///
    /// *Spec:* `[end-7b]`.
    pub tags: Vec<Tag>,
    /// The Content-Type.
    pub content_type: Option<MediaType>,
    /// The body.
    pub bytes: Bytes,
    /// What the tag in the path must be.
    pub condition: Condition,
}

/// A condition on the tag in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// None.
    Any,
    /// It must be absent: `If-None-Match: *`.
    Absent,
    /// It must point at this digest: `If-Match`.
    At(Digest),
}

/// What became of a pushed manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPush {
    /// The digest it is stored under.
    pub digest: Digest,
    /// The manifest it is about.
    pub subject: Option<Digest>,
    /// The tags from the query that point at it.
    pub tags: Vec<Tag>,
}

impl Repositories {
    /// Opens an upload, and returns its name.
    ///
    /// *Spec:* `[end-4a]`, `[end-4c]`.
    pub async fn open_upload(&self, grant: &Grant<Push>, hint: Option<Algorithm>) -> Result<UploadId, Error> {
        let repository = hosted(grant);
        Ok(self.at(&repository).open_upload(&repository, &grant.holder().key(), hint).await?)
    }

    /// Returns where an upload stands.
    ///
    /// *Spec:* `[end-13]`.
    pub async fn upload_offset(&self, grant: &Grant<Push>, id: &UploadId) -> Result<u64, Error> {
        Ok(self.at(&hosted(grant)).upload_offset(&upload(grant, id)).await?)
    }

    /// Appends a chunk to an upload, and returns where it stands then.
    ///
    /// *Spec:* `[end-5]`.
    pub async fn append_upload(
        &self,
        grant: &Grant<Push>,
        id: &UploadId,
        chunk: Chunk,
        body: Body,
    ) -> Result<u64, Error> {
        Ok(self.at(&hosted(grant)).append_upload(&upload(grant, id), chunk, body).await?)
    }

    /// Appends the last chunk and makes the upload a blob.
    ///
    /// *Spec:* `[end-6]`.
    pub async fn commit_upload(
        &self,
        grant: &Grant<Push>,
        id: &UploadId,
        chunk: Chunk,
        body: Body,
        digest: &Digest,
    ) -> Result<(), Error> {
        self.at(&hosted(grant)).commit_upload(&upload(grant, id), chunk, body, digest).await?;
        Ok(())
    }

    /// Cancels an upload.
    ///
    /// *Spec:* `[end-14]`.
    pub async fn cancel_upload(&self, grant: &Grant<Push>, id: &UploadId) -> Result<(), Error> {
        Ok(self.at(&hosted(grant)).cancel_upload(&upload(grant, id)).await?)
    }

    /// Gives the repository a blob of another one that the caller may read, hosted or cached, and returns
    /// whether that had it.
    ///
    /// *Spec:* `[end-11]`.
    pub async fn mount(&self, to: &Grant<Push>, from: &Grant<Pull>, digest: &Digest) -> Result<bool, Error> {
        let source = RepositoryKey::hosted(from.name().clone());
        if self.0.stores.mount_blob(&source, &hosted(to), digest).await? {
            return Ok(true);
        }
        // As for a pull: a name that is hosted has nothing else.
        let is_hosted = self.at(&source).repository_exists(&source).await?;
        let candidates = self.candidates(from).into_iter();
        let lends = |it: &Candidate| !is_hosted || it.upstream.options().overlay;
        for Candidate { upstream, name, .. } in candidates.filter(lends) {
            if self.0.stores.mount_blob(&cached(&upstream, &name), &hosted(to), digest).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stores a manifest and points its tags at it.
    ///
    /// *Errors:* [`Error::Manifest`], [`Error::ManifestDigest`], and those of the store.
    ///
    /// *Durability:* when this returns, no crash can undo it.
    ///
    /// *Spec:* `[end-7a]`, `[end-7b]`.
    pub async fn put_manifest(
        &self,
        grant: &Grant<Push>,
        pushed: PushedManifest,
    ) -> Result<StoredPush, Error> {
        let (algorithm, mut tags) = match &pushed.reference {
            Reference::Digest(digest) => (digest.algorithm(), Vec::new()),
            Reference::Tag(tag) => (Algorithm::Sha256, vec![tag.clone()]),
        };
        let digest = digest_of(algorithm, &pushed.bytes).await;
        if let Reference::Digest(expected) = pushed.reference
            && expected != digest
        {
            return Err(Error::ManifestDigest { expected, actual: digest });
        }
        let manifest = Manifest::parse(&pushed.bytes, pushed.content_type.as_ref())?;
        let subject = manifest.subject.as_ref().map(|subject| subject.digest);
        tags.extend(
            pushed
                .tags
                .iter()
                .filter(|tag| !matches!(&pushed.reference, Reference::Tag(own) if own == *tag))
                .cloned(),
        );
        let tagging = match (pushed.condition, grant.overwrite()) {
            (Condition::Absent, _) => Tagging::Absent,
            (Condition::At(digest), Overwrite::Allowed) => Tagging::At(digest),
            (Condition::Any, Overwrite::Allowed) => Tagging::Move,
            // What has to be there is what is pushed: nothing would move.
            (Condition::At(at), Overwrite::Refused) if at == digest => Tagging::At(at),
            (Condition::At(_), Overwrite::Refused) if !tags.is_empty() => {
                return Err(store::Error::TagTaken { tag: tags.swap_remove(0) }.into());
            }
            (_, Overwrite::Refused) => Tagging::Keep,
        };
        let references = References::Required;
        let new = NewManifest { manifest, bytes: pushed.bytes, digest, tags, tagging, references };
        match self.at(&hosted(grant)).put_manifest(&hosted(grant), new.clone()).await {
            Err(StoreError::ReferencesMissing { digests }) if !self.candidates(grant).is_empty() => {
                self.adopt(grant, &new.manifest, &digests).await?;
                self.at(&hosted(grant)).put_manifest(&hosted(grant), new).await?;
            }
            other => other?,
        }
        Ok(StoredPush { digest, subject, tags: pushed.tags })
    }
}

fn hosted(grant: &Grant<Push>) -> RepositoryKey {
    RepositoryKey::hosted(grant.name().clone())
}

fn upload(grant: &Grant<Push>, id: &UploadId) -> UploadRef {
    UploadRef { repository: hosted(grant), id: id.clone(), owner: grant.holder().key() }
}
