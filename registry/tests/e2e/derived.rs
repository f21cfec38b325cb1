//! docker builds on an image that only a cache has, and pushes the result: it is whole, and is pulled
//! without any upstream.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::command::Command;
use crate::support::engine::{self, Engine};
use crate::support::layout::Layout;
use crate::support::server::Server;
use crate::support::upstream::{Upstream, entry, sync};
use crate::support::{random, skip};

/// The programs that make an image and put it into an upstream.
const MAKERS: [&str; 3] = ["skopeo", "tar", "gzip"];

/// A server that has cached `team/base:1`, and an engine that has pulled it from there.
struct Scene {
    engine: Engine,
    server: Server,
    upstream: Upstream,
    base: Layout,
    folder: TempDir,
}

impl Scene {
    /// Sets it; `None` where no engine can run.
    async fn set(test: &str) -> Option<Self> {
        if !(skip::has(test, &engine::PROGRAMS) && skip::has(test, &MAKERS)) {
            return None;
        }
        let engine = Engine::start(test).await?;
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start().await);
        let base = Layout::create(folder.path().join("base"));
        base.several_layers("1", 8).await;
        upstream.push(&base, "1", "team/base:1").await;
        let server = Server::with(&sync(&[entry(&upstream)])).await;
        let scene = Self { engine, server, upstream, base, folder };
        scene.engine.docker().args(["pull", &scene.name("team/base:1")]).run().await;
        Some(scene)
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.server.authority())
    }

    /// Adds a layer to the base, and returns the id of the image of this name.
    async fn build(&self, name: &str) -> String {
        let context = self.folder.path().join("context");
        fs::create_dir_all(&context).unwrap();
        random::write(&context.join("mine"), 9, 200_000);
        let steps = format!("FROM {}\nCOPY mine /mine\n", self.name("team/base:1"));
        fs::write(context.join("Dockerfile"), steps).unwrap();
        let build = self.engine.docker().env("DOCKER_BUILDKIT", "0");
        build.args(["build", "--network=none", "--tag", name]).arg(&context).run().await;
        self.inspect(name).await
    }

    async fn inspect(&self, name: &str) -> String {
        self.engine.docker().args(["image", "inspect", "--format", "{{.Id}}", name]).run().await
    }

    /// Pushes an image, and returns what docker said and the digest of it.
    async fn push(&self, name: &str) -> (String, String) {
        let said = self.engine.docker().args(["push", name]).run().await;
        let digest = said.split_once("digest: ").unwrap_or_else(|| panic!("no digest: {said}")).1;
        let digest = digest.split_whitespace().next().unwrap().to_owned();
        (said, digest)
    }

    /// Fails unless skopeo and an engine that has nothing pull the image of this id whole; returns the
    /// digests of its parts.
    async fn expect_whole(&self, name: &str, id: &str) -> Vec<String> {
        let target = self.folder.path().join("pulled");
        skopeo_copy(name, &target).await;
        let parts = parts(&target);
        assert!(parts.iter().any(|digest| digest == id), "{id} is not in {parts:?}");
        for image in [name, &self.name("team/base:1")] {
            self.engine.docker().args(["rmi", "--force", image]).run().await;
        }
        let left = self.engine.docker().args(["image", "ls", "--all", "--quiet"]).run().await;
        assert_eq!(left, "", "the engine has nothing left to build on");
        self.engine.docker().args(["pull", name]).run().await;
        assert_eq!(self.inspect(name).await, id);
        parts
    }
}

/// Pulls an image into a folder with a file for each part, named by its digest.
async fn skopeo_copy(name: &str, target: &Path) {
    Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
        .args([format!("docker://{name}"), format!("dir:{}", target.display())])
        .run()
        .await;
}

/// Returns the digests of the parts; skopeo has checked that each file has the digest that is its name.
fn parts(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.len() == 64).map(|name| format!("sha256:{name}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_docker_pushes_on_cached_layers_to_the_name_of_the_base() {
    let Some(scene) = Scene::set("p3_docker_pushes_on_cached_layers_to_the_name_of_the_base").await else {
        return;
    };
    let name = scene.name("team/base:mine");
    let id = scene.build(&name).await;
    let (said, digest) = scene.push(&name).await;
    let reused = said.matches("Layer already exists").count();
    assert_eq!(reused, 3, "the layers of the base are here, and are not sent: {said}");
    scene.upstream.stop().await;
    assert_eq!(scene.server.wire().digest("team/base", "mine").await, digest);
    let parts = scene.expect_whole(&name, &id).await;
    for layer in scene.base.layers() {
        assert!(parts.contains(&layer), "{layer} of the base is not in {parts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_docker_pushes_on_cached_layers_to_another_name() {
    let Some(scene) = Scene::set("p3_docker_pushes_on_cached_layers_to_another_name").await else { return };
    let name = scene.name("own/app:1");
    let id = scene.build(&name).await;
    let (_, digest) = scene.push(&name).await;
    scene.upstream.stop().await;
    assert_eq!(scene.server.wire().digest("own/app", "1").await, digest);
    scene.expect_whole(&name, &id).await;
}

/// The upstream cannot lend what docker asks for before it pushes: docker pushes it.
#[tokio::test(flavor = "multi_thread")]
async fn p7_docker_pushes_on_cached_layers_while_the_upstream_is_away() {
    let test = "p7_docker_pushes_on_cached_layers_while_the_upstream_is_away";
    let Some(scene) = Scene::set(test).await else { return };
    let name = scene.name("team/base:mine");
    let id = scene.build(&name).await;
    scene.upstream.stop().await;
    let (_, digest) = scene.push(&name).await;
    assert_eq!(scene.server.wire().digest("team/base", "mine").await, digest);
    scene.expect_whole(&name, &id).await;
}
