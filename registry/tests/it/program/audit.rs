//! Goal: the audit log of a real server names who deleted, goes on in a new file when the old one is moved away, with and
//! without a signal, and is whole when the server ends. Method: the program on a free port, with a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use wharfinger::oci::{Algorithm, Hasher};

/// Within this every condition must hold; far above what it takes.
const DEADLINE: Duration = Duration::from_secs(60);

struct Server {
    process: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("htpasswd"), format!("admin:{}\n", bcrypt::hash("admin", 4).unwrap())).unwrap();
        let body = json!({
            "storage": {"rootDirectory": at("data")},
            "http": {"auth": {"htpasswd": {"path": at("htpasswd")}}},
            "log": {"audit": at("audit"), "output": at("log")},
        });
        fs::write(at("config.json"), body.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger"));
        command.arg("serve").arg(at("config.json")).args(["--listen", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("it listens").to_owned();
        Self { process, url, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Pushes a blob and deletes it, as `curl -u admin:admin` does.
    async fn push_and_delete(&self, bytes: &str) -> String {
        let client = client();
        let digest = Hasher::digest(Algorithm::Sha256, bytes.as_bytes()).to_string();
        let url = format!("{}/v2/app/blobs/uploads/?digest={digest}", self.url);
        let request = client.post(url).basic_auth("admin", Some("admin")).body(bytes.to_owned());
        assert_eq!(request.send().await.unwrap().status().as_u16(), 201);
        let request =
            client.delete(format!("{}/v2/app/blobs/{digest}", self.url)).basic_auth("admin", Some("admin"));
        assert_eq!(request.send().await.unwrap().status().as_u16(), 202);
        digest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // The last may be on its way.
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until a file has so many lines.
async fn until(path: &Path, count: usize) -> Vec<Value> {
    let waiting = async {
        while lines(path).len() < count {
            tokio::task::yield_now().await;
        }
        lines(path)
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{} lines in {}", count, path.display()))
}

fn assert_pair(lines: &[Value], digest: &str) {
    let seen: Vec<_> =
        lines.iter().map(|it| [&it["event"], &it["user"], &it["digest"], &it["client.address"]]).collect();
    let of = |event: &str| [json!(event), json!("admin"), json!(digest), json!("127.0.0.1")];
    assert_eq!(seen, [of("blob.push").each_ref(), of("blob.delete").each_ref()]);
}

#[tokio::test]
async fn it_names_who_deleted_in_whichever_file_is_there() {
    let mut server = Server::start();
    let (audit, log) = (server.path("audit"), server.path("log"));
    assert_eq!(fs::metadata(&audit).unwrap().permissions().mode() & 0o777, 0o600);
    let first = server.push_and_delete("first").await;
    assert_pair(&until(&audit, 2).await, &first);
    // As logrotate does it without a signal: the next line is in a new file.
    fs::rename(&audit, server.path("audit.1")).unwrap();
    fs::rename(&log, server.path("log.1")).unwrap();
    let second = server.push_and_delete("second").await;
    assert_pair(&until(&audit, 2).await, &second);
    assert_pair(&lines(&server.path("audit.1")), &first);
    // With a signal the new file is there before anything is to be written.
    fs::rename(&audit, server.path("audit.2")).unwrap();
    server.signal("-HUP");
    let made = async {
        while !audit.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, made).await.expect("the file is made anew");
    // The log is rotated alike, within a second, and is JSON in a file.
    let rotated = async {
        while !log.exists() {
            client().get(format!("{}/v2/", server.url)).send().await.unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, rotated).await.expect("the log is made anew");
    // What was handed over is written before the process ends.
    let third = server.push_and_delete("third").await;
    server.signal("-TERM");
    assert!(server.process.wait().unwrap().success());
    assert_pair(&lines(&audit), &third);
    let before = lines(&server.path("log.1"));
    assert!(before.iter().any(|line| line["message"] == "request"), "{before:?}");
    assert!(!lines(&log).is_empty());
}
