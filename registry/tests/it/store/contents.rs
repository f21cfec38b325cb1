//! The few things that the tests store: few names, so that they collide.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde_json::{Value, json};
use wharfinger::oci::{Algorithm, Digest, Hasher, Manifest, RepositoryName, Tag, media_type};
use wharfinger::store::manifests::{NewManifest, References, Tagging};
use wharfinger::store::{RepositoryKey, Space};

/// A manifest to store.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
}

impl Item {
    /// Returns the digest that the manifest is about.
    pub(crate) fn subject(&self) -> Option<Digest> {
        self.manifest.subject.as_ref().map(|subject| subject.digest)
    }

    /// Makes what a push hands to the store.
    pub(crate) fn pushed(&self, tags: Vec<Tag>, tagging: Tagging, references: References) -> NewManifest {
        let (manifest, bytes) = (self.manifest.clone(), self.bytes.clone());
        NewManifest { manifest, bytes, digest: self.digest, tags, tagging, references }
    }
}

/// Everything that a test may store.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) blobs: Vec<Bytes>,
    pub(crate) manifests: Vec<Item>,
}

/// The contents. Blobs: 0 a config, 1 and 2 layers of several disk blocks, 3 empty. Manifests: 0
/// and 1 images, 2 an index of both, 3 and 4 artifacts about image 0, 5 an index that lists a blob.
pub(crate) static CONTENTS: LazyLock<Contents> = LazyLock::new(|| {
    let blobs = vec![Bytes::from_static(b"{}"), noise(1, 10_000), noise(2, 5_000), Bytes::new()];
    let first = image(&blobs, &[1], None, "first");
    let second = image(&blobs, &[1, 2], None, "second");
    let both = index(&[&first, &second]);
    let signature = image(&blobs, &[3], Some(&first), "signature");
    let attestation = image(&blobs, &[2], Some(&first), "attestation");
    let layer = json!({"mediaType": LAYER, "digest": digest(&blobs[2]).to_string(), "size": blobs[2].len()});
    let odd = item(
        &json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [descriptor(&first), layer]}),
    );
    Contents { blobs, manifests: vec![first, second, both, signature, attestation, odd] }
});

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Contents {
    /// Returns every digest, of blobs and of manifests.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        let manifests = self.manifests.iter().map(|item| item.digest);
        self.blobs.iter().map(|bytes| digest(bytes)).chain(manifests).collect()
    }
}

/// Returns the digest of bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Hasher::digest(Algorithm::Sha256, bytes)
}

/// Names a repository that is pushed to.
pub(crate) fn hosted(name: &str) -> RepositoryKey {
    RepositoryKey::hosted(RepositoryName::parse(name).unwrap())
}

/// Names a repository that is cached of an upstream.
pub(crate) fn cached(name: &str) -> RepositoryKey {
    RepositoryKey { space: Space::Upstream(Arc::from("hub")), name: RepositoryName::parse(name).unwrap() }
}

/// Names a tag.
pub(crate) fn tag(name: &str) -> Tag {
    Tag::parse(name).unwrap()
}

/// Bytes that compress to nothing and hold no block of zeros.
fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0] | 1
    };
    (0..len).map(|_| next()).collect()
}

fn image(blobs: &[Bytes], layers: &[usize], subject: Option<&Item>, title: &str) -> Item {
    let blob = |media_type: &str, bytes: &Bytes| json!({"mediaType": media_type, "digest": digest(bytes).to_string(), "size": bytes.len()});
    let mut body = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": blob("application/vnd.oci.image.config.v1+json", &blobs[0]),
        "layers": layers.iter().map(|layer| blob(LAYER, &blobs[*layer])).collect::<Vec<_>>(),
        "annotations": {"title": title},
    });
    if let Some(subject) = subject {
        body["subject"] = descriptor(subject);
    }
    item(&body)
}

fn index(children: &[&Item]) -> Item {
    let manifests: Vec<Value> = children.iter().map(|child| descriptor(child)).collect();
    item(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests}))
}

fn descriptor(item: &Item) -> Value {
    let media_type = item.manifest.media_type.as_str();
    json!({"mediaType": media_type, "digest": item.digest.to_string(), "size": item.bytes.len()})
}

fn item(body: &Value) -> Item {
    let bytes = Bytes::from(body.to_string());
    let manifest = Manifest::parse(&bytes, None).unwrap();
    Item { digest: digest(&bytes), manifest, bytes }
}
