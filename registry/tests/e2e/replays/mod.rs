//! Replays: what crane, containerd, oras and helm send, in their order and with their headers.
//!
//! These programs are not packaged by Debian, so their requests are sent by hand. A replay shows that
//! the registry gives a client what its code demands; it does not show that the client's code is as it
//! is remembered here. Each file says what its client demands.

mod containerd;
mod ggcr;
mod oras;

use serde_json::{Value, json};

use crate::support::layout::{CONFIG, LAYER, MANIFEST, sha256};
use crate::support::random;

/// An image in memory.
struct Image {
    config: Vec<u8>,
    layer: Vec<u8>,
    manifest: Vec<u8>,
}

impl Image {
    /// Makes one whose layer has `len` bytes.
    fn new(seed: u64, len: usize) -> Self {
        let layer = random::bytes(seed, len);
        let rootfs = json!({"type": "layers", "diff_ids": [sha256(&layer)]});
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config.as_bytes()),
            "layers": [descriptor(LAYER, &layer)],
        });
        Self { config: config.into_bytes(), layer, manifest: manifest.to_string().into_bytes() }
    }

    fn blobs(&self) -> [&[u8]; 2] {
        [&self.config, &self.layer]
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()})
}
