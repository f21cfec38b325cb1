//! Keeping what is cached of an upstream within its bound (`cache`).
//!
//! The unit is a manifest, the one least recently pulled first; its blobs go when no cached manifest of their
//! repository needs them. Bytes that several repositories share count once for their upstream. What was pushed
//! is never touched, nor what was mirrored; what is being read is read to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Repositories;
use super::service::cached;
use crate::clock::Timestamp;
use crate::mutants;
use crate::oci::{Digest, RepositoryName};
use crate::store::cached::{Cached, CachedManifest};
use crate::store::{self, RepositoryKey};
use crate::telemetry::WithCauses;
use crate::upstream::Upstream;
use crate::upstream::options::CacheBound;

/// How full a cache is after bytes had to go, in percent of its bound: so that not every fetch makes some go.
const FULL_AFTERWARDS_PERCENT: u64 = 90;
/// How often the age of what is cached is looked at, at most and at least.
const AGE_INTERVAL_MIN: Duration = Duration::from_secs(1);
const AGE_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Bytes that have come into each cache since it was last looked through.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    bytes: Mutex<BTreeMap<Arc<str>, u64>>,
    /// Told of each; one that nobody waits for is kept for who comes.
    some: Notify,
}

impl Arrivals {
    pub(super) fn add(&self, upstream: &Arc<str>, bytes: u64) {
        let mut table = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *table.entry(Arc::clone(upstream)).or_default() += bytes;
        drop(table);
        self.some.notify_one();
    }

    fn take(&self, upstream: &str) -> u64 {
        let mut table = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        table.get_mut(upstream).map(std::mem::take).unwrap_or_default()
    }
}

/// Returns how often the ages of what is cached are looked at.
fn interval(bounded: &[&Arc<Upstream>]) -> Duration {
    let ages = bounded.iter().filter_map(|it| it.options().cache.age_max);
    ages.min().map_or(AGE_INTERVAL_MAX, |age| (age / 10).clamp(AGE_INTERVAL_MIN, AGE_INTERVAL_MAX))
}

/// What is to go of one repository.
#[derive(Debug, Default, PartialEq, Eq)]
struct Going {
    manifests: Vec<Digest>,
    blobs: Vec<Digest>,
}

impl Repositories {
    /// Keeps every cache within its bound, for as long as it is awaited.
    pub async fn keep_within_bounds(&self) {
        let mut changes = self.watch_routes();
        // What is known of each cache's size; nothing at first.
        let mut sizes: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        // Since when each has a bound, before which nobody noted pulls; those from the start always had one.
        let mut bounded_since: BTreeMap<Arc<str>, Timestamp> = BTreeMap::new();
        let mut noticed = Timestamp::from_millis(0);
        let mut looked_at = tokio::time::Instant::now();
        loop {
            let routes = Arc::clone(&changes.borrow_and_update());
            let is_bound = |it: &&Arc<Upstream>| it.options().cache.is_bound();
            let bounded: Vec<&Arc<Upstream>> = routes.all().filter(is_bound).collect();
            // One that comes back is looked through anew.
            sizes.retain(|name, _| bounded.iter().any(|it| it.name() == name));
            bounded_since.retain(|name, _| bounded.iter().any(|it| it.name() == name));
            let interval = interval(&bounded);
            let is_due = looked_at.elapsed() >= interval;
            if is_due {
                looked_at = tokio::time::Instant::now();
            }
            for upstream in &bounded {
                let (name, bound) = (upstream.name(), upstream.options().cache);
                let since = *bounded_since.entry(Arc::clone(name)).or_insert(noticed);
                let arrived = self.0.arrivals.take(name);
                let size = sizes.get(name).map(|size| size + arrived);
                let is_over = size.is_none_or(|size| bound.bytes_max.is_some_and(|max| size > max));
                if is_over || (is_due && bound.age_max.is_some()) {
                    match self.evict_bounded_since(upstream, since).await {
                        Ok(left) => drop(sizes.insert(Arc::clone(name), left)),
                        Err(error) => tracing::warn!(upstream.name = %name,
                            error = %WithCauses(&error), "a cache could not be looked through"),
                    }
                } else if let Some(size) = size {
                    sizes.insert(Arc::clone(name), size);
                }
            }
            tokio::select! {
                biased;
                changed = changes.changed() => if changed.is_err() { return },
                () = self.0.arrivals.some.notified(), if !bounded.is_empty() => {}
                () = tokio::time::sleep(interval), if !bounded.is_empty() => {}
            }
            noticed = self.0.clock.now();
        }
    }

