//! Goal: what rots on the disk of a real server is found, moved aside, reported, and fetched again from the real
//! upstream; the command says the same by its exit status.
//!
//! Method: the program on a free port with a folder of its own, `sim`'s origin as its upstream, and bits that are
//! flipped in its files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sim::origin::Origin;
use wharfinger::oci::{Algorithm, Hasher};

use crate::proxy::bench::{self, REPO};

/// Within this every condition must hold; far above what it takes.
const DEADLINE: Duration = Duration::from_secs(60);

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger"));
        command.arg("serve").arg(config).args(["--listen", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("it listens").to_owned();
        Self { process, url }
    }

    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let answer = client().get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    }

    async fn push(&self, name: &str, bytes: &[u8]) -> String {
        let digest = Hasher::digest(Algorithm::Sha256, bytes).to_string();
        let url = format!("{}/v2/{name}/blobs/uploads/?digest={digest}", self.url);
        let pushed = client().post(url).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(pushed.status().as_u16(), 201);
        digest
    }

    /// Ends it as an operator does.
    fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().retry(reqwest::retry::never()).no_proxy().build().unwrap()
}

struct Stand {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl Stand {
    fn new(upstream: &str, scrub: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.json");
        let registry = json!({
            "name": "hub", "urls": [upstream], "onDemand": true, "tlsVerify": false,
            "content": [{"prefix": "team/**"}],
        });
        let body = json!({
            "storage": {"rootDirectory": folder.path().join("data")},
            "http": {"address": "127.0.0.1", "port": 0},
            "extensions": {"sync": {"registries": [registry]}, "scrub": scrub},
        });
        fs::write(&config, body.to_string()).unwrap();
        Self { folder, config }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.data().join("blobs/sha256").join(&hex[..2]).join(hex)
    }

    /// Flips a bit, as a disk does.
    fn flip(&self, digest: &str) {
        let file = fs::OpenOptions::new().read(true).write(true).open(self.blob(digest)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 5).unwrap();
        file.write_all_at(&[byte[0] ^ 8], 5).unwrap();
    }

    fn is_right(&self, digest: &str) -> bool {
        fs::read(self.blob(digest))
            .is_ok_and(|bytes| Hasher::digest(Algorithm::Sha256, &bytes).to_string() == digest)
    }

    /// Returns what stood under a digest and was moved aside.
    fn quarantined(&self, digest: &str) -> usize {
        let hex = digest.strip_prefix("sha256:").unwrap();
        fs::read_dir(self.data().join("quarantine/sha256").join(hex)).map_or(0, Iterator::count)
    }

