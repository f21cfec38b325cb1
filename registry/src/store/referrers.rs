//! Referrers: the manifests about a manifest, one record each, so that pushing one rewrites no list.

use futures_util::future::try_join_all;

use super::manifests::NewManifest;
use super::{Error, RepositoryKey, Store, layout, record};
use crate::backend::When;
use crate::oci::{Descriptor, Digest};

/// Records read at once.
const READS_AT_ONCE: usize = 16;

impl Store {
    /// Returns the descriptors of the manifests whose subject is this digest, sorted by digest;
    /// none when there are none, or no such repository.
    ///
    /// *Spec:* `[end-12a]`.
    pub async fn referrers(
        &self,
        repository: &RepositoryKey,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let names = self.0.backend.list(&layout::referrers(repository, subject)).await?;
        let digests: Vec<Digest> = names.iter().filter_map(|name| Digest::parse(name).ok()).collect();
        let mut descriptors = Vec::with_capacity(digests.len());
        for some in digests.chunks(READS_AT_ONCE) {
            let reads = some.iter().map(|digest| self.referrer(repository, subject, digest));
            descriptors.extend(try_join_all(reads).await?.into_iter().flatten());
        }
        Ok(descriptors)
    }

    async fn referrer(
        &self,
        repository: &RepositoryKey,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<Option<Descriptor>, Error> {
        // The entry is written before the manifest and deleted after it, so it alone says nothing.
        if !self.has_manifest(repository, digest).await? {
            return Ok(None);
        }
        let key = layout::referrer(repository, subject, digest);
        self.0.backend.read(&key).await?.map(|bytes| record::decode(&key, &bytes)).transpose()
    }

    pub(super) async fn write_referrer(
        &self,
        repository: &RepositoryKey,
        subject: &Digest,
        new: &NewManifest,
    ) -> Result<(), Error> {
        let descriptor = Descriptor {
            media_type: new.manifest.media_type.clone(),
            digest: new.digest,
            size: new.bytes.len() as u64,
            urls: Vec::new(),
            artifact_type: new.manifest.artifact_type.clone(),
            annotations: new.manifest.annotations.clone(),
        };
        let key = layout::referrer(repository, subject, &new.digest);
        self.0.backend.write(&key, record::encode(&descriptor), When::Always).await?;
        Ok(())
    }
}
