//! TLS of our own before unmodified clients, which check the certificate, and keys that users make in the place of
//! their passwords.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::command::Command;
use crate::support::containerd::{self, Containerd};
use crate::support::engine::{self, Engine};
use crate::support::layout::{self, Layout};
use crate::support::server::Server;
use crate::support::{random, skip};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server with TLS, the account `admin`, and keys.
struct Secured {
    server: Server,
    /// The certificate, which is its own authority.
    certificate: String,
}

impl Secured {
    async fn start(folder: &Path) -> Self {
        let htpasswd = folder.join("htpasswd");
        Command::new("htpasswd").arg("-bcB").arg(&htpasswd).args(["admin", "admin"]).run().await;
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let everything = ["read", "create", "update", "delete"];
        let server = Server::with(&json!({"http": {
            "tls": {"cert": certificate, "key": key},
            "auth": {"htpasswd": {"path": htpasswd}, "apikey": true},
            "accessControl": {"adminPolicy": {"users": ["admin"], "actions": everything}},
        }}))
        .await;
        assert!(server.url().starts_with("https://"), "{}", server.url());
        Self { server, certificate: certificate.display().to_string() }
    }

    /// Makes a key of the administrator's, as he would.
    async fn key(&self, wish: &Value) -> String {
        let url = format!("{}/auth/apikey", self.server.url());
        let curl =
            Command::new("curl").args(["-sS", "--fail", "--cacert", &self.certificate, "-u", "admin:admin"]);
        let said = curl.args(["-d", &wish.to_string(), &url]).run().await;
        let page: Value = serde_json::from_str(&said).unwrap();
        page["apiKey"].as_str().unwrap().to_owned()
    }
}

/// Runs a command that must fail, and returns what it says.
async fn refused(command: Command) -> String {
    let output = command.output(PATIENCE).await;
    assert!(!output.succeeded, "it was to be refused");
    output.stdout + &output.stderr
}

/// docker speaks TLS with 127.0.0.1 without looking at the certificate; the others below look.
#[tokio::test(flavor = "multi_thread")]
async fn docker_logs_in_with_a_key_over_tls() {
    let test = "docker_logs_in_with_a_key_over_tls";
    if !(skip::has(test, &engine::PROGRAMS) && skip::has(test, &["tar", "htpasswd", "curl"])) {
        return;
    }
    let Some(engine) = Engine::start(test).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let secured = Secured::start(folder.path()).await;
    let host = secured.server.authority();
    let name = format!("{host}/team/app:1");
    let image = folder.path().join("image");
    fs::create_dir(&image).unwrap();
    random::write(&image.join("hello"), 7, 300_000);
    let tar = layout::tar(&image).await;
    engine.docker().arg("import").arg(tar).arg(&name).run().await;
    let login = async |key: &str| {
        let said = engine.docker().args(["login", "-u", "admin", "-p", key, host]).run().await;
        assert!(said.contains("Login Succeeded"), "{said}");
    };
    login(&secured.key(&json!({"label": "build", "scopes": ["team/**:pull,push"]})).await).await;
    engine.docker().args(["push", &name]).run().await;
    engine.docker().args(["rmi", &name]).run().await;
    engine.docker().args(["pull", &name]).run().await;
    // A key is good for what it was made for.
    login(&secured.key(&json!({"scopes": ["team/**:pull"]})).await).await;
    refused(engine.docker().args(["push", &name])).await;
    let said = refused(engine.docker().args(["login", "-u", "other", "-p", "zak_guess", host])).await;
    assert!(said.contains("unauthorized"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_and_containerd_check_the_certificate() {
    let test = "skopeo_and_containerd_check_the_certificate";
    let needed = ["skopeo", "tar", "gzip", "htpasswd", "curl"];
    if !(skip::has(test, &containerd::PROGRAMS) && skip::has(test, &needed)) {
        return;
    }
    let Some(containerd) = Containerd::start(test).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let secured = Secured::start(folder.path()).await;
    let key = secured.key(&json!({})).await;
    let local = Layout::create(folder.path().join("local"));
    let digest = local.several_layers("1", 9).await;
    let reference = format!("{}/team/app:1", secured.server.authority());
    let remote = format!("docker://{reference}");
    // What skopeo takes for authorities are the files of a folder that end so.
    let authorities = folder.path().join("authorities");
    fs::create_dir(&authorities).unwrap();
    fs::copy(&secured.certificate, authorities.join("ca.crt")).unwrap();
    let credentials = format!("admin:{key}");
    let copy = |more: &[&str]| {
        let skopeo =
            Command::new("skopeo").args(["--insecure-policy", "copy", "--all", "--dest-creds", &credentials]);
        skopeo.args(more).args([&local.reference("1"), &remote])
    };
    let said = refused(copy(&[])).await;
    assert!(said.contains("certificate"), "{said}");
    copy(&["--dest-cert-dir", &authorities.display().to_string()]).run().await;

    // Without a word of it, containerd speaks plain HTTP to 127.0.0.1.
    let (url, authority) = (secured.server.url(), secured.server.authority());
    let host = format!("server = {url:?}\n[host.{url:?}]\ncapabilities = [\"pull\", \"resolve\"]\n");
    let pull = |hosts: &str| {
        let folder = containerd.hosts(authority, hosts);
        let arguments = ["images", "pull", "--all-platforms", "--user", &credentials, "--hosts-dir", &folder];
        containerd.ctr(&arguments).arg(&reference)
    };
    let said = refused(pull(&host)).await;
    assert!(said.contains("certificate"), "{said}");
    pull(&format!("{host}ca = {:?}\n", secured.certificate)).run().await;
    containerd.expect_whole(&reference, &digest).await;
}
