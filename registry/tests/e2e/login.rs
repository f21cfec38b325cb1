//! Accounts and anonymous reading together, as users have them: anyone pulls, only who logs in pushes, with the
//! clients unmodified. Each of them takes its challenge from `/v2/` and fetches a token of ours.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::command::Command;
use crate::support::containerd::{self, Containerd};
use crate::support::engine::{self, Engine};
use crate::support::layout::{self, Layout};
use crate::support::server::Server;
use crate::support::{random, skip};

/// Where anyone reads and the administrator does the rest.
const ACCOUNTS: &str = include_str!("../../../fixtures/configs/htpasswd-anonymous-read.json");

const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a server with the account `admin`, made by the everyday command.
async fn start(folder: &Path, anonymous: &[&str]) -> Server {
    let file = folder.join("htpasswd");
    Command::new("htpasswd").arg("-bc").arg(&file).args(["admin", "admin"]).run().await;
    Command::new("htpasswd").arg("-bB").arg(&file).args(["reader", "secret"]).run().await;
    let mut config: Value = serde_json::from_str(ACCOUNTS).unwrap();
    config["http"]["auth"]["htpasswd"]["path"] = json!(file);
    config["http"]["accessControl"]["repositories"]["**"]["anonymousPolicy"] = json!(anonymous);
    Server::with(&config).await
}

/// Runs a command that must fail, and returns what it says.
async fn refused(command: Command) -> String {
    let output = command.output(PATIENCE).await;
    assert!(!output.succeeded, "it was to be refused");
    output.stdout + &output.stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_pulls_without_a_login_and_pushes_with_one() {
    let test = "docker_pulls_without_a_login_and_pushes_with_one";
    if !(skip::has(test, &engine::PROGRAMS) && skip::has(test, &["tar", "htpasswd"])) {
        return;
    }
    let Some(engine) = Engine::start(test).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["read"]).await;
    let host = server.authority();
    let name = format!("{host}/app:1");
    let image = folder.path().join("image");
    std::fs::create_dir(&image).unwrap();
    random::write(&image.join("hello"), 3, 300_000);
    let tar = layout::tar(&image).await;
    engine.docker().arg("import").arg(tar).arg(&name).run().await;

    let said = refused(engine.docker().args(["push", &name])).await;
    assert!(said.contains("unauthorized") || said.contains("denied"), "{said}");
    let said = refused(engine.docker().args(["login", "-u", "admin", "-p", "guess", host])).await;
    assert!(said.contains("unauthorized"), "{said}");
    let said = engine.docker().args(["login", "-u", "admin", "-p", "admin", host]).run().await;
    assert!(said.contains("Login Succeeded"), "{said}");
    engine.docker().args(["push", &name]).run().await;
    engine.docker().args(["rmi", &name]).run().await;
    engine.docker().args(["pull", &name]).run().await;

    engine.docker().args(["logout", host]).run().await;
    engine.docker().args(["rmi", &name]).run().await;
    engine.docker().args(["pull", &name]).run().await;
    refused(engine.docker().args(["push", &name])).await;
    // Who has an account without the right is told no.
    engine.docker().args(["login", "-u", "reader", "-p", "secret", host]).run().await;
    let said = refused(engine.docker().args(["push", &name])).await;
    assert!(said.contains("denied"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_and_podman_log_in_as_they_do_elsewhere() {
    let test = "skopeo_and_podman_log_in_as_they_do_elsewhere";
    if !skip::has(test, &["skopeo", "tar", "gzip", "htpasswd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["read"]).await;
    let local = Layout::create(folder.path().join("local"));
    let digest = local.two_platforms("1").await;
    let remote = format!("docker://{}/team/app:1", server.authority());
    let auth = folder.path().join("auth.json").display().to_string();
    let skopeo = |args: &[&str]| {
        Command::new("skopeo").arg("--insecure-policy").args(args).env("REGISTRY_AUTH_FILE", &auth)
    };
    let copy = ["copy", "--all", "--dest-tls-verify=false"];
    refused(skopeo(&copy).args([&local.reference("1"), &remote])).await;
    refused(skopeo(&copy).args(["--dest-creds", "admin:guess", &local.reference("1"), &remote])).await;
    skopeo(&copy).args(["--dest-creds", "admin:admin", &local.reference("1"), &remote]).run().await;
    // Without a login; and with one that is kept.
    let inspect = skopeo(&["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &remote]);
    assert_eq!(inspect.run().await, digest);
    let login = ["login", "--tls-verify=false", "-u", "admin", "-p", "admin", server.authority()];
    skopeo(&login).run().await;
    let deleted = skopeo(&["delete", "--tls-verify=false", &remote]);
    deleted.run().await;
    refused(skopeo(&["inspect", "--tls-verify=false", &remote])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_pulls_what_only_accounts_may_read() {
    let test = "containerd_pulls_what_only_accounts_may_read";
    if !(skip::has(test, &containerd::PROGRAMS) && skip::has(test, &["skopeo", "tar", "gzip", "htpasswd"])) {
        return;
    }
    let Some(containerd) = Containerd::start(test).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let local = Layout::create(folder.path().join("local"));
    let digest = local.several_layers("1", 5).await;
    let reference = format!("{}/team/app:1", server.authority());
    let remote = format!("docker://{reference}");
    let copy =
        ["--insecure-policy", "copy", "--all", "--dest-tls-verify=false", "--dest-creds", "admin:admin"];
    Command::new("skopeo").args(copy).args([&local.reference("1"), &remote]).run().await;

    let pull = ["images", "pull", "--all-platforms", "--plain-http"];
    refused(containerd.ctr(&pull).arg(&reference)).await;
    refused(containerd.ctr(&pull).args(["--user", "reader:guess", &reference])).await;
    containerd.ctr(&pull).args(["--user", "reader:secret", &reference]).run().await;
    containerd.expect_whole(&reference, &digest).await;
}
