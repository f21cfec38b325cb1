//! Goal: an operator changes who may do what without a restart, and can ask who may; a broken file changes
//! nothing and says so. Method: the program itself, files that are rewritten, swapped by a link and broken.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::Server;

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
        let end = Instant::now() + super::server::DEADLINE;
        while !(server.told().contains("is gone, so that everybody could do what few may")
            && (server.told().contains(&told) || server.told().contains(&json)))
        {
            assert!(Instant::now() < end, "{path}: {}", server.told());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(server.status("GET", TAGS, "").await, 401, "{path}");
        server.forget_log();
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
