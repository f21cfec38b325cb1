//! Goal: with `overlay` a name has what was pushed to it first, and an upstream's content for the rest; a tag that
//! was deleted stays deleted; without it, nothing of an upstream appears in a name that was pushed to.
//! Method: one origin, a name with something on either side.

use serde_json::json;
use sim::origin::{ImageSpec, SeededImage};

use super::bench::{Bench, REPO, blob_path, image, manifest_path};

async fn overlaid() -> (Bench, SeededImage, String) {
    let bench = Bench::with(|options| options.overlay = true).await;
    let theirs = bench.image("v1", &[1000, 100_000], 1);
    bench.image("both", &[10], 2);
    let (_, ours) = bench.client.push_image(REPO, "mine", b"layer").await;
    bench.client.push_image(REPO, "both", b"other").await;
    (bench, theirs, ours)
}

async fn status(bench: &Bench, method: &str, path: &str) -> u16 {
    bench.client.call(method, path, &[], "").await.status.as_u16()
}

async fn tags(bench: &Bench) -> serde_json::Value {
    bench.client.get(&format!("/v2/{REPO}/tags/list")).await.json()["tags"].clone()
}

#[tokio::test]
async fn what_was_pushed_comes_first_and_the_upstream_has_the_rest() {
    let (bench, theirs, ours) = overlaid().await;
    assert_eq!(bench.client.get(&manifest_path("mine")).await.header("docker-content-digest"), ours);
    let answer = bench.client.get(&manifest_path("v1")).await;
    assert_eq!(answer.header("docker-content-digest"), theirs.manifest.digest.to_string());
    for blob in theirs.blobs() {
        assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    let both = bench.client.get(&manifest_path("both")).await;
    assert!(both.body.len() > 10 && bench.origin.journal().count("GET", &manifest_path("both")) == 0);
    assert_eq!(tags(&bench).await, json!(["both", "mine", "v1"]));
    // A push may build on what the upstream has.
    let manifest = answer.json();
    assert_eq!(bench.client.push_manifest(REPO, "derived", &manifest).await.status, 201);
    bench.running.stop().await;
    assert_eq!(status(&bench, "GET", &manifest_path("mine")).await, 200, "p7");
    let listed = bench.client.get(&format!("/v2/{REPO}/tags/list")).await;
    assert_eq!(listed.json()["tags"], json!(["both", "derived", "mine", "v1"]), "p7: as it was said before");
}

#[tokio::test]
async fn a_tag_that_was_deleted_stays_deleted() {
    let (bench, theirs, _) = overlaid().await;
    // Hosted over the upstream's, the upstream's alone, and by the manifest.
    assert_eq!(status(&bench, "DELETE", &manifest_path("both")).await, 202);
    assert_eq!(status(&bench, "GET", &manifest_path("v1")).await, 200);
    assert_eq!(status(&bench, "DELETE", &manifest_path("v1")).await, 202);
    for tag in ["both", "v1"] {
        assert_eq!(status(&bench, "GET", &manifest_path(tag)).await, 404, "{tag}");
        assert_eq!(status(&bench, "HEAD", &manifest_path(tag)).await, 404, "{tag}");
    }
    assert_eq!(tags(&bench).await, json!(["mine"]));
    assert_eq!(
        status(&bench, "GET", &manifest_path(&theirs.manifest.digest)).await,
        200,
        "its bytes are there"
    );
    // Until it is pushed again.
    bench.client.push_image(REPO, "v1", b"layer").await;
    assert_eq!(tags(&bench).await, json!(["mine", "v1"]));
    let (_, digest) = bench.client.push_image(REPO, "both", b"third").await;
    assert_eq!(status(&bench, "DELETE", &manifest_path(&digest)).await, 202);
    assert_eq!(status(&bench, "GET", &manifest_path("both")).await, 404, "with its manifest");
}

#[tokio::test]
async fn referrers_are_those_of_both_sides() {
    let (bench, theirs, _) = overlaid().await;
    let spec = ImageSpec {
        layers: vec![10],
        seed: 9,
        subject: Some(theirs.manifest.digest.clone()),
        artifact_type: Some("application/vnd.example".to_owned()),
        ..ImageSpec::default()
    };
    let about = bench.origin.seed_image(REPO, "about", &spec);
    let (mut manifest, _) = bench.client.push_image(REPO, "x", b"layer").await;
    manifest["subject"] = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": theirs.manifest.digest.to_string(),
        "size": theirs.manifest.size,
    });
    assert_eq!(bench.client.push_manifest(REPO, "signature", &manifest).await.status, 201);
    let path = format!("/v2/{REPO}/referrers/{}", theirs.manifest.digest);
    let listed = bench.client.get(&path).await.json()["manifests"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed.iter().any(|it| it["digest"] == about.manifest.digest.to_string()));
}

#[tokio::test]
async fn p10_without_it_nothing_of_an_upstream_appears() {
    let bench = Bench::new().await;
    image(&bench.origin, REPO, "v1", &[10], 1);
    bench.client.push_image(REPO, "mine", b"layer").await;
    assert_eq!(status(&bench, "GET", &manifest_path("v1")).await, 404);
    assert_eq!(tags(&bench).await, json!(["mine"]));
    assert!(bench.asked().is_empty());
}
