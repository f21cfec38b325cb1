//! Goal: what was deleted is gone at once, and nothing else is (R-114 to R-125, T-140 to T-148).
//! Method: the real dispatch over memory, a transcript.

use serde_json::json;

use super::exchange::{Transcript, ask, assert_error, plain};
use super::manifests::{IMAGE, push_parts, small};
use crate::support::{Registry, index, sha256};

#[tokio::test]
async fn delete_answers() {
    let client = Registry::default().open().await;
    let (manifest, digest) = client.push_image("app", "v1", b"layer").await;
    let list = index(&[(&digest, manifest.to_string().len())]);
    client.push_manifest("app", "list", &list).await;
    let (layer, list_digest) = (sha256(b"layer"), sha256(list.to_string().as_bytes()));
    let mut transcript = Transcript::new(&client);
    for path in [
        format!("/v2/app/blobs/{layer}"),
        format!("/v2/app/manifests/{digest}"),
        "/v2/app/manifests/list".to_owned(),
        format!("/v2/app/manifests/{list_digest}"),
        format!("/v2/app/manifests/{digest}"),
        format!("/v2/app/blobs/{layer}"),
        format!("/v2/app/blobs/{layer}"),
        format!("/v2/app/manifests/{digest}"),
        "/v2/app/manifests/v1".to_owned(),
        "/v2/never/manifests/v1".to_owned(),
    ] {
        transcript.plain("DELETE", &path).await;
    }
    insta::assert_snapshot!(transcript.text());
}

#[tokio::test]
async fn a_manifest_goes_with_all_its_tags() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    for tag in ["one", "two", "three"] {
        client.push_manifest("app", tag, &small()).await;
    }
    let mut other = small();
    other["annotations"] = json!({"a": "b"});
    client.push_manifest("app", "other", &other).await;
    // A tag that has moved away does not go with what it pointed at.
    client.push_manifest("app", "three", &other).await;
    let digest = sha256(small().to_string().as_bytes());
    assert_eq!(plain(&client, "DELETE", &format!("/v2/app/manifests/{digest}")).await.status, 202);
    for gone in [digest.as_str(), "one", "two"] {
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = plain(&client, method, &format!("/v2/app/manifests/{gone}")).await;
            assert_error(&answer, 404, "MANIFEST_UNKNOWN");
        }
    }
    assert_eq!(plain(&client, "GET", "/v2/app/tags/list").await.json()["tags"], json!(["other", "three"]));
    assert_eq!(plain(&client, "GET", "/v2/app/manifests/three").await.body, other.to_string());
}

#[tokio::test]
async fn a_tag_goes_alone() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    for tag in ["one", "two"] {
        client.push_manifest("app", tag, &small()).await;
    }
    assert_eq!(plain(&client, "DELETE", "/v2/app/manifests/one").await.status, 202);
    assert_error(&plain(&client, "DELETE", "/v2/app/manifests/one").await, 404, "MANIFEST_UNKNOWN");
    assert_error(&plain(&client, "GET", "/v2/app/manifests/one").await, 404, "MANIFEST_UNKNOWN");
    let digest = sha256(small().to_string().as_bytes());
    for kept in [digest.as_str(), "two"] {
        assert_eq!(plain(&client, "GET", &format!("/v2/app/manifests/{kept}")).await.status, 200, "{kept}");
    }
    assert_eq!(plain(&client, "GET", "/v2/app/tags/list").await.json()["tags"], json!(["two"]));
}

#[tokio::test]
async fn p3_what_a_manifest_needs_is_not_deleted() {
    let client = Registry::default().open().await;
    let (manifest, child) = client.push_image("app", "v1", b"layer").await;
    let list = index(&[(&child, manifest.to_string().len())]);
    client.push_manifest("app", "list", &list).await;
    for path in [format!("/v2/app/manifests/{child}"), format!("/v2/app/blobs/{}", sha256(b"layer"))] {
        let answer = plain(&client, "DELETE", &path).await;
        assert_error(&answer, 405, "UNSUPPORTED");
        assert_eq!(answer.header("allow"), "GET, HEAD", "RFC 9110 §15.5.6 wants it of every 405");
        assert_eq!(plain(&client, "GET", &path).await.status, 200);
    }
    // The tags of the child are still there too: nothing was half done.
    assert_eq!(plain(&client, "GET", "/v2/app/manifests/v1").await.status, 200);
    for reference in [sha256(list.to_string().as_bytes()), child] {
        assert_eq!(plain(&client, "DELETE", &format!("/v2/app/manifests/{reference}")).await.status, 202);
    }
    assert_eq!(plain(&client, "DELETE", &format!("/v2/app/blobs/{}", sha256(b"layer"))).await.status, 202);
}

#[tokio::test]
async fn what_was_deleted_can_be_pushed_again() {
    let client = Registry::default().open().await;
    for _ in 0..3 {
        let (_, digest) = client.push_image("app", "v1", b"layer").await;
        assert_eq!(plain(&client, "GET", "/v2/app/manifests/v1").await.status, 200);
        assert_eq!(plain(&client, "DELETE", &format!("/v2/app/manifests/{digest}")).await.status, 202);
        for blob in [&b"layer"[..], b"{}"] {
            let path = format!("/v2/app/blobs/{}", sha256(blob));
            assert_eq!(plain(&client, "DELETE", &path).await.status, 202);
            assert_error(&plain(&client, "DELETE", &path).await, 404, "BLOB_UNKNOWN");
        }
        let put =
            ask(&client, "PUT", "/v2/app/manifests/v1", &[("content-type", IMAGE)], small().to_string())
                .await;
        assert_error(&put, 404, "MANIFEST_BLOB_UNKNOWN");
    }
}
