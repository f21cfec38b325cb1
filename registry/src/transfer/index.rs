//! The two small files of an image layout: `oci-layout` and `index.json`.
//!
//! *Spec:* image-spec `image-layout.md`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Error;
use super::source::{Root, Roots};
use crate::oci::{Digest, MediaType, Tag};

/// The file that says that a folder is a layout.
pub(super) const LAYOUT: &str = "oci-layout";
/// What stands in it.
pub(super) const LAYOUT_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that names what is in a layout.
pub(super) const INDEX: &str = "index.json";
/// The annotation that has a manifest's tag.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The largest `oci-layout` or link that is read, in bytes.
pub(super) const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// The largest `index.json` that is read, in bytes: 100,000 entries of what writers put into one.
pub(super) const INDEX_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most manifests that a repository or layout may name.
pub(super) const ENTRIES_MAX: usize = 100_000;

#[derive(Deserialize)]
struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
    annotations: Option<BTreeMap<String, String>>,
}

/// Checks the file `oci-layout`.
pub(super) fn check_layout(bytes: &[u8], path: &Path) -> Result<(), Error> {
    let layout: Layout =
        serde_json::from_slice(bytes).map_err(|source| Error::Json { path: path.into(), source })?;
    if layout.version == "1.0.0" {
        Ok(())
    } else {
        Err(Error::Version { path: path.into(), found: layout.version })
    }
}

/// Reads what an `index.json` names; one manifest with several tags is one root.
pub(super) fn read_index(bytes: &[u8], path: &Path) -> Result<Roots, Error> {
    let index: Index =
        serde_json::from_slice(bytes).map_err(|source| Error::Json { path: path.into(), source })?;
    if index.manifests.len() > ENTRIES_MAX {
        return Err(Error::TooMany { path: path.into(), what: "manifests", max: ENTRIES_MAX });
    }
    let (mut roots, mut by_digest): (Roots, BTreeMap<Digest, usize>) = (Roots::default(), BTreeMap::new());
    for entry in index.manifests {
        let (Ok(digest), Some(media_type)) =
            (Digest::parse(&entry.digest), MediaType::parse(&entry.media_type))
        else {
            let (path, digest, media_type) = (path.into(), entry.digest, entry.media_type);
            roots.faults.push(Error::Entry { path, digest, media_type });
            continue;
        };
        if media_type.manifest_kind().is_none() {
            // The spec wants types that are not known to be ignored.
            roots.notes.push(format!("{digest} is of the type {media_type}, which is no manifest's"));
            continue;
        }
        let at = *by_digest.entry(digest).or_insert(roots.roots.len());
        if at == roots.roots.len() {
            let (media_type, size) = (Some(media_type), Some(entry.size));
            roots.roots.push(Root { digest, media_type, size, tags: Vec::new() });
        }
        let name = entry.annotations.as_ref().and_then(|annotations| annotations.get(REF_NAME));
        if let Some(name) = name {
            match tag_of(name) {
                Some(tag) if roots.roots[at].tags.contains(&tag) => {}
                Some(tag) => roots.roots[at].tags.push(tag),
                None => roots.notes.push(format!("{digest} is called {name:?}, which has no tag in it")),
            }
        }
    }
    Ok(roots)
}

/// Returns the tag of a name: the whole, or what stands behind the last colon, as podman writes it.
fn tag_of(name: &str) -> Option<Tag> {
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    let tag = last.rsplit_once(':').map_or(name, |(_, tag)| tag);
    // What stands behind `@` is a digest's.
    Tag::parse(tag).ok().filter(|_| !name.contains('@'))
}

/// An `index.json` that is written: what was in it stays, byte for byte of meaning.
#[derive(Debug, Clone)]
pub(super) struct WrittenIndex(serde_json::Map<String, Value>);

#[derive(Serialize)]
struct NewEntry<'a> {
    #[serde(rename = "mediaType")]
    media_type: &'a MediaType,
    digest: &'a Digest,
    size: u64,
    #[serde(rename = "artifactType", skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<&'static str, &'a str>>,
}

/// A manifest that an index names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) media_type: MediaType,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) artifact_type: Option<String>,
    pub(super) tag: Option<Tag>,
}

impl WrittenIndex {
    /// Begins an empty one.
    pub(super) fn new() -> Self {
        let mut index = serde_json::Map::new();
        index.insert("schemaVersion".to_owned(), 2.into());
        index.insert("mediaType".to_owned(), crate::oci::media_type::OCI_INDEX.into());
        index.insert("manifests".to_owned(), Value::Array(Vec::new()));
        Self(index)
    }

    /// Goes on with one that is there.
    pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        // Refused here if an import would refuse it.
        read_index(bytes, path)?;
        let index = serde_json::from_slice(bytes);
        index.map(Self).map_err(|source| Error::Json { path: path.into(), source })
    }

    /// Names a manifest. What had its tag loses it; what is named in the same way already is named once.
    pub(super) fn name(&mut self, named: &Named) {
        let entries = self.0.entry("manifests").or_insert_with(|| Value::Array(Vec::new()));
        if !entries.is_array() {
            *entries = Value::Array(Vec::new());
        }
        let Value::Array(entries) = entries else { return };
        let tag = named.tag.as_ref().map(Tag::as_str);
        let digest = named.digest.to_string();
        let is_same = |entry: &Value| entry["annotations"][REF_NAME].as_str() == tag;
        match tag {
            Some(_) => entries.retain(|entry| !is_same(entry)),
            None if entries.iter().any(|entry| entry["digest"] == *digest) => return,
            None => {}
        }
        let entry = NewEntry {
            media_type: &named.media_type,
            digest: &named.digest,
            size: named.size,
            artifact_type: named.artifact_type.as_deref(),
            annotations: tag.map(|tag| BTreeMap::from([(REF_NAME, tag)])),
        };
        entries.push(serde_json::to_value(entry).expect("an entry has no map with keys that are not text"));
    }

    /// Returns its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("JSON that was read can be written")
    }
}
