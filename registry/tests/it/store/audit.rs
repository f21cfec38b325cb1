//! Looks at everything that a store serves, and holds it against P1 and P3.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::TryStreamExt;
use wharfinger::backend::Content;
use wharfinger::oci::{Digest, Manifest, Reference, Tag};
use wharfinger::store::{self, RepositoryKey, Space, Store};

use super::contents::{CONTENTS, Item, digest};

/// One thing that a store may hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    Blob(RepositoryKey, Digest),
    Manifest(RepositoryKey, Digest),
    Tag(RepositoryKey, Tag),
}

/// What a store holds: of each fact that holds, the digest; a tag's is that of its manifest.
pub(crate) type World = BTreeMap<Fact, Digest>;

/// A broken promise.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(promise: &'static str, what: impl Into<String>) -> Self {
        Self { promise, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken: {}", self.promise, self.what)
    }
}

/// Reads everything through the store's own methods, byte by byte, and returns what it holds.
pub(crate) async fn observe(store: &Store, repositories: &[RepositoryKey]) -> Result<World, Violation> {
    let mut world = World::new();
    for repository in repositories {
        blobs(store, repository, &mut world).await?;
        manifests(store, repository, &mut world).await?;
        tags(store, repository, &mut world).await?;
    }
    for repository in repositories {
        references(repository, &world)?;
        referrers(store, repository, &world).await?;
        catalog(store, repository, &world).await?;
    }
    Ok(world)
}

async fn blobs(store: &Store, repository: &RepositoryKey, world: &mut World) -> Result<(), Violation> {
    for bytes in &CONTENTS.blobs {
        let digest = digest(bytes);
        let opened = store.open_blob(repository, &digest).await;
        let Some(content) = opened.map_err(|error| unreadable(repository, &digest, &error))? else {
            continue;
        };
        let found = read(&content).await.map_err(|error| unreadable(repository, &digest, &error))?;
        if found != *bytes {
            let what = format!("the blob {digest} of {repository} does not have the bytes of its digest");
            return Err(Violation::new("P3", what));
        }
        world.insert(Fact::Blob(repository.clone(), digest), digest);
    }
    Ok(())
}

async fn read(content: &Content) -> Result<Vec<u8>, store::Error> {
    let chunks: Vec<bytes::Bytes> = content.stream(0, content.size()).try_collect().await?;
    Ok(chunks.concat())
}

async fn manifests(store: &Store, repository: &RepositoryKey, world: &mut World) -> Result<(), Violation> {
    for item in &CONTENTS.manifests {
        let found = store.manifest(repository, &Reference::Digest(item.digest)).await;
        let Some(found) = found.map_err(|error| unreadable(repository, &item.digest, &error))? else {
            continue;
        };
        let parsed = Manifest::parse(&found.bytes, Some(&found.media_type));
        if found.bytes != item.bytes || parsed.as_ref() != Ok(&item.manifest) {
            let what = format!("the manifest {} of {repository} is not what was pushed", item.digest);
            return Err(Violation::new("P3", what));
        }
        world.insert(Fact::Manifest(repository.clone(), item.digest), item.digest);
    }
    Ok(())
}

async fn tags(store: &Store, repository: &RepositoryKey, world: &mut World) -> Result<(), Violation> {
    let failed = |error: store::Error| Violation::new("P3", format!("the tags of {repository}: {error}"));
    for name in store.tags(repository).await.map_err(failed)?.iter() {
        let tag = Tag::parse(name).unwrap();
        let Some(entry) = store.tag(repository, &tag).await.map_err(failed)? else {
            return Err(Violation::new(
                "P3",
                format!("{repository} lists the tag {tag}, which is not there"),
            ));
        };
        if !world.contains_key(&Fact::Manifest(repository.clone(), entry.digest)) {
            let what = format!("{repository}:{tag} points at {}, which is not visible", entry.digest);
            return Err(Violation::new("P3", what));
        }
        world.insert(Fact::Tag(repository.clone(), tag), entry.digest);
    }
    Ok(())
}

/// Everything that a hosted manifest needs is visible in its repository.
fn references(repository: &RepositoryKey, world: &World) -> Result<(), Violation> {
    if repository.space != Space::Hosted {
        return Ok(());
    }
    for item in visible(repository, world) {
        for needed in &item.manifest.references {
            let blob = Fact::Blob(repository.clone(), needed.digest);
            let manifest = Fact::Manifest(repository.clone(), needed.digest);
            if !world.contains_key(&blob) && !world.contains_key(&manifest) {
                let what =
                    format!("{} of {repository} needs {}, which is not there", item.digest, needed.digest);
                return Err(Violation::new("P3", what));
            }
        }
    }
    Ok(())
}

fn visible<'a>(repository: &'a RepositoryKey, world: &'a World) -> impl Iterator<Item = &'static Item> + 'a {
    let is_visible = |item: &&Item| world.contains_key(&Fact::Manifest(repository.clone(), item.digest));
    CONTENTS.manifests.iter().filter(is_visible)
}

/// The visible manifests about a digest, and no others, are its referrers.
async fn referrers(store: &Store, repository: &RepositoryKey, world: &World) -> Result<(), Violation> {
    for subject in CONTENTS.digests() {
        let listed =
            store.referrers(repository, &subject, Default::default()).await.map(|page| page.descriptors);
        let listed = listed.map_err(|error| unreadable(repository, &subject, &error))?;
        let mut listed: Vec<Digest> = listed.iter().map(|descriptor| descriptor.digest).collect();
        listed.sort_unstable();
        let about = visible(repository, world).filter(|item| item.subject() == Some(subject));
        let mut expected: Vec<Digest> = about.map(|item| item.digest).collect();
        expected.sort_unstable();
        if listed != expected {
            let what = format!("the referrers of {subject} in {repository} are {listed:?}, not {expected:?}");
            return Err(Violation::new("P3", what));
        }
    }
    Ok(())
}

/// A repository that holds a manifest is in the catalog.
async fn catalog(store: &Store, repository: &RepositoryKey, world: &World) -> Result<(), Violation> {
    let names = store.repositories(&repository.space).await;
    let names = names.map_err(|error| Violation::new("P3", format!("the catalog: {error}")))?;
    if visible(repository, world).next().is_some() && !names.contains(&repository.name) {
        return Err(Violation::new("P3", format!("{repository} holds manifests and is not in the catalog")));
    }
    Ok(())
}

fn unreadable(repository: &RepositoryKey, digest: &Digest, error: &dyn std::error::Error) -> Violation {
    let mut what = format!("{digest} of {repository} is there and cannot be read: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        what.push_str(&format!(": {error}"));
        source = error.source();
    }
    Violation::new("P3", what)
}
