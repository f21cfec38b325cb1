//! Which store a repository is in: the main one, one for a first component of names (`storage.subPaths`), or
//! an upstream's own.
//!
//! Stores share nothing: a blob that goes from one to another is copied and hashed.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;

use crate::oci::{Algorithm, Digest, Hasher, RepositoryName};
use crate::store::{Content, Error, RepositoryKey, Space, Stage, Store};

/// All stores of a server. Clones share them.
#[derive(Debug, Clone)]
pub struct Stores(Arc<Table>);

#[derive(Debug)]
struct Table {
    main: Store,
    /// By the first component of hosted names.
    by_component: HashMap<String, Store>,
    /// By the upstream's name.
    by_upstream: HashMap<String, Store>,
}

impl Stores {
    /// Makes the set of a main store and those of their own.
    pub fn new(
        main: Store,
        by_component: HashMap<String, Store>,
        by_upstream: HashMap<String, Store>,
    ) -> Self {
        Self(Arc::new(Table { main, by_component, by_upstream }))
    }

    /// Returns the store that is not of a component or of an upstream alone.
    pub fn main(&self) -> &Store {
        &self.0.main
    }

    /// Returns the store that a repository is in.
    pub fn of(&self, repository: &RepositoryKey) -> &Store {
        match &repository.space {
            Space::Hosted => self.of_hosted(&repository.name),
            Space::Upstream(upstream) => self.of_upstream(upstream),
        }
    }

    /// Returns the store of what is cached of an upstream.
    pub fn of_upstream(&self, upstream: &str) -> &Store {
        self.0.by_upstream.get(upstream).unwrap_or(&self.0.main)
    }

    fn of_hosted(&self, name: &RepositoryName) -> &Store {
        if self.0.by_component.is_empty() {
            return &self.0.main;
        }
        // A name of one component is in the main store, as in zot.
        let first = name.as_str().split_once('/').map(|(first, _)| first);
        first.and_then(|first| self.0.by_component.get(first)).unwrap_or(&self.0.main)
    }

    /// Returns the store of the hosted names with this first component, if it is one of its own.
    pub fn of_component(&self, component: &str) -> Option<&Store> {
        self.0.by_component.get(component)
    }

    /// Returns the stores of hosted names.
    pub(super) fn hosted(&self) -> impl Iterator<Item = &Store> {
        std::iter::once(&self.0.main).chain(self.0.by_component.values())
    }

    /// Returns every store once.
    pub fn all(&self) -> impl Iterator<Item = &Store> {
        self.hosted().chain(self.0.by_upstream.values())
    }

    /// Gives a repository the blob of another one, and returns whether that has it.
    ///
    /// *Durability:* as a push: when this returns `true`, no crash can undo it.
    pub(super) async fn mount_blob(
        &self,
        from: &RepositoryKey,
        to: &RepositoryKey,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let (source, target) = (self.of(from), self.of(to));
        if source.is(target) {
            return source.mount_blob(from, to, digest).await;
        }
        let content = match source.open_blob(from, digest).await {
            // Lost on the disk, or in quarantine: the client pushes it, as it does within a store.
            Err(Error::Damaged { .. } | Error::BlobUnknown { .. }) => None,
            opened => opened?,
        };
        let Some(content) = content else { return Ok(false) };
        let (target, to, digest) = (target.clone(), to.clone(), *digest);
        // To its end, so that nothing is left behind when the caller leaves.
        let copying = tokio::spawn(async move { copy(&content, &target, &to, &digest).await });
        copying.await.unwrap_or(Err(Error::Abandoned)).map(|()| true)
    }
}

/// Copies content into another store, and hashes it on the way.
async fn copy(content: &Content, target: &Store, to: &RepositoryKey, digest: &Digest) -> Result<(), Error> {
    let (file, mut stage) = target.stage_copy().await?;
    let copied = match pour(content, stage.as_mut(), digest.algorithm()).await {
        Ok(found) if found == *digest => target.commit_blob(stage, to, digest).await,
        Ok(_) => {
            let (expected, found) = (content.size(), Some(content.size()));
            Err(Error::Damaged { digest: *digest, expected, found })
        }
        Err(error) => Err(error),
    };
    if copied.is_err() {
        target.remove_copy(&file).await?;
    }
    copied
}

async fn pour(content: &Content, stage: &mut dyn Stage, algorithm: Algorithm) -> Result<Digest, Error> {
    let mut hasher = Hasher::new(algorithm);
    let mut chunks = content.stream(0, content.size());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        hasher.update(&chunk);
        stage.append(vec![chunk]).await?;
    }
    Ok(hasher.finish())
}

impl From<Store> for Stores {
    fn from(main: Store) -> Self {
        Self::new(main, HashMap::new(), HashMap::new())
    }
}
