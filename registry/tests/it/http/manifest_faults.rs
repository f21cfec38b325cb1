//! Goal: what is no manifest, or not the one that was announced, is refused with the reason, and
//! leaves no manifest, no tag and no referrer (R-014, R-039, R-040, R-087, T-022, T-058 to T-071,
//! T-079). Method: a table of broken bodies over the real dispatch.

use axum::body::Body;
use serde_json::{Value, json};

use super::exchange::{Transcript, ask, assert_error, broken, plain};
use super::manifests::{IMAGE, INDEX, push_parts, small};
use crate::support::{Client, Registry, index, sha256};

/// Asserts that a push was refused, and that nothing of it is there.
async fn refused(client: &Client, content_type: &str, body: &[u8], status: u16, code: &str) {
    let digest = sha256(body);
    for reference in ["broken", digest.as_str()] {
        let path = format!("/v2/app/manifests/{reference}");
        let put = ask(client, "PUT", &path, &[("content-type", content_type)], body.to_vec()).await;
        let shown: String = String::from_utf8_lossy(body).chars().take(200).collect();
        assert_eq!((put.status.as_u16(), put.code().as_str()), (status, code), "{shown}: {put:?}");
        assert_error(&plain(client, "GET", &path).await, 404, "MANIFEST_UNKNOWN");
    }
    let tags = plain(client, "GET", "/v2/app/tags/list").await;
    assert_eq!(tags.json()["tags"], json!(["good"]));
}

async fn ready() -> Client {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    assert_eq!(client.push_manifest("app", "good", &small()).await.status, 201);
    client
}

/// Returns the small manifest with a change.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut manifest = small();
    match manifest.pointer_mut(pointer) {
        Some(at) => *at = value,
        None => manifest[pointer.trim_start_matches('/')] = value,
    }
    manifest.to_string().into_bytes()
}

#[tokio::test]
async fn p3_what_is_no_manifest_is_not_stored() {
    let client = ready().await;
    let good = small().to_string();
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"manifest\"".to_vec(),
        b"{}".to_vec(),
        b"not json".to_vec(),
        good.as_bytes()[..good.len() - 1].to_vec(),
        format!("{good}{good}").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        [b"\xff\xfe", good.as_bytes()].concat(),
        "[".repeat(10_000).into_bytes(),
        format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes(),
        good.replacen("\"layers\"", "\"layers\":[],\"layers\"", 1).into_bytes(),
        good.replacen("{", "{\"schemaVersion\":2,", 1).into_bytes(),
        with("/schemaVersion", json!(1)),
        with("/schemaVersion", json!("2")),
        with("/layers", Value::Null),
        with("/config", Value::Null),
        with("/manifests", json!([])),
        with("/layers/0/size", json!(-1)),
        with("/layers/0/size", json!(1.5)),
        with("/layers/0/size", json!(u64::MAX)),
        with("/layers/0/size", json!("5")),
        with("/layers/0/digest", json!("sha256:short")),
        with("/layers/0/digest", json!("../../etc/passwd")),
        with("/layers/0/digest", Value::Null),
        with("/layers/0/mediaType", json!("not a type")),
        with("/layers/0", json!({})),
        with("/annotations", json!({"a": 1})),
        with("/artifactType", json!(7)),
        with("/subject", json!("sha256:abc")),
        with("/subject", json!({"mediaType": IMAGE, "digest": "sha256:abc", "size": 1})),
    ];
    for body in bodies {
        refused(&client, IMAGE, &body, 400, "MANIFEST_INVALID").await;
    }
}

#[tokio::test]
async fn a_type_that_does_not_fit_is_refused() {
    let client = ready().await;
    let body = with("/annotations", json!({"a": "b"}));
    for content_type in [
        INDEX,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/json",
        "text/html",
        "manifest",
        "",
        "a/b/c",
    ] {
        refused(&client, content_type, &body, 400, "MANIFEST_INVALID").await;
    }
    // An index by its type that has layers as well: two readers would read two things.
    let mut both = index(&[]);
    both["layers"] = json!([]);
    refused(&client, INDEX, both.to_string().as_bytes(), 400, "MANIFEST_INVALID").await;
    let untyped = with("/mediaType", Value::Null);
    let put = ask(&client, "PUT", "/v2/app/manifests/broken", &[], untyped).await;
    assert_error(&put, 400, "MANIFEST_INVALID");
}

#[tokio::test]
async fn p3_what_is_referred_to_has_to_be_here() {
    let client = ready().await;
    let elsewhere = client.push_blob("other", b"elsewhere").await;
    let missing = sha256(b"missing");
    let layer = |digest: &str| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": 7});
    let mut manifest = small();
    manifest["layers"] = json!([layer(&missing), layer(&sha256(b"layer")), layer(&elsewhere)]);
    let body = manifest.to_string();
    refused(&client, IMAGE, body.as_bytes(), 404, "MANIFEST_BLOB_UNKNOWN").await;
    let put = ask(&client, "PUT", "/v2/app/manifests/broken", &[("content-type", IMAGE)], body).await;
    let named: Vec<Value> = put.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["detail"]["digest"].clone())
        .collect();
    assert_eq!(named, [json!(missing), json!(elsewhere)], "each missing one is named, in order");
    refused(&client, INDEX, index(&[(&missing, 7)]).to_string().as_bytes(), 404, "MANIFEST_BLOB_UNKNOWN")
        .await;
    // When they are here, the same bytes are taken.
    client.push_blob("app", b"missing").await;
    client.push_blob("app", b"elsewhere").await;
    assert_eq!(client.push_manifest("app", "whole", &manifest).await.status, 201);
}

