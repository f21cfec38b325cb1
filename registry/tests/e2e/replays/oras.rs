//! oras and helm: oras-go, replayed.
//!
//! It demands: 201 to a PUT of a whole blob; Docker-Content-Digest of a tag's HEAD; a Content-Length
//! that is true; `Accept-Ranges: bytes` if it is to seek; referrers with `n`, whose Link leads to the
//! same registry; a 404 to referrers would make it fall back to tags.

use serde_json::{Value, json};

use super::{Image, descriptor};
use crate::support::layout::{INDEX, MANIFEST, sha256};
use crate::support::server::Server;
use crate::support::wire::Wire;

const AGENT: (&str, &str) = ("user-agent", "oras/1.2.3");
const ACCEPT: (&str, &str) = (
    "accept",
    "application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.artifact.manifest.v1+json",
);
const SIGNATURE: &str = "application/vnd.example.signature";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

async fn push_blob(wire: &Wire, bytes: &[u8]) {
    let digest = sha256(bytes);
    wire.send("HEAD", &format!("/v2/charts/app/blobs/{digest}"), &[AGENT], b"").await.expect(404);
    let begun = wire.send("POST", "/v2/charts/app/blobs/uploads/", &[AGENT], b"").await.expect(202);
    let location = begun.location();
    let joint = if location.contains('?') { '&' } else { '?' };
    let put = format!("{location}{joint}digest={}", digest.replace(':', "%3A"));
    let octets = ("content-type", "application/octet-stream");
    wire.send("PUT", &put, &[AGENT, octets], bytes).await.expect(201);
}

/// Pushes a signature of `subject`, which the registry must say that it indexed, and returns its digest.
async fn sign(wire: &Wire, subject: &Value, number: u32) -> String {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SIGNATURE,
        "config": descriptor(EMPTY, b"{}"),
        "layers": [descriptor(EMPTY, b"{}")],
        "subject": subject,
        "annotations": {"number": number.to_string()},
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = sha256(&bytes);
    let path = format!("/v2/charts/app/manifests/{digest}");
    let put = wire.send("PUT", &path, &[AGENT, ("content-type", MANIFEST)], &bytes).await.expect(201);
    assert_eq!(put.header("oci-subject"), subject["digest"].as_str().unwrap());
    digest
}

#[tokio::test]
async fn oras_pushes_pulls_and_discovers() {
    // Small pages, to be followed: their size is the registry's, `n` is no part of the specification.
    let config = json!({"http": {"limits": {"maxReferrersPageBytes": "1KiB"}}});
    let server = Server::with(&config).await;
    let (wire, image) = (server.wire(), Image::new(41, 90_000));
    for bytes in image.blobs() {
        push_blob(&wire, bytes).await;
    }
    push_blob(&wire, b"{}").await;
    let tagged = "/v2/charts/app/manifests/1.0.0";
    wire.send("PUT", tagged, &[AGENT, ("content-type", MANIFEST)], &image.manifest).await.expect(201);

    let subject = descriptor(MANIFEST, &image.manifest);
    let head = wire.send("HEAD", tagged, &[AGENT, ACCEPT], b"").await.expect(200);
    assert_eq!(head.header("docker-content-digest"), subject["digest"].as_str().unwrap());
    assert_eq!(head.header("content-length"), image.manifest.len().to_string());
    let path = format!("/v2/charts/app/blobs/{}", sha256(&image.layer));
    let layer = wire.send("GET", &path, &[AGENT], b"").await.expect(200);
    assert_eq!(layer.header("accept-ranges"), "bytes");
    assert_eq!(layer.body, image.layer);

    let mut signatures = Vec::new();
    for number in 0..8 {
        signatures.push(sign(&wire, &subject, number).await);
    }
    signatures.sort();
    assert_eq!(discover(&wire, subject["digest"].as_str().unwrap()).await, signatures);
}

/// Follows the pages of referrers, of which there must be several, and returns their digests in order.
async fn discover(wire: &Wire, subject: &str) -> Vec<String> {
    let mut path = format!("/v2/charts/app/referrers/{subject}?artifactType={SIGNATURE}&n=1000");
    let mut found = Vec::new();
    for page_number in 1..=8 {
        let page = wire.send("GET", &path, &[AGENT, ("accept", INDEX)], b"").await.expect(200);
        assert_eq!(page.header("content-type"), INDEX);
        let manifests = page.json()["manifests"].as_array().unwrap().clone();
        assert!(manifests.iter().all(|manifest| manifest["artifactType"] == SIGNATURE), "{page:#?}");
        found.extend(manifests.iter().map(|manifest| manifest["digest"].as_str().unwrap().to_owned()));
        if page.headers.get("link").is_none() {
            assert!(page_number > 1, "no page was full: {page:#?}");
            found.sort();
            return found;
        }
        let link = page.header("link");
        let next = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        next.filter(|next| next.starts_with("/v2/"))
            .unwrap_or_else(|| panic!("{link}"))
            .clone_into(&mut path);
    }
    panic!("the pages never end");
}
