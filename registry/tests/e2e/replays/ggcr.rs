//! crane, ko, kaniko and flux: go-containerregistry, replayed.
//!
//! It demands: 200 or 401 to the ping; 200 or 404 to a blob's HEAD; 202, 201 or 204 to a PATCH and 201
//! to a PUT; Content-Type, Content-Length and Docker-Content-Digest of a manifest's HEAD; a Location
//! that leads to no other host; pages of 1000 with a Link.

use super::Image;
use crate::support::layout::{MANIFEST, sha256};
use crate::support::server::Server;
use crate::support::wire::Wire;

const AGENT: (&str, &str) = ("user-agent", "crane/0.20.2 go-containerregistry/0.20.2");
const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v1+json,\
    application/vnd.docker.distribution.manifest.v1+prettyjws,\
    application/vnd.docker.distribution.manifest.v2+json,\
    application/vnd.oci.image.manifest.v1+json,\
    application/vnd.docker.distribution.manifest.list.v2+json,\
    application/vnd.oci.image.index.v1+json";

async fn push_blob(wire: &Wire, name: &str, bytes: &[u8]) {
    let digest = sha256(bytes);
    let blob = format!("/v2/{name}/blobs/{digest}");
    wire.send("HEAD", &blob, &[AGENT], b"").await.expect(404);
    let begin = format!("/v2/{name}/blobs/uploads/?origin=127.0.0.1");
    let session = wire.send("POST", &begin, &[AGENT, ("content-type", "application/json")], b"").await;
    let session = session.expect(202);
    let sent = wire.send_chunked("PATCH", session.location(), &[AGENT], bytes).await.expect(202);
    let location = sent.location();
    let commit = format!("{location}{}digest={digest}", if location.contains('?') { '&' } else { '?' });
    let committed = wire.send("PUT", &commit, &[AGENT], b"").await.expect(201);
    assert_eq!(committed.header("docker-content-digest"), digest);
    let there = wire.send("HEAD", &blob, &[AGENT], b"").await.expect(200);
    assert_eq!(there.header("content-length"), bytes.len().to_string());
}

#[tokio::test]
async fn crane_pushes_heads_pulls_and_lists() {
    let server = Server::start().await;
    let (wire, image) = (server.wire(), Image::new(21, 200_000));
    wire.send("GET", "/v2/", &[AGENT], b"").await.expect(200);
    for bytes in image.blobs() {
        push_blob(&wire, "team/crane", bytes).await;
    }
    let tagged = "/v2/team/crane/manifests/1";
    let typed = [AGENT, ("content-type", MANIFEST)];
    wire.send("PUT", tagged, &typed, &image.manifest).await.expect(201);

    let digest = sha256(&image.manifest);
    let head = wire.send("HEAD", tagged, &[AGENT, ("accept", ACCEPT)], b"").await.expect(200);
    assert_eq!(head.header("content-type"), MANIFEST);
    assert_eq!(head.header("content-length"), image.manifest.len().to_string());
    assert_eq!(head.header("docker-content-digest"), digest);
    let manifest = wire.send("GET", tagged, &[AGENT, ("accept", ACCEPT)], b"").await.expect(200);
    assert_eq!(manifest.body, image.manifest);
    for bytes in image.blobs() {
        let path = format!("/v2/team/crane/blobs/{}", sha256(bytes));
        assert_eq!(wire.send("GET", &path, &[AGENT], b"").await.expect(200).body, bytes);
    }

    let tags = wire.send("GET", "/v2/team/crane/tags/list?n=1000", &[AGENT], b"").await.expect(200);
    assert_eq!(tags.json()["tags"], serde_json::json!(["1"]));
    assert!(tags.headers.get("link").is_none(), "there is no second page: {tags:#?}");
    let catalog = wire.send("GET", "/v2/_catalog?n=1000", &[AGENT], b"").await.expect(200);
    assert_eq!(catalog.json()["repositories"], serde_json::json!(["team/crane"]));
}

#[tokio::test]
async fn crane_copies_by_mount() {
    let server = Server::start().await;
    let (wire, image) = (server.wire(), Image::new(22, 5_000));
    push_blob(&wire, "team/from", &image.layer).await;
    let digest = sha256(&image.layer);
    let json = ("content-type", "application/json");
    let mount = format!("/v2/team/to/blobs/uploads/?from=team%2Ffrom&mount={digest}&origin=127.0.0.1")
        .replace(':', "%3A");
    let mounted = wire.send("POST", &mount, &[AGENT, json], b"").await.expect(201);
    assert_eq!(mounted.location(), format!("/v2/team/to/blobs/{digest}"));

    // A source that is not there: an upload begins instead.
    let missing = mount.replace("team%2Ffrom", "team%2Fnowhere").replace("team/to", "team/other");
    let begun = wire.send("POST", &missing, &[AGENT, json], b"").await.expect(202);
    assert!(begun.location().starts_with("/v2/team/other/blobs/uploads/"), "{begun:#?}");
}
