//! Manifests: reading what a push or an upstream brings, without ever rewriting it.
//!
//! The bytes are the manifest; this view of them only says what they refer to. Bodies that two
//! readers could read differently (duplicate keys, `layers` beside `manifests`, a media type that
//! contradicts the Content-Type) are refused: CVE-2021-41190.
//!
//! *Spec:* image-spec `manifest.md`, `image-index.md`; `spec.md#pushing-manifests`.

use std::collections::HashSet;
use std::fmt;

use super::descriptor::Annotations;
use super::{Descriptor, MediaType};

/// The two kinds of manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One image or artifact: a config and layers.
    Image,
    /// Several manifests.
    Index,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its type: the Content-Type it was pushed with, else its own `mediaType`.
    pub media_type: MediaType,
    /// Which kind that is.
    pub kind: Kind,
    /// The content it refers to, its subject excepted, in its order, config first.
    pub references: Vec<Descriptor>,
    /// The manifest that it is about; always `None` of a Docker manifest.
    pub subject: Option<Descriptor>,
    /// What the referrers list shows as its type.
    ///
    /// *Spec:* `spec.md#listing-referrers`: its own `artifactType`, else an image's config type.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: Option<Annotations>,
}

/// Why bytes are not a manifest that this registry takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Neither a Content-Type nor a `mediaType` says what it is.
    #[error("neither the Content-Type nor the body's mediaType says which kind of manifest this is")]
    Untyped,
    /// The type is not one of a manifest.
    #[error("{media_type} is not a manifest type that this registry stores")]
    Type {
        /// The type.
        media_type: String,
    },
    /// The Content-Type contradicts the body.
    #[error("the Content-Type {content_type} differs from the body's mediaType {media_type}")]
    Contradiction {
        /// The Content-Type.
        content_type: MediaType,
        /// The `mediaType` of the body.
        media_type: MediaType,
    },
    /// The body is not the JSON of a manifest.
    #[error("the manifest cannot be read: {reason}")]
    Json {
        /// What is wrong and where, in the words of the JSON parser.
        reason: String,
    },
    /// The body lacks what its kind needs, or has what its kind must not have.
    #[error("the manifest is not valid: {reason}")]
    Shape {
        /// What is wrong.
        reason: &'static str,
    },
}

#[derive(serde::Deserialize)]
struct Body {
    #[serde(rename = "schemaVersion")]
    schema_version: u64,
    #[serde(rename = "mediaType")]
    media_type: Option<MediaType>,
    #[serde(rename = "artifactType")]
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "present")]
    subject: Option<serde_json::Value>,
    annotations: Option<Annotations>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// `content_type` is that of the push, or of the upstream's answer; `None` leaves the word to
    /// the body's `mediaType`.
    ///
    /// *Errors:* every variant of [`ManifestError`]. Never panics, whatever the bytes.
    pub fn parse(bytes: &[u8], content_type: Option<&MediaType>) -> Result<Self, ManifestError> {
        if let Some(media_type) = content_type.filter(|media_type| media_type.manifest_kind().is_none()) {
            return Err(ManifestError::Type { media_type: media_type.to_string() });
        }
        let json = |error: serde_json::Error| ManifestError::Json { reason: error.to_string() };
        serde_json::from_slice::<Unambiguous>(bytes).map_err(json)?;
        let body: Body = serde_json::from_slice(bytes).map_err(json)?;
        let media_type = match (content_type, &body.media_type) {
            (Some(content_type), Some(media_type)) if content_type != media_type => {
                let (content_type, media_type) = (content_type.clone(), media_type.clone());
                return Err(ManifestError::Contradiction { content_type, media_type });
            }
            (Some(media_type), _) | (None, Some(media_type)) => media_type.clone(),
            (None, None) => return Err(ManifestError::Untyped),
        };
        let kind = media_type
            .manifest_kind()
            .ok_or_else(|| ManifestError::Type { media_type: media_type.to_string() })?;
        body.into_manifest(media_type, kind)
    }
}

impl Body {
    fn into_manifest(self, media_type: MediaType, kind: Kind) -> Result<Manifest, ManifestError> {
        let shape = |reason| Err(ManifestError::Shape { reason });
        if self.schema_version != 2 {
            return shape("schemaVersion is not 2");
        }
        let config_type = self.config.as_ref().map(|config| config.media_type.to_string());
        let references = match (kind, self.config, self.layers, self.manifests) {
            (Kind::Image, Some(config), Some(layers), None) => [vec![config], layers].concat(),
            (Kind::Image, None, ..) => return shape("an image manifest has a config"),
            (Kind::Image, _, None, _) => return shape("an image manifest has layers"),
            (Kind::Image, _, _, Some(_)) => return shape("an image manifest has no manifests"),
            (Kind::Index, None, None, Some(manifests)) => manifests,
            (Kind::Index, _, _, None) => return shape("an index has manifests"),
            (Kind::Index, ..) => return shape("an index has neither a config nor layers"),
        };
        let subject = match self.subject.filter(|_| !media_type.is_docker_manifest()) {
            Some(subject) => Some(
                serde_json::from_value(subject)
                    .map_err(|error| ManifestError::Json { reason: format!("subject: {error}") })?,
            ),
            None => None,
        };
        let own_type = self.artifact_type.filter(|artifact_type| !artifact_type.is_empty());
        let artifact_type = own_type.or(config_type.filter(|_| kind == Kind::Image));
        Ok(Manifest { media_type, kind, references, subject, artifact_type, annotations: self.annotations })
    }
}

/// Reads a field that may be absent but not null: some writers leave `"subject": null`, which
/// means absent, so null is `None` too; anything else is kept until the type is known.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    <Option<serde_json::Value> as serde::Deserialize>::deserialize(deserializer)
}

/// Any JSON in which no object has a key twice.
struct Unambiguous;

impl<'de> serde::Deserialize<'de> for Unambiguous {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> serde::de::Visitor<'de> for Unambiguous {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value::<Self>()?;
            if let Some(key) = keys.replace(key) {
                return Err(serde::de::Error::custom(format_args!(
                    "the key {key:?} stands twice in one object"
                )));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
