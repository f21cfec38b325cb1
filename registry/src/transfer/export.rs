//! From a store into an image layout: what is named, what it refers to, and what is about it.
//!
//! First it is found out what that is, then it is written, content in the order of its digests and the index
//! last: the same content makes the same bytes. Every byte is hashed on its way, so that nothing damaged
//! leaves.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::Error;
use super::error::blocking;
use super::index::Named;
use super::report::{Outcome, Progress, Report};
use super::target::Target;
use crate::oci::{Descriptor, Digest, Hasher, Manifest, MediaType, Reference, Tag};
use crate::store::referrers::ReferrersQuery;
use crate::store::{RepositoryKey, Store};

pub use super::target::Destination;

/// The most manifests and blobs that are exported at once.
const OBJECTS_MAX: usize = 1_000_000;
/// How many bytes of referrers' descriptors are held at once.
const REFERRERS_BYTES_MAX: usize = 1024 * 1024;
/// What cosign puts behind the digest of an image to name what is about it; nothing is the tag that clients
/// without referrers use.
const ABOUT: [&str; 4] = ["", ".att", ".sbom", ".sig"];

/// Exports a manifest with all that is about it, or all of a repository.
///
/// *Errors:* anything that keeps it from being whole; then the destination names nothing that it did not
/// name before.
///
/// *Durability:* when this returns, no crash can lose a folder or a file. A crash before that leaves content
/// that nothing names, which the next export to the same folder does not write again.
pub async fn export(
    store: &Store,
    repository: &RepositoryKey,
    reference: Option<&Reference>,
    destination: Destination,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    let mut plan = Plan::new(store, repository, progress);
    plan.make(reference).await?;
    let target = blocking(move || Target::open(destination)).await?;
    let mut index = target.index();
    let mut writing = Writing(Some(target));
    let mut report = Report { repositories: 1, ..Report::default() };
    progress.expect(plan.objects.values().map(|object| object.size).sum());
    for (digest, object) in &plan.objects {
        let (wanted, size) = (*digest, object.size);
        let is_here = writing.run(move |target| target.has(&wanted, size)).await?;
        let (written, here) = match object.manifest {
            Some(_) => (&mut report.manifests, &mut report.manifests_here),
            None => (&mut report.blobs, &mut report.blobs_here),
        };
        if is_here {
            *here += 1;
            progress.advance(size);
        } else {
            plan.write(digest, object, &mut writing).await?;
            *written += 1;
            report.bytes += size;
        }
    }
    let named = plan.named();
    named.iter().for_each(|named| index.name(named));
    let bytes = index.bytes();
    writing.finish(bytes).await?;
    report.tags = plan.tags.len() as u64;
    for named in &named {
        let what = match &named.tag {
            Some(tag) => format!("{}:{tag}", repository.name),
            None => format!("{}@{}", repository.name, named.digest),
        };
        progress.end(&what, &named.digest, Outcome::Copied);
    }
    Ok(report)
}

/// What is to be written.
struct Plan<'a> {
    store: &'a Store,
    repository: &'a RepositoryKey,
    progress: &'a dyn Progress,
    /// The tags that the index will name.
    tags: BTreeMap<Tag, Digest>,
    /// The manifests that it will name beside them.
    untagged: BTreeSet<Digest>,
    /// By digest, so that the order is always the same.
    objects: BTreeMap<Digest, Object>,
}

/// Content.
#[derive(Debug, Clone)]
struct Object {
    /// How many bytes it has.
    size: u64,
    /// What an index says of it, if it is a manifest.
    manifest: Option<(MediaType, Option<String>)>,
}

impl<'a> Plan<'a> {
    fn new(store: &'a Store, repository: &'a RepositoryKey, progress: &'a dyn Progress) -> Self {
        let (tags, untagged, objects) = Default::default();
        Self { store, repository, progress, tags, untagged, objects }
    }

