//! Goal: what is no manifest, or not the one asked for, is a 502 and is not kept; what an upstream
//! says of a digest is not repeated. Method: faults of the origin, and then the same pull without.

use serde_json::json;
use sim::fault::{At, DigestHeader, Fault, ORIGIN_WORDS, Selector};
use wharfinger::clock::Clock;

use super::bench::{Bench, NAME, manifest_path, registry, upstream};
use super::scripted::{Scripted, response};
use crate::support::sha256;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

#[tokio::test]
async fn p1_a_wrong_manifest_is_a_502_and_is_not_kept() {
    for fault in [
        Fault::Html,
        Fault::ContentType { value: "text/html".to_owned() },
        Fault::ContentType { value: "application/octet-stream".to_owned() },
        Fault::ContentType { value: "application/vnd.oci.image.index.v1+json".to_owned() },
        Fault::Corrupt { at: At::Percent(50) },
        Fault::Truncate { at: At::Percent(50) },
        Fault::Reset { at: At::Percent(50) },
        Fault::ContentLength { delta: -1 },
        Fault::ContentLength { delta: 1 },
    ] {
        for by_digest in [false, true] {
            let bench = Bench::new().await;
            let image = bench.image("v1", &[10], 1);
            let digest = image.manifest.digest.to_string();
            let path = manifest_path(if by_digest { digest.as_str() } else { "v1" });
            let guard = bench.origin.install(Selector::any("*/manifests/*").suffer(fault.clone()));
            let answer = bench.client.get(&path).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (502, "UNKNOWN"),
                "{fault:?} {path}"
            );
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            assert!(text.contains(NAME) && !text.contains(ORIGIN_WORDS), "P8: {text}");
            assert_eq!(guard.fired(), 1, "{fault:?}");
            drop(guard);
            let catalog = bench.client.get("/v2/_catalog").await;
            let none = serde_json::json!([]);
            assert_eq!(catalog.json()["repositories"], none, "{fault:?}: something was stored");
            let healed = bench.client.get(&path).await;
            assert_eq!((healed.status.as_u16(), healed.header("docker-content-digest")), (200, &*digest));
            assert_eq!(bench.asked(), vec![format!("GET {path}"); 2]);
        }
    }
}

#[tokio::test]
async fn p7_a_wrong_manifest_does_not_replace_the_cached_one() {
    let bench = Bench::new().await;
    let old = bench.image("v1", &[10], 1).manifest.digest.to_string();
    assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 200);
    bench.image("v1", &[10], 2);
    for fault in [Fault::Html, Fault::Corrupt { at: At::Percent(50) }] {
        let guard = bench.origin.install(Selector::get("*/manifests/*").suffer(fault));
        let answer = bench.client.get(&manifest_path("v1")).await;
        assert_eq!((answer.status.as_u16(), answer.header("docker-content-digest")), (200, &*old));
        assert!(answer.header("warning").starts_with("299 - "), "{answer:?}");
        assert_eq!(guard.fired(), 1);
    }
}

#[tokio::test]
async fn p1_another_manifest_than_the_one_asked_for_is_a_502() {
    let other = json!({"schemaVersion": 2, "mediaType": IMAGE, "layers": [],
        "config": {"mediaType": "application/x", "digest": sha256(b"{}"), "size": 2}});
    let sent = other.to_string().into_bytes();
    let (digest, asked_for) = (sha256(&sent), sha256(b"what was asked for"));
    // The header repeats what was asked for, as a confused mirror would.
    let headers = format!(
        "content-type: {IMAGE}\r\ncontent-length: {}\r\ndocker-content-digest: {asked_for}\r\n",
        sent.len()
    );
    let origin = Scripted::start(move |_| response(&headers, &sent)).await;
    let client = registry(vec![upstream(NAME, &[origin.url()])], &Clock::system()).await;
    for _ in 0..2 {
        let answer = client.get(&manifest_path(&asked_for)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UNKNOWN"));
    }
    assert_eq!(origin.heads().len(), 2, "nothing was kept");
    let by_tag = client.get(&manifest_path("v1")).await;
    assert_eq!(by_tag.status, 502, "its bytes do not have the digest that the header says");
    assert_eq!(
        client.get(&manifest_path(&digest)).await.status,
        200,
        "asked for by their own, they are right"
    );
    assert_eq!(client.get(&manifest_path(&asked_for)).await.status, 502);
}

#[tokio::test]
async fn manifests_that_end_early_without_a_length_are_not_manifests() {
    let whole = json!({"schemaVersion": 2, "mediaType": IMAGE, "layers": [],
        "config": {"mediaType": "application/x", "digest": sha256(b"{}"), "size": 2}})
    .to_string();
    for (sent, expect) in [(whole.as_str(), 200), (&whole[..whole.len() - 1], 502), ("", 502), ("{}", 502)] {
        let body = sent.as_bytes().to_vec();
        let headers = format!("content-type: {IMAGE}\r\nconnection: close\r\n");
        let origin = Scripted::start(move |_| response(&headers, &body)).await;
        let client = registry(vec![upstream(NAME, &[origin.url()])], &Clock::system()).await;
        assert_eq!(client.get(&manifest_path("v1")).await.status, expect, "{sent}");
    }
}

#[tokio::test]
async fn a_manifest_above_the_limit_is_a_502() {
    let bench = Bench::with(|options| options.manifest_bytes_max = 100).await;
    bench.image("v1", &[10], 1);
    let answer = bench.client.get(&manifest_path("v1")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UNKNOWN"));
}

#[tokio::test]
async fn a_false_digest_of_a_manifest_asked_for_by_digest_is_not_repeated() {
    let bench = Bench::new().await;
    let digest = bench.image("v1", &[10], 1).manifest.digest.to_string();
    let lie = Fault::DigestHeader { value: DigestHeader::False };
    let guard = bench.origin.install(Selector::any("*").suffer(lie));
    let answer = bench.client.get(&manifest_path(&digest)).await;
    assert_eq!((answer.status.as_u16(), answer.header("docker-content-digest")), (200, &*digest));
    assert_eq!(guard.fired(), 1);
}
