//! From a source into stores, the way of a push: blobs before the manifest that needs them, manifests before
//! the index that lists them, what is about an image before the image's tag, and each tag last.
//!
//! What cannot be taken hinders nothing else: the rest goes on, and the report says what is missing.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::copy::{Copied, Route, Verified};
use super::error::blocking;
use super::reference::parse_name;
use super::report::{Failure, Outcome, Progress, Report};
use super::source::{Root, Roots};
use super::{Error, Source};
use crate::oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Descriptor, Digest, Manifest, ManifestError, MediaType, RepositoryName, Tag};
use crate::store::manifests::{NewManifest, References, Tagging, digest_of};
use crate::store::{self, RepositoryKey, Store};

/// How to import.
#[derive(Debug, Clone)]
pub struct Options {
    /// What a layout is called; or what stands before every name of a source that has its own names.
    pub name: Option<RepositoryName>,
    /// The tag of a layout's only image, in place of its own.
    pub tag: Option<Tag>,
    /// What becomes of tags that are here and point elsewhere.
    pub existing: Existing,
    /// The largest manifest that is taken, in bytes.
    pub manifest_bytes_max: u64,
}

/// What becomes of tags that are here and point elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They stay, and what would have had them is not imported under them.
    Keep,
    /// They are moved.
    Move,
}

/// How deep indexes may nest.
const DEPTH_MAX: usize = 8;
/// Blobs that are copied at once.
const COPIES_AT_ONCE: usize = 4;
/// How many images a fault lists.
const LISTED: usize = 10;

/// Imports a source.
///
/// `store_of` says which store a name is in.
///
/// *Errors:* what keeps all of it from being imported; anything less is in the report.
///
/// *Durability:* when this returns, no crash can lose what the report counts. A crash before that leaves whole
/// manifests, and blobs that no manifest needs; importing again goes on from there.
pub async fn import(
    source: &Arc<Source>,
    store_of: &(dyn Fn(&RepositoryKey) -> Store + Send + Sync),
    options: &Options,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    let names = target_names(source, options)?;
    let verified = Verified::default();
    let mut report = Report::default();
    for (name, target) in names {
        report.repositories += 1;
        let target = match target {
            Ok(target) => target,
            Err(error) => {
                fail(&mut report, progress, name, error);
                continue;
            }
        };
        let repository = RepositoryKey::hosted(target);
        let store = store_of(&repository);
        let route = Route {
            source,
            name: &name,
            store: &store,
            repository: &repository,
            verified: &verified,
            progress,
        };
        let mut import = Import { route, options, report: &mut report, done: HashSet::new() };
        match import.repository().await {
            Ok(()) => {}
            Err(error @ (Error::Ambiguous { .. } | Error::Empty { .. })) => return Err(error),
            Err(error) => {
                let is_final = error.is_final();
                fail(&mut report, progress, repository.to_string(), error);
                if is_final {
                    break;
                }
            }
        }
    }
    Ok(report)
}

/// A repository's name in the source, and here.
type Names = VecDeque<(String, Result<RepositoryName, Error>)>;

fn target_names(source: &Source, options: &Options) -> Result<Names, Error> {
    let Some(names) = source.repositories() else {
        let name = options.name.clone().ok_or(Error::NameNeeded)?;
        return Ok([(String::new(), Ok(name))].into());
    };
    if options.tag.is_some() {
        return Err(Error::TagUnwanted { path: source.path().into() });
    }
    let target = |name: &String| match &options.name {
        Some(prefix) => parse_name(&format!("{prefix}/{name}")),
        None => parse_name(name),
    };
    Ok(names.iter().map(|name| (name.clone(), target(name))).collect())
}

fn fail(report: &mut Report, progress: &dyn Progress, what: String, error: Error) {
    let failure = Failure { what, error };
    progress.fail(&failure);
    report.fail(failure);
}

/// The import of one repository.
struct Import<'a> {
    route: Route<'a>,
    options: &'a Options,
    report: &'a mut Report,
    /// Manifests that are here and whole.
    done: HashSet<Digest>,
}

/// A manifest that was read and checked.
struct Loaded {
    digest: Digest,
    manifest: Manifest,
    bytes: Bytes,
}

/// What is left to do for an image.
enum Step {
    /// Read a manifest.
    Visit { digest: Digest, media_type: Option<MediaType>, size: Option<u64>, depth: usize },
    /// Write one, whose children are here.
    Put(Box<Loaded>),
}