    async fn make(&mut self, reference: Option<&Reference>) -> Result<(), Error> {
        match reference {
            Some(Reference::Tag(tag)) => self.reach_tags([tag.clone()].into()).await?,
            Some(Reference::Digest(digest)) => {
                self.untagged.insert(*digest);
                let about = self.reach(*digest).await?;
                self.reach_tags(about).await?;
            }
            None => {
                let names = self.store.tags(self.repository).await?;
                self.reach_tags(names.iter().filter_map(|name| Tag::parse(name).ok()).collect()).await?;
                for digest in self.store.manifest_digests(self.repository).await? {
                    // What an index refers to comes with it.
                    let is_named = self.objects.contains_key(&digest)
                        || self.store.is_referred_to(self.repository, &digest).await?;
                    if !is_named {
                        self.untagged.insert(digest);
                        self.reach(digest).await?;
                    }
                }
                if self.objects.is_empty() {
                    return Err(self.unknown(""));
                }
            }
        }
        let tagged: BTreeSet<Digest> = self.tags.values().copied().collect();
        self.untagged.retain(|digest| !tagged.contains(digest));
        Ok(())
    }

    /// Takes in what tags point at, and the tags that this brings.
    async fn reach_tags(&mut self, mut tags: BTreeSet<Tag>) -> Result<(), Error> {
        while let Some(tag) = tags.pop_first() {
            if self.tags.contains_key(&tag) {
                continue;
            }
            let entry = self.store.tag(self.repository, &tag).await?;
            let digest = entry.ok_or_else(|| self.unknown(&format!(":{tag}")))?.digest;
            self.tags.insert(tag, digest);
            tags.extend(self.reach(digest).await?);
        }
        Ok(())
    }

    /// Takes in a manifest, what it refers to, and what is about any of that; returns the tags of the latter.
    async fn reach(&mut self, root: Digest) -> Result<BTreeSet<Tag>, Error> {
        let (mut tags, mut digests) = (BTreeSet::new(), vec![root]);
        while let Some(digest) = digests.pop() {
            if self.objects.get(&digest).is_some_and(|object| object.manifest.is_some()) {
                continue;
            }
            let Some(stored) = self.store.manifest(self.repository, &Reference::Digest(digest)).await? else {
                if digest == root {
                    return Err(self.unknown(&format!("@{digest}")));
                }
                self.leave_out(&digest);
                continue;
            };
            let parsed = Manifest::parse(&stored.bytes, Some(&stored.media_type));
            let manifest = parsed.map_err(|source| Error::Manifest { digest, source })?;
            let artifact_type = manifest.artifact_type.filter(|_| manifest.subject.is_some());
            let size = stored.bytes.len() as u64;
            self.insert(digest, Object { size, manifest: Some((stored.media_type.clone(), artifact_type)) })?;
            let (children, blobs): (Vec<Descriptor>, Vec<Descriptor>) =
                manifest.references.into_iter().partition(|it| it.media_type.manifest_kind().is_some());
            digests.extend(children.iter().map(|child| child.digest));
            for blob in blobs {
                match self.store.blob_size(self.repository, &blob.digest).await? {
                    Some(_) if self.objects.contains_key(&blob.digest) => {}
                    Some(size) => self.insert(blob.digest, Object { size, manifest: None })?,
                    None => self.leave_out(&blob.digest),
                }
            }
            let referrers = self.referrers(&digest).await?;
            self.untagged.extend(&referrers);
            digests.extend(referrers);
            tags.extend(self.tags_about(&digest).await?);
        }
        Ok(tags)
    }

