//! Which repositories hold something: one mark each, for the catalog.

use std::sync::Arc;

use super::claims::Claim;
use super::replicas::settle;
use super::{Error, RepositoryKey, Space, Store, layout};
use crate::backend::When;
use crate::oci::{Algorithm, RepositoryName};

impl Store {
    /// Returns the names of all repositories of a space that hold a manifest, sorted bytewise.
    pub async fn repositories(&self, space: &Space) -> Result<Arc<Vec<RepositoryName>>, Error> {
        if let Some(names) = self.0.names.find(space) {
            return Ok(names);
        }
        let ticket = self.0.names.ticket(space);
        let children = self.0.backend.list(&layout::names(space)).await?;
        let mut names: Vec<RepositoryName> =
            children.iter().filter_map(|child| layout::name_of(child)).collect();
        names.sort_unstable();
        let names = Arc::new(names);
        self.0.names.offer(ticket, space.clone(), Arc::clone(&names));
        Ok(names)
    }

    /// Says whether the repository holds a manifest.
    pub async fn repository_exists(&self, repository: &RepositoryKey) -> Result<bool, Error> {
        if let Some(exists) = self.0.existing.find(repository) {
            return Ok(exists);
        }
        let ticket = self.0.existing.ticket(repository);
        let is_marked = self.0.backend.size(&layout::name(repository)).await?.is_some();
        // The mark is for the catalog; whoever loses it loses no repository (P12).
        let exists = is_marked || self.holds_manifest(repository).await?;
        self.0.existing.offer(ticket, repository.clone(), exists);
        Ok(exists)
    }

    pub(super) async fn holds_manifest(&self, repository: &RepositoryKey) -> Result<bool, Error> {
        for algorithm in Algorithm::ALL {
            if !self.0.backend.list(&layout::manifests(repository, algorithm)).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes away the marks of repositories that hold nothing: a crash between a mark and its
    /// manifest, or between the last manifest and its mark, leaves one, and the name would be
    /// hosted for ever.
    pub async fn unmark_empty_names(&self) -> Result<(), Error> {
        let upstreams = self.0.backend.list(&layout::upstreams()).await?;
        let upstreams = upstreams.iter().map(|upstream| Space::Upstream(upstream.as_str().into()));
        for space in std::iter::once(Space::Hosted).chain(upstreams) {
            for name in self.repositories(&space).await?.iter() {
                let repository = RepositoryKey { space: space.clone(), name: name.clone() };
                // Looked at before anything is claimed, which costs writes where others share the store: of
                // thousands of names hardly one is empty, and who deletes its last manifest takes the mark away.
                if !self.holds_manifest(&repository).await? {
                    self.unmark_name_if_empty(&repository).await?;
                }
            }
        }
        Ok(())
    }

    /// Marks a repository that is about to hold something; the caller claims its name with others.
    pub(super) async fn mark_name(&self, repository: &RepositoryKey) -> Result<(), Error> {
        let key = layout::name(repository);
        if self.0.backend.size(&key).await?.is_some() {
            self.0.backend.settle(&[key]).await?;
            return Ok(());
        }
        let written = self.0.backend.write(&key, bytes::Bytes::new(), When::Always).await;
        self.0.names.forget(&repository.space);
        self.0.existing.forget(repository);
        written?;
        Ok(())
    }

    /// Takes the mark away when the repository holds nothing any more.
    pub(super) async fn unmark_name_if_empty(&self, repository: &RepositoryKey) -> Result<(), Error> {
        if self.0.backend.size(&layout::name(repository)).await?.is_none() {
            return Ok(());
        }
        let announced = self.announce_alone(&Claim::Name(repository.clone())).await?;
        let _alone = self.0.claims.exclude(Claim::Name(repository.clone())).await;
        settle(announced, self.unmark_claimed_name(repository)).await
    }

    async fn unmark_claimed_name(&self, repository: &RepositoryKey) -> Result<(), Error> {
        if self.holds_manifest(repository).await? {
            return Ok(());
        }
        let deleted = self.0.backend.delete(&layout::name(repository), When::Always).await;
        self.0.names.forget(&repository.space);
        self.0.existing.forget(repository);
        deleted?;
        Ok(())
    }
}
