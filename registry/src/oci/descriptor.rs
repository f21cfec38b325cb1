//! Descriptors: what a manifest says of the content it refers to.
//!
//! *Spec:* image-spec `descriptor.md`.

use std::collections::BTreeMap;

use super::{Digest, MediaType};

/// Annotations of a manifest or a descriptor.
pub type Annotations = BTreeMap<String, String>;

/// What a manifest says of the content it refers to.
///
/// Unknown fields are left out: a descriptor is never written back into a manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Descriptor {
    /// The type of the content.
    #[serde(rename = "mediaType")]
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content, in bytes.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Where else the content may be had; content with urls need not be here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The type of the artifact, when the content is a manifest.
    #[serde(rename = "artifactType", default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What it runs on, when the content is an image. What cannot be read of it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "platform")]
    pub platform: Option<Platform>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// What an image runs on.
///
/// *Spec:* image-spec `image-index.md`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Platform {
    /// The architecture, as Go names it.
    pub architecture: String,
    /// The operating system, as Go names it.
    pub os: String,
    /// The variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A platform that is none says nothing of the content, and hinders nobody who does not ask for one.
fn platform<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Platform>, D::Error> {
    let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// The spec's sizes are `int64`, so what is larger is a mistake or an attack.
fn size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = <u64 as serde::Deserialize>::deserialize(deserializer)?;
    if i64::try_from(size).is_ok() {
        Ok(size)
    } else {
        Err(serde::de::Error::custom("the size does not fit int64"))
    }
}
