//! The container image of `deploy/`: built and run by a real engine, through testcontainers.
//!
//! *Method*: testcontainers finds its engine in the environment of the process, so the test starts an
//! engine and then itself again, with that engine's address; the second process does the work. The
//! containers use the machine's network, or none: no rule of the machine's firewall is touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sim::digest::Algorithm;
use sim::origin::{ImageSpec, Origin, SeededImage};
use testcontainers::core::WaitFor;
use testcontainers::runners::{AsyncBuilder, AsyncRunner};
use testcontainers::{GenericBuildableImage, GenericImage, ImageExt};

use crate::support::command::Command;
use crate::support::engine::{Engine, PROGRAMS};
use crate::support::layout::sha256;
use crate::support::tls::TlsFront;
use crate::support::wire::Wire;
use crate::support::{skip, static_build};

const TEST: &str = "container::the_image_serves_and_pulls_through";
/// Tells the second process what to put into the image.
const PROGRAM: &str = "WHARFINGER_STATIC_BIN";
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// How long the second process may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a container has to end after SIGTERM.
const STOP_SECONDS: i32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn the_image_serves_and_pulls_through() {
    match std::env::var_os(PROGRAM) {
        None => start_engine_and_self().await,
        Some(program) => {
            let image = build(Path::new(&program)).await;
            serves_as_it_is(&image).await;
            pulls_through(&image).await;
        }
    }
}

async fn start_engine_and_self() {
    let test = TEST.rsplit("::").next().unwrap();
    if !(skip::has(test, &PROGRAMS) && skip::has(test, &["gcc"])) {
        return;
    }
    if !Path::new(AUTHORITIES).is_file() {
        return skip::skip(test, "not installed: ca-certificates");
    }
    let Some(engine) = Engine::start(test).await else { return };
    let program = static_build::build().await;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env("DOCKER_HOST", engine.host())
        .env(PROGRAM, program)
        .output(PATIENCE)
        .await;
    // The count too: a name that no test has would succeed, having run nothing.
    assert!(output.succeeded && output.stdout.contains(" 1 passed;"), "the image does not work");
}

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

async fn build(program: &Path) -> GenericImage {
    let empty = tempfile::tempdir().unwrap();
    let image = GenericBuildableImage::new("wharfinger", "e2e")
        .with_dockerfile(deploy("Dockerfile"))
        .with_file(program, "wharfinger")
        .with_file(deploy("config.json"), "config.json")
        .with_file(AUTHORITIES, "ca-certificates.crt")
        .with_file(empty.path(), "data")
        .build_image()
        .await
        .unwrap();
    let format = "{{.Config.User}} {{.Config.Volumes}} {{.Config.ExposedPorts}} {{len .RootFS.Layers}}";
    let inspect = Command::new("docker").args(["image", "inspect", "--format", format, "wharfinger:e2e"]);
    assert_eq!(inspect.run().await, "65532:65532 map[/data:{}] map[5000/tcp:{}] 4");
    image
}

/// Its own command, user and volume do: it starts, and it ends when it is asked to.
async fn serves_as_it_is(image: &GenericImage) {
    let container = image
        .clone()
        .with_wait_for(WaitFor::message_on_stdout("listening on http://0.0.0.0:5000\n"))
        .with_network("none")
        .start()
        .await
        .unwrap();
    container.stop_with_timeout(Some(STOP_SECONDS)).await.unwrap();
    let log = String::from_utf8(container.stderr_to_vec().await.unwrap()).unwrap();
    assert_eq!(container.exit_code().await.unwrap(), Some(0), "{log}");
    container.rm().await.unwrap();
}

/// Two upstreams, one with http and one with a certificate of its own authority, and that one again
/// without its authority.
async fn pulls_through(image: &GenericImage) {
    let origin = Origin::new();
    let spec = ImageSpec {
        layers: vec![300_000, 70],
        seed: 11,
        algorithm: Algorithm::Sha256,
        subject: None,
        artifact_type: None,
    };
    let images = ["plain/app", "private/app"].map(|name| origin.seed_image(name, "1", &spec));
    origin.seed_image("distrusted/app", "1", &spec);
    let running = origin.serve("127.0.0.1:0").await.unwrap();
    let front = TlsFront::before(running.addr()).await;
    let config = config(&running.url(), &front.url());

    let container = image
        .clone()
        .with_wait_for(WaitFor::message_on_stdout("listening on http://"))
        .with_network("host")
        .with_cmd(["serve", "/etc/wharfinger/config.json", "--listen", "127.0.0.1:0", "--data", "/data"])
        .with_copy_to("/etc/wharfinger/config.json", config.to_string().into_bytes())
        .with_copy_to("/etc/wharfinger/certs/ca.crt", front.authority_pem().as_bytes().to_vec())
        .start()
        .await
        .unwrap();
    let said = String::from_utf8(container.stdout_to_vec().await.unwrap()).unwrap();
    let wire = Wire::to(said.trim_end().strip_prefix("listening on ").unwrap());
    for image in &images {
        pull(&wire, image).await;
    }
    let distrusted = wire.get("/v2/distrusted/app/manifests/1").await;
    let log = String::from_utf8(container.stderr_to_vec().await.unwrap()).unwrap();
    assert_eq!(distrusted.status, 502, "{distrusted:#?}\n{log}");

    let blob = b"a push";
    let path = format!("/v2/pushed/app/blobs/uploads/?digest={}", sha256(blob));
    wire.send("POST", &path, &[("content-type", "application/octet-stream")], blob).await.expect(201);
    container.rm().await.unwrap();
}

fn config(plain: &str, secured: &str) -> Value {
    let registry = |name: &str, url: &str| json!({"name": name, "urls": [url], "onDemand": true, "content": [{"prefix": format!("{name}/**")}]});
    let mut private = registry("private", secured);
    private["certDir"] = json!("/etc/wharfinger/certs");
    let registries = [registry("plain", plain), private, registry("distrusted", secured)];
    json!({"extensions": {"sync": {"enable": true, "registries": registries}}})
}

async fn pull(wire: &Wire, image: &SeededImage) {
    let name = &image.repository;
    let manifest = wire.get(&format!("/v2/{name}/manifests/1")).await.expect(200);
    assert_eq!(sha256(&manifest.body), image.manifest.digest.to_string());
    for blob in &image.layers {
        let answer = wire.get(&format!("/v2/{name}/blobs/{}", blob.digest)).await.expect(200);
        assert_eq!(sha256(&answer.body), blob.digest.to_string());
    }
}
