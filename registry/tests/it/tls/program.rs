//! Goal: the program says that it speaks TLS, sees new files by itself, tells its metrics, and ends as it is
//! told to; without its files it does not start, and says why. Method: the program on a free port.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::json;

use super::authority::Files;
use super::stand::{DEADLINE, http};

struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config(files: &Files) -> PathBuf {
    let path = files.path("config.json");
    let tls = json!({"cert": files.path("tls.crt"), "key": files.path("tls.key")});
    let body = json!({
        "storage": {"rootDirectory": files.path("data")},
        "http": {"address": "127.0.0.1", "port": 0, "tls": tls},
    });
    std::fs::write(&path, body.to_string()).unwrap();
    path
}

fn command(files: &Files) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger"));
    command.arg("serve").arg(config(files)).stdin(Stdio::null());
    command
}

/// Asks on a connection of its own.
async fn get(files: &Files, url: &str) -> Result<String, reqwest::Error> {
    http(&files.authority, None).build()?.get(url).send().await?.text().await
}

/// Returns the value of a metric.
async fn metric(files: &Files, server: &Server, name: &str) -> Option<f64> {
    let all = get(files, &format!("{}/metrics", server.url)).await.unwrap();
    let line =
        all.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_speaks_tls_and_sees_new_files() {
    let mut files = Files::new();
    let mut process = command(&files).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").expect("it listens").to_owned();
    let mut server = Server { process, url };
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    assert_eq!(get(&files, &format!("{}/livez", server.url)).await.unwrap(), "live\n");
    let expiry =
        metric(&files, &server, "wharfinger_tls_certificate_expiry_timestamp_seconds").await.unwrap();
    assert!(expiry > 1_700_000_000.0, "{expiry}");
    assert!(metric(&files, &server, "wharfinger_tls_handshakes_total").await.unwrap() >= 1.0);

    // Half a pair of another authority: clients of the old one are still served.
    let new = Files::new();
    std::fs::write(files.path("tls.crt"), new.pair.certificate.pem()).unwrap();
    let failures = "wharfinger_tls_reload_failures_total";
    eventually(async || metric(&files, &server, failures).await == Some(1.0)).await;
    std::fs::write(files.path("tls.key"), new.pair.key.serialize_pem()).unwrap();
    files.authority = new.authority;
    eventually(async || get(&files, &format!("{}/livez", server.url)).await.is_ok()).await;

    let pid = server.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(server.process.wait().unwrap().success(), "it drained");
}

#[test]
fn the_program_does_not_start_without_its_files() {
    let files = Files::new();
    std::fs::remove_file(files.path("tls.key")).unwrap();
    let Output { status, stdout, stderr } = command(&files).output().unwrap();
    assert!(!status.success());
    assert_eq!(stdout, b"");
    let stderr = String::from_utf8(stderr).unwrap();
    let told = format!("http.tls.key: {} cannot be read: does it exist", files.path("tls.key").display());
    assert!(stderr.contains(&told), "{stderr}");
}

async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + DEADLINE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < until, "it did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
