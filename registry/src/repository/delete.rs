//! Deletes: on the hosted side where there is one, else of what is cached.

use std::sync::Arc;

use super::service::{cached, routed};
use super::{Error, Repositories};
use crate::auth::{Delete, Grant};
use crate::oci::{Digest, Reference, RepositoryName, Tag};
use crate::store::manifests::Along;
use crate::store::{self, RepositoryKey};
use crate::upstream::{Candidate, Routes, Upstream};

/// What is to go of a cached repository.
enum Purge {
    Tag(Tag),
    Manifest(Digest),
    Blob(Digest),
    Everything,
}

impl Repositories {
    /// Deletes a tag, or a manifest with all its tags. Of a name that is not hosted, what is cached goes, with
    /// the content that nothing else needs; the next pull fetches it again.
    ///
    /// *Durability:* when this returns, no crash can bring back what was hosted.
    ///
    /// *Spec:* `[end-9]`.
    pub async fn delete_manifest(
        &self,
        grant: &Grant<Delete>,
        namespace: Option<&str>,
        reference: &Reference,
    ) -> Result<(), Error> {
        let mut is_gone = false;
        let routes = self.routes();
        let candidates = self.purgeable(&routes, grant, namespace).await?;
        let along = match reference {
            Reference::Digest(digest) => self.judge_by_tags(grant, &candidates, digest).await?,
            Reference::Tag(_) => Along::All,
        };
        // Who means another registry's copy does not mean what was pushed here.
        let is_claimed = namespace.is_some_and(|namespace| routes.is_claimed(namespace));
        if !is_claimed && self.is_overlaid(grant, &candidates).await? {
            return self.delete_overlaid(grant, candidates, reference, along).await;
        }
        for Candidate { upstream, name, .. } in candidates {
            let what = match reference {
                Reference::Tag(tag) => Purge::Tag(tag.clone()),
                Reference::Digest(digest) => Purge::Manifest(*digest),
            };
            is_gone |= self.purge(upstream, name, what).await?;
        }
        if is_gone {
            return Ok(());
        }
        let repository = RepositoryKey::hosted(grant.name().clone());
        if is_claimed {
            return Err(match reference {
                Reference::Tag(tag) => store::Error::TagUnknown { tag: tag.clone() }.into(),
                Reference::Digest(digest) => store::Error::ManifestUnknown { digest: *digest }.into(),
            });
        }
        match reference {
            Reference::Tag(tag) => self.at(&repository).delete_tag(&repository, tag).await?,
            Reference::Digest(digest) => {
                self.at(&repository).delete_manifest_along(&repository, digest, along).await?;
            }
        }
        Ok(())
    }

    /// Returns which hosted tags may go with what is deleted by digest. Refuses when it would take one along that the
    /// holder may not delete, or several where he is not to.
    async fn judge_by_tags(
        &self,
        grant: &Grant<Delete>,
        candidates: &[Candidate],
        digest: &Digest,
    ) -> Result<Along, Error> {
        let detects_collisions = grant.detects_collisions();
        if !grant.depends_on_tags() && !detects_collisions {
            return Ok(Along::All);
        }
        let hosted = RepositoryKey::hosted(grant.name().clone());
        let judged = self.at(&hosted).tags_at(&hosted, digest).await?;
        let mut tags = judged.clone();
        for Candidate { upstream, name, .. } in candidates {
            let store = self.0.stores.of_upstream(upstream.name());
            tags.extend(store.tags_at(&cached(upstream, name), digest).await?);
        }
        // Both sides of a name may have the same one.
        tags.sort_unstable();
        tags.dedup();
        if let Some(refusal) = tags.iter().find_map(|tag| grant.refusal_of(tag)) {
            return Err(Error::Refused { refusal });
        }
        if detects_collisions && tags.len() > 1 {
            return Err(Error::ManifestCollision { digest: *digest, tags: tags.len() });
        }
        Ok(Along::These(judged))
    }

    /// Says whether a name is hosted and has upstreams that lie under it.
    async fn is_overlaid(
        &self,
        grant: &Grant<Delete>,
        candidates: &[Candidate],
    ) -> Result<bool, store::Error> {
        let hosted = RepositoryKey::hosted(grant.name().clone());
        Ok(!candidates.is_empty() && self.at(&hosted).repository_exists(&hosted).await?)
    }

