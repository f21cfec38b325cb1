//! Pulls of blobs: what is hosted, else what is cached, else what an upstream has.

use std::sync::Arc;

use super::fill::{Cold, Filling};
use super::service::{Said, Sides, cached, check_asking};
use super::{Error, Repositories};
use crate::auth::{Grant, Pull};
use crate::oci::Digest;
use crate::oci::range::RangeSpec;
use crate::store::{self, Content, Space};
use crate::upstream::{self, Candidate};

/// A blob.
#[derive(Debug)]
pub enum PulledBlob {
    /// From the store.
    Stored(Content),
    /// From an upstream, while it is being stored.
    Filling(Filling),
    /// From an upstream, in parts that are not stored.
    Cold(Box<Cold>),
}

impl Repositories {
    /// Returns a blob. Of one that is not here, a `part` that no fill is near is fetched by itself.
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
        part: Option<RangeSpec>,
    ) -> Result<PulledBlob, Error> {
        let name = grant.name();
        let sides = self.sides(grant, namespace).await?;
        if let Some(content) = self.stored_blob(&sides, digest).await? {
            return Ok(PulledBlob::Stored(content));
        }
        let mut said = Said::default();
        for candidate in &sides.upstreams {
            let filled = match check_asking(grant, candidate) {
                Ok(()) => self.fill(candidate, digest, part).await,
                Err(error) => Err(error),
            };
            match filled {
                Ok(pulled) => return Ok(pulled),
                Err(error) => {
                    if !said.add(candidate, error)? {
                        break;
                    }
                }
            }
        }
        said.verdict()?;
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
        let sides = self.sides(grant, namespace).await?;
        let copies = sides.upstreams.iter().map(|it| cached(&it.upstream, &it.name));
        for repository in sides.hosted.iter().cloned().chain(copies) {
            // What the disk has lost is absent, so that a push brings it again.
            if self.at(&repository).has_blob(&repository, digest).await?
                && let Some(size) = self.at(&repository).blob_size(&repository, digest).await?
            {
                return Ok(size);
            }
        }
        let mut said = Said::default();
        for candidate in &sides.upstreams {
            let size = match check_asking(grant, candidate) {
                Ok(()) => self.remote_size(candidate, digest).await,
                Err(error) => Err(error),
            };
            match size {
                Ok(size) => return Ok(size),
                Err(error) => {
                    if !said.add(candidate, error)? {
                        break;
                    }
                }
            }
        }
        said.verdict()?;
        Err(Error::BlobUnknown { repository: name.clone(), digest: *digest })
    }

    /// Fetches a blob from an upstream, or joins whoever does.
    async fn fill(
        &self,
        candidate: &Candidate,
        digest: &Digest,
        part: Option<RangeSpec>,
    ) -> Result<PulledBlob, Error> {
        let Candidate { upstream, name, .. } = candidate;
        self.0.negative.of_blob(upstream, name, digest)?;
        if let Some(pulled) = self.shared(candidate, digest).await? {
            return Ok(pulled);
        }
        if let Some(part) = part {
            let cold = self.0.fills.cold(upstream, name, digest, part).await;
            if let Err(error) = &cold {
                self.0.negative.keep_blob(upstream, name, digest, &Error::Upstream(error.clone()));
            }
            if let Some(cold) = cold? {
                return Ok(PulledBlob::Cold(Box::new(cold)));
            }
        }
        let ready = self.0.fills.join(upstream, name, digest).ready().await;
        if let Err(error) = &ready {
            self.0.negative.keep_blob(upstream, name, digest, error);
        }
        Ok(PulledBlob::Filling(ready?))
    }

    /// Returns bytes that are here, or on their way, for another repository of the upstream, once it confirms
    /// that this one has them too (P4, P10).
    pub(super) async fn shared(
        &self,
        candidate: &Candidate,
        digest: &Digest,
    ) -> Result<Option<PulledBlob>, Error> {
        let Candidate { upstream, name, .. } = candidate;
        let held = self.0.stores.of_upstream(upstream.name()).held(upstream.name(), digest).await?;
        let elsewhere = self.0.fills.elsewhere(upstream, name, digest);
        if held.is_none() && elsewhere.is_none() {
            return Ok(None);
        }
        if let Some(size) = held.filter(|_| upstream.options().trust_membership) {
            return self.link_held(candidate, digest, size).await;
        }
        let size = match self.remote_size(candidate, digest).await {
            Ok(size) => size,
            Err(Error::Upstream(
                error @ (upstream::Error::NotFound { .. } | upstream::Error::Denied { .. }),
            )) => return Err(error.into()),
            // Nothing was confirmed: it is fetched as if nothing were here, with all that is tried again.
            Err(Error::Upstream(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let repository = cached(upstream, name);
        if held == Some(size) {
            return self.link_held(candidate, digest, size).await;
        }
        let Some(fill) = elsewhere else { return Ok(None) };
        let filling = match fill.ready().await {
            // That repository lacks it, or keeps it from us; this one has just said that it is there.
            Err(Error::Upstream(upstream::Error::NotFound { .. } | upstream::Error::Denied { .. })) => {
                return Ok(None);
            }
            ready => ready?,
        };
        if filling.size != Some(size) {
            return Ok(None);
        }
        let (store, digest) = (self.at(&repository).clone(), *digest);
        tokio::spawn(async move {
            // A link that is not made costs a question the next time.
            if fill.ended().await
                && let Err(error) = store.link_held(&repository, &digest, size).await
            {
                tracing::warn!(blob.digest = %digest, error = &error as &dyn std::error::Error,
                    "a blob could not be linked into another repository");
            }
        });
        Ok(Some(PulledBlob::Filling(filling)))
    }

    /// Serves bytes that are here to another repository of their upstream.
    async fn link_held(
        &self,
        candidate: &Candidate,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<PulledBlob>, Error> {
        let repository = cached(&candidate.upstream, &candidate.name);
        let store = self.at(&repository);
        match store.link_held(&repository, digest, size).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            // A disk without room for a link costs a fetch, and no pull.
            Err(error) if error.is_full() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(store.open_blob(&repository, digest).await?.map(PulledBlob::Stored))
    }

    /// Asks an upstream for a blob's size, once for all who want it.
    pub(super) async fn remote_size(&self, candidate: &Candidate, digest: &Digest) -> Result<u64, Error> {
        let Candidate { upstream, name, .. } = candidate;
        self.0.negative.of_blob(upstream, name, digest)?;
        let key = (Arc::clone(upstream.name()), name.clone(), *digest);
        let (whom, of, what) = (Arc::clone(upstream), name.clone(), *digest);
        let asked = self.0.size_flights.ask(key, async move { whom.blob_size(&of, &what).await }).await;
        let size = asked.ok_or(store::Error::Abandoned)?.map_err(Error::from);
        if let Err(error) = &size {
            self.0.negative.keep_blob(upstream, name, digest, error);
        }
        size
    }

    async fn stored_blob(&self, sides: &Sides, digest: &Digest) -> Result<Option<Content>, Error> {
        let copies = sides.upstreams.iter().map(|it| cached(&it.upstream, &it.name));
        for repository in sides.hosted.iter().cloned().chain(copies) {
            match self.at(&repository).open_blob(&repository, digest).await {
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