#[tokio::test]
async fn p3_a_digest_that_is_not_the_bodys_is_refused() {
    let client = ready().await;
    let (body, wrong) = (with("/annotations", json!({"a": "b"})), sha256(b"something else"));
    let (good, typed) = (sha256(small().to_string().as_bytes()), [("content-type", IMAGE)]);
    for digest in [&wrong, &good] {
        let path = format!("/v2/app/manifests/{digest}?tag=broken");
        let put = ask(&client, "PUT", &path, &typed, body.clone()).await;
        assert_error(&put, 400, "DIGEST_INVALID");
    }
    for absent in [wrong, sha256(&body), "broken".to_owned()] {
        assert_error(
            &plain(&client, "GET", &format!("/v2/app/manifests/{absent}")).await,
            404,
            "MANIFEST_UNKNOWN",
        );
    }
    let intact = plain(&client, "GET", &format!("/v2/app/manifests/{good}")).await;
    assert_eq!(intact.body, small().to_string());
}

#[tokio::test]
async fn p3_a_body_that_breaks_off_is_no_manifest() {
    let client = ready().await;
    let body = with("/annotations", json!({"a": "b"}));
    // Even when all of it came before the break.
    for came in [&body[..body.len() / 2], &body] {
        let put =
            ask(&client, "PUT", "/v2/app/manifests/broken", &[("content-type", IMAGE)], broken(came)).await;
        assert_error(&put, 400, "MANIFEST_INVALID");
        assert_error(&plain(&client, "GET", "/v2/app/manifests/broken").await, 404, "MANIFEST_UNKNOWN");
    }
}

#[tokio::test]
async fn p3_a_refused_push_lists_no_referrer() {
    let client = ready().await;
    let subject = sha256(b"subject");
    let mut manifest = small();
    manifest["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 1});
    manifest["layers"][0]["digest"] = json!(sha256(b"missing"));
    assert_error(&client.push_manifest("app", "broken", &manifest).await, 404, "MANIFEST_BLOB_UNKNOWN");
    let referrers = plain(&client, "GET", &format!("/v2/app/referrers/{subject}")).await;
    assert_eq!(referrers.json()["manifests"], json!([]));
}

#[tokio::test]
async fn tags_that_are_none_are_refused() {
    let client = ready().await;
    let long = "x".repeat(129);
    for tag in [".x", "-x", "a%20b", "%C3%A9", "a%5Cb", "", "a+b", "a%00", "..", long.as_str()] {
        for method in ["PUT", "GET", "DELETE"] {
            let path = format!("/v2/app/manifests/{tag}");
            let answer = ask(&client, method, &path, &[("content-type", IMAGE)], small().to_string()).await;
            assert_error(&answer, 400, "MANIFEST_INVALID");
        }
    }
    for digest in ["a:b", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:%2e%2e"] {
        let path = format!("/v2/app/manifests/{digest}");
        let answer = ask(&client, "PUT", &path, &[("content-type", IMAGE)], small().to_string()).await;
        assert_error(&answer, 400, "DIGEST_INVALID");
    }
    let longest = "x".repeat(128);
    assert_eq!(client.push_manifest("app", &longest, &small()).await.status, 201);
}

#[tokio::test]
async fn manifest_fault_answers() {
    let client = ready().await;
    let (typed, missing) = ([("content-type", IMAGE)], sha256(b"missing"));
    let mut transcript = Transcript::new(&client);
    for body in [
        b"{".to_vec(),
        with("/schemaVersion", json!(1)),
        with("/layers/0/size", json!(-1)),
        with("/layers/0/digest", json!(missing)),
        small().to_string().replacen("{", "{\"config\":{},", 1).into_bytes(),
    ] {
        transcript.ask("PUT", "/v2/app/manifests/broken", &typed, body).await;
    }
    transcript.ask("PUT", "/v2/app/manifests/broken", &[("content-type", INDEX)], small().to_string()).await;
    transcript
        .ask("PUT", "/v2/app/manifests/broken", &[("content-type", "text/html")], small().to_string())
        .await;
    transcript.ask("PUT", &format!("/v2/app/manifests/{missing}"), &typed, small().to_string()).await;
    transcript.ask("PUT", "/v2/app/manifests/broken", &typed, broken(b"{")).await;
    let length = [("content-type", IMAGE), ("content-length", "4194305")];
    transcript.ask("PUT", "/v2/app/manifests/broken", &length, Body::empty()).await;
    insta::assert_snapshot!(transcript.text());
}
