//! What the benches pull: an image pushed to the registry, and the same bytes as files for nginx.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::http::{Client, Response};
use super::{LARGE_BYTES, SMALL_BYTES};

pub(super) const REPOSITORY: &str = "bench/app";
const TAG: &str = "v1";
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The digest of `{}`.
const CONFIG_DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// Something to pull: its path at the registry, and its file at nginx.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: String,
    pub(super) file: &'static str,
}

/// The pushed image.
#[derive(Debug)]
pub(super) struct Content {
    small_digest: String,
    large_digest: String,
}

impl Content {
    /// Pushes an image of a small and a large layer to the registry at `url`, and leaves its parts as files
    /// in `folder`.
    pub(super) fn push(url: &str, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let part = |name: &str, bytes: &[u8]| -> Result<String> {
            let file = folder.join(name);
            fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))?;
            let digest = digest(&file)?;
            push_blob(url, bytes, &digest)?;
            Ok(digest)
        };
        let config_digest = part("config", b"{}")?;
        let small_digest = part("small", &noise(SMALL_BYTES, 1))?;
        let large_digest = part("large", &noise(LARGE_BYTES, 2))?;
        let layers = [(small_digest.clone(), SMALL_BYTES), (large_digest.clone(), LARGE_BYTES)];
        let manifest = push_manifest(url, &config_digest, &layers)?;
        fs::write(folder.join("manifest"), &manifest).context("writing the manifest")?;
        Ok(Self { small_digest, large_digest })
    }

    /// The manifest, by tag.
    pub(super) fn manifest(&self) -> Target {
        Target { path: format!("/v2/{REPOSITORY}/manifests/{TAG}"), file: "manifest" }
    }

    /// The small blob.
    pub(super) fn small(&self) -> Target {
        Target { path: format!("/v2/{REPOSITORY}/blobs/{}", self.small_digest), file: "small" }
    }

    /// The large blob.
    pub(super) fn large(&self) -> Target {
        Target { path: format!("/v2/{REPOSITORY}/blobs/{}", self.large_digest), file: "large" }
    }
}

/// Pushes a small image and returns its name with a tag.
pub(crate) fn push_image(url: &str, folder: &Path) -> Result<String> {
    let layer = noise(SMALL_BYTES, 3);
    for (name, bytes) in [("config", &b"{}"[..]), ("layer", &layer)] {
        let file = folder.join(name);
        fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))?;
        push_blob(url, bytes, &digest(&file)?)?;
    }
    let layer = (digest(&folder.join("layer"))?, SMALL_BYTES);
    push_manifest(url, &digest(&folder.join("config"))?, &[layer])?;
    Ok(format!("{REPOSITORY}:{TAG}"))
}

/// Pushes the manifest of a configuration `{}` and of layers by digest and size, and returns its text.
fn push_manifest(url: &str, config: &str, layers: &[(String, usize)]) -> Result<String> {
    let layer = |(digest, size): &(String, usize)| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    })
    .to_string();
    let path = format!("/v2/{REPOSITORY}/manifests/{TAG}");
    let header = format!("Content-Type: {MANIFEST_TYPE}");
    let answer = Client::connect(url)?.send("PUT", &path, Some(&header), manifest.as_bytes())?;
    expect(&answer, 201, "the manifest")?;
    Ok(manifest)
}

/// Returns a manifest that no other name has; of the configuration that every image here has.
pub(super) fn numbered_manifest(name: &str) -> String {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": CONFIG_DIGEST, "size": 2},
        "layers": [],
        "annotations": {"name": name},
    })
    .to_string()
}

/// Pushes a blob by POST and PUT, and returns how long it took until the 201.
pub(super) fn push_blob(url: &str, bytes: &[u8], digest: &str) -> Result<Duration> {
    let mut client = Client::connect(url)?;
    let begun = Instant::now();
    let opened = client.send("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), None, b"")?;
    expect(&opened, 202, "the upload")?;
    let location = opened.header("location").context("the upload has no Location")?;
    let closed = client.send(
        "PUT",
        &closing_path(location, digest),
        Some("Content-Type: application/octet-stream"),
        bytes,
    )?;
    let took = begun.elapsed();
    expect(&closed, 201, "the blob")?;
    Ok(took)
}

fn expect(answer: &Response, status: u16, what: &str) -> Result<()> {
    ensure!(answer.status == status, "{what} was answered {}, not {status}", answer.status);
    Ok(())
}

/// Returns the path that closes an upload: the Location, absolute or relative, with the digest.
fn closing_path(location: &str, digest: &str) -> String {
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => location,
    };
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}digest={digest}")
}

/// Returns the sha256 of a file. By the system's program: a hasher of our own would be one more
/// dependency of the runner.
pub(super) fn digest(file: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(file).output().context("starting sha256sum")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let hex = text.trim_start_matches('\\').split_whitespace().next().unwrap_or_default();
    ensure!(output.status.success() && hex.len() == 64, "sha256sum {} said `{text}`", file.display());
    Ok(format!("sha256:{hex}"))
}

/// Returns bytes that no file system or cache can shorten (xorshift64*), the same for the same seed.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{closing_path, digest, noise};

    #[test]
    fn an_upload_is_closed_where_it_was_opened() {
        fn check(location: &str, expect: &str) {
            assert_eq!(closing_path(location, "sha256:ab"), expect);
        }
        check("/v2/a/blobs/uploads/1", "/v2/a/blobs/uploads/1?digest=sha256:ab");
        check("http://host:1/v2/a/blobs/uploads/1?state=x", "/v2/a/blobs/uploads/1?state=x&digest=sha256:ab");
    }

    #[test]
    fn noise_depends_on_its_seed_alone() {
        assert_eq!(noise(100, 7), noise(100, 7));
        assert_ne!(noise(100, 7), noise(100, 8));
        assert_eq!(noise(13, 7).len(), 13);
    }

    #[test]
    fn a_file_has_a_digest() {
        let file = std::env::temp_dir().join(format!("xtask-digest-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let expect = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(&file).unwrap(), expect);
        std::fs::remove_file(file).unwrap();
    }
}
