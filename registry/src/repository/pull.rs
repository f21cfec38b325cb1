//! Pulls: what is hosted, else what is cached, else what an upstream has.

use std::sync::Arc;

use super::fill::Filling;
use super::freshness::{self, Decision};
use super::service::{Sides, cached};
use super::{Error, Repositories};
use crate::auth::{Grant, Pull};
use crate::oci::{Algorithm, Digest, Manifest, Reference, RepositoryName, Tag};
use crate::store::manifests::{NewManifest, References, StoredManifest, Tagging, digest_of};
use crate::store::{self, Content, RepositoryKey, Space};
use crate::upstream::error::{Phase, Wrong};
use crate::upstream::{self, Upstream};

/// A manifest, and what its client is to be told beside it.
#[derive(Debug, Clone)]
pub struct PulledManifest {
    /// The manifest.
    pub manifest: Arc<StoredManifest>,
    /// What the upstream is called whose cached copy this is because it could not be asked.
    pub stale: Option<Arc<str>>,
}

/// A manifest that an upstream sent, checked.
#[derive(Debug, Clone)]
pub(super) struct Fetched(Arc<StoredManifest>);

/// A blob.
#[derive(Debug)]
pub enum PulledBlob {
    /// From the store.
    Stored(Content),
    /// From an upstream, while it is being stored.
    Filling(Filling),
}

impl Repositories {
    /// Returns a manifest.
    ///
    /// *Errors:* [`Error::TagUnknown`] and [`Error::ManifestUnknown`] when everything that was
    /// asked said so; else what the store or the upstreams said.
    ///
    /// *Spec:* `[end-3]`.
    pub async fn manifest(
        &self,
        grant: &Grant<Pull>,
        namespace: Option<&str>,
        reference: &Reference,
    ) -> Result<PulledManifest, Error> {
        let name = grant.name();
        // The everyday case first: it costs a look into memory.
        if namespace.is_none()
            && let Some(manifest) =
                self.0.store.manifest(&RepositoryKey::hosted(name.clone()), reference).await?
        {
            return Ok(PulledManifest { manifest, stale: None });
        }
        let sides = self.sides(name, namespace).await?;
        if let Some(hosted) = &sides.hosted
            && let Some(manifest) = self.0.store.manifest(hosted, reference).await?
        {
            return Ok(PulledManifest { manifest, stale: None });
        }
        for upstream in &sides.upstreams {
            match self.manifest_of(upstream, name, reference).await {
                Err(Error::Upstream(error)) if error.is_not_found() => {}
                other => return other,
            }
        }
        let repository = name.clone();
        Err(match reference {
            Reference::Tag(tag) => Error::TagUnknown { repository, tag: tag.clone() },
            Reference::Digest(digest) => Error::ManifestUnknown { repository, digest: *digest },
        })
    }

