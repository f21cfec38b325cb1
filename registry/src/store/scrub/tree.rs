//! The walk over the tree: every folder, every repository of every space, and files that are none of ours.

use super::finding::{Done, Kind};
use super::run::{Fault, Phase, Run};
use crate::backend::Key;
use crate::oci::{Algorithm, Digest, RepositoryName, Tag};
use crate::store::claims::Claim;
use crate::store::uploads::UploadId;
use crate::store::{Error, RepositoryKey, Space, fills, layout};

impl Run<'_> {
    /// Looks at all that is not content.
    pub(super) async fn walk_tree(&mut self) {
        self.progress.phase = Phase::Structure;
        self.tell_progress();
        for name in self.list(&Key::new("")).await {
            let is_known = layout::ROOT.contains(&name.as_str()) || name == layout::OF_THE_VOLUME;
            if !is_known {
                self.found_foreign(Key::new(&name));
            }
        }
        self.check_names(&layout::all_contents(), |name| Algorithm::parse(name).is_some()).await;
        self.check_names(&layout::system(), |name| layout::SYSTEM.contains(&name)).await;
        self.check_names(&layout::fills(), fills::is_file).await;
        self.check_names(&layout::parked(), |name| Digest::from_hex(Algorithm::Sha256, name).is_ok()).await;
        self.walk_uploads().await;
        self.walk_quarantine().await;
        // First what can be fetched again: content is shared, and heals what was pushed with it.
        for upstream in self.list(&layout::upstreams()).await {
            self.walk_upstream(&upstream).await;
        }
        self.walk_space(&Space::Hosted, layout::repositories()).await;
    }

    async fn walk_uploads(&mut self) {
        let is_id = |name: &str| UploadId::parse(name).is_some_and(|id| id.as_str() == name);
        for id in self.check_names(&layout::uploads(), is_id).await {
            self.check_names(&layout::upload(&id), |name| matches!(name, "data" | "state")).await;
        }
    }

    async fn walk_quarantine(&mut self) {
        let is_part = |name: &str| matches!(name, "content" | "record");
        for folder in self.digest_folders(&layout::quarantine()).await {
            for actual in self.list(&folder).await {
                let is_hex = Algorithm::ALL.iter().any(|it| Digest::from_hex(*it, &actual).is_ok());
                if is_hex {
                    let parts = self.check_names(&folder.child(&actual), is_part).await;
                    self.quarantined += u64::from(parts.iter().any(|it| it == "content"));
                } else {
                    self.found_foreign(folder.child(&actual));
                }
            }
        }
    }

    async fn walk_upstream(&mut self, upstream: &str) {
        let is_part = |name: &str| layout::UPSTREAM.contains(&name);
        self.check_names(&layout::upstreams().child(upstream), is_part).await;
        self.digest_folders(&layout::upstreams().child(upstream).child(layout::HELD)).await;
        self.walk_space(&Space::Upstream(upstream.into()), layout::repositories_of(upstream)).await;
    }

    /// Looks at every repository of a space, and at the names that the catalog shows of it.
    async fn walk_space(&mut self, space: &Space, root: Key) {
        let mut paths = vec![String::new()];
        while let Some(path) = paths.pop() {
            let folder = if path.is_empty() { root.clone() } else { root.child(&path) };
            let children = self.list(&folder).await;
            if children.is_empty() && self.is_file(&folder).await {
                self.found_foreign(folder);
                continue;
            }
            let (parts, below): (Vec<_>, Vec<_>) =
                children.into_iter().partition(|name| name.starts_with('_'));
            let repository = RepositoryName::parse(&path).ok();
            let repository = repository.map(|name| RepositoryKey { space: space.clone(), name });
            for part in &parts {
                if repository.is_none() || !layout::PARTS.contains(&part.as_str()) {
                    self.found_foreign(folder.child(part));
                }
            }
            if let Some(repository) = repository.filter(|_| !parts.is_empty()) {
                self.walk_repository(&repository).await;
            }
            let prefix = if path.is_empty() { path } else { format!("{path}/") };
            for name in below.into_iter().rev() {
                // Names above and below a repository are of the same grammar, component by component.
                let path = format!("{prefix}{name}");
                if RepositoryName::parse(&path).is_ok() {
                    paths.push(path);
                } else {
                    self.found_foreign(folder.child(&name));
                }
            }
        }
        self.walk_names(space).await;
    }

    async fn walk_repository(&mut self, repository: &RepositoryKey) {
        self.walk_members(repository).await;
        self.walk_manifests(repository).await;
        self.walk_referrers(repository).await;
        self.walk_tags(repository).await;
        self.walk_hints(repository).await;
        for part in ["_gone", "_checked"] {
            self.check_names(&layout::part(repository, part), |name| Tag::parse(name).is_ok()).await;
        }
        for part in ["_pulled", "_mirrored"] {
            self.digest_folders(&layout::part(repository, part)).await;
        }
        if let Some(fault) = self.mark_fault(repository).await {
            self.judge_mark(repository, fault).await;
        }
        self.progress.repositories += 1;
        self.tell_progress();
    }

    /// Looks at the names of the repositories that are said to hold something.
    async fn walk_names(&mut self, space: &Space) {
        let folder = layout::names(space);
        for child in self.list(&folder).await {
            let Some(name) = layout::name_of(&child) else {
                self.found_foreign(folder.child(&child));
                continue;
            };
            let repository = RepositoryKey { space: space.clone(), name };
            // Those that are missing were seen with their repositories.
            if let Some(fault) = self.mark_fault(&repository).await.filter(|it| it.kind == Kind::NameStale) {
                self.judge_mark(&repository, fault).await;
            }
        }
    }

    /// Says whether a repository is marked as one that holds something, and does not; or the other way round.
    async fn mark_fault(&mut self, repository: &RepositoryKey) -> Option<Fault> {
        self.count_record().await;
        let looked = self.store.mark_fault(repository).await;
        looked.unwrap_or_else(|error| Some(Fault::unreadable(&error)))
    }

    async fn judge_mark(&mut self, repository: &RepositoryKey, seen: Fault) {
        let key = layout::name(repository);
        if seen.kind == Kind::Record {
            return self.found_in((repository, key), None, seen, Done::Reported);
        }
        // The mark stands from before the first manifest to after the last: who is between has claimed it.
        let alone = self.store.0.claims.exclude(Claim::Mark(repository.clone())).await;
        let fault = self.mark_fault(repository).await;
        drop(alone);
        let Some(mut fault) = fault else { return };
        let done = self.repair(&mut fault, self.store.restore_mark(repository)).await;
        self.found_in((repository, key), None, fault, done);
    }

    /// Lists a folder, tells of the names that it should not have, and returns the others.
    pub(super) async fn check_names(
        &mut self,
        folder: &Key,
        is_known: impl Fn(&str) -> bool + Send,
    ) -> Vec<String> {
        let (known, foreign): (Vec<_>, Vec<_>) =
            self.list(folder).await.into_iter().partition(|name| is_known(name));
        for name in foreign {
            self.found_foreign(folder.child(&name));
        }
        known
    }

    /// Returns the children of a folder that has digests: `<alg>/<hex>`.
    pub(super) async fn digests(&mut self, folder: &Key) -> Vec<Digest> {
        let mut digests = Vec::new();
        for name in self.check_names(folder, |name| Algorithm::parse(name).is_some()).await {
            let Some(algorithm) = Algorithm::parse(&name) else { continue };
            let below = folder.child(&name);
            let names = self.check_names(&below, |hex| Digest::from_hex(algorithm, hex).is_ok()).await;
            digests.extend(names.iter().filter_map(|hex| Digest::from_hex(algorithm, hex).ok()));
        }
        digests
    }

    /// Returns the keys of such children.
    async fn digest_folders(&mut self, folder: &Key) -> Vec<Key> {
        let digests = self.digests(folder).await;
        digests.iter().map(|it| folder.child(it.algorithm().as_str()).child(&it.hex())).collect()
    }

    async fn is_file(&self, key: &Key) -> bool {
        matches!(self.store.0.backend.size(key).await, Ok(Some(_)))
    }
}

impl crate::store::Store {
    async fn mark_fault(&self, repository: &RepositoryKey) -> Result<Option<Fault>, Error> {
        let is_marked = self.0.backend.size(&layout::name(repository)).await?.is_some();
        Ok(match (is_marked, self.holds_manifest(repository).await?) {
            (true, false) => Some(Fault::new(Kind::NameStale, "the repository holds no manifest")),
            (false, true) => {
                Some(Fault::new(Kind::NameMissing, "the repository holds manifests, and no catalog shows it"))
            }
            _ => None,
        })
    }

    /// Marks a repository if it holds something, and takes the mark away if it does not.
    async fn restore_mark(&self, repository: &RepositoryKey) -> Result<Done, Error> {
        let (store, repository) = (self.clone(), repository.clone());
        self.change(async move {
            store.unmark_name_if_empty(&repository).await?;
            let _with_others = store.0.claims.share(vec![Claim::Name(repository.clone())]).await;
            if store.holds_manifest(&repository).await? {
                store.mark_name(&repository).await?;
                return Ok(Done::Restored);
            }
            Ok(Done::Removed)
        })
        .await
    }
}
