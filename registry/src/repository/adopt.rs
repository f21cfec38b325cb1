//! Pushes that build on an upstream's layers.
//!
//! While a name has no hosted content, a client that asks whether a layer is there hears of the
//! upstream's (`pull::blob_size`) and does not push it. So a manifest that refers to it must be
//! taken: what it lacks is linked from the cache, or fetched, before the push is refused.
//!
//! Nothing becomes visible on the hosted side before all of it is there: a name that has a hosted
//! manifest asks its upstreams no more, and a push that was refused must not bring that about.

use std::sync::Arc;

use super::service::cached;
use super::{Error, Repositories};
use crate::auth::{Grant, Push};
use crate::oci::{Descriptor, Digest, Manifest, Reference, RepositoryName};
use crate::store::manifests::{NewManifest, References, StoredManifest, Tagging};
use crate::store::{self, RepositoryKey};
use crate::upstream::{Asking, Candidate};

/// How deep indexes may stand in indexes.
const DEPTH_MAX: usize = 4;
/// How many objects one push may bring over; each may cost a question to an upstream.
const OBJECTS_MAX: usize = 256;

/// What a push lacks.
#[derive(Debug, Default)]
struct Lacking {
    blobs: Vec<Digest>,
    /// Manifests from the cache, those that others refer to first.
    manifests: Vec<(Arc<StoredManifest>, Manifest)>,
    /// Whether there is something that cannot be brought over, or too much.
    is_hopeless: bool,
}

impl Repositories {
    /// Brings to the hosted side what a push lacks, if the upstreams of its name have all of it.
    ///
    /// *Errors:* those of the upstreams, but not that they lack something: the push will be
    /// refused for that.
    pub(super) async fn adopt(
        &self,
        grant: &Grant<Push>,
        pushed: &Manifest,
        missing: &[Digest],
    ) -> Result<(), Error> {
        let mut lacking = Lacking::default();
        for descriptor in pushed.references.iter().filter(|descriptor| missing.contains(&descriptor.digest)) {
            self.gather(grant, descriptor, DEPTH_MAX, &mut lacking).await?;
        }
        if lacking.is_hopeless {
            return Ok(());
        }
        let hosted = RepositoryKey::hosted(grant.name().clone());
        // A hosted name asks nobody; what was cached before it was hosted may still be linked.
        let may_ask = !self.at(&hosted).repository_exists(&hosted).await?;
        for digest in &lacking.blobs {
            if !self.adopt_blob(grant, digest, may_ask).await? {
                return Ok(());
            }
        }
        for (copy, manifest) in lacking.manifests {
            let new = NewManifest {
                manifest,
                bytes: copy.bytes.clone(),
                digest: copy.digest,
                tags: Vec::new(),
                tagging: Tagging::Move,
                references: References::Required,
            };
            self.at(&hosted).put_manifest(&hosted, new).await?;
        }
        Ok(())
    }

    /// Finds out what a descriptor stands for: a blob, or a cached manifest and all below it.
    async fn gather(
        &self,
        grant: &Grant<Push>,
        descriptor: &Descriptor,
        depth: usize,
        lacking: &mut Lacking,
    ) -> Result<(), Error> {
        let digest = &descriptor.digest;
        lacking.is_hopeless |= lacking.blobs.len() + lacking.manifests.len() >= OBJECTS_MAX;
        if lacking.is_hopeless || self.is_gathered(grant.name(), descriptor, lacking).await? {
            return Ok(());
        }
        if descriptor.media_type.manifest_kind().is_none() {
            lacking.blobs.push(*digest);
            return Ok(());
        }
        let Some(copy) = self.cached_manifest(grant, digest).await?.filter(|_| depth > 0) else {
            lacking.is_hopeless = true;
            return Ok(());
        };
        let manifest = Manifest::parse(&copy.bytes, Some(&copy.media_type))?;
        for reference in &manifest.references {
            Box::pin(self.gather(grant, reference, depth - 1, lacking)).await?;
        }
        lacking.manifests.push((copy, manifest));
        Ok(())
    }

    async fn is_gathered(
        &self,
        name: &RepositoryName,
        descriptor: &Descriptor,
        lacking: &Lacking,
    ) -> Result<bool, Error> {
        let (hosted, digest) = (RepositoryKey::hosted(name.clone()), descriptor.digest);
        let is_here = match descriptor.media_type.manifest_kind() {
            Some(_) => match self.at(&hosted).manifest(&hosted, &Reference::Digest(digest)).await {
                // In quarantine: it has to be pushed again.
                Err(store::Error::ManifestUnknown { .. }) => false,
                found => found?.is_some(),
            },
            None => self.at(&hosted).has_blob(&hosted, &digest).await?,
        };
        Ok(is_here
            || lacking.blobs.contains(&digest)
            || lacking.manifests.iter().any(|(copy, _)| copy.digest == digest))
    }

    async fn cached_manifest(
        &self,
        grant: &Grant<Push>,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, Error> {
        for Candidate { upstream, name, .. } in self.candidates(grant) {
            let reference = Reference::Digest(*digest);
            let repository = cached(&upstream, &name);
            if let Some(copy) = self.at(&repository).manifest(&repository, &reference).await? {
                return Ok(Some(copy));
            }
        }
        Ok(None)
    }

    async fn adopt_blob(&self, grant: &Grant<Push>, digest: &Digest, may_ask: bool) -> Result<bool, Error> {
        let hosted = RepositoryKey::hosted(grant.name().clone());
        for Candidate { upstream, name, .. } in self.candidates(grant) {
            if self.0.stores.mount_blob(&cached(&upstream, &name), &hosted, digest).await? {
                return Ok(true);
            }
        }
        let asked = self.candidates(grant).into_iter();
        let may_ask = |it: &Candidate| may_ask || it.upstream.options().overlay;
        for candidate in asked.filter(|it| may_ask(it) && it.asking == Asking::Allowed) {
            match self.remote_size(&candidate, digest).await {
                Ok(_) => {
                    let Candidate { upstream, name, .. } = &candidate;
                    self.bring(&candidate, digest).await?;
                    return Ok(self.0.stores.mount_blob(&cached(upstream, name), &hosted, digest).await?);
                }
                Err(Error::Upstream(error)) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
