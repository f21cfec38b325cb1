//! Layouts written by hand, with whatever is wrong in them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wharfinger::oci::{Algorithm, Digest, Hasher};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A layout.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) folder: PathBuf,
    named: Vec<Value>,
}

impl Layout {
    /// Makes an empty one.
    pub(crate) fn create(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        fs::create_dir_all(folder.join("blobs")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let layout = Self { folder, named: Vec::new() };
        layout.write_index();
        layout
    }

    /// Makes one with a small image of this tag, and returns the image's digest too.
    pub(crate) fn with_image(folder: impl Into<PathBuf>, tag: &str) -> (Self, Value) {
        let mut layout = Self::create(folder);
        let image = layout.image(tag.as_bytes(), &json!({}));
        layout.name(&image, Some(tag));
        (layout, image)
    }

    /// Stores an image with one layer, and returns its descriptor. `extra` is put into the manifest.
    pub(crate) fn image(&self, layer: &[u8], extra: &Value) -> Value {
        let (config, layer) = (self.blob(CONFIG, b"{}"), self.blob(LAYER, layer));
        let mut body =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.blob(MANIFEST, body.to_string().as_bytes())
    }

    /// Stores an index, and returns its descriptor.
    pub(crate) fn index(&self, manifests: &[Value]) -> Value {
        let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        self.blob(INDEX, body.to_string().as_bytes())
    }

    /// Stores content, and returns its descriptor.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        self.blob_by(Algorithm::Sha256, media_type, bytes)
    }

    pub(crate) fn blob_by(&self, algorithm: Algorithm, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Hasher::digest(algorithm, bytes);
        let path = self.path(&digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Returns where content is.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("blobs/{}/{}", digest.algorithm(), digest.hex()))
    }

    /// Names a manifest in the index.
    pub(crate) fn name(&mut self, descriptor: &Value, tag: Option<&str>) {
        let mut descriptor = descriptor.clone();
        if let Some(tag) = tag {
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        }
        self.named.push(descriptor);
        self.write_index();
    }

    fn write_index(&self) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.named});
        fs::write(self.folder.join("index.json"), index.to_string()).unwrap();
    }
}

/// Returns the digest of a descriptor.
pub(crate) fn digest_of(descriptor: &Value) -> Digest {
    Digest::parse(descriptor["digest"].as_str().unwrap()).unwrap()
}

/// Packs a folder.
pub(crate) fn pack(folder: &Path, to: &Path) {
    let mut tar = tar::Builder::new(fs::File::create(to).unwrap());
    tar.append_dir_all("", folder).unwrap();
    tar.finish().unwrap();
}
