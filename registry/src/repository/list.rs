//! Lists: tags, referrers, the catalog. Each is answered from what is here.

use std::sync::Arc;

use super::service::cached;
use super::{Error, Repositories};
use crate::auth::{Grant, Pull};
use crate::oci::{Digest, RepositoryName};
use crate::store::referrers::{Referrers, ReferrersQuery};
use crate::store::{RepositoryKey, Space};

impl Repositories {
    /// Returns all tags of a repository, sorted bytewise: of the hosted one, else of the first
    /// cached one.
    ///
    /// *Errors:* [`Error::NameUnknown`] when neither is there.
    ///
    /// *Spec:* `[end-8a]`.
    pub async fn tags(
        &self,
        grant: &Grant<Pull>,
        namespace: Option<&str>,
    ) -> Result<Arc<Vec<String>>, Error> {
        for repository in self.places(grant.name(), namespace).await? {
            if self.0.store.repository_exists(&repository).await? {
                return Ok(self.0.store.tags(&repository).await?);
            }
        }
        Err(Error::NameUnknown { repository: grant.name().clone() })
    }

    /// Returns the descriptors of the manifests about a subject, sorted by digest; none for a
    /// repository that is not there.
    ///
    /// *Spec:* `[end-12a]`.
    pub async fn referrers(
        &self,
        grant: &Grant<Pull>,
        namespace: Option<&str>,
        subject: &Digest,
        query: ReferrersQuery<'_>,
    ) -> Result<Referrers, Error> {
        for repository in self.places(grant.name(), namespace).await? {
            if self.0.store.repository_exists(&repository).await? {
                return Ok(self.0.store.referrers(&repository, subject, query).await?);
            }
        }
        Ok(Referrers::default())
    }

    /// Returns the names of all repositories, hosted and cached, that `visible` lets through;
    /// sorted bytewise, each once.
    pub async fn catalog(
        &self,
        visible: impl Fn(&RepositoryName) -> bool + Send,
    ) -> Result<Vec<RepositoryName>, Error> {
        let upstreams = self.0.routes.all().map(|upstream| Space::Upstream(Arc::clone(upstream.name())));
        let spaces: Vec<Space> = std::iter::once(Space::Hosted).chain(upstreams).collect();
        let mut names = Vec::new();
        for space in &spaces {
            let of_space = self.0.store.repositories(space).await?;
            names.extend(of_space.iter().filter(|name| visible(name)).cloned());
        }
        if spaces.len() > 1 {
            names.sort_unstable();
            names.dedup();
        }
        Ok(names)
    }

    /// Returns where a name's content may be: hosted first.
    async fn places(
        &self,
        name: &RepositoryName,
        namespace: Option<&str>,
    ) -> Result<Vec<RepositoryKey>, Error> {
        let sides = self.sides(name, namespace).await?;
        let copies = sides.upstreams.iter().map(|upstream| cached(upstream, name));
        Ok(sides.hosted.into_iter().chain(copies).collect())
    }
}
