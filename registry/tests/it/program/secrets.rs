//! Goal: what the program keeps is for its own account alone, keys above all, and a key file that others can read is
//! told. Method: the program on a free port, and the modes of what it leaves.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wharfinger::oci::{Algorithm, Hasher};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Returns what is below a folder, with modes.
fn below(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push((path.display().to_string(), mode(&path)));
        if path.is_dir() {
            found.extend(below(&path));
        }
    }
    found
}

fn run(folder: &Path, config: &Value) -> Command {
    let file = folder.join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger"));
    command.current_dir(folder).arg("serve").arg(file).args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null());
    command
}

#[tokio::test]
async fn what_is_kept_is_for_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("htpasswd"), format!("ada:{}\n", bcrypt::hash("pw", 4).unwrap())).unwrap();
    let config = json!({
        "storage": {"rootDirectory": "data"},
        "http": {"auth": {"htpasswd": {"path": "htpasswd"}, "apikey": true}},
    });
    let mut process =
        run(folder.path(), &config).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").expect("it listens").to_owned();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let digest = Hasher::digest(Algorithm::Sha256, b"x");
    for (path, body) in [("/auth/apikey", "{}"), (&*format!("/v2/app/blobs/uploads/?digest={digest}"), "x")] {
        let request = client.post(format!("{url}{path}")).basic_auth("ada", Some("pw"));
        assert_eq!(request.body(body.to_owned()).send().await.unwrap().status().as_u16(), 201, "{path}");
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let found = below(&folder.path().join("data"));
    for word in ["/system/token-keys/", "/system/api-keys/", "/blobs/sha256/"] {
        assert!(found.iter().any(|(path, _)| path.contains(word)), "{word}: {found:?}");
    }
    for (path, mode) in &found {
        assert_eq!(mode & 0o077, 0, "{path} is {mode:o}");
    }
}

#[test]
fn a_key_file_that_others_can_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("htpasswd"), "").unwrap();
    let keys = folder.path().join("keys");
    fs::write(&keys, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n").unwrap();
    let config = json!({
        "storage": {"rootDirectory": "data"},
        "http": {"auth": {"htpasswd": {"path": "htpasswd"}, "token": {"keyFile": "keys"}}},
    });
    for (mode, is_told) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(&keys, fs::Permissions::from_mode(mode)).unwrap();
        let mut process =
            run(folder.path(), &config).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        process.kill().unwrap();
        let output = process.wait_with_output().unwrap();
        let logged = String::from_utf8(output.stderr).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger"));
        let output = command.current_dir(folder.path()).args(["verify", "config.json"]).output().unwrap();
        let verified = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        for said in [verified, logged] {
            assert_eq!(said.contains("chmod 600"), is_told, "{mode:o}: {said}");
            assert_eq!(said.contains("http.auth.token.keyFile"), is_told, "{mode:o}: {said}");
        }
    }
}
