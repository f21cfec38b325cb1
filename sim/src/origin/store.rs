//! The content of the origin, kept apart by repository: what one repository holds, no other shows.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::{Bytes, BytesMut};

use super::{manifest::Manifest, refusal::Refusal, route::Reference};
use crate::digest::Digest;

/// The most uploads that are open at once; the request for one more is refused.
pub(super) const UPLOADS_MAX: usize = 10_000;

/// Everything that the origin holds.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// How many requests it says it will still answer.
    pub(super) quota: Option<u64>,
    repositories: BTreeMap<String, Repository>,
    pub(super) uploads: HashMap<String, Upload>,
    /// The uploads whose last chunk was a short one, where that matters ([`super::Variant::ChunkMinimum`]).
    pub(super) ending: HashSet<String>,
}

/// The content of one repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) blobs: HashMap<Digest, Bytes>,
    pub(super) manifests: BTreeMap<Digest, Manifest>,
    pub(super) tags: BTreeMap<String, Digest>,
}

/// An upload that is not finished.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) name: String,
    pub(super) bytes: BytesMut,
}

impl Store {
    /// Returns a repository that has content or had some.
    pub(super) fn repository(&self, name: &str) -> Result<&Repository, Refusal> {
        self.repositories.get(name).ok_or_else(|| Refusal::NameUnknown(name.to_owned()))
    }

    /// Returns a repository that has content or had some, for a change.
    pub(super) fn repository_mut(&mut self, name: &str) -> Result<&mut Repository, Refusal> {
        self.repositories.get_mut(name).ok_or_else(|| Refusal::NameUnknown(name.to_owned()))
    }

    /// Returns a repository, new if need be.
    pub(super) fn repository_or_new(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    /// Returns the names of all repositories, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.repositories.keys().map(String::as_str)
    }

    /// Returns the bytes that a digest names in any repository.
    pub(super) fn content(&self, digest: &Digest) -> Option<Bytes> {
        let manifest = |it: &Repository| it.manifests.get(digest).map(|it| it.bytes.clone());
        self.repositories.values().find_map(|it| it.blobs.get(digest).cloned().or_else(|| manifest(it)))
    }

    /// Returns the name of a repository that holds the blob.
    pub(super) fn holder(&self, digest: &Digest) -> Option<&str> {
        self.repositories.iter().find(|(_, it)| it.blobs.contains_key(digest)).map(|(name, _)| name.as_str())
    }

    /// Returns the bytes of a blob of this repository.
    pub(super) fn blob(&self, name: &str, digest: &Digest) -> Result<&Bytes, Refusal> {
        let unknown = || Refusal::BlobUnknown(digest.to_string());
        self.repositories.get(name).and_then(|it| it.blobs.get(digest)).ok_or_else(unknown)
    }
}

impl Repository {
    /// Returns a manifest and the digest under which it was asked for or tagged.
    pub(super) fn manifest(&self, reference: &Reference) -> Result<(&Digest, &Manifest), Refusal> {
        let found = match reference {
            Reference::Digest(digest) => self.manifests.get_key_value(digest),
            Reference::Tag(tag) => self.tags.get(tag).and_then(|digest| self.manifests.get_key_value(digest)),
        };
        found.ok_or_else(|| match reference {
            Reference::Digest(digest) => Refusal::ManifestUnknown(digest.to_string()),
            Reference::Tag(tag) => Refusal::ManifestUnknown(tag.clone()),
        })
    }

    /// Says whether this repository holds the content, as a blob or as a manifest.
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest) || self.manifests.contains_key(digest)
    }
}
