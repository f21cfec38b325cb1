//! Goal: a pull brings the upstream's bytes, once, and asks no more than it must.
//! Method: cold and warm pulls; the origin's journal says what was asked.

use std::time::Duration;

use sim::digest::Algorithm;
use sim::fault::{DigestHeader, Fault, Selector};
use sim::origin::{ImageSpec, IndexSpec, Origin};
use wharfinger::clock::{Clock, Timestamp};

use super::bench::{Bench, NAME, REPO, blob_path, head, image, manifest_path, registry, serve, upstream};

#[tokio::test]
async fn a_cold_pull_brings_the_bytes_and_a_warm_one_asks_for_the_tag_only() {
    let bench = Bench::new().await;
    let image = bench.image("v1", &[0, 1, 64 * 1024, 64 * 1024 + 1, 700_000], 1);
    for round in 0..2 {
        let mark = bench.origin.journal().mark();
        let answer = bench.client.get(&manifest_path("v1")).await;
        assert_eq!((answer.status.as_u16(), answer.header("warning")), (200, ""));
        assert_eq!(answer.body, bench.origin.content(&image.manifest.digest).unwrap());
        assert_eq!(answer.header("docker-content-digest"), image.manifest.digest.to_string());
        assert_eq!(answer.header("content-type"), "application/vnd.oci.image.manifest.v1+json");
        for blob in image.blobs() {
            let answer = bench.client.get(&blob_path(&blob.digest)).await;
            assert_eq!((answer.status.as_u16(), answer.cut), (200, false), "{}", blob.size);
            assert_eq!(answer.header("content-length"), blob.size.to_string());
            assert_eq!(answer.header("docker-content-digest"), blob.digest.to_string());
            assert_eq!(answer.body, bench.origin.content(&blob.digest).unwrap(), "{}", blob.size);
        }
        let blobs = image.blobs().map(|blob| format!("GET {}", blob_path(&blob.digest)));
        let tag = |method: &str| format!("{method} {}", manifest_path("v1"));
        let expect: Vec<String> = match round {
            0 => [tag("GET")].into_iter().chain(blobs).collect(),
            _ => vec![tag("HEAD")],
        };
        assert_eq!(bench.asked_since(mark), expect, "round {round}");
    }
}

#[tokio::test]
async fn what_is_pulled_by_digest_is_never_asked_for_again() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let bench = Bench::new().await;
        let spec = ImageSpec { layers: vec![100_000], seed: 2, algorithm, ..ImageSpec::default() };
        let image = bench.origin.seed_image(REPO, "v1", &spec);
        let paths = [manifest_path(&image.manifest.digest), blob_path(&image.layers[0].digest)];
        for _ in 0..2 {
            for path in &paths {
                assert_eq!(bench.client.get(path).await.status, 200, "{path}");
                assert_eq!(head(&bench.client, path).await.status, 200, "{path}");
            }
        }
        assert_eq!(bench.asked(), paths.map(|path| format!("GET {path}")));
    }
}

#[tokio::test]
async fn a_head_of_a_cold_blob_transfers_and_stores_nothing() {
    let bench = Bench::new().await;
    let (blob, _) = bench.blob(100_000, 3);
    let path = blob_path(&blob.digest);
    for asked in 1..=2 {
        let answer = head(&bench.client, &path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, "100000"));
        assert_eq!(answer.header("docker-content-digest"), blob.digest.to_string());
        assert_eq!(bench.asked(), vec![format!("HEAD {path}"); asked], "nothing was kept");
    }
    assert_eq!(bench.origin.journal().blob_bytes_sent(&blob.digest), 0);
    bench.running.stop().await;
    assert_eq!(head(&bench.client, &path).await.status, 404, "who may push has to send it");
    assert_eq!(bench.client.get(&path).await.status, 502);
}

#[tokio::test]
async fn an_index_is_pulled_without_its_children() {
    let bench = Bench::new().await;
    let child = |seed| ImageSpec { layers: vec![1000], seed, ..ImageSpec::default() };
    let spec = IndexSpec { images: vec![child(1), child(2)], ..IndexSpec::default() };
    let index = bench.origin.seed_index(REPO, "multi", &spec);
    let answer = bench.client.get(&manifest_path("multi")).await;
    assert_eq!(answer.body, bench.origin.content(&index.manifest.digest).unwrap());
    assert_eq!(bench.asked(), [format!("GET {}", manifest_path("multi"))]);
    let child = manifest_path(&index.images[1].manifest.digest);
    assert_eq!(bench.client.get(&child).await.status, 200);
    assert_eq!(bench.asked()[1..], [format!("GET {child}")], "a child comes when it is asked for");
}

