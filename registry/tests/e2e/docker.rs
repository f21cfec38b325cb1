//! docker with a real engine: `docker push` and `docker pull`.

use std::path::Path;

use crate::support::command::Command;
use crate::support::engine::{Engine, PROGRAMS};
use crate::support::server::Server;
use crate::support::{layout, random, skip};

/// Makes an image in the engine and returns its id; `docker import` needs no base image.
async fn import(engine: &Engine, folder: &Path, name: &str) -> String {
    random::write(&folder.join("hello"), 3, 300_000);
    let tar = layout::tar(folder).await;
    engine.docker().args(["import", "--change", "CMD [\"/hello\"]"]).arg(tar).arg(name).run().await
}

fn inspect(engine: &Engine, name: &str, format: &str) -> Command {
    engine.docker().args(["image", "inspect", "--format", format, name])
}

/// Returns the `sha256:…` after `words`, in what docker says.
fn digest_after(said: &str, words: &str) -> String {
    let (_, rest) = said.split_once(words).unwrap_or_else(|| panic!("no `{words}` in {said}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_pushes_and_pulls() {
    let test = "docker_pushes_and_pulls";
    if !(skip::has(test, &PROGRAMS) && skip::has(test, &["tar"])) {
        return;
    }
    let Some(engine) = Engine::start(test).await else { return };
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let name = format!("{}/app:1", server.authority());
    let id = import(&engine, folder.path(), &name).await;

    let pushed = digest_after(&engine.docker().args(["push", &name]).run().await, "digest: ");
    assert_eq!(server.wire().digest("app", "1").await, pushed);

    engine.docker().args(["rmi", &name]).run().await;
    assert!(!inspect(&engine, &name, "{{.Id}}").output(std::time::Duration::from_secs(30)).await.succeeded);
    let pulled = digest_after(&engine.docker().args(["pull", &name]).run().await, "Digest: ");
    assert_eq!(pulled, pushed);
    assert_eq!(inspect(&engine, &name, "{{.Id}}").run().await, id, "the same image as was made");

    let by_digest = format!("{}/app@{pushed}", server.authority());
    engine.docker().args(["rmi", &name]).run().await;
    engine.docker().args(["pull", &by_digest]).run().await;
    assert_eq!(inspect(&engine, &by_digest, "{{.Id}}").run().await, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_pushes_again_without_sending_layers() {
    let test = "docker_pushes_again_without_sending_layers";
    if !(skip::has(test, &PROGRAMS) && skip::has(test, &["tar"])) {
        return;
    }
    let Some(engine) = Engine::start(test).await else { return };
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let (first, second) =
        (format!("{}/app:1", server.authority()), format!("{}/other:1", server.authority()));
    import(&engine, folder.path(), &first).await;
    let pushed = digest_after(&engine.docker().args(["push", &first]).run().await, "digest: ");

    let again = engine.docker().args(["push", &first]).run().await;
    assert!(again.contains("Layer already exists"), "{again}");
    engine.docker().args(["tag", &first, &second]).run().await;
    let mounted = engine.docker().args(["push", &second]).run().await;
    assert!(mounted.contains("Mounted from app"), "{mounted}");
    assert_eq!(digest_after(&mounted, "digest: "), pushed);
}
