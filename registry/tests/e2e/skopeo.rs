//! skopeo, which podman, buildah and CRI-O share their code with: images of several platforms in and
//! out, in both forms, with digests unchanged; lists, inspection and deletion.

use serde_json::Value;

use crate::support::command::Command;
use crate::support::layout::{INDEX, Layout};
use crate::support::server::Server;
use crate::support::skip;

const PROGRAMS: [&str; 3] = ["skopeo", "tar", "gzip"];
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn skopeo(args: &[&str]) -> Command {
    Command::new("skopeo").arg("--insecure-policy").args(args)
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_every_platform_in_and_out() {
    if !skip::has("skopeo_copies_every_platform_in_and_out", &PROGRAMS) {
        return;
    }
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let local = Layout::create(folder.path().join("local"));
    let digest = local.two_platforms("1").await;
    let remote = format!("docker://{}/team/app:1", server.authority());

    skopeo(&["copy", "--all", "--dest-tls-verify=false", &local.reference("1"), &remote]).run().await;
    assert_eq!(server.wire().digest("team/app", "1").await, digest);

    let back = folder.path().join("back");
    let target = format!("oci:{}:1", back.display());
    skopeo(&["copy", "--all", "--src-tls-verify=false", &remote, &target]).run().await;
    let back = Layout::open(back);
    assert_eq!(back.root(), (digest, INDEX.to_owned()));
    // An index, and for each platform a manifest, a configuration and a layer; one layer is shared.
    assert_eq!(local.blobs().len(), 1 + 2 * 3 + 1);
    assert_eq!(back.blobs(), local.blobs());
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_schema_2_in_and_out() {
    if !skip::has("skopeo_copies_schema_2_in_and_out", &PROGRAMS) {
        return;
    }
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let local = Layout::create(folder.path().join("local"));
    local.two_platforms("1").await;
    let remote = format!("docker://{}/team/docker", server.authority());
    let (pushed, again) = (format!("{remote}:1"), format!("{remote}:again"));

    let v2s2 = ["copy", "--all", "--format", "v2s2", "--dest-tls-verify=false"];
    skopeo(&v2s2).args([&local.reference("1"), &pushed]).run().await;
    let digest = server.wire().digest("team/docker", "1").await;
    let inspect = skopeo(&["inspect", "--raw", "--tls-verify=false", &pushed]);
    let list: Value = serde_json::from_str(&inspect.run().await).unwrap();
    assert_eq!(list["mediaType"], DOCKER_LIST);
    assert_eq!(list["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(list["manifests"][0]["mediaType"], DOCKER_MANIFEST);

    let back = format!("dir:{}", folder.path().join("back").display());
    skopeo(&["copy", "--all", "--src-tls-verify=false", &pushed, &back]).run().await;
    let file = folder.path().join("back/manifest.json");
    let named = Command::new("skopeo").arg("manifest-digest").arg(&file).run().await;
    assert_eq!(named, digest, "what came out has the digest that was pushed");

    skopeo(&["copy", "--all", "--preserve-digests", "--dest-tls-verify=false", &back, &again]).run().await;
    assert_eq!(server.wire().digest("team/docker", "again").await, digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_lists_inspects_and_deletes() {
    if !skip::has("skopeo_lists_inspects_and_deletes", &PROGRAMS) {
        return;
    }
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let local = Layout::create(folder.path().join("local"));
    let digest = local.two_platforms("1").await;
    let remote = format!("docker://{}/team/app", server.authority());
    for tag in ["1.0", "1.1"] {
        let target = format!("{remote}:{tag}");
        skopeo(&["copy", "--all", "--dest-tls-verify=false", &local.reference("1"), &target]).run().await;
    }

    let tags = skopeo(&["list-tags", "--tls-verify=false", &remote]).run().await;
    let tags: Value = serde_json::from_str(&tags).unwrap();
    assert_eq!(tags["Tags"], serde_json::json!(["1.0", "1.1"]));

    let tagged = format!("{remote}:1.0");
    let inspect = ["inspect", "--tls-verify=false", "--override-arch", "arm64", &tagged];
    let image: Value = serde_json::from_str(&skopeo(&inspect).run().await).unwrap();
    assert_eq!((&image["Digest"], &image["Architecture"]), (&digest.into(), &"arm64".into()));
    assert_eq!(image["Layers"].as_array().unwrap().len(), 2);

    // It resolves the tag and deletes the digest, and with it every tag of it.
    skopeo(&["delete", "--tls-verify=false", &tagged]).run().await;
    for tag in ["1.0", "1.1"] {
        server.wire().get(&format!("/v2/team/app/manifests/{tag}")).await.expect(404);
    }
}
