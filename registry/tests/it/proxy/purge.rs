//! Goal: a DELETE of what is cached makes the next pull fetch it again, and gives back what nothing else needs;
//! of what is hosted it means what it always does.
//! Method: an origin, one delete of each kind, and what is asked afterwards.

use sim::origin::SeededImage;

use super::bench::{Bench, REPO, blob_path, manifest_path};

async fn cached() -> (Bench, SeededImage) {
    let bench = Bench::with(|options| {
        options.manifest_check_interval = std::time::Duration::from_secs(3600);
        options.negative_ttl = std::time::Duration::from_secs(3600);
    })
    .await;
    let made = bench.image("v1", &[1000, 100_000], 1);
    pull(&bench, &made).await;
    (bench, made)
}

/// Pulls the image, and returns how often the origin was asked.
async fn pull(bench: &Bench, made: &SeededImage) -> usize {
    let mark = bench.origin.journal().mark();
    assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 200);
    for blob in made.blobs() {
        assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    bench.asked_since(mark).len()
}

async fn delete(bench: &Bench, path: &str) -> u16 {
    bench.client.call("DELETE", path, &[], "").await.status.as_u16()
}

#[tokio::test]
async fn what_is_purged_is_fetched_again() {
    let (bench, made) = cached().await;
    let blobs = made.blobs().count();
    assert_eq!(pull(&bench, &made).await, 0);
    for (path, again) in [
        (manifest_path("v1"), 1),
        // The tag is found there, and with it the manifest; its blobs had gone with it.
        (manifest_path(&made.manifest.digest), 1 + blobs),
        (blob_path(&made.layers[0].digest), 1),
        (format!("/v2/{REPO}/_wharfinger/cache"), 1 + blobs),
    ] {
        assert_eq!(delete(&bench, &path).await, 202, "{path}");
        assert_eq!(pull(&bench, &made).await, again, "{path}");
        assert_eq!(pull(&bench, &made).await, 0, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_cached_is_unknown() {
    let (bench, made) = cached().await;
    let nowhere = sim::digest::Digest::of(sim::digest::Algorithm::Sha256, b"nowhere");
    for path in [
        manifest_path("v2"),
        manifest_path(&nowhere),
        blob_path(&nowhere),
        "/v2/team/other/_wharfinger/cache".to_owned(),
    ] {
        assert_eq!(delete(&bench, &path).await, 404, "{path}");
    }
    assert_eq!(pull(&bench, &made).await, 0, "nothing else has gone");
    assert_eq!(bench.client.call("GET", &format!("/v2/{REPO}/_wharfinger/cache"), &[], "").await.status, 405);
}

#[tokio::test]
async fn what_is_hosted_is_deleted_and_what_was_cached_of_the_name_stays_where_it_is() {
    let (bench, _) = cached().await;
    let (_, digest) = bench.client.push_image("own/app", "v1", b"layer").await;
    assert_eq!(delete(&bench, "/v2/own/app/_wharfinger/cache").await, 404, "a hosted name has no cache");
    assert_eq!(delete(&bench, &format!("/v2/own/app/manifests/{digest}")).await, 202);
    assert_eq!(delete(&bench, &format!("/v2/own/app/manifests/{digest}")).await, 404);
}

/// What another repository or a push needs of the same bytes stays.
#[tokio::test]
async fn p2_a_purge_takes_nothing_from_others() {
    let (bench, made) = cached().await;
    let layer = bench.origin.content(&made.layers[1].digest).unwrap();
    bench.client.push_image("own/app", "v1", &layer).await;
    assert_eq!(delete(&bench, &format!("/v2/{REPO}/_wharfinger/cache")).await, 202);
    bench.running.stop().await;
    let answer = bench.client.get(&format!("/v2/own/app/blobs/{}", made.layers[1].digest)).await;
    assert!(answer.status == 200 && answer.body == layer, "{}", answer.status);
    assert_eq!(bench.client.get(&blob_path(&made.layers[1].digest)).await.status, 502);
}
