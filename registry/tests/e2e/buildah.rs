//! buildah: an image built from nothing, pushed, and pulled into an empty storage.

use std::path::Path;

use serde_json::Value;

use crate::support::command::Command;
use crate::support::server::Server;
use crate::support::{random, skip};

/// Returns a buildah command whose storage is in `folder`.
fn buildah(folder: &Path) -> Command {
    Command::new("buildah")
        .env("HOME", folder)
        .arg("--root")
        .arg(folder.join("storage"))
        .arg("--runroot")
        .arg(folder.join("run"))
        .args(["--storage-driver", "vfs"])
}

#[tokio::test(flavor = "multi_thread")]
async fn buildah_builds_pushes_and_pulls() {
    if !skip::has("buildah_builds_pushes_and_pulls", &["buildah"]) {
        return;
    }
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !skip::works("buildah_builds_pushes_and_pulls", buildah(here.path()).arg("info")).await {
        return;
    }
    let file = folder.path().join("hello");
    random::write(&file, 5, 300_000);
    let name = format!("{}/team/built:1", server.authority());
    let container = buildah(here.path()).args(["from", "scratch"]).run().await;
    buildah(here.path()).args(["copy", &container]).arg(&file).arg("/hello").run().await;
    buildah(here.path()).args(["config", "--cmd", "/hello", &container]).run().await;
    let id = buildah(here.path()).args(["commit", "--rm", "--quiet", &container, &name]).run().await;

    let noted = folder.path().join("digest");
    buildah(here.path())
        .args(["push", "--tls-verify=false", "--digestfile"])
        .arg(&noted)
        .arg(&name)
        .run()
        .await;
    let pushed = std::fs::read_to_string(noted).unwrap();
    assert_eq!(server.wire().digest("team/built", "1").await, pushed);

    let pulled = buildah(there.path()).args(["pull", "--quiet", "--tls-verify=false", &name]).run().await;
    assert_eq!(pulled, id, "the same image as was built");
    let images = buildah(there.path()).args(["images", "--json"]).run().await;
    let images: Value = serde_json::from_str(&images).unwrap();
    assert_eq!(images[0]["digest"], pushed);
}