    /// Brings the cache of an upstream within its bound, and returns how many bytes it has then.
    ///
    /// *Errors:* those of the store; some may have gone.
    pub async fn evict(&self, upstream: &Upstream) -> Result<u64, store::Error> {
        self.evict_bounded_since(upstream, Timestamp::from_millis(0)).await
    }

    /// The same, where pulls were noted only since then: everything counts as pulled at that time, to its age.
    async fn evict_bounded_since(&self, upstream: &Upstream, since: Timestamp) -> Result<u64, store::Error> {
        let (name, store) = (upstream.name(), self.0.stores.of_upstream(upstream.name()));
        // Before what is linked is looked at: a fetch links first.
        let mut blobs = store.held_digests(name).await?;
        let mut all = BTreeMap::new();
        for repository in store.cached_repositories(name).await? {
            let mut content = store.cached(&cached(upstream, &repository)).await?;
            for manifest in &mut content.manifests {
                let pulled = self.0.pulls.find(&(Arc::clone(name), repository.clone(), manifest.digest));
                manifest.used_at = pulled.map_or(manifest.used_at, |at| at.max(manifest.used_at));
            }
            all.insert(repository, content);
        }
        let bound = match upstream.options().cache {
            _ if mutants::is("MU70-a-cache-has-no-bound") => CacheBound::default(),
            bound => bound,
        };
        let now = self.0.clock.now();
        let age_max = bound.age_max.filter(|age| now.since(since) >= *age);
        let parked = self.drop_parked(upstream, bound.bytes_max, size(&all)).await?;
        let bytes_max = bound.bytes_max.map(|max| max.saturating_sub(parked));
        let going = plan(&all, CacheBound { bytes_max, age_max }, now);
        for (repository, going) in &going {
            self.remove(&cached(upstream, repository), going).await?;
            take_out(all.get_mut(repository), going);
            metrics::counter!("wharfinger_cache_evictions_total", "upstream" => name.to_string())
                .increment(going.manifests.len() as u64);
        }
        // What an earlier removal has unlinked, and not removed, is held and in no repository.
        let is_left = |digest: &Digest| all.values().any(|content| content.blobs.contains_key(digest));
        blobs.retain(|digest| !is_left(digest));
        let orphans = Going { manifests: Vec::new(), blobs };
        self.collect(upstream, going.values().chain([&orphans]), &all).await?;
        let left = size(&all) + parked;
        metrics::gauge!("wharfinger_cache_bytes", "upstream" => name.to_string())
            .set(f64::from(u32::try_from(left / 1024).unwrap_or(u32::MAX)) * 1024.0);
        Ok(left)
    }

    /// Removes what was fetched in part while there is too much, and returns how many bytes of it are left.
    async fn drop_parked(
        &self,
        upstream: &Upstream,
        bytes_max: Option<u64>,
        whole: u64,
    ) -> Result<u64, store::Error> {
        let store = self.0.stores.of_upstream(upstream.name());
        let parts = store.parked_parts(upstream.name()).await?;
        let mut bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        for part in &parts {
            if bytes_max.is_none_or(|max| whole.saturating_add(bytes) <= max) {
                break;
            }
            store.remove_parked(part).await?;
            bytes -= part.bytes;
        }
        Ok(bytes)
    }

    /// Removes everything that is cached of a repository of an upstream; says whether there was anything.
    pub(super) async fn purge_all(
        &self,
        upstream: &Upstream,
        repository: &RepositoryName,
    ) -> Result<bool, store::Error> {
        let (key, store) = (cached(upstream, repository), self.0.stores.of_upstream(upstream.name()));
        let content = store.cached(&key).await?;
        let going = Going {
            manifests: content.manifests.iter().map(|manifest| manifest.digest).collect(),
            blobs: content.blobs.keys().copied().collect(),
        };
        for tag in store.tags(&key).await?.iter().filter_map(|tag| crate::oci::Tag::parse(tag).ok()) {
            store.remove_cached_tag(&key, &tag).await?;
        }
        self.remove(&key, &going).await?;
        self.collect_gone(upstream, &[going]).await?;
        for part in store.parked_parts(upstream.name()).await? {
            if part.repository == repository.as_str() {
                store.remove_parked(&part).await?;
            }
        }
        Ok(!content.manifests.is_empty() || !content.blobs.is_empty())
    }

