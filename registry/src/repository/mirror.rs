//! Mirroring: what an upstream has is fetched every so often (`pollInterval`), before anybody asks for it.
//!
//! It goes through the same fills and questions as pulls do, so what is here is not fetched again, and a run
//! that was broken off goes on where it stopped. One tag that cannot be had does not keep the others. What was
//! mirrored is exempt from the cache's bound.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::{AbortHandle, JoinSet};

use super::attempts::Question;
use super::service::cached;
use super::{Error, Repositories};
use crate::oci::{Descriptor, Digest, Manifest, Reference, Tag};
use crate::store::manifests::StoredManifest;
use crate::telemetry::WithCauses;
use crate::upstream::error::Wrong;
use crate::upstream::lists::TAGS_MAX;
use crate::upstream::mirror::{self, TagFilter};
use crate::upstream::options::OnRefusal;
use crate::upstream::{self, Asking, Candidate, Upstream};

/// How deep indexes and referrers may stand in one another.
const DEPTH_MAX: usize = 8;
/// Manifests of one tag, with all that refer to them.
const MANIFESTS_MAX: usize = 10_000;
/// Blobs of one manifest fetched at once.
const BLOBS_AT_ONCE: usize = 4;
/// How long an upstream is left alone that asks for it and does not say for how long.
const REST: Duration = Duration::from_secs(5);

/// What a run has done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Mirrored {
    /// Repositories looked at.
    pub repositories: usize,
    /// Tags that are here whole.
    pub tags: usize,
    /// Tags that could not be had.
    pub failed: usize,
    /// Tags that the upstream has no more, and that were removed.
    pub removed: usize,
}

