//! Hosted tags and manifests that a policy of retention lets go.

use std::collections::BTreeSet;

use super::report::{Item, Kind};
use super::run::Sweep;
use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::store::retention::KnownPulls;
use crate::store::{Error, RepositoryKey, Space};

impl Sweep<'_> {
    /// Returns since when pulls are written down, which a run that only tells does not begin.
    pub(super) async fn pulls_known(&mut self) -> Result<Timestamp, Error> {
        match self.removes() {
            true => self.store.pulls_known_since().await,
            false => Ok(self.store.pulls_noted_since().await?.unwrap_or(self.pulls_known_since)),
        }
    }

    /// Removes what the policy of a repository lets go; returns the manifests that would go, where nothing is
    /// removed.
    pub(super) async fn retain(&mut self, repository: &RepositoryKey) -> Result<BTreeSet<Digest>, Error> {
        let store = self.store.clone();
        let current = store.0.retention.get();
        let retention = &current.retention;
        let policy = match repository.space {
            Space::Hosted => retention.policy(&repository.name),
            Space::Upstream(_) => None,
        };
        let Some(policy) = policy else { return Ok(BTreeSet::new()) };
        let pulls = KnownPulls { known_since: self.pulls_known_since, unwritten: &self.request.pulls };
        let verdict = store.judge(repository, &current, policy, pulls).await?;
        let mut would_go = BTreeSet::new();
        for tag in &verdict.decision.tags {
            // A policy that is withdrawn removes nothing more.
            if !store.0.retention.is(&current) {
                return Ok(would_go);
            }
            let what = format!("{repository}:{tag}");
            let entry = verdict.contents.tags[tag];
            if retention.dry_run {
                self.spared(Kind::Tag, &what);
            } else if !self.removes() || store.delete_judged_tag(repository, tag, entry).await? {
                self.gone(Kind::Tag, what, 0);
            }
        }
        for digest in &verdict.decision.manifests {
            if !store.0.retention.is(&current) {
                return Ok(would_go);
            }
            let what = format!("{repository} {digest}");
            let facts = &verdict.contents.manifests[digest];
            if retention.dry_run {
                self.spared(Kind::Manifest, &what);
            } else if !self.removes() {
                self.gone(Kind::Manifest, what, 0);
                would_go.insert(*digest);
            } else {
                let clients = self.request.clients;
                if store.delete_judged_manifest(repository, digest, facts, clients).await?.is_some() {
                    self.gone(Kind::Manifest, what, 0);
                }
            }
        }
        Ok(would_go)
    }

    /// Counts what would go if the policy were no dry run.
    fn spared(&mut self, kind: Kind, what: &str) {
        *self.report.spared.entry(kind).or_default() += 1;
        tracing::info!(gc.kind = kind.as_str(), gc.what = %what, "retention would remove this, and is a dry run");
        (self.request.told)(&Item { kind, what: format!("{what}, but for retention.dryRun"), bytes: 0 });
    }
}
