//! Pulls: what is hosted, else what is cached, else what an upstream has.

use std::sync::Arc;

use super::attempts::Question;
use super::fill::Filling;
use super::freshness::{self, Decision};
use super::service::{Said, Sides, cached};
use super::{Error, Repositories};
use crate::auth::{Grant, Pull};
use crate::clock::Timestamp;
use crate::oci::{Digest, Reference, RepositoryName, Tag};
use crate::store::manifests::StoredManifest;
use crate::store::{self, Content, RepositoryKey, Space};
use crate::upstream::error::Phase;
use crate::upstream::{self, Candidate, Upstream};

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
pub(super) struct Fetched(pub(super) Arc<StoredManifest>);

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
        // A digest is the same wherever it is from: nobody is asked for what another upstream gave.
        if let Reference::Digest(_) = reference {
            for Candidate { upstream, name } in &sides.upstreams {
                // What was cached and lost is fetched again, which heals it.
                if let Ok(Some(manifest)) = self.0.store.manifest(&cached(upstream, name), reference).await {
                    return Ok(PulledManifest { manifest, stale: None });
                }
            }
        }
        let mut said = Said::default();
        for candidate in &sides.upstreams {
            match self.manifest_of(candidate, reference).await {
                Ok(pulled) => return Ok(pulled),
                Err(error) => {
                    if !said.add(candidate, error)? {
                        break;
                    }
                }
            }
        }
        said.verdict()?;
        let repository = name.clone();
        Err(match reference {
            Reference::Tag(tag) => Error::TagUnknown { repository, tag: tag.clone() },
            Reference::Digest(digest) => Error::ManifestUnknown { repository, digest: *digest },
        })
    }

    /// Returns a manifest of one upstream: cached, checked or fetched.
    async fn manifest_of(
        &self,
        candidate: &Candidate,
        reference: &Reference,
    ) -> Result<PulledManifest, Error> {
        let Candidate { upstream, name } = candidate;
        let copy = match self.0.store.manifest(&cached(upstream, name), reference).await {
            // What was cached and lost is fetched again, which heals it.
            Err(store::Error::Damaged { .. }) => None,
            copy => copy?,
        };
        match (copy, reference) {
            // A digest never changes: the upstream is not asked.
            (Some(manifest), Reference::Digest(_)) => Ok(PulledManifest { manifest, stale: None }),
            (Some(manifest), Reference::Tag(tag)) => self.checked(candidate, tag, manifest).await,
            (None, _) => {
                self.0.negative.of_manifest(upstream, name, reference)?;
                let question = Question::new(candidate, reference.clone(), None);
                match self.ask_for_manifest(question).await {
                    Ok(Fetched(manifest)) => Ok(PulledManifest { manifest, stale: None }),
                    Err(error) => {
                        self.0.negative.keep_manifest(upstream, name, reference, &error);
                        Err(error)
                    }
                }
            }
        }
    }

    /// Returns the cached copy of a tag, or what the tag has moved to.
    async fn checked(
        &self,
        candidate: &Candidate,
        tag: &Tag,
        copy: Arc<StoredManifest>,
    ) -> Result<PulledManifest, Error> {
        let options = candidate.upstream.options();
        let (now, checked_at) =
            (self.0.clock.now(), self.last_check(&candidate.upstream, &candidate.name, tag).await?);
        let question = Question::new(candidate, Reference::Tag(tag.clone()), Some(Arc::clone(&copy)));
        match freshness::decide(now, checked_at, options) {
            Decision::Serve => return Ok(PulledManifest { manifest: copy, stale: None }),
            Decision::ServeThenCheck => {
                let this = self.clone();
                // What it brings is in the store; a failure is told to whoever asks when it is due.
                tokio::spawn(async move { this.ask_for_manifest(question).await.map(drop) });
                return Ok(PulledManifest { manifest: copy, stale: None });
            }
            Decision::Check => {}
        }
        let label = candidate.upstream.label();
        // The check goes on when it is late, and what it brings is in the store for the next one.
        let check = tokio::time::timeout(options.check_timeout, self.ask_for_manifest(question)).await;
        let late = || upstream::Error::Timeout { upstream: Arc::clone(label), phase: Phase::Check }.into();
        match check.unwrap_or_else(|_| Err(late())) {
            Ok(Fetched(manifest)) => Ok(PulledManifest { manifest, stale: None }),
            // What is cached is served whatever the upstream does (P7), but for what an operator wants
            // otherwise.
            Err(Error::Upstream(error))
                if freshness::outlives(&error, checked_at.map(|at| now.since(at)), options) =>
            {
                tracing::info!(upstream.name = %candidate.upstream.name(), repo.name = %candidate.name,
                    repo.tag = %tag, error = %error, "a cached tag is served without a check");
                count_stale(&candidate.upstream, &error);
                Ok(PulledManifest { manifest: copy, stale: Some(Arc::clone(label)) })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns when a cached tag was last checked, by this process or the one before it.
    async fn last_check(
        &self,
        upstream: &Upstream,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Timestamp>, Error> {
        let key = check_key(upstream, name, tag);
        if let Some(at) = self.0.checked_at.find(&key) {
            return Ok(Some(at));
        }
        let repository = cached(upstream, name);
        let Some(at) = self.0.store.checked_at(&repository, tag).await? else { return Ok(None) };
        self.0.checked_at.found(key, at);
        Ok(Some(at))
    }

    /// Notes that a tag was checked.
    pub(super) async fn note_check(
        &self,
        upstream: &Upstream,
        name: &RepositoryName,
        tag: &Tag,
        at: Timestamp,
    ) {
        if !self.0.checked_at.set(check_key(upstream, name, tag), at) {
            return;
        }
        let repository = cached(upstream, name);
        if let Err(error) = self.0.store.note_check(&repository, tag, at).await {
            tracing::warn!(repo.name = %name, error = &error as &dyn std::error::Error,
                "when a tag was checked could not be written down; a restart makes it older");
        }
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
        if let Some(content) = self.stored_blob(&sides, digest).await? {
            return Ok(PulledBlob::Stored(content));
        }
        let mut said = Said::default();
        for candidate in &sides.upstreams {
            match self.fill(candidate, digest).await {
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
        let sides = self.sides(name, namespace).await?;
        let copies = sides.upstreams.iter().map(|it| cached(&it.upstream, &it.name));
        for repository in sides.hosted.iter().cloned().chain(copies) {
            // What the disk has lost is absent, so that a push brings it again.
            if self.0.store.has_blob(&repository, digest).await?
                && let Some(size) = self.0.store.blob_size(&repository, digest).await?
            {
                return Ok(size);
            }
        }
        let mut said = Said::default();
        for candidate in &sides.upstreams {
            match self.remote_size(candidate, digest).await {
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
    async fn fill(&self, candidate: &Candidate, digest: &Digest) -> Result<PulledBlob, Error> {
        let Candidate { upstream, name } = candidate;
        self.0.negative.of_blob(upstream, name, digest)?;
        if let Some(pulled) = self.shared(candidate, digest).await? {
            return Ok(pulled);
        }
        let ready = self.0.fills.join(upstream, name, digest).ready().await;
        if let Err(error) = &ready {
            self.0.negative.keep_blob(upstream, name, digest, error);
        }
        Ok(PulledBlob::Filling(ready?))
    }

    /// Returns bytes that are here, or on their way, for another repository of the upstream, once it confirms
    /// that this one has them too (P4, P10).
    async fn shared(&self, candidate: &Candidate, digest: &Digest) -> Result<Option<PulledBlob>, Error> {
        let Candidate { upstream, name } = candidate;
        let held = self.0.store.held(upstream.name(), digest).await?;
        let elsewhere = self.0.fills.elsewhere(upstream, name, digest);
        if held.is_none() && elsewhere.is_none() {
            return Ok(None);
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
            self.0.store.link_held(&repository, digest, size).await?;
            return Ok(self.0.store.open_blob(&repository, digest).await?.map(PulledBlob::Stored));
        }
        let Some(fill) = elsewhere else { return Ok(None) };
        let filling = fill.ready().await?;
        if filling.size != Some(size) {
            return Ok(None);
        }
        let (store, digest) = (self.0.store.clone(), *digest);
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

    /// Asks an upstream for a blob's size, once for all who want it.
    pub(super) async fn remote_size(&self, candidate: &Candidate, digest: &Digest) -> Result<u64, Error> {
        let Candidate { upstream, name } = candidate;
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

fn check_key(upstream: &Upstream, name: &RepositoryName, tag: &Tag) -> freshness::Key {
    (Arc::clone(upstream.name()), name.clone(), tag.clone())
}

fn count_stale(upstream: &Upstream, error: &upstream::Error) {
    metrics::counter!("wharfinger_stale_serves_total",
        "upstream" => upstream.name().to_string(), "cause" => error.kind())
    .increment(1);
}
