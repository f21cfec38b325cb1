//! Pulls of blobs: what is hosted, else what is cached, else what an upstream has.

use std::sync::Arc;

use super::fill::{Cold, Filling};
use super::service::{Said, Sides, cached, check_asking};
use super::{Error, Repositories, WRITE_PATIENCE};
use crate::auth::{Grant, Pull};
use crate::oci::Digest;
use crate::oci::range::RangeSpec;
use crate::store::{self, Content, Space, Store};
use crate::telemetry::WithCauses;
use crate::upstream::{self, Candidate};

/// A blob.
#[derive(Debug)]
pub enum PulledBlob {
    /// From a store.
    Stored(StoredBlob),
    /// From an upstream, while it is being stored.
    Filling(Filling),
    /// From an upstream, in parts that are not stored.
    Cold(Box<Cold>),
}

/// What is here of a blob for another repository of the upstream.
pub(super) enum Shared {
    /// It is here, and the upstream confirms that this repository has it too.
    Here(PulledBlob),
    /// Nothing.
    NotHere,
    /// Something that was not confirmed, or cannot be had: it is fetched as if nothing were here.
    NotOurs,
}

/// A blob that is in a store.
#[derive(Debug)]
pub struct StoredBlob {
    /// Its bytes.
    pub content: Content,
    /// Whether they are to be hashed while they are sent.
    pub is_verified_on_read: bool,
    /// Whether clients are sent to the bucket for the whole of it.
    pub is_redirected: bool,
    /// The name of the upstream of whose cache it is.
    pub upstream: Option<Arc<str>>,
}

impl StoredBlob {
    fn of(store: &Store, content: Content, space: &Space) -> Self {
        let upstream = match space {
            Space::Hosted => None,
            Space::Upstream(upstream) => Some(Arc::clone(upstream)),
        };
        Self {
            content,
            is_verified_on_read: store.verifies_on_read(),
            is_redirected: store.redirects(),
            upstream,
        }
    }
}

