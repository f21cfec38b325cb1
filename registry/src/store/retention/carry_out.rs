//! Removing what a policy lets go, if it still is as it was judged.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::Current;
use super::decide::{Contents, Decision, Facts, Moment, decide};
use crate::backend::{Outcome, When};
use crate::clock::Timestamp;
use crate::mutants;
use crate::oci::{Algorithm, Digest, Tag};
use crate::store::asked::Clients;
use crate::store::claims::Claim;
use crate::store::index::READS_AT_ONCE;
use crate::store::options::retention::Policy;
use crate::store::record::{self, CheckedRecord, TagRecord};
use crate::store::tags::TagEntry;
use crate::store::{Error, RepositoryKey, Store, layout};

/// What a run knows of pulls that are not written down yet.
pub(in crate::store) type Pulls = Arc<dyn Fn(&RepositoryKey, &Digest) -> Option<Timestamp> + Send + Sync>;

/// What is known of pulls.
#[derive(Clone, Copy)]
pub(in crate::store) struct KnownPulls<'a> {
    /// Since when they are noted.
    pub(in crate::store) known_since: Timestamp,
    pub(in crate::store) unwritten: &'a Pulls,
}

/// What a policy has decided of a repository, and by what.
#[derive(Debug)]
pub(in crate::store) struct Verdict {
    pub(in crate::store) contents: Contents,
    pub(in crate::store) decision: Decision,
}

impl Store {
    /// Returns since when pulls are written down; from now on, if nobody needed to know until now.
    pub(in crate::store) async fn pulls_known_since(&self) -> Result<Timestamp, Error> {
        let key = layout::pulls_known();
        let now = self.0.clock.now();
        if !self.needs_pulls() {
            // What is not written down from here on must not be taken for never pulled later.
            self.0.backend.sweep(&key).await?;
            return Ok(now);
        }
        if let Some(since) = self.pulls_noted_since().await? {
            return Ok(since);
        }
        self.0.backend.write(&key, record::encode(&CheckedRecord { checked_at: now }), When::Always).await?;
        Ok(now)
    }

    /// Returns since when pulls are written down, if they are.
    pub(in crate::store) async fn pulls_noted_since(&self) -> Result<Option<Timestamp>, Error> {
        let bytes = self.0.backend.read(&layout::pulls_known()).await?;
        let record = bytes.and_then(|bytes| serde_json::from_slice::<CheckedRecord>(&bytes).ok());
        Ok(record.map(|record| record.checked_at))
    }

    /// Applies a policy of a retention to what is in a repository.
    ///
    /// *Units and limits:* holds the records of one repository's manifests and tags in memory.
    pub(in crate::store) async fn judge(
        &self,
        repository: &RepositoryKey,
        current: &Current,
        policy: &Policy,
        pulls: KnownPulls<'_>,
    ) -> Result<Verdict, Error> {
        let mut contents = Contents::default();
        for algorithm in Algorithm::ALL {
            let names = self.0.backend.list(&layout::manifests(repository, algorithm)).await?;
            let digests: Vec<Digest> =
                names.iter().filter_map(|hex| Digest::from_hex(algorithm, hex).ok()).collect();
            for some in digests.chunks(READS_AT_ONCE) {
                let reads =
                    some.iter().map(|digest| self.facts(repository, digest, current, pulls.unwritten));
                let facts = try_join_all(reads).await?;
                let found = some.iter().zip(facts).filter_map(|(digest, facts)| Some((*digest, facts?)));
                contents.manifests.extend(found);
            }
        }
        for name in self.0.backend.list(&layout::tags(repository)).await? {
            let Ok(tag) = Tag::parse(&name) else { continue };
            if let Some(entry) = self.tag(repository, &tag).await? {
                contents.tags.insert(tag, entry);
            }
        }
        let delay = current.retention.delay;
        let pulls_known_since = pulls.known_since.max(current.pulls_from);
        let moment = Moment { now: self.0.steady.now(), pulls_known_since, delay };
        let decision = decide(policy, &contents, moment);
        Ok(Verdict { contents, decision })
    }

