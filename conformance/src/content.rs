//! Seeded content: blobs, manifests and names that no other run shares.
//!
//! The same seed makes the same bytes; names carry a stamp of the run as well, so that a second run on
//! a registry that cannot delete finds nothing of the first one's.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI empty configuration.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker schema 1, signed.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// Returns the `sha256:…` digest of the bytes.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Returns the `sha512:…` digest of the bytes.
pub fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

/// Returns the bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A small generator of pseudo-random numbers (SplitMix64): the same everywhere, for ever.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Starts a stream of its own for each seed and label.
    pub fn new(seed: u64, label: &str) -> Self {
        let hash = Sha256::digest(format!("{seed}/{label}").as_bytes());
        Self(hash[..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns that many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// Bytes with their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The content.
    pub bytes: Vec<u8>,
    /// Its sha256 digest.
    pub digest: String,
}

impl Blob {
    /// Makes a blob of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { digest: sha256(&bytes), bytes }
    }

    /// Returns a descriptor of the blob.
    pub fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// A manifest as pushed: media type and exact bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What is sent as Content-Type.
    pub media_type: String,
    /// The exact bytes.
    pub bytes: Vec<u8>,
    /// Their sha256 digest.
    pub digest: String,
}

impl Manifest {
    /// Makes a manifest of exact bytes.
    pub fn raw(media_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { media_type: media_type.to_owned(), digest: sha256(&bytes), bytes }
    }

    /// Makes a manifest of a JSON value.
    pub fn of(media_type: &str, value: &Value) -> Self {
        Self::raw(media_type, value.to_string())
    }

    /// Makes an OCI image manifest; `extra` adds or replaces members.
    pub fn image(config: &Value, layers: &[Value], extra: Value) -> Self {
        let base = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
        });
        Self::of(OCI_MANIFEST, &merge(base, extra))
    }

    /// Makes an OCI image index; `extra` adds or replaces members.
    pub fn index(children: &[Value], extra: Value) -> Self {
        let base = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
        Self::of(OCI_INDEX, &merge(base, extra))
    }

    /// Returns a descriptor of the manifest.
    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// Adds the members of `extra` to `base`; a null removes one.
fn merge(base: Value, extra: Value) -> Value {
    let (Value::Object(mut base), Value::Object(extra)) = (base, extra) else {
        return Value::Object(Map::new());
    };
    for (key, value) in extra {
        if value.is_null() {
            base.remove(&key);
        } else {
            base.insert(key, value);
        }
    }
    Value::Object(base)
}

/// An image: its blobs and its manifest.
#[derive(Clone, Debug)]
pub struct Image {
    /// The configuration.
    pub config: Blob,
    /// The layer.
    pub layer: Blob,
    /// The manifest.
    pub manifest: Manifest,
}

impl Image {
    /// Makes a small OCI image.
    pub fn oci(rng: &mut Rng) -> Self {
        Self::with(rng, json!({}))
    }

    /// Makes a small OCI image whose manifest has more members.
    pub fn with(rng: &mut Rng, extra: Value) -> Self {
        let (config, layer) = blobs(rng);
        let manifest = Manifest::image(&config.descriptor(OCI_CONFIG), &[layer.descriptor(OCI_LAYER)], extra);
        Self { config, layer, manifest }
    }

    /// Makes a small Docker schema 2 image.
    pub fn docker(rng: &mut Rng) -> Self {
        let (config, layer) = blobs(rng);
        let value = json!({
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": config.descriptor(DOCKER_CONFIG),
            "layers": [layer.descriptor(DOCKER_LAYER)],
        });
        Self { manifest: Manifest::of(DOCKER_MANIFEST, &value), config, layer }
    }
}

fn blobs(rng: &mut Rng) -> (Blob, Blob) {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [sha256(&rng.bytes(8))]},
        "comment": format!("{:016x}", rng.number()),
    });
    let size = 700 + usize::try_from(rng.number() % 300).unwrap_or_default();
    (Blob::new(config.to_string()), Blob::new(rng.bytes(size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(sha256(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(sha512(b"abc").starts_with("sha512:ddaf35a193617abacc417349ae204131"));
        assert_eq!(sha512(b"abc").len(), 7 + 128);
    }

    #[test]
    fn numbers_are_those_of_splitmix64() {
        // The first numbers of the published generator from the state 0.
        let mut rng = Rng(0);
        assert_eq!([rng.number(), rng.number()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn content_follows_the_seed_and_the_label() {
        let image = |seed, label| Image::oci(&mut Rng::new(seed, label)).manifest.digest;
        assert_eq!(image(1, "a"), image(1, "a"));
        assert_ne!(image(1, "a"), image(2, "a"));
        assert_ne!(image(1, "a"), image(1, "b"));
    }

    #[test]
    fn extra_members_add_and_null_removes() {
        let manifest = Manifest::index(&[], json!({"artifactType": "x/y", "mediaType": null}));
        let value: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        assert_eq!(value, json!({"schemaVersion": 2, "manifests": [], "artifactType": "x/y"}));
        assert_eq!(manifest.media_type, OCI_INDEX);
    }
}
