//! The two small files of an image layout: `oci-layout` and `index.json`.
//!
//! *Spec:* image-spec `image-layout.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
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
    #[serde(default, deserialize_with = "entries")]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
    annotations: Option<Annotations>,
}

/// Of an entry's annotations only the one that is read: the others may be many.
#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    ref_name: Option<String>,
}

/// Reads entries, and keeps one more than there may be.
fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<Entry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of manifests")
        }

        fn visit_unit<E>(self) -> Result<Vec<Entry>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Entry>, A::Error> {
            let mut entries = Vec::new();
            while entries.len() <= ENTRIES_MAX
                && let Some(entry) = items.next_element()?
            {
                entries.push(entry);
            }
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(entries)
        }
    }
    // Writers in Go write `null` for a list without entries.
    deserializer.deserialize_any(Entries)
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
        if let Some(name) = entry.annotations.and_then(|annotations| annotations.ref_name) {
            match tag_of(&name) {
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

#[cfg(test)]
mod tests {
    //! Goal: what others write into an index is read, and what is written has one entry for a name. Method:
    //! tables.

    use super::*;

    fn named(digit: char, tag: Option<&str>) -> Named {
        Named {
            media_type: MediaType::parse("application/vnd.oci.image.manifest.v1+json").unwrap(),
            digest: Digest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap(),
            size: 7,
            artifact_type: None,
            tag: tag.map(|tag| Tag::parse(tag).unwrap()),
        }
    }

    #[test]
    fn tags_of_names() {
        let check = |name: &str, expect: Option<&str>| {
            assert_eq!(tag_of(name).as_ref().map(Tag::as_str), expect, "{name}");
        };
        check("v1", Some("v1"));
        check("docker.io/library/app:v1", Some("v1"));
        check("host:5000/team/app:v1", Some("v1"));
        check("host:5000/team/app", None);
        check("app@sha256:00", None);
        check("a title", None);
        check("", None);
    }

    #[test]
    fn a_written_index_is_read_again() {
        let mut index = WrittenIndex::new();
        for name in [named('1', Some("a")), named('2', None), named('2', None), named('3', Some("a"))] {
            index.name(&name);
        }
        index.name(&named('3', Some("b")));
        let roots = read_index(&index.bytes(), Path::new("index.json")).unwrap().roots;
        let seen: Vec<_> = roots.iter().map(|root| (root.digest, root.tags.len(), root.size)).collect();
        assert_eq!(seen, [(named('2', None).digest, 0, Some(7)), (named('3', None).digest, 2, Some(7))]);
    }

    #[test]
    fn what_others_had_in_an_index_stays() {
        let text = r#"{"schemaVersion":2,"manifests":null,"annotations":{"of":"theirs"},"unknown":[1]}"#;
        let mut index = WrittenIndex::read(text.as_bytes(), Path::new("index.json")).unwrap();
        index.name(&named('1', Some("a")));
        let read: Value = serde_json::from_slice(&index.bytes()).unwrap();
        assert_eq!((&read["annotations"]["of"], &read["unknown"][0]), (&"theirs".into(), &1.into()));
        assert_eq!(read["manifests"].as_array().unwrap().len(), 1);
    }
}
