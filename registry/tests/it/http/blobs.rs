//! Goal: a blob comes out of its own repository as it went in, with the headers that clients rely
//! on (R-021 to R-037, T-026 to T-033). Method: the real dispatch over memory, a transcript, tables.

use axum::body::Body;

use super::exchange::{Transcript, ask, assert_error, plain, sha512};
use crate::support::{Registry, sha256};

#[tokio::test]
async fn blob_answers() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("team/app", b"hello, wharf").await;
    let path = format!("/v2/team/app/blobs/{digest}");
    let missing = format!("/v2/team/app/blobs/{}", sha256(b"missing"));
    let mut transcript = Transcript::new(&client);
    transcript.plain("GET", &path).await;
    transcript.plain("HEAD", &path).await;
    transcript.ask("GET", &path, &[("if-none-match", &format!("\"{digest}\""))], Body::empty()).await;
    transcript.plain("GET", &missing).await;
    transcript.plain("HEAD", &missing).await;
    transcript.plain("GET", "/v2/team/app/blobs/sha256:abc").await;
    transcript.plain("GET", "/v2/team/app/blobs/latest").await;
    transcript.plain("DELETE", &missing).await;
    transcript.plain("DELETE", &path).await;
    transcript.plain("GET", &path).await;
    insta::assert_snapshot!(transcript.text());
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let client = Registry::default().open().await;
    let (_, manifest) = client.push_image("app", "v1", b"layer").await;
    let paths = [
        format!("/v2/app/blobs/{}", sha256(b"layer")),
        format!("/v2/app/manifests/{manifest}"),
        "/v2/app/manifests/v1".to_owned(),
        format!("/v2/app/blobs/{}", sha256(b"missing")),
        "/v2/app/manifests/missing".to_owned(),
        "/v2/app/tags/list".to_owned(),
        format!("/v2/app/referrers/{manifest}"),
        "/v2/_catalog".to_owned(),
    ];
    for path in &paths {
        let (mut get, mut head) = (plain(&client, "GET", path).await, plain(&client, "HEAD", path).await);
        get.headers.remove("x-request-id");
        head.headers.remove("x-request-id");
        assert_eq!((get.status, get.headers), (head.status, head.headers), "{path}");
    }
}

#[tokio::test]
async fn p10_a_blob_is_read_through_its_own_repository_only() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("team/app", b"secret").await;
    client.push_image("team/other", "v1", b"layer").await;
    for name in ["team/other", "team", "team/app/sub", "never"] {
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = plain(&client, method, &format!("/v2/{name}/blobs/{digest}")).await;
            assert_error(&answer, 404, "BLOB_UNKNOWN");
        }
    }
    assert_eq!(plain(&client, "GET", &format!("/v2/team/app/blobs/{digest}")).await.body, "secret");
}

#[tokio::test]
async fn blob_and_manifest_are_two_things() {
    let client = Registry::default().open().await;
    let (_, manifest) = client.push_image("app", "v1", b"layer").await;
    assert_error(&plain(&client, "GET", &format!("/v2/app/blobs/{manifest}")).await, 404, "BLOB_UNKNOWN");
    let blob = sha256(b"layer");
    assert_error(&plain(&client, "GET", &format!("/v2/app/manifests/{blob}")).await, 404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn an_unchanged_blob_is_not_sent_again() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("app", b"blob").await;
    let path = format!("/v2/app/blobs/{digest}");
    for (tag, status) in [
        (format!("\"{digest}\""), 304),
        (format!("W/\"{digest}\""), 304),
        (format!("\"other\", \"{digest}\""), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
        (digest.clone(), 200),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&client, method, &path, &[("if-none-match", &tag)], Body::empty()).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {tag}");
            assert_eq!(answer.header("etag"), format!("\"{digest}\""), "{method} {tag}");
            assert_eq!(answer.body.is_empty(), method == "HEAD" || status == 304, "{method} {tag}");
        }
    }
    // What is not there is not unchanged.
    let missing = format!("/v2/app/blobs/{}", sha256(b"missing"));
    let answer = ask(&client, "GET", &missing, &[("if-none-match", "*")], Body::empty()).await;
    assert_error(&answer, 404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn p1_both_digests_of_the_same_bytes_lead_to_them() {
    let client = Registry::default().open().await;
    let (short, long) = (client.push_blob("app", b"bytes").await, sha512(b"bytes"));
    let answer = plain(&client, "GET", &format!("/v2/app/blobs/{long}")).await;
    assert_error(&answer, 404, "BLOB_UNKNOWN");
    let pushed = ask(&client, "POST", &format!("/v2/app/blobs/uploads/?digest={long}"), &[], "bytes").await;
    assert_eq!((pushed.status.as_u16(), pushed.header("docker-content-digest")), (201, long.as_str()));
    for digest in [&short, &long] {
        let answer = plain(&client, "GET", &format!("/v2/app/blobs/{digest}")).await;
        assert_eq!((answer.header("docker-content-digest"), &*answer.body), (digest.as_str(), &b"bytes"[..]));
    }
    assert_eq!(plain(&client, "DELETE", &format!("/v2/app/blobs/{short}")).await.status, 202);
    assert_eq!(plain(&client, "GET", &format!("/v2/app/blobs/{long}")).await.body, "bytes");
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("app", b"").await;
    let path = format!("/v2/app/blobs/{digest}");
    for method in ["GET", "HEAD"] {
        let answer = plain(&client, method, &path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, "0"), "{method}");
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn a_digest_may_be_percent_encoded() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("app", b"blob").await;
    let path = format!("/v2/app/blobs/{}", digest.replace(':', "%3A"));
    assert_eq!(plain(&client, "GET", &path).await.body, "blob");
}

#[tokio::test]
async fn malformed_digests_are_named_as_such() {
    let client = Registry::default().open().await;
    let hex = "a".repeat(63);
    for digest in [
        "sha256:".to_owned(),
        "sha256:XYZ".to_owned(),
        format!("sha256:{hex}"),
        format!("sha256:{hex}A"),
        format!("sha256:{hex}aa"),
        format!("SHA256:{hex}a"),
        format!("sha512:{hex}a"),
        format!("sha384:{hex}a"),
        format!("md5:{}", &hex[..32]),
        "foo+bar:abc".to_owned(),
        ":abc".to_owned(),
        "latest".to_owned(),
        format!("sha256:{hex}%20"),
        "x".repeat(5000),
    ] {
        for path in [format!("/v2/app/blobs/{digest}"), format!("/v2/app/referrers/{digest}")] {
            let answer = plain(&client, "GET", &path).await;
            assert_error(&answer, 400, "DIGEST_INVALID");
            assert!(answer.body.len() < 1000, "a stranger's text of any length: {}", answer.body.len());
        }
        let pushed = ask(&client, "POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), &[], "x").await;
        assert_error(&pushed, 400, "DIGEST_INVALID");
    }
}