    async fn facts(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        current: &Current,
        pulls: &Pulls,
    ) -> Result<Option<Facts>, Error> {
        let Some(record) = self.manifest_record(repository, digest).await? else { return Ok(None) };
        let written = match current.retention.needs_pulls() {
            true => self.pulled_at(repository, digest).await?,
            false => None,
        };
        Ok(Some(Facts {
            pushed_at: record.pushed_at,
            pulled_at: written.max(pulls(repository, digest)),
            subject: record.subject,
            references: record.references,
        }))
    }

    /// Deletes a tag, if it is what was judged; says whether it did.
    ///
    /// *Cancellation:* it runs to its end.
    pub(in crate::store) async fn delete_judged_tag(
        &self,
        repository: &RepositoryKey,
        tag: &Tag,
        judged: TagEntry,
    ) -> Result<bool, Error> {
        let (store, repository, tag) = (self.clone(), repository.clone(), tag.clone());
        self.change(async move {
            // A push that points the tag at the same manifest meanwhile would lose its hint here.
            let manifest = Claim::Object(repository.clone(), judged.digest);
            store
                .alone(manifest, async {
                    let key = layout::tag(&repository, &tag);
                    let Some(bytes) = store.0.backend.read(&key).await? else { return Ok(false) };
                    let found: TagRecord = record::decode(&key, &bytes)?;
                    let is_blind = mutants::is("MU80-a-tag-goes-whatever-it-has-become");
                    if (found.digest != judged.digest || found.pushed_at != judged.pushed_at) && !is_blind {
                        return Ok(false);
                    }
                    let when = if is_blind { When::Always } else { When::Is(bytes) };
                    let deleted = store.0.backend.delete(&key, when).await;
                    store.forget_tag(&repository, &tag);
                    if deleted? == Outcome::Refused {
                        return Ok(false);
                    }
                    // Only a hint that is checked when used, so losing this is harmless.
                    store
                        .0
                        .backend
                        .sweep(&layout::tagged(&repository, &judged.digest).child(tag.as_str()))
                        .await?;
                    Ok(true)
                })
                .await
        })
        .await
    }

    /// Deletes a manifest without a tag, if it is what was judged and still nothing needs it; returns its size
    /// if it did.
    ///
    /// *Cancellation:* it runs to its end.
    pub(in crate::store) async fn delete_judged_manifest(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        judged: &Facts,
        clients: Clients,
    ) -> Result<Option<u64>, Error> {
        let (store, repository, digest, judged) = (self.clone(), repository.clone(), *digest, judged.clone());
        self.change(async move {
            let object = |digest: Digest| Claim::Object(repository.clone(), digest);
            // A name without a manifest is no fault before its mark has been looked at.
            let _marking = store.0.claims.share(vec![Claim::Mark(repository.clone())]).await;
            let judging = Box::pin(store.delete_as_judged(&repository, &digest, &judged, clients));
            let deleting = Box::pin(store.alone(object(digest), judging));
            let deleted = match judged.subject.filter(|subject| *subject != digest) {
                None => deleting.await?,
                // Nobody pushes its subject before it is gone.
                Some(subject) => {
                    let key = layout::manifest(&repository, &subject);
                    let unless_there = async {
                        if store.0.backend.size(&key).await?.is_some() { Ok(None) } else { deleting.await }
                    };
                    store.alone(object(subject), unless_there).await?
                }
            };
            let Some((size, others_are_left)) = deleted else { return Ok(None) };
            if !others_are_left {
                store.unmark_name_if_empty(&repository).await?;
            }
            Ok(Some(size))
        })
        .await
    }

    /// Deletes a manifest that the caller claims alone, if it is as it was judged; returns its size, and whether
    /// the repository has others.
    async fn delete_as_judged(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        judged: &Facts,
        clients: Clients,
    ) -> Result<Option<(u64, bool)>, Error> {
        let Some(found) = self.manifest_record(repository, digest).await? else { return Ok(None) };
        if found.pushed_at != judged.pushed_at || !self.tags_at(repository, digest).await?.is_empty() {
            return Ok(None);
        }
        let Some(_condemned) = self.0.asked.condemn(repository, digest, self.0.clock.passed(), clients)
        else {
            return Ok(None);
        };
        match self.delete_claimed_manifest(repository, digest, &found).await {
            Ok(others_are_left) => Ok(Some((found.size, others_are_left))),
            // Somebody has pushed what needs it, or was first.
            Err(Error::Referenced { .. } | Error::ManifestUnknown { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
