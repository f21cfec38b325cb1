//! What is pushed.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use sim::rng::Rng;

use crate::support::layout::{CONFIG, INDEX, LAYER, MANIFEST, sha256};

/// A blob.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: String,
    pub(super) bytes: Bytes,
}

/// A manifest or an index, and the blobs that it needs.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) digest: String,
    pub(super) bytes: Bytes,
    pub(super) media_type: &'static str,
    pub(super) blobs: Vec<Arc<Blob>>,
}

/// What a bucket keeps with its key, and what stands elsewhere.
const SIZES: [usize; 4] = [300, 9_000, 40_000, 120_000];

impl Blob {
    /// Makes one of bytes.
    pub(super) fn new(bytes: impl Into<Bytes>) -> Arc<Self> {
        let bytes = bytes.into();
        Arc::new(Self { digest: sha256(&bytes), bytes })
    }

    /// Makes another one at each call.
    pub(super) fn random(rng: &mut Rng) -> Arc<Self> {
        let size = SIZES[usize::try_from(rng.below(SIZES.len() as u64)).unwrap()];
        Self::new(rng.bytes(size))
    }
}

impl Image {
    /// Makes one that needs these blobs, and a configuration of its own.
    pub(super) fn of(rng: &mut Rng, layers: Vec<Arc<Blob>>) -> Arc<Self> {
        let descriptor = |kind: &str, blob: &Blob| json!({"mediaType": kind, "digest": blob.digest, "size": blob.bytes.len()});
        let config = json!({"architecture": "amd64", "os": "linux", "created by": rng.next_u64()});
        let config = Blob::new(config.to_string());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": layers.iter().map(|layer| descriptor(LAYER, layer)).collect::<Vec<_>>(),
        });
        let blobs = layers.into_iter().chain([config]).collect();
        Self::new(manifest.to_string(), MANIFEST, blobs)
    }

    /// Makes an index of one image.
    pub(super) fn index(child: &Self) -> Arc<Self> {
        let child = json!({"mediaType": child.media_type, "digest": child.digest, "size": child.bytes.len()});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]});
        Self::new(index.to_string(), INDEX, Vec::new())
    }

    fn new(text: String, media_type: &'static str, blobs: Vec<Arc<Blob>>) -> Arc<Self> {
        Arc::new(Self { digest: sha256(text.as_bytes()), bytes: text.into(), media_type, blobs })
    }
}