    /// Returns a manifest of one upstream: cached, checked or fetched.
    async fn manifest_of(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<PulledManifest, Error> {
        let copy = match self.0.store.manifest(&cached(upstream, name), reference).await {
            // What was cached and lost is fetched again, which heals it.
            Err(store::Error::Damaged { .. }) => None,
            copy => copy?,
        };
        match (copy, reference) {
            // A digest never changes: the upstream is not asked.
            (Some(manifest), Reference::Digest(_)) => Ok(PulledManifest { manifest, stale: None }),
            (Some(manifest), Reference::Tag(tag)) => self.checked(upstream, name, tag, manifest).await,
            (None, _) => {
                let now = self.0.clock.now();
                let Fetched(manifest) = self.fetch(upstream, name, reference).await?;
                if let Reference::Tag(tag) = reference {
                    let key = (Arc::clone(upstream.name()), name.clone(), tag.clone());
                    self.0.checked_at.set(key, now);
                }
                Ok(PulledManifest { manifest, stale: None })
            }
        }
    }

    /// Returns the cached copy of a tag, or what the tag has moved to.
    async fn checked(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        tag: &Tag,
        copy: Arc<StoredManifest>,
    ) -> Result<PulledManifest, Error> {
        let key = (Arc::clone(upstream.name()), name.clone(), tag.clone());
        let interval = upstream.options().manifest_check_interval;
        let (now, checked_at) = (self.0.clock.now(), self.0.checked_at.find(&key));
        if freshness::decide(now, checked_at, interval) == Decision::Serve {
            return Ok(PulledManifest { manifest: copy, stale: None });
        }
        let budget = upstream.options().check_timeout;
        let check = tokio::time::timeout(budget, self.check(upstream, name, tag, &copy)).await;
        let late = || {
            upstream::Error::Timeout { upstream: Arc::clone(upstream.label()), phase: Phase::Check }.into()
        };
        match check.unwrap_or_else(|_| Err(late())) {
            Ok(manifest) => {
                self.0.checked_at.set(key, now);
                Ok(PulledManifest { manifest, stale: None })
            }
            // What is cached is served whatever the upstream does (P7).
            Err(Error::Upstream(error)) => {
                tracing::info!(upstream.name = %upstream.name(), repo.name = %name, repo.tag = %tag, error = %error,
                    "a cached tag is served without a check");
                metrics::counter!("wharfinger_stale_serves_total", "upstream" => upstream.name().to_string())
                    .increment(1);
                Ok(PulledManifest { manifest: copy, stale: Some(Arc::clone(upstream.label())) })
            }
            Err(other) => Err(other),
        }
    }

    async fn check(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        tag: &Tag,
        copy: &Arc<StoredManifest>,
    ) -> Result<Arc<StoredManifest>, Error> {
        let reference = Reference::Tag(tag.clone());
        let claimed = upstream.manifest_digest(name, &reference).await?;
        if claimed == Some(copy.digest) {
            return Ok(Arc::clone(copy));
        }
        let Fetched(manifest) = self.fetch(upstream, name, &reference).await?;
        Ok(manifest)
    }

    /// Fetches a manifest, once for all who want it.
    async fn fetch(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Fetched, Error> {
        let key = (Arc::clone(upstream.name()), name.clone(), reference.clone());
        let (this, upstream, name, reference) =
            (self.clone(), Arc::clone(upstream), name.clone(), reference.clone());
        let question = async move { this.fetch_once(&upstream, &name, &reference).await };
        let answer = self.0.flights.ask(key, question).await;
        Ok(answer.ok_or(crate::store::Error::Abandoned)??)
    }

    async fn fetch_once(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Fetched, upstream::Error> {
        let remote = upstream.manifest(name, reference).await?;
        let wrong = |reason| upstream::Error::wrong(upstream.label(), reason);
        let algorithm = match reference {
            Reference::Digest(digest) => digest.algorithm(),
            Reference::Tag(_) => Algorithm::Sha256,
        };
        // Always our own hash, never the upstream's claim.
        let digest = digest_of(algorithm, &remote.bytes).await;
        if matches!(reference, Reference::Digest(expected) if *expected != digest) {
            return Err(wrong(Wrong::Digest));
        }
        let manifest =
            Manifest::parse(&remote.bytes, remote.media_type.as_ref()).map_err(|_| wrong(Wrong::Manifest))?;
        let stored = StoredManifest::new(digest, manifest.media_type.clone(), remote.bytes.clone());
        let tags = match reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(_) => Vec::new(),
        };
        let references = References::OnDemand;
        let new =
            NewManifest { manifest, bytes: remote.bytes, digest, tags, tagging: Tagging::Move, references };
        if let Err(error) = self.0.store.put_manifest(&cached(upstream, name), new).await {
            // The client has its answer all the same; the next one asks the upstream again.
            tracing::error!(repo.name = %name, error = &error as &dyn std::error::Error,
                "a fetched manifest could not be stored");
        }
        Ok(Fetched(Arc::new(stored)))
    }

    /// Returns a blob.
    ///
    /// *Errors:* [`Error::BlobUnknown`] when everything that was asked said so; else what the
    /// store or the upstreams said.
    ///
    /// *Spec:* `[end-2]`.
    pub async fn blob(
        &self,
        grant: &Grant<Pull>,
        namespace: Option<&str>,
        digest: &Digest,
    ) -> Result<PulledBlob, Error> {
        let name = grant.name();
        let sides = self.sides(name, namespace).await?;
        if let Some(content) = self.stored_blob(name, &sides, digest).await? {
            return Ok(PulledBlob::Stored(content));
        }
        for upstream in &sides.upstreams {
            match self.0.fills.join(upstream, name, digest).ready().await {
                Ok(filling) => return Ok(PulledBlob::Filling(filling)),
                Err(Error::Upstream(error)) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::BlobUnknown { repository: name.clone(), digest: *digest })
    }

    /// Returns a blob's size; a blob that is not here is not fetched for it.
    ///
    /// *Errors:* as [`Repositories::blob`].
    pub async fn blob_size(
        &self,
        grant: &Grant<Pull>,
        namespace: Option<&str>,
        digest: &Digest,
    ) -> Result<u64, Error> {
        let name = grant.name();
        let sides = self.sides(name, namespace).await?;
        let copies = sides.upstreams.iter().map(|upstream| cached(upstream, name));
        for repository in sides.hosted.iter().cloned().chain(copies) {
            // What the disk has lost is absent, so that a push brings it again.
            if self.0.store.has_blob(&repository, digest).await?
                && let Some(size) = self.0.store.blob_size(&repository, digest).await?
            {
                return Ok(size);
            }
        }
        for upstream in &sides.upstreams {
            match upstream.blob_size(name, digest).await {
                Ok(size) => return Ok(size),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::BlobUnknown { repository: name.clone(), digest: *digest })
    }

    async fn stored_blob(
        &self,
        name: &RepositoryName,
        sides: &Sides,
        digest: &Digest,
    ) -> Result<Option<Content>, Error> {
        let copies = sides.upstreams.iter().map(|upstream| cached(upstream, name));
        for repository in sides.hosted.iter().cloned().chain(copies) {
            match self.0.store.open_blob(&repository, digest).await {
                Ok(Some(content)) => return Ok(Some(content)),
                Ok(None) => {}
                // What was cached and lost is fetched again, which heals it.
                Err(store::Error::Damaged { .. }) if repository.space != Space::Hosted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}
