//! Goal: a push that builds on an upstream's layers is taken, whole. Method: what a docker client
//! does: it asks whether a layer is there, and does not push one that is.

use super::bench::{Bench, REPO, blob_path, head, manifest_path};
use crate::support;

#[tokio::test]
async fn a_push_may_build_on_layers_that_an_upstream_has() {
    let bench = Bench::new().await;
    let base = bench.image("base", &[200_000], 7);
    let layer = base.layers[0].digest.to_string();
    assert_eq!(head(&bench.client, &blob_path(&layer)).await.status, 200, "the client will not push it");
    let config = bench.client.push_blob(REPO, b"{}").await;
    let manifest = support::image(&[(&config, 2)], &[(&layer, 200_000)]);
    let pushed = bench.client.push_manifest(REPO, "mine", &manifest).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    bench.running.stop().await;
    let pulled = bench.client.get(&blob_path(&layer)).await;
    assert_eq!((pulled.status.as_u16(), pulled.cut), (200, false), "p3: what a manifest needs is hosted");
    assert_eq!(pulled.body, bench.origin.content(&base.layers[0].digest).unwrap());
    assert_eq!(bench.client.get(&manifest_path("base")).await.status, 404, "the name is hosted now");
}

#[tokio::test]
async fn an_index_may_list_images_that_were_pulled() {
    let bench = Bench::new().await;
    let base = bench.image("base", &[1_000], 8);
    let answer = bench.client.get(&manifest_path("base")).await;
    let digest = answer.header("docker-content-digest").to_owned();
    let index = support::index(&[(&digest, answer.body.len())]);
    let pushed = bench.client.push_manifest(REPO, "all", &index).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    bench.running.stop().await;
    assert_eq!(bench.client.get(&manifest_path(&digest)).await.body, answer.body);
    for blob in base.blobs() {
        assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200, "{}", blob.digest);
    }
}

#[tokio::test]
async fn an_index_of_several_images_comes_whole_or_leaves_the_name_as_it_was() {
    let bench = Bench::new().await;
    let images = [bench.image("a", &[70_000], 1), bench.image("b", &[80_000], 2)];
    let mut children = Vec::new();
    for tag in ["a", "b"] {
        let answer = bench.client.get(&manifest_path(tag)).await;
        children.push((answer.header("docker-content-digest").to_owned(), answer.body.len()));
    }
    let absent = support::sha256(b"nobody has this");
    let mut broken: Vec<(&str, usize)> =
        children.iter().map(|(digest, len)| (digest.as_str(), *len)).collect();
    broken.push((&absent, 7));
    let pushed = bench.client.push_manifest(REPO, "all", &support::index(&broken)).await;
    assert_eq!(pushed.status, 404, "{pushed:?}");
    let pulled = bench.client.get(&manifest_path("a")).await;
    assert_eq!(pulled.status, 200, "a refused push hosts nothing: {pulled:?}");
    let pushed = bench.client.push_manifest(REPO, "all", &support::index(&broken[..2])).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    bench.running.stop().await;
    for blob in images.iter().flat_map(sim::origin::SeededImage::blobs) {
        assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200, "p3: {}", blob.digest);
    }
}

#[tokio::test]
async fn what_no_upstream_has_is_named_and_a_broken_upstream_is_told() {
    let bench = Bench::new().await;
    let config = bench.client.push_blob(REPO, b"{}").await;
    let missing = support::sha256(b"nobody has this");
    let manifest = support::image(&[(&config, 2)], &[(&missing, 15)]);
    let pushed = bench.client.push_manifest(REPO, "mine", &manifest).await;
    assert_eq!((pushed.status.as_u16(), pushed.code().as_str()), (404, "MANIFEST_BLOB_UNKNOWN"));
    assert_eq!(pushed.json()["errors"][0]["detail"]["digest"], missing);
    bench.running.stop().await;
    let pushed = bench.client.push_manifest(REPO, "mine", &manifest).await;
    assert_eq!(pushed.status, 502, "p8: nobody knows whether it is there");
    let catalog = bench.client.get("/v2/_catalog").await;
    assert_eq!(catalog.json()["repositories"], serde_json::json!([]), "nothing was stored");
}

/// Away, it has nothing to lend: the client sends all of it.
#[tokio::test]
async fn p7_a_push_to_a_new_name_needs_no_upstream() {
    let bench = Bench::new().await;
    bench.running.stop().await;
    let layer = support::sha256(b"layer");
    assert_eq!(head(&bench.client, &blob_path(&layer)).await.status, 404);
    bench.client.push_image(REPO, "mine", b"layer").await;
    assert_eq!(bench.client.get(&manifest_path("mine")).await.status, 200);
}

#[tokio::test]
async fn a_layer_is_mounted_from_a_repository_that_is_only_cached() {
    let bench = Bench::new().await;
    let base = bench.image("base", &[70_000], 7);
    let layer = &base.layers[0].digest;
    let mount = format!("/v2/own/app/blobs/uploads/?mount={layer}&from={REPO}");
    assert_eq!(bench.client.call("POST", &mount, &[], "").await.status, 202, "it is not here");
    assert_eq!(bench.client.get(&blob_path(layer)).await.status, 200);
    assert_eq!(bench.client.call("POST", &mount, &[], "").await.status, 201);
    bench.running.stop().await;
    assert_eq!(bench.client.get(&format!("/v2/own/app/blobs/{layer}")).await.status, 200);
}