#[tokio::test]
async fn a_tag_that_moved_is_seen() {
    let bench = Bench::new().await;
    let old = bench.image("v1", &[10], 1).manifest.digest.to_string();
    assert_eq!(bench.client.get(&manifest_path("v1")).await.header("docker-content-digest"), old);
    let new = bench.image("v1", &[10], 2).manifest.digest.to_string();
    assert_ne!(old, new);
    for _ in 0..2 {
        let answer = bench.client.get(&manifest_path("v1")).await;
        assert_eq!((answer.header("docker-content-digest"), answer.header("warning")), (new.as_str(), ""));
    }
    let tag = |method: &str| format!("{method} {}", manifest_path("v1"));
    assert_eq!(bench.asked(), [tag("GET"), tag("HEAD"), tag("GET"), tag("HEAD")]);
    // What the tag was before can still be had.
    assert_eq!(bench.client.get(&manifest_path(&old)).await.status, 200);
}

#[tokio::test]
async fn within_the_check_interval_a_tag_is_not_asked_for() {
    let running = serve(&Origin::new()).await;
    let origin = running.origin();
    image(origin, REPO, "v1", &[10], 1);
    let mut options = upstream(NAME, &[&running.url()]);
    options.manifest_check_interval = Duration::from_secs(60);
    let clock = Clock::manual(Timestamp::from_millis(1_000_000));
    let client = registry(vec![options], &clock).await;
    let asked = async || {
        assert_eq!(client.get(&manifest_path("v1")).await.status, 200);
        origin.journal().mark()
    };
    let cold = asked().await;
    let first_check = asked().await;
    clock.advance(Duration::from_secs(59));
    assert_eq!(asked().await, first_check, "{cold}");
    clock.advance(Duration::from_secs(1));
    assert_eq!(asked().await, first_check + 1);
}

#[tokio::test]
async fn a_head_of_a_tag_is_answered_like_its_get() {
    let bench = Bench::new().await;
    let image = bench.image("v1", &[10], 1);
    for (reference, asked) in [("v1".to_owned(), 1), (image.manifest.digest.to_string(), 0)] {
        let mark = bench.origin.journal().mark();
        let answer = head(&bench.client, &manifest_path(&reference)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("docker-content-digest"), image.manifest.digest.to_string());
        assert_eq!(answer.header("content-length"), image.manifest.size.to_string());
        assert_eq!(bench.asked_since(mark).len(), asked, "{reference}");
    }
}

#[tokio::test]
async fn an_upstream_that_tells_no_digest_is_asked_again_and_believed_never() {
    for value in [DigestHeader::Missing, DigestHeader::Garbage] {
        let bench = Bench::new().await;
        let image = bench.image("v1", &[100_000], 1);
        let guard = bench.origin.install(Selector::any("*").suffer(Fault::DigestHeader { value }));
        let digest = image.manifest.digest.to_string();
        for round in 0..2 {
            let answer = bench.client.get(&manifest_path("v1")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("docker-content-digest")),
                (200, digest.as_str())
            );
            assert_eq!(answer.header("warning"), "", "round {round}");
        }
        let blob = &image.layers[0].digest;
        let answer = bench.client.get(&blob_path(blob)).await;
        assert_eq!((answer.status.as_u16(), answer.cut), (200, false));
        assert_eq!(answer.header("docker-content-digest"), blob.to_string());
        assert!(guard.fired() >= 4, "{value:?}");
    }
}

#[tokio::test]
async fn p1_a_tag_whose_bytes_do_not_fit_their_digest_is_not_taken() {
    let bench = Bench::new().await;
    let image = bench.image("v1", &[10], 1);
    let lie = Fault::DigestHeader { value: DigestHeader::False };
    let guard = bench.origin.install(Selector::any("*").suffer(lie));
    let answer = bench.client.get(&manifest_path("v1")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UNKNOWN"));
    // Of what is asked for by digest, that digest tells more.
    assert_eq!(bench.client.get(&manifest_path(&image.manifest.digest)).await.status, 200);
    drop(guard);
    assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 200);
}
