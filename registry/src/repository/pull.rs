//! Pulls of manifests: what is hosted, else what is cached, else what an upstream has.

use std::sync::Arc;

use super::attempts::Question;
use super::freshness::{self, Decision};
use super::service::{Said, cached, check_asking};
use super::{Error, Repositories};
use crate::auth::{Grant, Pull};
use crate::clock::Timestamp;
use crate::oci::{Reference, RepositoryName, Tag};
use crate::store::manifests::StoredManifest;
use crate::store::{self, RepositoryKey};
use crate::telemetry::WithCauses;
use crate::upstream::error::Phase;
use crate::upstream::{self, Asking, Candidate, Upstream};

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
            && let Some(manifest) = self.hosted_manifest(name, reference).await?
        {
            self.note_hosted_pull(name, manifest.digest);
            return Ok(PulledManifest { manifest, stale: None });
        }
        let sides = self.sides(grant, namespace).await?;
        if let Some(hosted) = &sides.hosted
            && let Some(manifest) = self.at(hosted).manifest(hosted, reference).await?
        {
            self.note_hosted_pull(&hosted.name, manifest.digest);
            return Ok(PulledManifest { manifest, stale: None });
        }
        // A digest is the same wherever it is from: nobody is asked for what another upstream gave.
        if let Reference::Digest(_) = reference {
            for Candidate { upstream, name, .. } in &sides.upstreams {
                // What was cached and lost is fetched again, which heals it.
                let copy = cached(upstream, name);
                if let Ok(Some(manifest)) = self.at(&copy).manifest(&copy, reference).await {
                    self.note_pull(upstream, name, manifest.digest);
                    return Ok(PulledManifest { manifest, stale: None });
                }
            }
        }
        let mut said = Said::default();
        let asked = if self.is_gone(&sides, reference).await? { &[] } else { sides.upstreams.as_slice() };
        for candidate in asked {
            match self.manifest_of(grant, candidate, reference).await {
                Ok(pulled) => {
                    self.note_pull(&candidate.upstream, &candidate.name, pulled.manifest.digest);
                    return Ok(pulled);
                }
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

    async fn hosted_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Arc<StoredManifest>>, Error> {
        let hosted = RepositoryKey::hosted(name.clone());
        Ok(self.at(&hosted).manifest(&hosted, reference).await?)
    }

    /// Returns a manifest of one upstream: cached, checked or fetched.
    async fn manifest_of(
        &self,
        grant: &Grant<Pull>,
        candidate: &Candidate,
        reference: &Reference,
    ) -> Result<PulledManifest, Error> {
        let Candidate { upstream, name, .. } = candidate;
        let repository = cached(upstream, name);
        let copy = match self.at(&repository).manifest(&repository, reference).await {
            // What was cached and lost is fetched again, which heals it.
            Err(store::Error::Damaged { .. }) => None,
            copy => copy?,
        };
        match (copy, reference) {
            // A digest never changes: the upstream is not asked.
            (Some(manifest), Reference::Digest(_)) => Ok(PulledManifest { manifest, stale: None }),
            (Some(manifest), Reference::Tag(_)) if candidate.asking != Asking::Allowed => {
                Ok(PulledManifest { manifest, stale: None })
            }
            (Some(manifest), Reference::Tag(tag)) => self.checked(candidate, tag, manifest).await,
            (None, _) => {
                check_asking(grant, candidate)?;
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
        let checked_at = self.last_check(&candidate.upstream, &candidate.name, tag).await?;
        let age = freshness::age(self.0.clock.now(), checked_at);
        let question = Question::new(candidate, Reference::Tag(tag.clone()), Some(Arc::clone(&copy)));
        match freshness::decide(age, options) {
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
            Err(Error::Upstream(error)) if freshness::outlives(&error, age, options) => {
                tracing::info!(upstream.name = %candidate.upstream.name(), repo.name = %candidate.name,
                    repo.tag = %tag, error = %WithCauses(&error), "a cached tag is served without a check");
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
        let Some(at) = self.at(&repository).checked_at(&repository, tag).await? else { return Ok(None) };
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
        if let Err(error) = self.at(&repository).note_check(&repository, tag, at).await
            && !error.is_standing()
        {
            tracing::warn!(repo.name = %name, error = %WithCauses(&error),
                "when a tag was checked could not be written down; a restart makes it older");
        }
    }
}

fn check_key(upstream: &Upstream, name: &RepositoryName, tag: &Tag) -> (Arc<str>, RepositoryName, Tag) {
    (Arc::clone(upstream.name()), name.clone(), tag.clone())
}

fn count_stale(upstream: &Upstream, error: &upstream::Error) {
    metrics::counter!("wharfinger_stale_serves_total",
        "upstream" => upstream.name().to_string(), "cause" => error.kind())
    .increment(1);
}
