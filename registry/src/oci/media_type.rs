//! Media types, without parameters.
//!
//! *Spec:* image-spec `media-types.md`; Docker image manifest version 2, schema 2.

use std::fmt;
use std::sync::Arc;

use super::Kind;

/// The OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The Docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The Docker manifest list, schema 2.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The start of every type of the schema 1 that clients and registries have given up.
const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";
/// The start of every OCI layer type whose bytes are not pushed.
const OCI_NON_DISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1";
/// Docker's name for the same.
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// The longest media type taken, in bytes: RFC 6838 allows 127 on either side of the slash.
const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// A media type without parameters, such as `application/vnd.oci.image.index.v1+json`.
///
/// *Shape:* RFC 6838 §4.2: two names of visible ASCII joined by a slash. It can stand in a
/// header as it is. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MediaType(Arc<str>);

impl MediaType {
    /// Parses the value of a Content-Type, leaving parameters out, or returns `None`.
    ///
    /// *Spec:* `spec.md#pushing-manifests`: parameters are ignored.
    pub fn parse(value: &str) -> Option<Self> {
        let bare = value.split(';').next().unwrap_or_default().trim();
        let (kind, subtype) = bare.split_once('/')?;
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        (bare.len() <= MEDIA_TYPE_BYTES_MAX && is_name(kind) && is_name(subtype))
            .then(|| Self(Arc::from(bare)))
    }

    /// Returns the media type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns which kind of manifest it names, or `None` for anything else.
    pub fn manifest_kind(&self) -> Option<Kind> {
        match self.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => Some(Kind::Image),
            OCI_INDEX | DOCKER_LIST => Some(Kind::Index),
            _ => None,
        }
    }

    /// Says whether it is one of Docker's manifests, in which `subject` means nothing.
    pub fn is_docker_manifest(&self) -> bool {
        matches!(self.as_str(), DOCKER_MANIFEST | DOCKER_LIST)
    }

    /// Says whether it is the given-up schema 1.
    pub fn is_docker_schema_1(&self) -> bool {
        self.as_str().starts_with(DOCKER_SCHEMA_1)
    }

    /// Says whether it names a layer that may be missing because it may not be distributed.
    pub fn is_non_distributable(&self) -> bool {
        self.as_str().starts_with(OCI_NON_DISTRIBUTABLE) || self.as_str().starts_with(DOCKER_FOREIGN)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl serde::Serialize for MediaType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for MediaType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let parsed = Self::parse(&text).filter(|media_type| media_type.as_str() == text);
        parsed.ok_or_else(|| {
            serde::de::Error::custom(format_args!("{text:?} is not a media type without parameters"))
        })
    }
}

#[cfg(test)]
mod tests {
    //! Goal: parameters never matter, and nothing that breaks a header passes. Method: a table.

    use super::*;

    #[test]
    fn media_types() {
        let bare = |text: &str| MediaType::parse(text).map(|media_type| media_type.to_string());
        assert_eq!(bare("application/json; charset=utf-8").as_deref(), Some("application/json"));
        assert_eq!(bare(OCI_INDEX).as_deref(), Some(OCI_INDEX));
        for text in [
            "",
            "json",
            "/",
            "a/",
            "/a",
            "a/b c",
            "a/b\r\nX: y",
            "a/b/c",
            "é/a",
            &format!("a/{}", "b".repeat(255)),
        ] {
            assert_eq!(bare(text), None, "{text}");
        }
    }
}
