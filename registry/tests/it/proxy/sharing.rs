//! Goal (P4, P10): a blob of several repositories of one upstream is fetched once, and only who may have it from
//! the upstream gets it.
//! Method: one origin, the same bytes in two repositories, or in one; what it was asked for.

use sim::digest::Algorithm;
use sim::fault::{Fault, Selector};

use super::bench::{Bench, blob_path, head};

const OTHER: &str = "team/other";

fn path_of_other(digest: impl std::fmt::Display) -> String {
    format!("/v2/{OTHER}/blobs/{digest}")
}

#[tokio::test]
async fn p4_bytes_that_are_here_are_confirmed_and_not_fetched() {
    let bench = Bench::new().await;
    let (blob, bytes) = bench.blob(200_000, 1);
    bench.origin.seed_blob(OTHER, bytes.clone(), Algorithm::Sha256);
    assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200);
    let mark = bench.origin.journal().mark();
    for asked in [1, 0] {
        let mark = bench.origin.journal().mark();
        let answer = bench.client.get(&path_of_other(&blob.digest)).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
        assert_eq!(bench.asked_since(mark).len(), asked, "the second time it is linked");
    }
    assert_eq!(bench.asked_since(mark), [format!("HEAD {}", path_of_other(&blob.digest))]);
    bench.running.stop().await;
    assert_eq!(bench.client.get(&path_of_other(&blob.digest)).await.status, 200, "p7");
}

#[tokio::test]
async fn p10_bytes_that_are_here_are_not_shown_to_who_may_not_have_them() {
    let bench = Bench::new().await;
    let (blob, _) = bench.blob(200_000, 1);
    assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200);
    let path = path_of_other(&blob.digest);
    for _ in 0..2 {
        assert_eq!(bench.client.get(&path).await.status, 404);
        assert_eq!(head(&bench.client, &path).await.status, 404);
    }
    for status in [403, 500] {
        let fault = Fault::Status { status, retry_after: None };
        let _guard = bench.origin.install(Selector::any(&format!("/v2/{OTHER}/*")).suffer(fault));
        assert_ne!(bench.client.get(&path).await.status, 200, "{status}");
    }
}

/// Who follows another repository's fetch must not be told what the upstream said of that repository.
#[tokio::test(start_paused = true)]
async fn p8_what_another_repository_lacks_is_fetched_all_the_same() {
    for status in [404, 403] {
        let bench = Bench::new().await;
        let (blob, bytes) = bench.blob(200_000, 1);
        bench.origin.seed_blob(OTHER, bytes.clone(), Algorithm::Sha256);
        let path = blob_path(&blob.digest);
        let _late = bench.origin.install(Selector::get(&path).suffer(Fault::Latency { ms: 500 }));
        let refusal = Fault::Status { status, retry_after: None };
        let _refused = bench.origin.install(Selector::get(&path).suffer(refusal));
        let first = tokio::spawn({
            let (client, path) = (bench.client.clone(), path.clone());
            async move { client.get(&path).await }
        });
        super::bench::until("the fetch is under way", || bench.origin.journal().count("GET", &path) == 1)
            .await;
        let answer = bench.client.get(&path_of_other(&blob.digest)).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{status}: {}", answer.status);
        assert_eq!(first.await.unwrap().status.as_u16(), status);
    }
}

#[tokio::test]
async fn p4_bytes_that_are_on_their_way_are_followed() {
    let bench = Bench::new().await;
    let (blob, bytes) = bench.blob(600_000, 1);
    bench.origin.seed_blob(OTHER, bytes.clone(), Algorithm::Sha256);
    let slow = Fault::Drip { bytes: 64 * 1024, ms: 20 };
    let _guard = bench.origin.install(Selector::get("*/blobs/*").suffer(slow));
    let first = tokio::spawn({
        let (client, path) = (bench.client.clone(), blob_path(&blob.digest));
        async move { client.get(&path).await }
    });
    super::bench::until("the fetch is under way", || {
        bench.origin.journal().blob_bytes_sent(&blob.digest) > 0
    })
    .await;
    let others = (0..10).map(|_| {
        let (client, path) = (bench.client.clone(), path_of_other(&blob.digest));
        async move { client.get(&path).await }
    });
    for answer in futures_util::future::join_all(others).await {
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
    }
    assert!(first.await.unwrap().body == bytes);
    let counts = [blob_path(&blob.digest), path_of_other(&blob.digest)].map(|path| {
        (bench.origin.journal().count("GET", &path), bench.origin.journal().count("HEAD", &path))
    });
    assert_eq!(counts, [(1, 0), (0, 1)], "one fetch, and one question of the other repository");
}

#[tokio::test]
async fn bytes_that_are_not_confirmed_are_fetched() {
    let bench = Bench::new().await;
    let (blob, bytes) = bench.blob(200_000, 1);
    bench.origin.seed_blob(OTHER, bytes, Algorithm::Sha256);
    assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200);
    let heads = Selector { method: Some("HEAD".to_owned()), ..Selector::any("*") };
    let guard = bench.origin.install(heads.suffer(Fault::Status { status: 500, retry_after: None }));
    assert_eq!(bench.client.get(&path_of_other(&blob.digest)).await.status, 200);
    assert_eq!((guard.fired(), bench.origin.journal().blob_gets(&blob.digest)), (1, 2));
}
