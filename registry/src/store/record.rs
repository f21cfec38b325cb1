//! What is written under the keys: small JSON records, and reading them back.
//!
//! An unknown field is ignored, so that an older program can read what a newer one wrote.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Error;
use super::scrub::By;
use crate::backend::Key;
use crate::clock::Timestamp;
use crate::oci::descriptor::Annotations;
use crate::oci::hasher::SavedHashes;
use crate::oci::{Algorithm, Digest, MediaType};

/// Under `layout::version`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) layout: u32,
}

/// Under `layout::member`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    pub(super) size: u64,
    /// When it was last pushed, mounted or fetched; long ago where an older program has written it.
    #[serde(default = "long_ago")]
    pub(super) linked_at: Timestamp,
}

const fn long_ago() -> Timestamp {
    Timestamp::from_millis(0)
}

/// Under `layout::held`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeldRecord {
    pub(super) size: u64,
}

/// Under `layout::manifest`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestRecord {
    pub(super) media_type: MediaType,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<Annotations>,
    /// What it refers to, so that deciding what may go needs no walk over the manifests' bytes.
    #[serde(default)]
    pub(super) references: Vec<Digest>,
    pub(super) pushed_at: Timestamp,
}

/// Under `layout::tag`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TagRecord {
    pub(super) digest: Digest,
    pub(super) pushed_at: Timestamp,
}

/// Under `layout::checked`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckedRecord {
    pub(super) checked_at: Timestamp,
}

/// Under `layout::upload_state`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UploadRecord {
    pub(super) repository: String,
    pub(super) owner: String,
    pub(super) hint: Option<String>,
    pub(super) offset: u64,
    pub(super) hashes: SavedHashes,
    pub(super) touched_at: Timestamp,
    /// Whose turn it is, where several processes may go on with it: each request makes one up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) turn: Option<String>,
}

impl UploadRecord {
    pub(super) fn hint(&self) -> Option<Algorithm> {
        self.hint.as_deref().and_then(Algorithm::parse)
    }
}

/// Under `layout::parked_fill`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParkedRecord {
    /// Whose blob it is.
    pub(super) upstream: String,
    pub(super) repository: String,
    /// The child of `layout::fills` that has the bytes.
    pub(super) file: String,
    /// Bytes that are durable and hashed.
    pub(super) offset: u64,
    pub(super) hash: Vec<u8>,
    /// The blob's size, if an upstream has announced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    pub(super) touched_at: Timestamp,
}

/// Under `layout::quarantined_record`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QuarantineRecord {
    /// When it was moved aside.
    pub(super) found_at: Timestamp,
    /// Under which digest it stood.
    pub(super) digest: Digest,
    /// What the bytes are.
    pub(super) actual: Digest,
    pub(super) size: u64,
    /// Why it was moved aside, for a human.
    pub(super) why: String,
}

/// Under `layout::scrub`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScrubRecord {
    pub(super) by: By,
    pub(super) started_at: Timestamp,
    /// The folder of content that was looked at last, when the run has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
    /// Objects and bytes looked at so far.
    pub(super) objects: u64,
    pub(super) bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_at: Option<Timestamp>,
}

/// Writes a record as JSON.
pub(super) fn encode(record: &impl Serialize) -> Bytes {
    serde_json::to_vec(record).expect("a record has no map with keys that are not text").into()
}

/// Reads a record.
///
/// *Errors:* [`Error::Record`] when the bytes are not one, which takes a foreign hand or a disk
/// that lost what it had confirmed.
pub(super) fn decode<T: DeserializeOwned>(key: &Key, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Record { key: key.clone(), source })
}
