//! Pushes that build on an upstream's layers.
//!
//! While a name has no hosted content, a client that asks whether a layer is there hears of the
//! upstream's (`pull::blob_size`) and does not push it. So a manifest that refers to it must be
//! taken: what it lacks is linked from the cache, or fetched, before the push is refused.

use std::sync::Arc;

use super::service::cached;
use super::{Error, Repositories};
use crate::oci::{Digest, Manifest, Reference, RepositoryName};
use crate::store::RepositoryKey;
use crate::store::manifests::{NewManifest, References, Tagging};
use crate::upstream::Upstream;

/// How deep indexes may stand in indexes.
const DEPTH_MAX: usize = 4;

impl Repositories {
    /// Brings what a push lacks to the hosted side, as far as the upstreams of its name have it.
    ///
    /// *Errors:* those of the upstreams, but not that they lack something.
    pub(super) async fn adopt(&self, name: &RepositoryName, digests: &[Digest]) -> Result<(), Error> {
        for digest in digests {
            self.adopt_one(name, digest, DEPTH_MAX).await?;
        }
        Ok(())
    }

    async fn adopt_one(&self, name: &RepositoryName, digest: &Digest, depth: usize) -> Result<(), Error> {
        // A hosted name asks nobody; what was cached before it was hosted may still be linked.
        let is_hosted = self.0.store.repository_exists(&RepositoryKey::hosted(name.clone())).await?;
        for upstream in self.0.routes.of(name).filter(|upstream| upstream.options().on_demand) {
            if self.adopt_blob(upstream, name, digest, is_hosted).await?
                || self.adopt_manifest(upstream, name, digest, depth).await?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn adopt_blob(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        digest: &Digest,
        is_hosted: bool,
    ) -> Result<bool, Error> {
        let (copy, hosted) = (cached(upstream, name), RepositoryKey::hosted(name.clone()));
        if self.0.store.mount_blob(&copy, &hosted, digest).await? {
            return Ok(true);
        }
        if is_hosted {
            return Ok(false);
        }
        match upstream.blob_size(name, digest).await {
            Ok(_) => {
                self.0.fills.join(upstream, name, digest).stored().await?;
                Ok(self.0.store.mount_blob(&copy, &hosted, digest).await?)
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings a cached child of an index, and what that refers to in turn.
    async fn adopt_manifest(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        digest: &Digest,
        depth: usize,
    ) -> Result<bool, Error> {
        let copy = self.0.store.manifest(&cached(upstream, name), &Reference::Digest(*digest)).await?;
        let Some(copy) = copy.filter(|_| depth > 0) else { return Ok(false) };
        let manifest = Manifest::parse(&copy.bytes, Some(&copy.media_type))?;
        for reference in &manifest.references {
            Box::pin(self.adopt_one(name, &reference.digest, depth - 1)).await?;
        }
        let new = NewManifest {
            manifest,
            bytes: copy.bytes.clone(),
            digest: *digest,
            tags: Vec::new(),
            tagging: Tagging::Move,
            references: References::Required,
        };
        self.0.store.put_manifest(&RepositoryKey::hosted(name.clone()), new).await?;
        Ok(true)
    }
}