    /// Takes blobs that no cached manifest of the repository needs out of it, and removes what nothing links.
    pub(super) async fn trim(
        &self,
        upstream: &Upstream,
        repository: &RepositoryName,
        also: Vec<Digest>,
    ) -> Result<(), store::Error> {
        let (key, store) = (cached(upstream, repository), self.0.stores.of_upstream(upstream.name()));
        let content = store.cached(&key).await?;
        let blobs = unneeded(&content, &BTreeSet::new());
        let going = Going { manifests: Vec::new(), blobs };
        self.remove(&key, &going).await?;
        self.collect_gone(upstream, &[going, Going { manifests: also, blobs: Vec::new() }]).await
    }

    async fn remove(&self, repository: &RepositoryKey, going: &Going) -> Result<(), store::Error> {
        let store = self.0.stores.of(repository);
        for digest in &going.manifests {
            store.remove_cached_manifest(repository, digest).await?;
        }
        store.remove_cached_blobs(repository, going.blobs.iter().copied()).await
    }

    /// Removes the content of what was taken away on somebody's wish. What other repositories of the upstream
    /// have of it stays; that it is here is forgotten, which costs a fetch to who asks elsewhere.
    async fn collect_gone(&self, upstream: &Upstream, gone: &[Going]) -> Result<(), store::Error> {
        self.collect(upstream, gone.iter(), &BTreeMap::new()).await
    }

    /// Removes the content of what has gone that nothing links any more.
    async fn collect<'a>(
        &self,
        upstream: &Upstream,
        gone: impl Iterator<Item = &'a Going> + Send,
        left: &BTreeMap<RepositoryName, Cached>,
    ) -> Result<(), store::Error> {
        let store = self.0.stores.of_upstream(upstream.name());
        let is_left = |digest: &Digest| left.values().any(|content| content.blobs.contains_key(digest));
        let (mut digests, mut blobs) = (Vec::new(), BTreeSet::new());
        for going in gone {
            digests.extend(going.manifests.iter().chain(&going.blobs));
            blobs.extend(going.blobs.iter().filter(|digest| !is_left(digest)));
        }
        let freed = store.collect(digests).await?;
        // Last: until then it says what is to be removed, should this be broken off.
        for digest in blobs {
            store.forget_held(upstream.name(), digest).await?;
        }
        if freed > 0 {
            tracing::info!(upstream.name = %upstream.name(), bytes.freed = freed, "cached content was removed");
        }
        Ok(())
    }

    /// Notes that a cached manifest was pulled, where that decides what goes first.
    pub(super) fn note_pull(&self, upstream: &Upstream, name: &RepositoryName, digest: Digest) {
        if !upstream.options().cache.is_bound() {
            return;
        }
        let now = self.0.clock.now();
        let key = (Arc::clone(upstream.name()), name.clone(), digest);
        if self.0.pulls.set(key, now) {
            let (stores, repository) = (self.0.stores.clone(), cached(upstream, name));
            tokio::spawn(async move {
                if let Err(error) = stores.of(&repository).note_pull(&repository, &digest, now).await
                    && !error.is_standing()
                {
                    tracing::warn!(
                        error = %WithCauses(&error),
                        "when a manifest was pulled could not be written down; a restart makes it older"
                    );
                }
            });
        }
    }
}

/// Returns how many bytes a cache has beside what was mirrored, each digest once.
fn size(all: &BTreeMap<RepositoryName, Cached>) -> u64 {
    let (mut sizes, pinned): (BTreeMap<Digest, u64>, _) = (BTreeMap::new(), pinned(all));
    for content in all.values() {
        sizes.extend(content.blobs.iter().map(|(digest, size)| (*digest, *size)));
        sizes.extend(content.manifests.iter().map(|manifest| (manifest.digest, manifest.size)));
    }
    sizes.iter().filter(|(digest, _)| !pinned.contains(digest)).map(|(_, size)| size).sum()
}

/// Returns what was mirrored, which is kept beside the bound.
fn pinned(all: &BTreeMap<RepositoryName, Cached>) -> BTreeSet<Digest> {
    let manifests = all.values().flat_map(|content| &content.manifests).filter(|it| it.is_mirrored);
    manifests.flat_map(|it| std::iter::once(it.digest).chain(it.references.iter().copied())).collect()
}

