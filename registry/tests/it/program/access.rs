//! Goal: an operator changes who may do what without a restart, and can ask who may; a broken file changes
//! nothing and says so. Method: the program itself, files that are rewritten, swapped by a link and broken.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Within this every condition must hold; far above what it takes.
const DEADLINE: Duration = Duration::from_secs(60);

struct Server {
    process: Child,
    url: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    fn start(config: &Path, folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger"));
        command.arg("serve").arg(config).args(["--listen", "127.0.0.1:0"]).current_dir(folder);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (into, lines) = (Arc::clone(&log), BufReader::new(process.stderr.take().unwrap()).lines());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *into.lock().unwrap() += &(line + "\n");
            }
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("it listens").to_owned();
        Self { process, url, log }
    }

    async fn status(&self, method: &str, path: &str, user: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = if user.is_empty() { request } else { request.basic_auth(user, Some(user)) };
        request.send().await.unwrap().status().as_u16()
    }

    /// Waits until a request has that answer.
    async fn answers(&self, method: &str, path: &str, user: &str, expect: u16) {
        let end = Instant::now() + DEADLINE;
        loop {
            let status = self.status(method, path, user).await;
            if status == expect {
                return;
            }
            assert!(
                Instant::now() < end,
                "{method} {path} as {user:?}: {status}, not {expect}\n{}",
                self.told()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn told(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    async fn tells(&self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.told().contains(text) {
            assert!(Instant::now() < end, "the log does not say {text:?}\n{}", self.told());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn hang_up(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder with an htpasswd file of `admin`, `eve` and `prometheus`, whose passwords are their names.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let line = |user: &str| format!("{user}:{}\n", bcrypt::hash(user, 4).unwrap());
    fs::write(folder.path().join("htpasswd"), ["admin", "eve", "prometheus"].map(line).concat()).unwrap();
    folder
}

fn config(repositories: &Value) -> String {
    json!({
        "storage": {"rootDirectory": "data"},
        "http": {
            "auth": {"htpasswd": {"path": "htpasswd"}},
            "accessControl": {
                "repositories": repositories,
                "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
                "metrics": {"users": ["prometheus"]},
            },
        },
    })
    .to_string()
}

fn anonymous() -> Value {
    json!({"**": {"anonymousPolicy": ["read"]}})
}

fn nobody() -> Value {
    json!({"**": {"policies": [{"users": ["eve"], "actions": ["read"]}]}})
}

const TAGS: &str = "/v2/app/tags/list";

#[tokio::test]
async fn what_changes_in_the_file_holds_without_a_restart() {
    let folder = folder();
    let file = folder.path().join("config.json");
    fs::write(&file, config(&anonymous())).unwrap();
    let server = Server::start(&file, folder.path());
    // There is no such repository, which is what who may read is told.
    server.answers("GET", TAGS, "", 404).await;
    fs::write(&file, config(&nobody())).unwrap();
    server.answers("GET", TAGS, "", 401).await;
    server.answers("GET", TAGS, "eve", 404).await;
    // A broken file changes nothing, and every fault of it is told.
    fs::write(&file, r#"{"http": {"accessControl": {"repositories": {"[": {}}}, "prot": 1}}"#).unwrap();
    server.tells("the configuration has faults and changes nothing").await;
    assert!(server.told().contains("unknown key; the nearest known key is http.port"), "{}", server.told());
    assert_eq!(server.status("GET", TAGS, "").await, 401);
    assert_eq!(server.status("GET", TAGS, "eve").await, 404);
    fs::write(&file, config(&anonymous())).unwrap();
    server.answers("GET", TAGS, "", 404).await;
    // What takes a restart is named.
    let other = config(&anonymous()).replace(r#""rootDirectory":"data""#, r#""rootDirectory":"other""#);
    fs::write(&file, other).unwrap();
    server.tells("has changed, which takes a restart").await;
}

/// What changes while the server starts, which may take a while, is no less a change.
#[tokio::test]
async fn a_file_that_changes_at_the_start_is_seen() {
    let folder = folder();
    let file = folder.path().join("config.json");
    fs::write(&file, config(&anonymous())).unwrap();
    let server = Server::start(&file, folder.path());
    fs::write(&file, config(&nobody())).unwrap();
    server.answers("GET", TAGS, "", 401).await;
}

/// An empty file is a configuration without accounts, and a file that is being written is empty for a moment.
#[tokio::test]
async fn a_reload_opens_nothing() {
    let folder = folder();
    let file = folder.path().join("config.json");
    fs::write(&file, config(&nobody())).unwrap();
    let server = Server::start(&file, folder.path());
    server.answers("GET", TAGS, "", 401).await;
    let whole: Value = serde_json::from_str(&config(&nobody())).unwrap();
    let without = |key: &str| {
        let mut changed = whole.clone();
        changed["http"].as_object_mut().unwrap().remove(key);
        changed.to_string()
    };
    for (text, path) in [
        (String::new(), "http.auth"),
        (without("auth"), "http.auth"),
        (without("accessControl"), "http.accessControl"),
    ] {
        fs::write(&file, &text).unwrap();
        let told = format!("config.path={path:?}");
        let json = format!("\"config.path\":{path:?}");
        let end = Instant::now() + DEADLINE;
        while !(server.told().contains("is gone, so that everybody could do what few may")
            && (server.told().contains(&told) || server.told().contains(&json)))
        {
            assert!(Instant::now() < end, "{path}: {}", server.told());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(server.status("GET", TAGS, "").await, 401, "{path}");
        server.log.lock().unwrap().clear();
    }
    fs::write(&file, config(&anonymous())).unwrap();
    server.answers("GET", TAGS, "", 404).await;
}

/// As Kubernetes swaps the link of a ConfigMap; and at SIGHUP.
#[tokio::test]
async fn a_link_that_is_swapped_is_seen() {
    let folder = folder();
    let place = |name: &str| -> PathBuf { folder.path().join(name) };
    for (name, repositories) in [("one", anonymous()), ("two", nobody())] {
        fs::create_dir(place(name)).unwrap();
        fs::write(place(name).join("config.json"), config(&repositories)).unwrap();
    }
    symlink("one", place("..data")).unwrap();
    symlink("..data/config.json", place("config.json")).unwrap();
    let server = Server::start(&place("config.json"), folder.path());
    server.answers("GET", TAGS, "", 404).await;
    symlink("two", place("..new")).unwrap();
    fs::rename(place("..new"), place("..data")).unwrap();
    server.answers("GET", TAGS, "", 401).await;
    server.hang_up();
    server.tells("the configuration was read again").await;
    assert_eq!(server.status("GET", TAGS, "eve").await, 404, "SIGHUP ends nothing");
}

#[tokio::test]
async fn metrics_are_for_whom_the_policy_names() {
    let folder = folder();
    let file = folder.path().join("config.json");
    fs::write(&file, config(&anonymous())).unwrap();
    let server = Server::start(&file, folder.path());
    for (user, expect) in [("", 401), ("eve", 403), ("prometheus", 200)] {
        assert_eq!(server.status("GET", "/metrics", user).await, expect, "{user}");
    }
    assert_eq!(server.status("GET", "/livez", "").await, 200, "the probes need no account");
}

#[test]
fn the_command_line_says_who_may() {
    let folder = folder();
    let file = folder.path().join("config.json");
    let repositories = json!({
        "team/**": {"policies": [{"groups": ["devs"], "actions": ["read", "create"]}], "defaultPolicy": ["read"]},
        "**": {"anonymousPolicy": ["read"]},
        "users/**": {"policies": [{"users": ["eve"], "actions": ["create"], "conditions": [
            {"expression": "req.repository.startsWith('users/' + req.user.username + '/')"},
            {"expression": "req.tls.enabled && req.client.ip.startsWith('10.')", "message": "push from inside"},
            {"expression": "req.time < timestamp('2027-01-01T00:00:00Z') || req.tag == 'v1'"},
        ]}]},
    });
    fs::write(&file, config(&repositories)).unwrap();
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger"));
        command.args(["policy", "explain"]).arg(&file).args(arguments);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        format!("{} {}", output.status.code().unwrap(), text.replace(&file.display().to_string(), "FILE"))
    };
    let mut text = String::new();
    for arguments in [
        &["--repository", "app", "--action", "read"][..],
        &["--repository", "app", "--action", "delete"],
        &["--user", "eve", "--repository", "team/app", "--action", "read"],
        &["--user", "eve", "--repository", "team/app", "--action", "create"],
        &["--user", "eve", "--group", "devs", "--repository", "team/app", "--action", "create"],
        &["--user", "admin", "--repository", "team/app", "--action", "delete"],
        &["--user", "eve", "--repository", "Team", "--action", "read"],
        &["--user", "eve", "--repository", "users/bob/app", "--action", "create"],
        &["--user", "eve", "--repository", "users/eve/app", "--action", "create", "--tls", "1.3"],
        &[
            "--user",
            "eve",
            "--repository",
            "users/eve/app",
            "--action",
            "create",
            "--tls",
            "1.3",
            "--address",
            "10.0.0.7",
            "--time",
            "2027-01-31T08:00:00Z",
        ],
        &[
            "--user",
            "eve",
            "--repository",
            "users/eve/app",
            "--action",
            "create",
            "--tls",
            "1.3",
            "--address",
            "10.0.0.7",
            "--time",
            "2027-01-31T08:00:00Z",
            "--reference",
            "v1",
        ],
    ] {
        text += &explain(arguments);
    }
    insta::assert_snapshot!(text, @r#"
    0 allowed: somebody who does not log in may read app: http.accessControl.repositories["**"].anonymousPolicy says so
    1 denied: somebody who does not log in may not delete app: http.accessControl.repositories["**"] decides, being the longest glob that matches, and grants it to others
    0 allowed: eve may read team/app: http.accessControl.repositories["team/**"].defaultPolicy says so
    1 denied: eve may not create team/app: http.accessControl.repositories["team/**"] decides, being the longest glob that matches, and grants it to others
    0 allowed: eve may create team/app: http.accessControl.repositories["team/**"].policies[0] says so
    0 allowed: admin may delete team/app: http.accessControl.adminPolicy says so
    2 --repository Team: the component "Team" of the name is not lowercase letters and digits separated by '.', '_', '__' or '-'
    1 denied: eve may not create users/bob/app: http.accessControl.repositories["users/**"].policies[0] would let him, and its conditions[0] does not hold
    1 denied: eve may not create users/eve/app: http.accessControl.repositories["users/**"].policies[0] would let him, and its conditions[1] does not hold: push from inside
    1 denied: eve may not create users/eve/app: http.accessControl.repositories["users/**"].policies[0] would let him, and its conditions[2] does not hold
    0 allowed: eve may create users/eve/app: http.accessControl.repositories["users/**"].policies[0] says so
    "#);
}
