//! What a repository holds, as far as its client knows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{Random, digest_of};

/// Contents that clients push: few, so that they meet in the store.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Each with its digest.
    pub(crate) contents: Vec<(String, Vec<u8>)>,
    /// How many of them, from the first, another repository offers for mounting.
    pub(crate) mountable: usize,
}

/// Sizes around the edges of buffers, and some that take a while.
const SIZES: [usize; 16] = [
    0,
    1,
    4095,
    4096,
    65_535,
    65_537,
    262_144,
    700_001,
    3,
    511,
    30_000,
    131_072,
    262_143,
    262_145,
    1 << 20,
    2,
];

impl Pool {
    /// Makes contents of all sizes.
    pub(crate) fn new(random: &mut Random) -> Self {
        let content = |len| {
            let bytes = random.bytes(len);
            (digest_of(&bytes), bytes)
        };
        Self { contents: SIZES.into_iter().map(content).collect(), mountable: 6 }
    }
}

/// What a repository holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// Blobs by digest: their place in the pool.
    pub(crate) blobs: BTreeMap<String, usize>,
    /// Manifests by digest: their bytes.
    pub(crate) manifests: BTreeMap<String, Vec<u8>>,
    /// Digests by tag.
    pub(crate) tags: BTreeMap<String, String>,
    /// Open uploads by path.
    pub(crate) uploads: BTreeMap<String, Upload>,
}

/// An open upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    /// What is being uploaded: its place in the pool.
    pub(crate) content: usize,
    /// How much of it was answered 202.
    pub(crate) offset: usize,
}

/// Keys that were ever there: what was deleted must stay deleted.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) blobs: BTreeMap<String, usize>,
    pub(crate) manifests: BTreeMap<String, Vec<u8>>,
    pub(crate) tags: BTreeSet<String>,
}

impl Seen {
    /// Adds all keys of a model.
    pub(crate) fn note(&mut self, model: &Model) {
        self.blobs.extend(model.blobs.iter().map(|(digest, content)| (digest.clone(), *content)));
        for (digest, bytes) in &model.manifests {
            if !self.manifests.contains_key(digest) {
                self.manifests.insert(digest.clone(), bytes.clone());
            }
        }
        self.tags.extend(model.tags.keys().cloned());
    }
}

impl Model {
    /// Removes a manifest with the tags that point at it.
    pub(crate) fn remove_manifest(&mut self, digest: &str) {
        self.manifests.remove(digest);
        self.tags.retain(|_, target| target != digest);
    }

    /// Says whether a manifest needs a blob.
    pub(crate) fn needs(&self, blob: &str) -> bool {
        self.manifests.values().any(|manifest| references(manifest).iter().any(|digest| digest == blob))
    }
}

/// Returns the digests that an image manifest needs.
pub(crate) fn references(manifest: &[u8]) -> Vec<String> {
    let json: Value = serde_json::from_slice(manifest).expect("we wrote it");
    let layers = json["layers"].as_array().expect("we wrote it").iter();
    let descriptors = layers.chain(std::iter::once(&json["config"]));
    descriptors.map(|descriptor| descriptor["digest"].as_str().expect("we wrote it").to_owned()).collect()
}

/// The media type of the manifests.
pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Makes an image manifest that differs from every other by its number.
pub(crate) fn image(number: u64, blobs: &[(&str, usize)]) -> Vec<u8> {
    let descriptor = |(digest, size): &(&str, usize)| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size});
    let layers: Vec<Value> = blobs[1..].iter().map(descriptor).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": descriptor(&blobs[0]),
        "layers": layers,
        "annotations": {"number": number.to_string()},
    });
    manifest.to_string().into_bytes()
}