    /// Deletes from both sides of a name, so that an upstream does not bring the tag back.
    async fn delete_overlaid(
        &self,
        grant: &Grant<Delete>,
        candidates: Vec<Candidate>,
        reference: &Reference,
        along: Along,
    ) -> Result<(), Error> {
        let hosted = RepositoryKey::hosted(grant.name().clone());
        self.note_gone(&hosted, reference).await?;
        let mut is_gone = matches!(reference, Reference::Tag(_));
        for Candidate { upstream, name, .. } in candidates {
            let what = match reference {
                Reference::Tag(tag) => Purge::Tag(tag.clone()),
                Reference::Digest(digest) => Purge::Manifest(*digest),
            };
            is_gone |= self.purge(upstream, name, what).await?;
        }
        let deleted = match reference {
            Reference::Tag(tag) => self.at(&hosted).delete_tag(&hosted, tag).await,
            Reference::Digest(digest) => self.at(&hosted).delete_manifest_along(&hosted, digest, along).await,
        };
        match deleted {
            Err(store::Error::TagUnknown { .. } | store::Error::ManifestUnknown { .. }) if is_gone => Ok(()),
            other => Ok(other?),
        }
    }

    /// Deletes a blob from the repository, or from what is cached of it.
    ///
    /// *Spec:* `[end-10]`.
    pub async fn delete_blob(
        &self,
        grant: &Grant<Delete>,
        namespace: Option<&str>,
        digest: &Digest,
    ) -> Result<(), Error> {
        let routes = self.routes();
        let is_claimed = namespace.is_some_and(|namespace| routes.is_claimed(namespace));
        let repository = RepositoryKey::hosted(grant.name().clone());
        // What was pushed first, though there may be no manifest yet that makes the name a hosted one.
        let mut is_gone = !is_claimed && self.at(&repository).blob_size(&repository, digest).await?.is_some();
        if is_gone {
            self.at(&repository).delete_blob(&repository, digest).await?;
        }
        for Candidate { upstream, name, .. } in self.purgeable(&routes, grant, namespace).await? {
            is_gone |= self.purge(upstream, name, Purge::Blob(*digest)).await?;
        }
        if is_gone { Ok(()) } else { Err(store::Error::BlobUnknown { digest: *digest }.into()) }
    }

    /// Removes everything that is cached of a repository; the next pull fetches it again.
    ///
    /// *Errors:* [`Error::NameUnknown`] when nothing is.
    pub async fn purge_cache(&self, grant: &Grant<Delete>, namespace: Option<&str>) -> Result<(), Error> {
        let mut is_gone = false;
        for Candidate { upstream, name, .. } in self.purgeable(&self.routes(), grant, namespace).await? {
            is_gone |= self.purge(upstream, name, Purge::Everything).await?;
        }
        if is_gone { Ok(()) } else { Err(Error::NameUnknown { repository: grant.name().clone() }) }
    }

    /// Removes something cached, to its end though the caller leaves: content that was unlinked and not removed
    /// would stay for ever.
    async fn purge(
        &self,
        upstream: Arc<Upstream>,
        name: RepositoryName,
        what: Purge,
    ) -> Result<bool, store::Error> {
        let this = self.clone();
        let purging = tokio::spawn(async move {
            let purged = this.purge_here(&upstream, &name, what).await;
            this.forget_answers(&upstream, &name);
            purged
        });
        purging.await.unwrap_or(Err(store::Error::Abandoned))
    }

    async fn purge_here(
        &self,
        upstream: &Upstream,
        name: &RepositoryName,
        what: Purge,
    ) -> Result<bool, store::Error> {
        let (repository, store) = (cached(upstream, name), self.0.stores.of_upstream(upstream.name()));
        match what {
            Purge::Tag(tag) => store.remove_cached_tag(&repository, &tag).await,
            Purge::Manifest(digest) => {
                let is_here = store.remove_cached_manifest(&repository, &digest).await?;
                if is_here {
                    self.trim(upstream, name, vec![digest]).await?;
                }
                Ok(is_here)
            }
            Purge::Blob(digest) => {
                let is_here = store.blob_size(&repository, &digest).await?.is_some();
                if is_here {
                    store.remove_cached_blobs(&repository, [digest]).await?;
                    self.trim(upstream, name, vec![digest]).await?;
                }
                Ok(is_here)
            }
            Purge::Everything => self.purge_all(upstream, name).await,
        }
    }

    /// Returns where a name is cached, unless it is hosted.
    async fn purgeable(
        &self,
        routes: &Routes,
        grant: &Grant<Delete>,
        namespace: Option<&str>,
    ) -> Result<Vec<Candidate>, store::Error> {
        let claimed = namespace.filter(|namespace| routes.is_claimed(namespace));
        let hosted = RepositoryKey::hosted(grant.name().clone());
        let is_hosted = claimed.is_none() && self.at(&hosted).repository_exists(&hosted).await?;
        let all = match claimed {
            Some(namespace) => routes.claimers(namespace, grant.name()),
            None => routed(routes, grant.name()),
        };
        // By its canonical name too, as for reading.
        let lies_over = |it: &Candidate| !is_hosted || it.upstream.options().overlay;
        let may =
            |it: &Candidate| lies_over(it) && grant.also(&it.upstream.canonical_name(&it.name)).is_some();
        Ok(all.into_iter().filter(may).collect())
    }
}
