//! podman: push and pull with storages of the test's own.

use crate::support::podman::podman;
use crate::support::server::Server;
use crate::support::{layout, random, skip};

#[tokio::test(flavor = "multi_thread")]
async fn podman_pushes_and_pulls() {
    if !skip::has("podman_pushes_and_pulls", &["podman", "tar"]) {
        return;
    }
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !skip::works("podman_pushes_and_pulls", podman(here.path()).arg("info")).await {
        return;
    }
    random::write(&folder.path().join("hello"), 4, 300_000);
    let tar = layout::tar(folder.path()).await;
    let name = format!("{}/team/app:1", server.authority());
    podman(here.path()).arg("import").arg(tar).arg(&name).run().await;
    let id = podman(here.path()).args(["image", "inspect", "--format", "{{.Id}}", &name]).run().await;

    let noted = folder.path().join("digest");
    podman(here.path())
        .args(["push", "--tls-verify=false", "--digestfile"])
        .arg(&noted)
        .arg(&name)
        .run()
        .await;
    let pushed = std::fs::read_to_string(noted).unwrap();
    assert_eq!(server.wire().digest("team/app", "1").await, pushed);

    podman(there.path()).args(["pull", "--tls-verify=false", &name]).run().await;
    let format = "{{.Id}} {{.Digest}}";
    let pulled = podman(there.path()).args(["image", "inspect", "--format", format, &name]).run().await;
    assert_eq!(pulled, format!("{id} {pushed}"));
}