impl Import<'_> {
    async fn repository(&mut self) -> Result<(), Error> {
        let (source, name) = (Arc::clone(self.route.source), self.route.name.to_owned());
        let Roots { mut roots, notes, faults } = blocking(move || source.roots(&name)).await?;
        for note in notes {
            self.route.progress.note(&format!("{}: left out: {note}", self.route.repository));
        }
        for fault in faults {
            fail(self.report, self.route.progress, self.route.repository.to_string(), fault);
        }
        self.retag(&mut roots)?;
        // What is about an image, by subject or by cosign's tags, comes before the image's tag.
        roots.sort_by_key(|root| (!root.tags.is_empty(), !is_about(root)));
        for root in roots {
            let what = self.describe(&root);
            if let Err(error) = Box::pin(self.root(root, &what)).await {
                if error.is_final() {
                    return Err(error);
                }
                fail(self.report, self.route.progress, what, error);
            }
        }
        Ok(())
    }

    /// Gives the only image of a layout the tag that was asked for.
    fn retag(&self, roots: &mut [Root]) -> Result<(), Error> {
        let Some(tag) = &self.options.tag else { return Ok(()) };
        let path = || self.route.source.path().into();
        let is_named = |root: &Root| !root.tags.is_empty() && !is_about(root);
        let named = roots.iter().filter(|root| is_named(root)).count();
        let mut candidates: Vec<&mut Root> =
            roots.iter_mut().filter(|root| named == 0 || is_named(root)).collect();
        match candidates.as_mut_slice() {
            [] => Err(Error::Empty { path: path() }),
            [only] => {
                only.tags = vec![tag.clone()];
                Ok(())
            }
            several => {
                let count = several.len();
                let listed = several.iter().take(LISTED).map(|root| match root.tags.as_slice() {
                    [] => root.digest.to_string(),
                    tags => tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "),
                });
                let mut found = listed.collect::<Vec<_>>().join(", ");
                if count > LISTED {
                    found.push_str(&format!(" and {} more", count - LISTED));
                }
                Err(Error::Ambiguous { path: path(), tag: tag.clone(), found })
            }
        }
    }

    fn describe(&self, root: &Root) -> String {
        let name = &self.route.repository.name;
        match root.tags.as_slice() {
            [] => format!("{name}@{}", root.digest),
            [first, rest @ ..] => {
                rest.iter().fold(format!("{name}:{first}"), |text, tag| format!("{text},{tag}"))
            }
        }
    }

    /// Imports a manifest, everything that it refers to, and its tags.
    async fn root(&mut self, root: Root, what: &str) -> Result<(), Error> {
        let tags = self.free_tags(&root, what).await?;
        if tags.is_empty() && !root.tags.is_empty() {
            return Ok(());
        }
        self.route.progress.begin(what);
        let written = self.report.manifests + self.report.blobs + self.report.tags;
        let (digest, media_type, size) = (root.digest, root.media_type, root.size);
        let mut steps = vec![Step::Visit { digest, media_type, size, depth: 0 }];
        while let Some(step) = steps.pop() {
            match step {
                // With tags of its own it is looked at again, for them.
                Step::Visit { digest, depth, .. }
                    if (depth > 0 || tags.is_empty()) && self.done.contains(&digest) => {}
                Step::Visit { digest, media_type, size, depth } => {
                    if depth > DEPTH_MAX {
                        return Err(Error::Depth { digest, max: DEPTH_MAX });
                    }
                    let Some(loaded) = self.load(&digest, media_type.as_ref(), size).await? else {
                        // The index that lists it says whether it can do without.
                        if depth == 0 {
                            let by = what.to_owned();
                            return Err(Error::Missing { by, digest, others: 0 });
                        }
                        continue;
                    };
                    let children = loaded.manifest.references.iter().filter(|it| is_manifest(it)).rev();
                    let children: Vec<Step> = children.map(|child| visit(child, depth + 1)).collect();
                    steps.push(Step::Put(Box::new(loaded)));
                    steps.extend(children);
                }
                Step::Put(loaded) => {
                    let is_root = loaded.digest == root.digest;
                    self.put(*loaded, if is_root { tags.clone() } else { Vec::new() }).await?;
                }
            }
        }
        let is_here = written == self.report.manifests + self.report.blobs + self.report.tags;
        let outcome = if is_here { Outcome::Here } else { Outcome::Copied };
        self.route.progress.end(what, &root.digest, outcome);
        Ok(())
    }

    /// Returns those tags of an image that may point at it here.
    async fn free_tags(&mut self, root: &Root, what: &str) -> Result<Vec<Tag>, Error> {
        let mut free = Vec::new();
        for tag in &root.tags {
            let here = self.route.store.tag(self.route.repository, tag).await?.map(|entry| entry.digest);
            match here.filter(|here| *here != root.digest) {
                Some(here) if self.options.existing == Existing::Keep => {
                    let error = Error::TagTaken { tag: tag.clone(), here, wanted: root.digest };
                    fail(self.report, self.route.progress, what.to_owned(), error);
                }
                _ => free.push(tag.clone()),
            }
        }
        Ok(free)
    }

    /// Reads a manifest of the source and checks its size and digest; `None` when the source has none.
    async fn load(
        &self,
        digest: &Digest,
        media_type: Option<&MediaType>,
        size: Option<u64>,
    ) -> Result<Option<Loaded>, Error> {
        let (source, name, wanted) = (Arc::clone(self.route.source), self.route.name.to_owned(), *digest);
        let max = self.options.manifest_bytes_max;
        let read = blocking(move || {
            let Some(section) = source.manifest(&name, &wanted)? else { return Ok(None) };
            let bytes = section.read(max, section.place.as_ref())?;
            Ok(Some((bytes, section.place)))
        });
        let Some((bytes, place)) = read.await? else { return Ok(None) };
        let len = bytes.len() as u64;
        if let Some(expected) = size.filter(|expected| *expected != len) {
            return Err(Error::Size { place, expected, found: len });
        }
        let found = digest_of(digest.algorithm(), &bytes).await;
        if found != *digest {
            return Err(Error::Digest { place, expected: *digest, found });
        }
        let manifest = parse(&bytes, media_type);
        let manifest = manifest.map_err(|source| Error::Manifest { digest: *digest, source })?;
        Ok(Some(Loaded { digest: *digest, manifest, bytes: bytes.into() }))
    }

    async fn copy_blobs(&mut self, manifest: &Manifest) -> Result<(), Error> {
        let mut seen = HashSet::new();
        let blobs = manifest.references.iter().filter(|it| !is_manifest(it) && seen.insert(it.digest));
        let blobs: Vec<(Digest, u64)> = blobs.map(|blob| (blob.digest, blob.size)).collect();
        let route = &self.route;
        let copies = stream::iter(blobs)
            .map(|(digest, size)| async move { (route.copy(&digest, size).await, size) })
            .buffer_unordered(COPIES_AT_ONCE);
        // Every copy is waited for, also after one has failed: none is left half done.
        let copies: Vec<_> = copies.collect().await;
        let mut failed = None;
        for (copied, size) in copies {
            match copied {
                Ok(Copied::Written) => {
                    self.report.blobs += 1;
                    self.report.bytes += size;
                }
                Ok(Copied::Here) => self.report.blobs_here += 1,
                // Whether the manifest can do without is the store's to say.
                Ok(Copied::Absent) => {}
                Err(error) => {
                    failed = Some(match failed {
                        Some(first) => worse(first, error),
                        None => error,
                    });
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Copies the blobs of a manifest whose children are here, writes it, and points tags at it.
    async fn put(&mut self, loaded: Loaded, tags: Vec<Tag>) -> Result<(), Error> {
        let Loaded { digest, manifest, bytes } = loaded;
        self.copy_blobs(&manifest).await?;
        let (store, repository) = (self.route.store, self.route.repository);
        let is_first = self.done.insert(digest);
        if store.confirm_manifest(repository, &digest, &tags).await? {
            self.report.manifests_here += u64::from(is_first);
            return Ok(());
        }
        let is_here = store.confirm_manifest(repository, &digest, &[]).await?;
        let tagging = match self.options.existing {
            Existing::Keep => Tagging::Keep,
            Existing::Move => Tagging::Move,
        };
        let (size, tag_count) = (bytes.len() as u64, tags.len() as u64);
        let new = NewManifest { manifest, bytes, digest, tags, tagging, references: References::Required };
        if let Err(error) = store.put_manifest(repository, new).await {
            self.done.remove(&digest);
            return Err(match error {
                store::Error::ReferencesMissing { digests } => {
                    let by = digest.to_string();
                    Error::Missing { by, digest: digests[0], others: digests.len() - 1 }
                }
                error => error.into(),
            });
        }
        self.report.tags += tag_count;
        if is_here {
            self.report.manifests_here += u64::from(is_first);
        } else {
            self.report.manifests += 1;
            self.report.bytes += size;
        }
        Ok(())
    }
}

/// Of two failures, the one that ends everything.
fn worse(first: Error, second: Error) -> Error {
    if second.is_final() { second } else { first }
}

fn visit(child: &Descriptor, depth: usize) -> Step {
    let (digest, media_type, size) = (child.digest, Some(child.media_type.clone()), Some(child.size));
    Step::Visit { digest, media_type, size, depth }
}

fn is_manifest(descriptor: &Descriptor) -> bool {
    descriptor.media_type.manifest_kind().is_some()
}

/// Says whether a root is called as cosign calls what is about another manifest: `sha256-<hex>.sig`.
pub(super) fn is_about(root: &Root) -> bool {
    root.tags.iter().any(|tag| tag.as_str().starts_with("sha256-") || tag.as_str().starts_with("sha512-"))
}

/// Reads a manifest. Where nobody says what it is, as in a distribution's folder, its fields do: OCI manifests
/// need not have a media type in them.
fn parse(bytes: &[u8], media_type: Option<&MediaType>) -> Result<Manifest, ManifestError> {
    match Manifest::parse(bytes, media_type) {
        Err(ManifestError::Untyped) => {}
        parsed => return parsed,
    }
    let oci = |text| MediaType::parse(text).expect("it is one");
    Manifest::parse(bytes, Some(&oci(OCI_MANIFEST)))
        .or_else(|error| Manifest::parse(bytes, Some(&oci(OCI_INDEX))).map_err(|_| error))
}