/// Returns the blobs that no manifest needs, but for those that go.
fn unneeded(content: &Cached, going: &BTreeSet<Digest>) -> Vec<Digest> {
    let staying = content.manifests.iter().filter(|manifest| !going.contains(&manifest.digest));
    let needed: BTreeSet<&Digest> = staying.flat_map(|manifest| &manifest.references).collect();
    content.blobs.keys().filter(|digest| !needed.contains(digest)).copied().collect()
}

/// Decides what goes.
fn plan(
    all: &BTreeMap<RepositoryName, Cached>,
    bound: CacheBound,
    now: Timestamp,
) -> BTreeMap<RepositoryName, Going> {
    let mut oldest: Vec<(&RepositoryName, &CachedManifest)> = all
        .iter()
        .flat_map(|(name, content)| content.manifests.iter().map(move |manifest| (name, manifest)))
        .filter(|(_, manifest)| !manifest.is_mirrored)
        .collect();
    oldest.sort_by_key(|(name, manifest)| (manifest.used_at, *name, manifest.digest));
    let is_too_old =
        |it: &CachedManifest| bound.age_max.is_some_and(|age_max| now.since(it.used_at) > age_max);
    let mut ledger = Ledger::new(all);
    let max = bound.bytes_max.unwrap_or(u64::MAX);
    let is_full = ledger.bytes > max;
    let enough = max / 100 * FULL_AFTERWARDS_PERCENT;
    for name in all.keys() {
        ledger.drop_unneeded(name);
    }
    for (name, manifest) in oldest {
        if is_too_old(manifest) || (is_full && ledger.bytes > enough) {
            ledger.drop_manifest(name, manifest);
        }
    }
    ledger.going
}

/// What is left of a cache while it is decided what goes.
struct Ledger<'a> {
    all: &'a BTreeMap<RepositoryName, Cached>,
    going: BTreeMap<RepositoryName, Going>,
    /// How often each digest is there, and its size.
    held: BTreeMap<Digest, (usize, u64)>,
    /// How many of a repository's manifests need a blob.
    needed: BTreeMap<(&'a RepositoryName, Digest), usize>,
    bytes: u64,
}

impl<'a> Ledger<'a> {
    fn new(all: &'a BTreeMap<RepositoryName, Cached>) -> Self {
        let (mut held, mut needed): (BTreeMap<Digest, (usize, u64)>, BTreeMap<_, usize>) = Default::default();
        let pinned = pinned(all);
        for (name, content) in all {
            let manifests = content.manifests.iter().map(|manifest| (manifest.digest, manifest.size));
            for (digest, size) in content.blobs.iter().map(|(digest, size)| (*digest, *size)).chain(manifests)
            {
                let size = if pinned.contains(&digest) { 0 } else { size };
                held.entry(digest).or_insert((0, size)).0 += 1;
            }
            for reference in content.manifests.iter().flat_map(|manifest| &manifest.references) {
                *needed.entry((name, *reference)).or_default() += 1;
            }
        }
        Self { all, going: BTreeMap::new(), held, needed, bytes: size(all) }
    }

    fn drop_manifest(&mut self, name: &'a RepositoryName, manifest: &CachedManifest) {
        self.going.entry(name.clone()).or_default().manifests.push(manifest.digest);
        self.release(&manifest.digest);
        for reference in &manifest.references {
            let count = self.needed.entry((name, *reference)).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.drop_blob(name, reference);
            }
        }
    }

    fn drop_unneeded(&mut self, name: &'a RepositoryName) {
        for digest in unneeded(&self.all[name], &BTreeSet::new()) {
            self.drop_blob(name, &digest);
        }
    }

    fn drop_blob(&mut self, name: &'a RepositoryName, digest: &Digest) {
        let is_here = self.all[name].blobs.contains_key(digest);
        let going = self.going.entry(name.clone()).or_default();
        if is_here && !going.blobs.contains(digest) {
            going.blobs.push(*digest);
            self.release(digest);
        }
    }

    fn release(&mut self, digest: &Digest) {
        if let Some((count, size)) = self.held.get_mut(digest) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.bytes = self.bytes.saturating_sub(*size);
            }
        }
    }
}

fn take_out(content: Option<&mut Cached>, going: &Going) {
    let Some(content) = content else { return };
    content.manifests.retain(|manifest| !going.manifests.contains(&manifest.digest));
    content.blobs.retain(|digest, _| !going.blobs.contains(digest));
}

#[cfg(test)]
mod tests;