    fn scrub(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger"));
        command.args(["scrub", "--config"]).arg(&self.config).args(arguments).output().unwrap()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder.path().join("report.json")).unwrap()).unwrap()
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut files, mut folders) = (BTreeMap::new(), vec![self.data()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kinds(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|it| (text(&it["kind"]), text(&it["done"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_server_moves_aside_what_has_rotted_and_fetches_what_was_cached() {
    let origin = bench::serve(&Origin::new()).await;
    let image = bench::image(origin.origin(), REPO, "v1", &[200_000], 1);
    let layer = image.layers[0].digest.to_string();
    let stand = Stand::new(&origin.url(), &json!({"interval": "2h", "bytesPerSecond": "64MiB"}));
    let server = Server::start(&stand.config);
    until("the first scrub ends", async || {
        String::from_utf8(server.get("/metrics").await.1)
            .unwrap()
            .contains("wharfinger_scrub_runs_total{outcome=\"sound\"} 1")
    })
    .await;
    assert_eq!(server.get(&bench::manifest_path("v1")).await.0, 200);
    let bytes = server.get(&bench::blob_path(&layer)).await.1;
    assert_eq!(bytes.len(), 200_000);
    let pushed = server.push("mine/app", b"what was pushed").await;
    until("the blob is stored", async || stand.is_right(&layer)).await;
    let held = stand.scrub(&[]);
    assert_eq!(held.status.code(), Some(3), "a server has the store: {held:?}");
    server.stop();
    stand.flip(&layer);
    stand.flip(&pushed);
    // When it was scrubbed is a moment too old.
    fs::remove_file(stand.data().join("system/scrub")).unwrap();
    let asked = origin.origin().journal().mark();
    let server = Server::start(&stand.config);
    until("the cached blob is fetched again", async || {
        stand.is_right(&layer) && stand.quarantined(&layer) == 1
    })
    .await;
    let asked = bench::asked(&origin.origin().journal().entries_since(asked));
    assert!(asked.iter().any(|it| it.contains(&layer)), "nobody but the scrub asked: {asked:?}");
    let page = async || String::from_utf8(server.get("/metrics").await.1).unwrap();
    until("the scrub ends", async || {
        page().await.contains("wharfinger_scrub_runs_total{outcome=\"damaged\"} 1")
    })
    .await;
    let page = page().await;
    for line in [
        "wharfinger_scrub_findings_total{kind=\"corrupt-content\",done=\"quarantined\"} 2",
        "wharfinger_scrub_findings_total{kind=\"blob-content\",done=\"refetched\"} 1",
        "wharfinger_scrub_findings_total{kind=\"blob-content\",done=\"reported\"} 1",
        "wharfinger_scrub_unsettled 1",
        "wharfinger_quarantined_total 2",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    assert_eq!(server.get(&bench::blob_path(&layer)).await, (200, bytes));
    let path = format!("/v2/mine/app/blobs/{pushed}");
    assert_eq!(server.get(&path).await.0, 404, "a hosted digest in quarantine");
    assert_eq!(stand.quarantined(&pushed), 1);
    server.push("mine/app", b"what was pushed").await;
    assert_eq!(server.get(&path).await, (200, b"what was pushed".to_vec()));
    server.stop();
    let sound = stand.scrub(&[]);
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_by_its_status_what_it_has_found() {
    let origin = bench::serve(&Origin::new()).await;
    let image = bench::image(origin.origin(), REPO, "v1", &[100_000], 2);
    let layer = image.layers[0].digest.to_string();
    let stand = Stand::new(&origin.url(), &json!({"enable": false}));
    let nothing = stand.scrub(&[]);
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("there is no store in"));
    assert!(!stand.data().exists(), "looking for a store makes none");
    let server = Server::start(&stand.config);
    assert_eq!(server.get(&bench::blob_path(&layer)).await.0, 200);
    let pushed = server.push("mine/app", b"what was pushed").await;
    until("the blob is stored", async || stand.is_right(&layer)).await;
    server.stop();
    let sound = stand.scrub(&[]);
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    assert!(String::from_utf8_lossy(&sound.stdout).contains(": 0 findings, 0 of them to be settled"));

    stand.flip(&layer);
    stand.flip(&pushed);
    let before = stand.files();
    let report = stand.folder.path().join("report.json");
    let report = ["--report", report.to_str().unwrap()];
    let found = stand.scrub(&report);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(stand.files() == before, "without --repair nothing is changed");
    let first = stand.report();
    let of_kind = |kind: &str, done: &str| (kind.to_owned(), done.to_owned());
    let mut wanted = vec![of_kind("corrupt-content", "reported"), of_kind("blob-content", "reported")];
    wanted.extend(wanted.clone());
    let mut seen = kinds(&first);
    seen.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(seen, wanted, "{first:#}");
    assert_eq!(
        (&first["summary"]["unsettled"], &first["summary"]["byKind"]["blob-content"]),
        (&json!(4), &json!(2))
    );
    assert_eq!(String::from_utf8_lossy(&found.stdout).lines().count(), 5, "a line for each, and the sum");
    stand.scrub(&report);
    assert_eq!(stand.report(), first, "a report is stable");

    let repaired = stand.scrub(&["--repair", report[0], report[1]]);
    assert_eq!(repaired.status.code(), Some(1), "what was pushed waits for a push: {repaired:?}");
    assert_eq!((stand.quarantined(&layer), stand.quarantined(&pushed)), (1, 1));
    let repaired = stand.report();
    assert!(kinds(&repaired).contains(&of_kind("blob-content", "removed")), "{repaired:#}");
    let left = stand.scrub(&report);
    assert_eq!(
        (left.status.code(), kinds(&stand.report())),
        (Some(1), vec![of_kind("blob-content", "reported")])
    );

    // A pull and a push bring both.
    let server = Server::start(&stand.config);
    assert_eq!(server.get(&bench::blob_path(&layer)).await.1.len(), 100_000);
    server.push("mine/app", b"what was pushed").await;
    until("the blob is stored", async || stand.is_right(&layer)).await;
    server.stop();
    let data = stand.data();
    let sound =
        Command::new(env!("CARGO_BIN_EXE_wharfinger")).args(["scrub", "--data"]).arg(data).output().unwrap();
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
}
