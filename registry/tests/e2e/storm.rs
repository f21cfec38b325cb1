//! Pulls of what is not cached, through an upstream that answers 503 to the first request for every
//! object, and cuts the body of every blob, cleanly and with a reset: the image is whole all the same.

use tempfile::TempDir;

use crate::support::command::Command;
use crate::support::engine::{self, Engine};
use crate::support::layout::Layout;
use crate::support::podman::podman;
use crate::support::server::Server;
use crate::support::skip;
use crate::support::upstream::{Storm, Upstream, steadfast, sync};

/// The programs that make an image and put it into an upstream.
const MAKERS: [&str; 3] = ["skopeo", "tar", "gzip"];

/// A server whose upstream is in a storm, and the image that the upstream has.
struct Scene {
    server: Server,
    layout: Layout,
    storm: Storm,
    _upstream: Upstream,
    folder: TempDir,
}

impl Scene {
    /// Sets it with an image of this name and the tag `1`.
    async fn set(name: &str, seed: u64) -> Self {
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start().await);
        let layout = Layout::create(folder.path().join("local"));
        layout.several_layers("1", seed).await;
        upstream.push(&layout, "1", &format!("{name}:1")).await;
        let server = Server::with(&sync(&[steadfast(&upstream)])).await;
        let storm = upstream.storm();
        Self { server, layout, storm, _upstream: upstream, folder }
    }

    /// Returns the name of an image at the server.
    fn name(&self, name: &str) -> String {
        format!("{}/{name}:1", self.server.authority())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_skopeo_gets_an_image_whole_from_an_upstream_that_fails() {
    if !skip::has("p7_skopeo_gets_an_image_whole_from_an_upstream_that_fails", &MAKERS) {
        return;
    }
    let scene = Scene::set("team/app", 4).await;
    let target = scene.folder.path().join("pulled");
    Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
        .args([format!("docker://{}", scene.name("team/app")), format!("oci:{}:1", target.display())])
        .run()
        .await;
    scene.storm.expect_fired();
    let pulled = Layout::open(target);
    assert_eq!((pulled.root(), pulled.blobs()), (scene.layout.root(), scene.layout.blobs()));
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_podman_gets_an_image_whole_from_an_upstream_that_fails() {
    let test = "p7_podman_gets_an_image_whole_from_an_upstream_that_fails";
    if !(skip::has(test, &["podman"]) && skip::has(test, &MAKERS)) {
        return;
    }
    let storage = tempfile::tempdir().unwrap();
    if !skip::works(test, podman(storage.path()).arg("info")).await {
        return;
    }
    let scene = Scene::set("team/app", 5).await;
    let name = scene.name("team/app");
    podman(storage.path()).args(["pull", "--tls-verify=false", &name]).run().await;
    scene.storm.expect_fired();
    let format = "sha256:{{.Id}} {{.Digest}}";
    let pulled = podman(storage.path()).args(["image", "inspect", "--format", format, &name]).run().await;
    assert_eq!(pulled, format!("{} {}", scene.layout.image_id(), scene.layout.root().0));
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_docker_gets_an_image_whole_from_an_upstream_that_fails() {
    let test = "p7_docker_gets_an_image_whole_from_an_upstream_that_fails";
    if !(skip::has(test, &engine::PROGRAMS) && skip::has(test, &MAKERS)) {
        return;
    }
    let Some(engine) = Engine::start(test).await else { return };
    let scene = Scene::set("team/app", 6).await;
    let name = scene.name("team/app");
    pull(&engine, &scene, &name).await;
    // The same image again, by what is stored, with nothing left of the first pull.
    engine.docker().args(["rmi", &name]).run().await;
    pull(&engine, &scene, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_docker_gets_an_image_whole_by_way_of_a_mirror_of_an_upstream_that_fails() {
    let test = "p7_docker_gets_an_image_whole_by_way_of_a_mirror_of_an_upstream_that_fails";
    if !(skip::has(test, &engine::PROGRAMS) && skip::has(test, &MAKERS)) {
        return;
    }
    let scene = Scene::set("library/app", 7).await;
    let mirrors = serde_json::json!({"registry-mirrors": [scene.server.url()]});
    let Some(engine) = Engine::with(test, &mirrors).await else { return };
    pull(&engine, &scene, "app:1").await;
}

/// Pulls the scene's image by a name, which must give it whole.
async fn pull(engine: &Engine, scene: &Scene, name: &str) {
    let said = engine.docker().args(["pull", name]).run().await;
    scene.storm.expect_fired();
    assert!(said.contains(&format!("Digest: {}", scene.layout.root().0)), "{said}");
    let id = engine.docker().args(["image", "inspect", "--format", "{{.Id}}", name]).run().await;
    assert_eq!(id, scene.layout.image_id());
}
