//! What a store should do: a map of what it holds, and the answer to each operation.

use std::collections::{BTreeMap, BTreeSet};

use wharfinger::oci::{Digest, RepositoryName, Tag};
use wharfinger::store::manifests::Tagging;
use wharfinger::store::{Error, RepositoryKey};

use super::audit::{Fact, World};
use super::contents::{CONTENTS, digest, hosted, tag};

/// The names that collide.
pub(super) const REPOSITORIES: [&str; 3] = ["a", "a/b", "library/c"];
/// The tags that collide.
pub(super) const TAGS: [&str; 3] = ["v1", "v1.0", "latest"];

/// One operation; repositories, blobs, manifests and tags are numbers in their tables.
#[derive(Debug, Clone)]
pub(super) enum Op {
    PutBlob(usize, usize),
    Mount {
        from: usize,
        to: usize,
        blob: usize,
    },
    PutManifest {
        repository: usize,
        item: usize,
        tags: Vec<usize>,
        when: When,
    },
    DeleteTag(usize, usize),
    DeleteManifest(usize, usize),
    DeleteBlob(usize, usize),
    Tags(usize),
    Referrers(usize, usize),
    Catalog,
    /// The process is killed, and another one opens the same disk.
    Reopen,
}

/// The condition of a manifest's tags.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Move,
    Keep,
    Absent,
    /// They point at the manifest with this number.
    At(usize),
}

/// The answer to an operation, as far as a client could tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Mounted(bool),
    Tags(Vec<String>),
    Referrers(Vec<Digest>),
    Catalog(Vec<RepositoryName>),
    Missing(Vec<Digest>),
    Referenced(Digest),
    BlobUnknown,
    ManifestUnknown,
    TagUnknown(Tag),
    TagTaken(Tag),
    TagChanged(Tag),
}

impl Answer {
    /// Sorts a store's answer. An error that no operation without faults may cause is a panic.
    pub(super) fn of(result: Result<Self, Error>) -> Self {
        match result {
            Ok(answer) => answer,
            Err(Error::ReferencesMissing { digests }) => Self::Missing(digests),
            Err(Error::Referenced { by, .. }) => Self::Referenced(by),
            Err(Error::BlobUnknown { .. }) => Self::BlobUnknown,
            Err(Error::ManifestUnknown { .. }) => Self::ManifestUnknown,
            Err(Error::TagUnknown { tag }) => Self::TagUnknown(tag),
            Err(Error::TagTaken { tag }) => Self::TagTaken(tag),
            Err(Error::TagChanged { tag }) => Self::TagChanged(tag),
            Err(error) => panic!("no operation may fail so: {error:?}"),
        }
    }
}

impl When {
    pub(super) fn tagging(self) -> Tagging {
        match self {
            Self::Move => Tagging::Move,
            Self::Keep => Tagging::Keep,
            Self::Absent => Tagging::Absent,
            Self::At(item) => Tagging::At(CONTENTS.manifests[item].digest),
        }
    }
}

/// Returns the repository with this number.
pub(super) fn repository(number: usize) -> RepositoryKey {
    hosted(REPOSITORIES[number])
}

/// What a store should hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    blobs: BTreeSet<(usize, usize)>,
    manifests: BTreeSet<(usize, usize)>,
    tags: BTreeMap<(usize, usize), usize>,
}

impl Model {
    /// Does an operation, and returns the answer.
    pub(super) fn apply(&mut self, op: &Op) -> Answer {
        match op {
            Op::PutBlob(repository, blob) => {
                self.blobs.insert((*repository, *blob));
                Answer::Done
            }
            Op::Mount { from, to, blob } => {
                let is_there = self.blobs.contains(&(*from, *blob));
                if is_there {
                    self.blobs.insert((*to, *blob));
                }
                Answer::Mounted(is_there)
            }
            Op::PutManifest { repository, item, tags, when } => {
                self.put_manifest(*repository, *item, tags, *when)
            }
            Op::DeleteTag(repository, name) => match self.tags.remove(&(*repository, *name)) {
                Some(_) => Answer::Done,
                None => Answer::TagUnknown(tag(TAGS[*name])),
            },
            Op::DeleteManifest(repository, item) => self.delete_manifest(*repository, *item),
            Op::DeleteBlob(repository, blob) => self.delete_blob(*repository, *blob),
            Op::Tags(repository) => {
                let tags = self.tags.keys().filter(|(of, _)| of == repository);
                let mut tags: Vec<String> = tags.map(|(_, name)| TAGS[*name].to_owned()).collect();
                tags.sort_unstable();
                Answer::Tags(tags)
            }
            Op::Referrers(repository, item) => Answer::Referrers(self.referrers(*repository, *item)),
            Op::Catalog => {
                let holding: BTreeSet<RepositoryName> =
                    self.manifests.iter().map(|(number, _)| repository(*number).name).collect();
                Answer::Catalog(holding.into_iter().collect())
            }
            Op::Reopen => Answer::Done,
        }
    }

