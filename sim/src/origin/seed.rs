//! Content made from a seed: images and indexes whose every byte can be made again.

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::{
    manifest::{Manifest, OCI_INDEX, OCI_MANIFEST},
    registry::Origin,
};
use crate::{
    digest::{Algorithm, Digest},
    locked,
    rng::Rng,
};

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// Describes an image to be made.
///
/// *Units*: layer sizes in bytes. The bytes of a layer depend on the seed, its position and its size alone,
/// so two images of one seed share their layers.
#[derive(Debug, Clone, Default)]
pub struct ImageSpec {
    /// The size of each layer.
    pub layers: Vec<usize>,
    /// What the bytes are made from.
    pub seed: u64,
    /// The algorithm of every digest of the image.
    pub algorithm: Algorithm,
    /// The manifest that this one refers to.
    pub subject: Option<Digest>,
    /// The `artifactType` of the manifest.
    pub artifact_type: Option<String>,
}

/// Describes an index to be made.
#[derive(Debug, Clone, Default)]
pub struct IndexSpec {
    /// One image per entry.
    pub images: Vec<ImageSpec>,
    /// The algorithm of the index's own digest.
    pub algorithm: Algorithm,
}

/// A blob that the origin holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeededBlob {
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// An image that the origin holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeededImage {
    /// The repository.
    pub repository: String,
    /// The tag; images inside an index have none.
    pub tag: Option<String>,
    /// The manifest.
    pub manifest: SeededBlob,
    /// The configuration blob.
    pub config: SeededBlob,
    /// The layers, in order.
    pub layers: Vec<SeededBlob>,
}

/// An index that the origin holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeededIndex {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The index itself.
    pub manifest: SeededBlob,
    /// Its images, in order.
    pub images: Vec<SeededImage>,
}

impl SeededImage {
    /// Returns the configuration and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &SeededBlob> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl Origin {
    /// Makes an image and tags it. A tag that exists moves.
    pub fn seed_image(&self, repository: &str, tag: &str, spec: &ImageSpec) -> SeededImage {
        self.seed(repository, Some(tag), spec)
    }

    /// Makes an index of images for different platforms and tags it.
    pub fn seed_index(&self, repository: &str, tag: &str, spec: &IndexSpec) -> SeededIndex {
        let images: Vec<SeededImage> = spec.images.iter().map(|it| self.seed(repository, None, it)).collect();
        let platforms = ["amd64", "arm64", "riscv64", "s390x", "ppc64le"];
        let entries: Vec<_> = images
            .iter()
            .zip(platforms.iter().cycle())
            .map(|(image, architecture)| {
                json!({ "mediaType": OCI_MANIFEST, "digest": image.manifest.digest, "size": image.manifest.size,
                        "platform": { "os": "linux", "architecture": architecture } })
            })
            .collect();
        let body = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        let manifest = self.put_manifest(repository, Some(tag), body.to_string().into(), spec.algorithm);
        SeededIndex { repository: repository.to_owned(), tag: tag.to_owned(), manifest, images }
    }

    /// Stores a blob and returns its name.
    pub fn seed_blob(&self, repository: &str, bytes: impl Into<Bytes>, algorithm: Algorithm) -> SeededBlob {
        let bytes = bytes.into();
        let blob = SeededBlob { digest: Digest::of(algorithm, &bytes), size: bytes.len() as u64 };
        let mut store = locked(self.store());
        store.repository_or_new(repository).blobs.insert(blob.digest.clone(), bytes);
        blob
    }

    fn seed(&self, repository: &str, tag: Option<&str>, spec: &ImageSpec) -> SeededImage {
        let layers: Vec<SeededBlob> = spec
            .layers
            .iter()
            .enumerate()
            .map(|(position, size)| {
                let bytes = Rng::labelled(spec.seed, &format!("layer {position}")).bytes(*size);
                self.seed_blob(repository, bytes, spec.algorithm)
            })
            .collect();
        let diff_ids: Vec<&Digest> = layers.iter().map(|it| &it.digest).collect();
        let config = json!({ "architecture": "amd64", "os": "linux", "author": format!("seed {}", spec.seed),
                             "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let config = self.seed_blob(repository, config.to_string(), spec.algorithm);
        let descriptor = |media_type: &str, blob: &SeededBlob| json!({ "mediaType": media_type, "digest": blob.digest, "size": blob.size });
        let mut body = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(CONFIG_TYPE, &config),
            "layers": layers.iter().map(|it| descriptor(LAYER_TYPE, it)).collect::<Vec<_>>(),
        });
        if let Some(subject) = &spec.subject {
            body["subject"] = json!({ "mediaType": OCI_MANIFEST, "digest": subject, "size": 2 });
        }
        if let Some(artifact_type) = &spec.artifact_type {
            body["artifactType"] = json!(artifact_type);
        }
        let manifest = self.put_manifest(repository, tag, body.to_string().into(), spec.algorithm);
        SeededImage {
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            manifest,
            config,
            layers,
        }
    }

    fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        bytes: Bytes,
        algorithm: Algorithm,
    ) -> SeededBlob {
        let blob = SeededBlob { digest: Digest::of(algorithm, &bytes), size: bytes.len() as u64 };
        let manifest = Manifest::parse(bytes, None).expect("a manifest made here passes our own checks");
        let mut store = locked(self.store());
        let repository = store.repository_or_new(repository);
        repository.manifests.insert(blob.digest.clone(), manifest);
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), blob.digest.clone());
        }
        blob
    }
}
