//! Goal: through the real program garbage goes while nothing fails, and `gc --dry-run` tells of it. Method: `serve`
//! with a delay of a second on a folder; clients that pull and push until what was garbage is gone from the disk.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{image, sha256};

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_wharfinger");
/// How long it is waited for garbage to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of its own, ended with the test.
struct Server {
    process: Child,
    url: String,
    http: reqwest::Client,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let file = folder.join("config.json");
        let text = serde_json::json!({
            "storage": {"rootDirectory": folder.join("data"), "gcDelay": "1s", "gcInterval": "1s"},
            "http": {"port": "0"},
        });
        std::fs::write(&file, text.to_string()).unwrap();
        let mut process = Command::new(PROGRAM)
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { process, url, http: reqwest::Client::new() }
    }

    async fn push_blob(&self, name: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let url = format!("{}/v2/{name}/blobs/uploads/?digest={digest}", self.url);
        let answer = self.http.post(url).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{answer:?}");
        digest
    }

    async fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> Value {
        let (config, layer_digest) = (self.push_blob(name, b"{}").await, self.push_blob(name, layer).await);
        let manifest = image(&[(&config, 2)], &[(&layer_digest, layer.len())]);
        let request = self.http.put(format!("{}/v2/{name}/manifests/{tag}", self.url));
        let request = request.header("content-type", manifest["mediaType"].as_str().unwrap());
        let answer = request.body(manifest.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{answer:?}");
        manifest
    }

    async fn get(&self, path: &str) -> Vec<u8> {
        let answer = self.http.get(format!("{}/v2/{path}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        answer.bytes().await.unwrap().to_vec()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn content(folder: &Path, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    folder.join("data/blobs/sha256").join(&hex[..2]).join(hex)
}

fn gc(folder: &Path, flags: &[&str]) -> Output {
    Command::new(PROGRAM).arg("gc").args(flags).arg("--data").arg(folder.join("data")).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_garbage_goes_under_a_server_whose_clients_notice_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let garbage = server.push_blob("team/app", b"nobody needs this").await;
    let first = server.push_image("team/app", "first", b"the first layer").await;
    let (began, mut rounds) = (Instant::now(), 0);
    while content(folder.path(), &garbage).exists() {
        assert!(began.elapsed() < PATIENCE, "the garbage stays");
        let layer = format!("layer {rounds}");
        let pushed = server.push_image("team/app", "last", layer.as_bytes()).await;
        assert_eq!(server.get("team/app/manifests/last").await, pushed.to_string().as_bytes());
        let digest = sha256(layer.as_bytes());
        assert_eq!(server.get(&format!("team/app/blobs/{digest}")).await, layer.as_bytes());
        assert_eq!(server.get("team/app/manifests/first").await, first.to_string().as_bytes());
        let first_layer = sha256(b"the first layer");
        assert_eq!(server.get(&format!("team/app/blobs/{first_layer}")).await, b"the first layer");
        rounds += 1;
    }
    assert!(rounds > 3, "it was gone before anybody met it");
    let held = gc(folder.path(), &["--dry-run"]);
    assert_eq!(held.status.code(), Some(3), "a server has the store: {held:?}");
    drop(server);
    // The manifests that the tag has left stay, with all that they need.
    let whole = gc(folder.path(), &[]);
    assert!(whole.status.success() && !said(&whole).contains("manifest"), "{whole:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_a_run_removes() {
    use std::sync::Arc;
    use wharfinger::backend::disk::OsDisk;
    use wharfinger::backend::fs::{Durability, FsBackend};
    use wharfinger::clock::{Clock, Timestamp};
    use wharfinger::store::Store;

    let folder = tempfile::tempdir().unwrap();
    let (data, bytes) = (folder.path().join("data"), bytes::Bytes::from_static(b"pushed long ago"));
    {
        let disk = OsDisk::open(&data).unwrap();
        let backend = FsBackend::open(Arc::new(disk), Durability::Synced).await.unwrap();
        let then = Clock::manual(Timestamp::from_millis(1_500_000_000_000));
        let store = Store::open(Arc::new(backend), Default::default(), then).await.unwrap();
        let repository = crate::store::contents::hosted("team/app");
        crate::store::garbage::put_blob(&store, &repository, &bytes).await.unwrap();
    }
    let digest = sha256(&bytes);
    let told = gc(folder.path(), &["--dry-run"]);
    assert!(told.status.success(), "{told:?}");
    let lines = said(&told);
    assert!(lines.contains(&format!("would remove link team/app {digest} (15 bytes)\n")), "{lines}");
    assert!(lines.contains(&format!("would remove content {digest} (15 bytes)\n")), "{lines}");
    assert!(lines.contains("content: 1 objects, 15 bytes\n"), "{lines}");
    assert!(content(folder.path(), &digest).exists(), "it only tells");
    let removed = gc(folder.path(), &[]);
    assert_eq!(said(&removed), lines.replace("would remove", "removed"));
    assert!(!content(folder.path(), &digest).exists());
    assert_eq!(said(&gc(folder.path(), &["--dry-run"])), "");
    let refused = gc(folder.path(), &["--orphans"]);
    assert_eq!(
        refused.status.code(),
        Some(2),
        "a folder does not say which upstreams there are: {refused:?}"
    );
}