    /// Returns everything that a store should serve.
    pub(super) fn world(&self) -> World {
        let blobs = self.blobs.iter().map(|(number, blob)| {
            let digest = digest(&CONTENTS.blobs[*blob]);
            (Fact::Blob(repository(*number), digest), digest)
        });
        let manifests = self.manifests.iter().map(|(number, item)| {
            let digest = CONTENTS.manifests[*item].digest;
            (Fact::Manifest(repository(*number), digest), digest)
        });
        let tags = self.tags.iter().map(|((number, name), item)| {
            (Fact::Tag(repository(*number), tag(TAGS[*name])), CONTENTS.manifests[*item].digest)
        });
        blobs.chain(manifests).chain(tags).collect()
    }

    fn put_manifest(&mut self, repository: usize, item: usize, tags: &[usize], when: When) -> Answer {
        for name in tags {
            let at = self.tags.get(&(repository, *name)).copied();
            let refused = match when {
                When::Move => None,
                When::Keep if at.is_some_and(|at| at != item) => Some(Answer::TagTaken(tag(TAGS[*name]))),
                When::Absent if at.is_some() => Some(Answer::TagChanged(tag(TAGS[*name]))),
                When::At(expected) if at != Some(expected) => Some(Answer::TagChanged(tag(TAGS[*name]))),
                When::Keep | When::Absent | When::At(_) => None,
            };
            if let Some(refused) = refused {
                return refused;
            }
        }
        let missing = self.missing(repository, item);
        if !missing.is_empty() {
            return Answer::Missing(missing);
        }
        self.manifests.insert((repository, item));
        self.tags.extend(tags.iter().map(|name| ((repository, *name), item)));
        Answer::Done
    }

    /// What a manifest needs and the repository does not have, in the manifest's order.
    fn missing(&self, repository: usize, item: usize) -> Vec<Digest> {
        let references = CONTENTS.manifests[item].manifest.references.iter();
        let needed = references.map(|reference| reference.digest);
        needed.filter(|needed| !self.has(repository, needed)).collect()
    }

    fn has(&self, repository: usize, needed: &Digest) -> bool {
        let is_blob = |blob: usize| digest(&CONTENTS.blobs[blob]) == *needed;
        let is_manifest = |item: usize| CONTENTS.manifests[item].digest == *needed;
        self.blobs.iter().any(|(of, blob)| *of == repository && is_blob(*blob))
            || self.manifests.iter().any(|(of, item)| *of == repository && is_manifest(*item))
    }

    fn delete_manifest(&mut self, repository: usize, item: usize) -> Answer {
        if !self.manifests.contains(&(repository, item)) {
            return Answer::ManifestUnknown;
        }
        if let Some(by) = self.referenced_by(repository, &CONTENTS.manifests[item].digest) {
            return Answer::Referenced(by);
        }
        self.manifests.remove(&(repository, item));
        self.tags.retain(|(of, _), at| *of != repository || *at != item);
        Answer::Done
    }

    fn delete_blob(&mut self, repository: usize, blob: usize) -> Answer {
        if !self.blobs.contains(&(repository, blob)) {
            return Answer::BlobUnknown;
        }
        if let Some(by) = self.referenced_by(repository, &digest(&CONTENTS.blobs[blob])) {
            return Answer::Referenced(by);
        }
        self.blobs.remove(&(repository, blob));
        Answer::Done
    }

    /// Returns the least of the manifests that refer to a digest.
    fn referenced_by(&self, repository: usize, to: &Digest) -> Option<Digest> {
        let here = self.manifests.iter().filter(|(of, _)| *of == repository);
        let items = here.map(|(_, item)| &CONTENTS.manifests[*item]);
        let parents = items.filter(|item| item.manifest.references.iter().any(|child| child.digest == *to));
        parents.map(|item| item.digest).min()
    }

    fn referrers(&self, repository: usize, subject: usize) -> Vec<Digest> {
        let subject = CONTENTS.manifests[subject].digest;
        let here = self.manifests.iter().filter(|(of, _)| *of == repository);
        let items = here.map(|(_, item)| &CONTENTS.manifests[*item]);
        let mut about: Vec<Digest> =
            items.filter(|item| item.subject() == Some(subject)).map(|item| item.digest).collect();
        about.sort_unstable();
        about
    }
}
