//! What the origin reads in a manifest, with the checks that an honest registry makes.
//!
//! Spec: `image-manifest.md`, `image-index.md`; `spec.md#pushing-manifests`.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::digest::Digest;

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest that passed the checks, as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) bytes: Bytes,
    pub(super) media_type: String,
    pub(super) subject: Option<Digest>,
    pub(super) artifact_type: Option<String>,
    pub(super) annotations: Option<Value>,
    /// What must be in the repository before this manifest is.
    pub(super) needs: Vec<Digest>,
}

impl Manifest {
    /// Reads a manifest that was sent with this `Content-Type`, of which parameters are ignored.
    pub(super) fn parse(bytes: Bytes, content_type: Option<&str>) -> Result<Self, Refusal> {
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|_| Refusal::ManifestInvalid("not JSON"))?;
        let body = value.as_object().ok_or(Refusal::ManifestInvalid("not an object"))?;
        let media_type = media_type(body, content_type)?;
        let is_index = match media_type.as_str() {
            OCI_INDEX | DOCKER_LIST => true,
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            _ => return Err(Refusal::ManifestInvalid("unsupported media type")),
        };
        if body.contains_key("manifests") && (body.contains_key("layers") || body.contains_key("config")) {
            return Err(Refusal::ManifestInvalid("both an image and an index"));
        }
        if body.get("schemaVersion").is_some_and(|version| version != 2) {
            return Err(Refusal::ManifestInvalid("schemaVersion is not 2"));
        }
        let needs = if is_index { list(body, "manifests")? } else { image_needs(body)? };
        let is_oci = matches!(media_type.as_str(), OCI_INDEX | OCI_MANIFEST);
        let subject = match body.get("subject").filter(|it| is_oci && !it.is_null()) {
            Some(subject) => Some(descriptor(subject)?.0),
            None => None,
        };
        let artifact_type = artifact_type(body, is_index);
        let annotations = body.get("annotations").cloned();
        Ok(Self { bytes, media_type, subject, artifact_type, annotations, needs })
    }

    /// Returns the descriptor that a list of referrers shows.
    pub(super) fn descriptor(&self, digest: &Digest) -> Value {
        let mut entry = Map::new();
        entry.insert("mediaType".to_owned(), self.media_type.clone().into());
        entry.insert("digest".to_owned(), digest.to_string().into());
        entry.insert("size".to_owned(), self.bytes.len().into());
        if let Some(artifact_type) = &self.artifact_type {
            entry.insert("artifactType".to_owned(), artifact_type.clone().into());
        }
        if let Some(annotations) = &self.annotations {
            entry.insert("annotations".to_owned(), annotations.clone());
        }
        Value::Object(entry)
    }
}

fn media_type(body: &Map<String, Value>, content_type: Option<&str>) -> Result<String, Refusal> {
    let said =
        content_type.map(|it| it.split(';').next().unwrap_or_default().trim()).filter(|it| !it.is_empty());
    let written = match body.get("mediaType") {
        None => None,
        Some(value) => Some(value.as_str().ok_or(Refusal::ManifestInvalid("mediaType is not a text"))?),
    };
    match (said, written) {
        (Some(said), Some(written)) if said != written => {
            Err(Refusal::ManifestInvalid("Content-Type differs from mediaType"))
        }
        (Some(either), _) | (None, Some(either)) => Ok(either.to_owned()),
        (None, None) => Err(Refusal::ManifestInvalid("no media type")),
    }
}

fn image_needs(body: &Map<String, Value>) -> Result<Vec<Digest>, Refusal> {
    let config = body.get("config").ok_or(Refusal::ManifestInvalid("no config"))?;
    let mut needs = vec![descriptor(config)?.0];
    needs.extend(list(body, "layers")?);
    Ok(needs)
}

/// Returns the digests of a list of descriptors that must be present; absent and null lists are empty.
fn list(body: &Map<String, Value>, key: &str) -> Result<Vec<Digest>, Refusal> {
    let entries = match body.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(Refusal::ManifestInvalid("a list of descriptors is not an array")),
    };
    let mut digests = Vec::with_capacity(entries.len());
    for entry in entries {
        let (digest, elsewhere) = descriptor(entry)?;
        if !elsewhere {
            digests.push(digest);
        }
    }
    Ok(digests)
}

/// Returns a descriptor's digest, and whether its content is kept elsewhere (a non-distributable layer).
fn descriptor(value: &Value) -> Result<(Digest, bool), Refusal> {
    let bad = Refusal::ManifestInvalid;
    let digest = value.get("digest").and_then(Value::as_str).ok_or(bad("a descriptor has no digest"))?;
    let digest = digest.parse().map_err(|_| bad("a descriptor has a malformed digest"))?;
    let size = value.get("size").ok_or(bad("a descriptor has no size"))?;
    // Sizes are int64 in the specification.
    size.as_i64().filter(|size| *size >= 0).ok_or(bad("a descriptor has an impossible size"))?;
    let media_type = value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    let has_urls = value.get("urls").and_then(Value::as_array).is_some_and(|urls| !urls.is_empty());
    let elsewhere = has_urls || media_type.contains("nondistributable") || media_type.contains(".foreign.");
    Ok((digest, elsewhere))
}

fn artifact_type(body: &Map<String, Value>, is_index: bool) -> Option<String> {
    let text =
        |value: Option<&Value>| value.and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned);
    text(body.get("artifactType"))
        .or_else(|| if is_index { None } else { text(body.get("config").and_then(|it| it.get("mediaType"))) })
}
