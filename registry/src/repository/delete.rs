//! Deletes: on the hosted side where there is one, else of what is cached.

use super::service::cached;
use super::{Error, Repositories};
use crate::auth::{Delete, Grant};
use crate::oci::{Digest, Reference};
use crate::store::{self, RepositoryKey};
use crate::upstream::Candidate;

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
        for Candidate { upstream, name, .. } in self.purgeable(grant, namespace).await? {
            let (repository, store) = (cached(&upstream, &name), self.0.stores.of_upstream(upstream.name()));
            is_gone |= match reference {
                Reference::Tag(tag) => store.remove_cached_tag(&repository, tag).await?,
                Reference::Digest(digest) => {
                    let is_here = store.remove_cached_manifest(&repository, digest).await?;
                    if is_here {
                        self.trim(&upstream, &name, vec![*digest]).await?;
                    }
                    is_here
                }
            };
            self.forget_answers(&upstream, &name);
        }
        if is_gone {
            return Ok(());
        }
        let repository = RepositoryKey::hosted(grant.name().clone());
        // Who means another registry's copy does not mean what was pushed here.
        if namespace.is_some_and(|namespace| self.is_claimed(namespace)) {
            return Err(match reference {
                Reference::Tag(tag) => store::Error::TagUnknown { tag: tag.clone() }.into(),
                Reference::Digest(digest) => store::Error::ManifestUnknown { digest: *digest }.into(),
            });
        }
        match reference {
            Reference::Tag(tag) => self.at(&repository).delete_tag(&repository, tag).await?,
            Reference::Digest(digest) => self.at(&repository).delete_manifest(&repository, digest).await?,
        }
        Ok(())
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
        let is_claimed = namespace.is_some_and(|namespace| self.is_claimed(namespace));
        let repository = RepositoryKey::hosted(grant.name().clone());
        // What was pushed first, though there may be no manifest yet that makes the name a hosted one.
        let mut is_gone = !is_claimed && self.at(&repository).blob_size(&repository, digest).await?.is_some();
        if is_gone {
            self.at(&repository).delete_blob(&repository, digest).await?;
        }
        for Candidate { upstream, name, .. } in self.purgeable(grant, namespace).await? {
            let (repository, store) = (cached(&upstream, &name), self.0.stores.of_upstream(upstream.name()));
            if store.blob_size(&repository, digest).await?.is_some() {
                store.remove_cached_blobs(&repository, [*digest]).await?;
                self.trim(&upstream, &name, vec![*digest]).await?;
                is_gone = true;
            }
            self.forget_answers(&upstream, &name);
        }
        if is_gone { Ok(()) } else { Err(store::Error::BlobUnknown { digest: *digest }.into()) }
    }

    /// Removes everything that is cached of a repository; the next pull fetches it again.
    ///
    /// *Errors:* [`Error::NameUnknown`] when nothing is.
    pub async fn purge_cache(&self, grant: &Grant<Delete>, namespace: Option<&str>) -> Result<(), Error> {
        let mut is_gone = false;
        for Candidate { upstream, name, .. } in self.purgeable(grant, namespace).await? {
            is_gone |= self.purge(&upstream, &name).await?;
            self.forget_answers(&upstream, &name);
        }
        if is_gone { Ok(()) } else { Err(Error::NameUnknown { repository: grant.name().clone() }) }
    }

    /// Returns where a name is cached, unless it is hosted.
    async fn purgeable(
        &self,
        grant: &Grant<Delete>,
        namespace: Option<&str>,
    ) -> Result<Vec<Candidate>, store::Error> {
        let claimed = namespace.filter(|namespace| self.is_claimed(namespace));
        let hosted = RepositoryKey::hosted(grant.name().clone());
        if claimed.is_none() && self.at(&hosted).repository_exists(&hosted).await? {
            return Ok(Vec::new());
        }
        let all = match claimed {
            Some(namespace) => self.0.routes.claimers(namespace, grant.name()),
            None => self.routed(grant.name()),
        };
        // By its canonical name too, as for reading.
        let may = |it: &Candidate| grant.also(&it.upstream.canonical_name(&it.name)).is_some();
        Ok(all.into_iter().filter(may).collect())
    }
}