impl PulledBlob {
    /// Returns the name of the upstream that it is from.
    pub fn upstream(&self) -> Option<&Arc<str>> {
        match self {
            Self::Stored(stored) => stored.upstream.as_ref(),
            Self::Filling(filling) => Some(filling.upstream()),
            Self::Cold(cold) => Some(cold.upstream()),
        }
    }
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
        if let Some(stored) = self.stored_blob(&sides, digest).await? {
            return Ok(stored);
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
    /// Who may push is told that an upstream which cannot answer does not have it (ADR 8).
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
        // What has just arrived is in the store in a moment. Before the look into it: a fill that is over is in
        // one of the two.
        let arrived = |it: &Candidate| self.0.fills.verified_size(&it.upstream, &it.name, digest);
        if let Some(size) = sides.upstreams.iter().find_map(arrived) {
            return Ok(size);
        }
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
                Err(Error::Upstream(error)) if !error.is_not_found() && grant.may_push() => {
                    tracing::debug!(upstream.name = %candidate.upstream.name(), error = %WithCauses(&error),
                        "an upstream could not say whether it has a blob");
                    break;
                }
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
        let shared = self.shared(candidate, digest).await?;
        if let Shared::Here(pulled) = shared {
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
        let fill = match shared {
            Shared::NotHere => self.0.fills.join_unless_elsewhere(upstream, name, digest),
            _ => Some(self.0.fills.join(upstream, name, digest)),
        };
        let Some(fill) = fill else {
            // Two repositories at once: the other one was a little earlier.
            if let Shared::Here(pulled) = self.shared(candidate, digest).await? {
                return Ok(pulled);
            }
            return Ok(PulledBlob::Filling(self.0.fills.join(upstream, name, digest).ready().await?));
        };
        let ready = fill.ready().await;
        if let Err(error) = &ready {
            self.0.negative.keep_blob(upstream, name, digest, error);
        }
        Ok(PulledBlob::Filling(ready?))
    }

    /// Brings a blob into the cache of a repository, from the upstream or from what is here of it.
    ///
    /// *Errors:* those of the upstream.
    pub(super) async fn bring(&self, candidate: &Candidate, digest: &Digest) -> Result<(), Error> {
        let Candidate { upstream, name, .. } = candidate;
        match self.shared(candidate, digest).await? {
            Shared::Here(PulledBlob::Filling(filling)) => {
                let size = filling.size;
                filling.stored().await?;
                if let Some(size) = size
                    && self.is_linked(candidate, digest, size).await?
                {
                    return Ok(());
                }
            }
            Shared::Here(PulledBlob::Stored(stored)) => {
                if self.is_linked(candidate, digest, stored.content.size()).await? {
                    return Ok(());
                }
            }
            Shared::Here(PulledBlob::Cold(_)) | Shared::NotHere | Shared::NotOurs => {}
        }
        self.0.fills.join(upstream, name, digest).stored().await
    }

    /// Links bytes that are here into another repository of their upstream; says whether they are here.
    async fn is_linked(&self, candidate: &Candidate, digest: &Digest, size: u64) -> Result<bool, Error> {
        let repository = cached(&candidate.upstream, &candidate.name);
        Ok(self.at(&repository).link_held(&repository, digest, size).await?)
    }

    /// Returns bytes that are here, or on their way, for another repository of the upstream, once it confirms
    /// that this one has them too (P4, P10).
    pub(super) async fn shared(&self, candidate: &Candidate, digest: &Digest) -> Result<Shared, Error> {
        let Candidate { upstream, name, .. } = candidate;
        // In this order: a fill that is over is in the store.
        let elsewhere = self.0.fills.elsewhere(upstream, name, digest);
        let held = self.0.stores.of_upstream(upstream.name()).held(upstream.name(), digest).await?;
        if held.is_none() && elsewhere.is_none() {
            return Ok(Shared::NotHere);
        }
        if let Some(size) = held.filter(|_| upstream.options().trust_membership) {
            return Ok(self.link_held(candidate, digest, size).await?.map_or(Shared::NotOurs, Shared::Here));
        }
        let size = match self.remote_size(candidate, digest).await {
            Ok(size) => size,
            Err(Error::Upstream(
                error @ (upstream::Error::NotFound { .. } | upstream::Error::Denied { .. }),
            )) => return Err(error.into()),
            // Nothing was confirmed: it is fetched as if nothing were here, with all that is tried again.
            Err(Error::Upstream(_)) => return Ok(Shared::NotOurs),
            Err(error) => return Err(error),
        };
        let repository = cached(upstream, name);
        if held == Some(size) {
            return Ok(self.link_held(candidate, digest, size).await?.map_or(Shared::NotOurs, Shared::Here));
        }
        let Some(fill) = elsewhere else { return Ok(Shared::NotOurs) };
        // What the other repository is told says nothing of this one, which is known to have it.
        let Ok(filling) = fill.ready().await else { return Ok(Shared::NotOurs) };
        if filling.size != Some(size) {
            return Ok(Shared::NotOurs);
        }
        let (store, digest) = (self.at(&repository).clone(), *digest);
        tokio::spawn(async move {
            // A link that is not made costs a question the next time.
            if fill.ended().await
                && let Err(error) = store.link_held(&repository, &digest, size).await
            {
                tracing::warn!(blob.digest = %digest, error = %WithCauses(&error),
                    "a blob could not be linked into another repository");
            }
        });
        Ok(Shared::Here(PulledBlob::Filling(filling)))
    }

    /// Serves bytes that are here to another repository of their upstream, and links them there. That is not
    /// waited for any longer than usual: what is open can be read, whatever the disk does.
    async fn link_held(
        &self,
        candidate: &Candidate,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<PulledBlob>, Error> {
        let repository = cached(&candidate.upstream, &candidate.name);
        let (store, digest) = (self.at(&repository).clone(), *digest);
        let Some(content) = store.open_held(&digest, size).await? else { return Ok(None) };
        let stored = StoredBlob::of(&store, content, &repository.space);
        let linking = tokio::spawn(async move {
            if let Err(error) = store.link_held(&repository, &digest, size).await {
                tracing::warn!(blob.digest = %digest, error = %WithCauses(&error),
                    "a blob could not be linked into another repository");
            }
        });
        // Late, it costs the next one a question.
        _ = tokio::time::timeout(WRITE_PATIENCE, linking).await;
        Ok(Some(PulledBlob::Stored(stored)))
    }

    /// Asks an upstream for a blob's size, once for all who want it.
    pub(super) async fn remote_size(&self, candidate: &Candidate, digest: &Digest) -> Result<u64, Error> {
        let Candidate { upstream, name, .. } = candidate;
        self.0.negative.of_blob(upstream, name, digest)?;
        let key = (upstream.id(), name.clone(), *digest);
        let (whom, of, what) = (Arc::clone(upstream), name.clone(), *digest);
        let asked = self.0.size_flights.ask(key, async move { whom.blob_size(&of, &what).await }).await;
        let size = asked.ok_or(store::Error::Abandoned)?.map_err(Error::from);
        if let Err(error) = &size {
            self.0.negative.keep_blob(upstream, name, digest, error);
        }
        size
    }

    async fn stored_blob(&self, sides: &Sides, digest: &Digest) -> Result<Option<PulledBlob>, Error> {
        let copies = sides.upstreams.iter().map(|it| cached(&it.upstream, &it.name));
        for repository in sides.hosted.iter().cloned().chain(copies) {
            match self.at(&repository).open_blob(&repository, digest).await {
                Ok(Some(content)) => {
                    let store = self.at(&repository);
                    return Ok(Some(PulledBlob::Stored(StoredBlob::of(store, content, &repository.space))));
                }
                Ok(None) => {}
                // What was cached and lost is fetched again, which heals it.
                Err(store::Error::Damaged { .. }) if repository.space != Space::Hosted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}
