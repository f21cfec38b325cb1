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
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
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