impl Repositories {
    /// Mirrors every upstream that is to be, for as long as it is awaited. One that is no more, or is another, is
    /// left in the middle of a run.
    pub async fn keep_mirrored(&self) {
        let mut changes = self.watch_routes();
        let mut mirrors = JoinSet::new();
        let mut running: Vec<(Arc<Upstream>, AbortHandle)> = Vec::new();
        loop {
            let routes = Arc::clone(&changes.borrow_and_update());
            for (_, mirror) in running.extract_if(.., |(upstream, _)| !routes.has(upstream)) {
                mirror.abort();
            }
            for upstream in routes.all() {
                let is_running = running.iter().any(|(it, _)| Arc::ptr_eq(it, upstream));
                if let Some(interval) = upstream.options().mirror.interval.filter(|_| !is_running) {
                    let (this, whom) = (self.clone(), Arc::clone(upstream));
                    let mirror = mirrors.spawn(async move { this.keep_one_mirrored(&whom, interval).await });
                    running.push((Arc::clone(upstream), mirror));
                }
            }
            // What was ended is taken out; the others do not end.
            while mirrors.try_join_next().is_some() {}
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn keep_one_mirrored(&self, upstream: &Arc<Upstream>, interval: Duration) {
        loop {
            let next = tokio::time::Instant::now() + interval;
            let outcome = match self.mirror(upstream).await {
                Ok(done) => {
                    tracing::info!(upstream.name = %upstream.name(), mirror.repositories = done.repositories,
                        mirror.tags = done.tags, mirror.failed = done.failed, mirror.removed = done.removed,
                        "an upstream was mirrored");
                    if done.failed == 0 { "whole" } else { "in_part" }
                }
                Err(error) => {
                    tracing::warn!(upstream.name = %upstream.name(),
                        error = %WithCauses(&error), "an upstream could not be mirrored");
                    "failed"
                }
            };
            metrics::counter!("wharfinger_mirror_runs_total",
                "upstream" => upstream.name().to_string(), "outcome" => outcome)
            .increment(1);
            tokio::time::sleep_until(next).await;
        }
    }

    /// Mirrors an upstream once.
    ///
    /// *Errors:* it has no catalog, and needs one. A repository or tag that cannot be had is counted.
    pub async fn mirror(&self, upstream: &Arc<Upstream>) -> Result<Mirrored, Error> {
        let routes = self.routes();
        if !routes.has(upstream) {
            return Ok(Mirrored::default());
        }
        let names = match routes.exact_names(upstream) {
            Some(names) => names,
            None => upstream.catalog().await?,
        };
        let mut done = Mirrored::default();
        for name in names {
            let Some(filter) = routes.tags_of(upstream, &name) else { continue };
            let candidate =
                Candidate { upstream: Arc::clone(upstream), name: name.clone(), asking: Asking::Allowed };
            done.repositories += 1;
            match self.mirror_repository(&candidate, filter).await {
                Ok((tags, failed, removed)) => {
                    done.tags += tags;
                    done.failed += failed;
                    done.removed += removed;
                    tracing::info!(upstream.name = %upstream.name(), repo.name = %name, mirror.tags = tags,
                        mirror.failed = failed, mirror.removed = removed, "a repository was mirrored");
                }
                Err(error) => {
                    done.failed += 1;
                    tracing::warn!(upstream.name = %upstream.name(), repo.name = %name,
                        error = %WithCauses(&error), "a repository could not be mirrored");
                }
            }
        }
        Ok(done)
    }

    /// Mirrors the tags of a repository that are wanted; returns how many are here whole, could not be had,
    /// and were removed.
    async fn mirror_repository(
        &self,
        candidate: &Candidate,
        filter: &TagFilter,
    ) -> Result<(usize, usize, usize), Error> {
        let Candidate { upstream, name, .. } = candidate;
        let repository = cached(upstream, name);
        // Before the list: a tag that comes meanwhile has not vanished.
        let here = self.at(&repository).tags(&repository).await?;
        let there = upstream.tags(name).await?;
        let (mut mirrored, mut failed, mut seen) = (0, 0, HashSet::new());
        for tag in there.iter().filter(|tag| filter.wants(tag)).filter_map(|tag| Tag::parse(tag).ok()) {
            let outcome = match self.mirror_patiently(candidate, &tag, &there, &mut seen).await {
                Ok(()) => {
                    mirrored += 1;
                    "mirrored"
                }
                Err(error) => {
                    failed += 1;
                    tracing::warn!(upstream.name = %upstream.name(), repo.name = %name, repo.tag = %tag,
                        error = %WithCauses(&error), "a tag could not be mirrored");
                    "failed"
                }
            };
            metrics::counter!("wharfinger_mirror_tags_total",
                "upstream" => upstream.name().to_string(), "outcome" => outcome)
            .increment(1);
        }
        let removed = self.remove_vanished(candidate, filter, &here, &there).await?;
        if failed == 0 {
            self.at(&repository).keep_mirrored(&repository, &seen).await?;
        }
        Ok((mirrored, failed, removed))
    }

    /// Mirrors a tag; when the upstream asks to be left alone, it is, before the next one.
    async fn mirror_patiently(
        &self,
        candidate: &Candidate,
        tag: &Tag,
        there: &[String],
        seen: &mut HashSet<Digest>,
    ) -> Result<(), Error> {
        let options = candidate.upstream.options();
        let mirroring = self.mirror_tag(candidate, tag, there, seen);
        let outcome = tokio::time::timeout(options.mirror.tag_timeout, mirroring).await;
        let late = || upstream::Error::Timeout {
            upstream: Arc::clone(candidate.upstream.label()),
            phase: upstream::Phase::Body,
        };
        let outcome = outcome.unwrap_or_else(|_| Err(late().into()));
        if let Err(Error::Upstream(
            error @ (upstream::Error::RateLimited { .. } | upstream::Error::Paused { .. }),
        )) = &outcome
        {
            let rest = error.retry_after().unwrap_or(REST).min(options.cool_down_max);
            tokio::time::sleep(rest).await;
        }
        outcome
    }

    async fn mirror_tag(
        &self,
        candidate: &Candidate,
        tag: &Tag,
        there: &[String],
        whole: &mut HashSet<Digest>,
    ) -> Result<(), Error> {
        let mut seen = HashSet::new();
        let manifest = self.current(candidate, Reference::Tag(tag.clone())).await?;
        let digest = manifest.digest;
        self.mirror_tree(candidate, manifest, DEPTH_MAX, &mut seen).await?;
        let cosign_tags = if candidate.upstream.options().mirror.cosign_tags { there } else { &[] };
        for beside in
            mirror::cosign_tags(&digest).filter(|tag| cosign_tags.iter().any(|it| it == tag.as_str()))
        {
            let manifest = self.current(candidate, Reference::Tag(beside)).await?;
            self.mirror_tree(candidate, manifest, DEPTH_MAX, &mut seen).await?;
        }
        whole.extend(seen);
        Ok(())
    }

    /// Returns a manifest as the upstream has it now.
    pub(super) async fn current(
        &self,
        of: &Candidate,
        reference: Reference,
    ) -> Result<Arc<StoredManifest>, Error> {
        let repository = cached(&of.upstream, &of.name);
        // What cannot be read is fetched again, which heals it.
        let copy = self.at(&repository).manifest(&repository, &reference).await.ok().flatten();
        match (copy, &reference) {
            (Some(copy), Reference::Digest(_)) => Ok(copy),
            (copy, _) => Ok(self.ask_for_manifest(Question::new(of, reference, copy)).await?.0),
        }
    }

    /// Mirrors what a manifest refers to, and what refers to it.
    async fn mirror_tree(
        &self,
        candidate: &Candidate,
        root: Arc<StoredManifest>,
        depth: usize,
        seen: &mut HashSet<Digest>,
    ) -> Result<(), Error> {
        let Candidate { upstream, name, .. } = candidate;
        let mut waiting = vec![(root.digest, depth)];
        while let Some((digest, depth)) = waiting.pop() {
            if depth == 0 || !seen.insert(digest) {
                continue;
            }
            if seen.len() > MANIFESTS_MAX {
                return Err(upstream::Error::wrong(upstream.label(), Wrong::List).into());
            }
            let stored = self.current(candidate, Reference::Digest(digest)).await?;
            // Before what it refers to is fetched: what is marked is not evicted in the middle.
            let repository = cached(upstream, name);
            self.at(&repository).note_mirrored(&repository, &stored.digest).await?;
            let manifest = Manifest::parse(&stored.bytes, Some(&stored.media_type))?;
            let is_wanted = |it: &&Descriptor| upstream.options().mirror.wants(it.platform.as_ref());
            let (manifests, blobs): (Vec<_>, Vec<_>) = (manifest.references.iter())
                .filter(is_wanted)
                .partition(|it| it.media_type.manifest_kind().is_some());
            let is_here = |it: &&Descriptor| !it.media_type.is_non_distributable() && it.urls.is_empty();
            let blobs: Vec<Digest> = blobs.into_iter().filter(is_here).map(|it| it.digest).collect();
            let mut fetches = Vec::with_capacity(blobs.len());
            for digest in blobs {
                fetches.push(self.mirror_blob(candidate, digest));
            }
            stream::iter(fetches).buffer_unordered(BLOBS_AT_ONCE).try_collect::<()>().await?;
            let about = upstream.referrers(name, &stored.digest).await?;
            let digests = manifests.iter().map(|it| it.digest).chain(about.iter().map(|it| it.digest));
            waiting.extend(digests.collect::<BTreeSet<_>>().into_iter().map(|it| (it, depth - 1)));
        }
        Ok(())
    }

    async fn mirror_blob(&self, candidate: &Candidate, digest: Digest) -> Result<(), Error> {
        let Candidate { upstream, name, .. } = candidate;
        let repository = cached(upstream, name);
        if self.at(&repository).has_blob(&repository, &digest).await? {
            return Ok(());
        }
        self.bring(candidate, &digest).await
    }

    /// Removes tags that the upstream has no more, where that is wanted, the list is whole, and they are not
    /// suspiciously many.
    async fn remove_vanished(
        &self,
        candidate: &Candidate,
        filter: &TagFilter,
        here: &[String],
        there: &[String],
    ) -> Result<usize, Error> {
        let Candidate { upstream, name, .. } = candidate;
        if upstream.options().on_delete != OnRefusal::Follow || there.len() >= TAGS_MAX {
            return Ok(0);
        }
        let (repository, there) = (cached(upstream, name), there.iter().collect::<HashSet<_>>());
        let vanished: Vec<Tag> = here
            .iter()
            .filter(|tag| filter.wants(tag) && !there.contains(tag))
            .filter_map(|tag| Tag::parse(tag).ok())
            .collect();
        let max = upstream.options().mirror.deletions_max.unwrap_or(here.len() as u64 / 10);
        if vanished.len() as u64 > max {
            tracing::warn!(upstream.name = %upstream.name(), repo.name = %name, mirror.vanished = vanished.len(),
                "the upstream has so many tags no more that none of them is removed; mirrorDeleteMax allows it");
            return Ok(0);
        }
        for tag in &vanished {
            self.at(&repository).remove_cached_tag(&repository, tag).await?;
        }
        Ok(vanished.len())
    }
}