    fn insert(&mut self, digest: Digest, object: Object) -> Result<(), Error> {
        self.objects.insert(digest, object);
        if self.objects.len() > OBJECTS_MAX {
            let path = self.repository.name.as_str().into();
            return Err(Error::TooMany { path, what: "manifests and blobs", max: OBJECTS_MAX });
        }
        Ok(())
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Digest>, Error> {
        let (mut found, mut after): (Vec<Digest>, Option<String>) = (Vec::new(), None);
        loop {
            let query =
                ReferrersQuery { after: after.as_deref(), types: &[], bytes_max: Some(REFERRERS_BYTES_MAX) };
            let page = self.store.referrers(self.repository, digest, query).await?;
            found.extend(page.descriptors.iter().map(|descriptor| descriptor.digest));
            match found.last() {
                Some(last) if page.more => after = Some(last.to_string()),
                _ => return Ok(found),
            }
        }
    }

    async fn tags_about(&self, digest: &Digest) -> Result<Vec<Tag>, Error> {
        let mut tags = Vec::new();
        for suffix in ABOUT {
            // A SHA-512 digest is too long for a tag.
            let Ok(tag) = Tag::parse(&format!("{}-{}{suffix}", digest.algorithm(), digest.hex())) else {
                continue;
            };
            if self.store.tag(self.repository, &tag).await?.is_some() {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    /// What may be missing was pushed without it: the layout lacks it as the repository does.
    fn leave_out(&self, digest: &Digest) {
        self.progress.note(&format!("{}: left out: {digest} is not here", self.repository.name));
    }

    fn unknown(&self, what: &str) -> Error {
        Error::Unknown { what: format!("{}{what}", self.repository.name) }
    }

    /// Returns what the index names: tags first, in their order.
    fn named(&self) -> Vec<Named> {
        let tagged = self.tags.iter().map(|(tag, digest)| (digest, Some(tag)));
        let all = tagged.chain(self.untagged.iter().map(|digest| (digest, None)));
        let named = all.filter_map(|(digest, tag)| {
            let object = self.objects.get(digest)?;
            let (media_type, artifact_type) = object.manifest.clone()?;
            Some(Named { media_type, digest: *digest, size: object.size, artifact_type, tag: tag.cloned() })
        });
        named.collect()
    }

    /// Writes content, and hashes it on the way.
    async fn write(&self, digest: &Digest, object: &Object, writing: &mut Writing) -> Result<(), Error> {
        let (wanted, size) = (*digest, object.size);
        writing.run(move |target| target.begin(&wanted, size)).await?;
        let (mut hasher, mut found) = (Hasher::new(digest.algorithm()), 0);
        if object.manifest.is_some() {
            let stored = self.store.manifest(self.repository, &Reference::Digest(*digest)).await?;
            let bytes = stored.ok_or_else(|| self.unknown(&format!("@{digest}")))?.bytes.clone();
            found += self.pass(bytes, &mut hasher, writing).await?;
        } else {
            let opened = self.store.open_blob(self.repository, digest).await?;
            let content = opened.ok_or_else(|| self.unknown(&format!("@{digest}")))?;
            let mut chunks = content.stream(0, content.size());
            while let Some(bytes) = chunks.try_next().await? {
                found += self.pass(bytes, &mut hasher, writing).await?;
            }
        }
        let place = || format!("{}@{digest}", self.repository.name);
        if found != size {
            return Err(Error::Size { place: place(), expected: size, found });
        }
        let found = hasher.finish();
        if found != *digest {
            return Err(Error::Digest { place: place(), expected: *digest, found });
        }
        writing.run(move |target| target.end(&wanted)).await
    }

    async fn pass(&self, bytes: Bytes, hasher: &mut Hasher, writing: &mut Writing) -> Result<u64, Error> {
        let (len, chunk) = (bytes.len() as u64, bytes.clone());
        // The write on a thread that may block, the hash beside it.
        let hashing = async { hasher.update(&bytes) };
        let (written, ()) = tokio::join!(writing.run(move |target| target.append(&chunk)), hashing);
        written?;
        self.progress.advance(len);
        Ok(len)
    }
}

/// A target between two steps of work on it; none while it is worked on, or once that has panicked.
struct Writing(Option<Target>);

impl Writing {
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Target) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mut target = self.0.take().ok_or(Error::Abandoned)?;
        let (target, done) = blocking(move || {
            let done = work(&mut target);
            Ok((target, done))
        })
        .await?;
        self.0 = Some(target);
        done
    }

    async fn finish(mut self, index: Vec<u8>) -> Result<(), Error> {
        let target = self.0.take().ok_or(Error::Abandoned)?;
        blocking(move || target.finish(&index)).await
    }
}
