//! Image layouts made here: folders of the form that `skopeo … oci:FOLDER` reads.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sim::digest::Digest;

use super::command::Command;
use super::random;

/// The media types of the images made here.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image layout.
#[derive(Debug)]
pub(crate) struct Layout {
    folder: PathBuf,
}

/// How a layer's tar is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    /// For bytes that do not compress.
    Plain,
}

impl Layout {
    /// Makes an empty one.
    pub(crate) fn create(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { folder }
    }

    /// Opens one that a program made.
    pub(crate) fn open(folder: PathBuf) -> Self {
        assert!(folder.join("oci-layout").is_file(), "{} is no image layout", folder.display());
        Self { folder }
    }

    /// Makes one with an image of two platforms named `tag`, and returns the digest of its index.
    pub(crate) async fn two_platforms(&self, tag: &str) -> String {
        let mut manifests = Vec::new();
        for (seed, architecture) in [(1, "amd64"), (2, "arm64")] {
            let layers =
                [self.layer(seed, 3000, Packing::Gzip).await, self.layer(9, 500, Packing::Gzip).await];
            let mut descriptor = self.image(architecture, &layers);
            descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
            manifests.push(descriptor);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        self.name(tag, self.blob(INDEX, index.to_string().as_bytes()))
    }

    /// Makes one with an image of one platform named `tag`, and returns the digest of its manifest. One
    /// layer is large enough to be streamed, one is not.
    pub(crate) async fn several_layers(&self, tag: &str, seed: u64) -> String {
        let mut layers = Vec::new();
        for (part, len) in [3_000_000, 700_000, 4_000].into_iter().enumerate() {
            layers.push(self.layer(seed * 100 + part as u64, len, Packing::Gzip).await);
        }
        self.name(tag, self.image("amd64", &layers))
    }

    /// Makes an image of layers from [`Layout::layer`], and returns its descriptor.
    pub(crate) fn image(&self, architecture: &str, layers: &[(Value, String)]) -> Value {
        let diff_ids: Vec<&String> = layers.iter().map(|(_, diff_id)| diff_id).collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let layers: Vec<&Value> = layers.iter().map(|(descriptor, _)| descriptor).collect();
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// Makes a layer with one file, and returns its descriptor and the digest of its tar.
    pub(crate) async fn layer(&self, seed: u64, len: usize, packing: Packing) -> (Value, String) {
        let folder = tempfile::tempdir().unwrap();
        random::write(&folder.path().join("hello"), seed, len);
        let tar = tar(folder.path()).await;
        let diff_id = sha256(&fs::read(&tar).unwrap());
        let descriptor = match packing {
            Packing::Plain => self.blob(LAYER.strip_suffix("+gzip").unwrap(), &fs::read(&tar).unwrap()),
            Packing::Gzip => {
                Command::new("gzip").arg("--no-name").arg(&tar).run().await;
                self.blob(LAYER, &fs::read(tar.with_extension("tar.gz")).unwrap())
            }
        };
        (descriptor, diff_id)
    }

    /// Names a manifest or index, and returns its digest.
    pub(crate) fn name(&self, tag: &str, mut descriptor: Value) -> String {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        fs::write(self.folder.join("index.json"), index.to_string()).unwrap();
        self.root().0
    }

    /// Stores a blob, and returns its descriptor.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        let hex = digest.strip_prefix("sha256:").unwrap();
        fs::write(self.folder.join("blobs/sha256").join(hex), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Returns the digest and media type of what is named.
    pub(crate) fn root(&self) -> (String, String) {
        let index: Value =
            serde_json::from_slice(&fs::read(self.folder.join("index.json")).unwrap()).unwrap();
        let text = |key: &str| index["manifests"][0][key].as_str().unwrap().to_owned();
        (text("digest"), text("mediaType"))
    }

    /// Returns the digest of the configuration of the image that is named: what docker calls its id.
    pub(crate) fn image_id(&self) -> String {
        self.manifest()["config"]["digest"].as_str().unwrap().to_owned()
    }

    /// Returns the digests of the layers of the image that is named.
    pub(crate) fn layers(&self) -> Vec<String> {
        let manifest = self.manifest();
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    }

    fn manifest(&self) -> Value {
        let digest = self.root().0;
        let file = self.folder.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    }

    /// Returns the size of each blob by its digest; each must have the digest of its name.
    pub(crate) fn blobs(&self) -> BTreeMap<String, usize> {
        read_blobs(&self.folder.join("blobs/sha256"))
    }

    /// Returns what skopeo calls the image of this tag.
    pub(crate) fn reference(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.folder.display())
    }
}

/// Returns the size of each file of a folder by the digest that is its name; each must have that digest.
pub(crate) fn read_blobs(folder: &Path) -> BTreeMap<String, usize> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return BTreeMap::new(),
        Err(error) => panic!("{}: {error}", folder.display()),
    };
    let blobs = entries.map(|entry| {
        let entry = entry.unwrap();
        let digest = format!("sha256:{}", entry.file_name().to_str().unwrap());
        let bytes = fs::read(entry.path()).unwrap();
        assert_eq!(sha256(&bytes), digest, "{}", folder.display());
        (digest, bytes.len())
    });
    blobs.collect()
}

/// Packs a folder with the file `hello`, always into the same bytes, beside that file.
pub(crate) async fn tar(folder: &Path) -> PathBuf {
    let file = folder.join("layer.tar");
    let steady = ["--create", "--format=ustar", "--owner=0", "--group=0", "--mtime=@0", "--mode=0755"];
    Command::new("tar").args(steady).arg("--file").arg(&file).arg("-C").arg(folder).arg("hello").run().await;
    file
}

/// Returns a digest by the simulator's code, which shares nothing with the registry's.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Digest::sha256_of(bytes).to_string()
}
