//! Goal: `/v2/` says that this is a registry, and what is not there says so in a registry's words
//! . Method: the real dispatch over memory, a transcript.

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use tower::ServiceExt as _;

use super::exchange::{Transcript, ask, assert_error, plain};
use crate::support::{Answer, Client, Registry};

#[tokio::test]
async fn base_is_a_registry() {
    let client = Registry::default().open().await;
    for path in ["/v2/", "/v2"] {
        for method in ["GET", "HEAD"] {
            let answer = plain(&client, method, path).await;
            assert_eq!(answer.status, 200, "{method} {path}");
            assert_eq!(answer.header("content-type"), "application/json");
        }
    }
}

#[tokio::test]
async fn base_answers() {
    let client = Registry::default().open().await;
    let mut transcript = Transcript::new(&client);
    for (method, path) in [
        ("GET", "/v2/"),
        ("HEAD", "/v2/"),
        ("POST", "/v2/"),
        ("OPTIONS", "/v2/"),
        ("GET", "/v2/app"),
        ("GET", "/v2/app/unknown/x"),
        ("FOO", "/v2/app/manifests/x"),
        ("PUT", "/v2/app/tags/list"),
        ("POST", "/v2/app/referrers/x"),
        ("GET", "/v2/app/blobs/uploads/"),
        ("POST", "/v2/app/blobs/sha256:x"),
        ("DELETE", "/v2/_catalog"),
    ] {
        transcript.plain(method, path).await;
    }
    insta::assert_snapshot!(transcript.text());
}

#[tokio::test]
async fn an_image_goes_in_and_out() {
    let client = Registry::default().open().await;
    let (manifest, digest) = client.push_image("team/app", "v1", b"layer").await;
    let answer = plain(&client, "GET", "/v2/team/app/manifests/v1").await;
    assert_eq!((answer.status.as_u16(), answer.header("docker-content-digest")), (200, digest.as_str()));
    assert_eq!(answer.body, manifest.to_string().as_bytes());
    assert_eq!(client.get("/v2/team/app/tags/list").await.json()["tags"][0], "v1");
    for layer in [&manifest["config"], &manifest["layers"][0]] {
        let path = format!("/v2/team/app/blobs/{}", layer["digest"].as_str().unwrap());
        assert_eq!(plain(&client, "GET", &path).await.status, 200);
    }
}

#[tokio::test]
async fn queries_that_cannot_be_read_are_refused() {
    let client = Registry::default().open().await;
    client.push_image("app", "v1", b"layer").await;
    for query in ["n=%ff", "%ff=1", "n=1&n=2", "ns=a&ns=b", "last=a&last=b"] {
        let answer = plain(&client, "GET", &format!("/v2/app/tags/list?{query}")).await;
        assert_error(&answer, 400, "UNSUPPORTED");
    }
    let many = format!("/v2/app/tags/list?{}", "a&".repeat(1025));
    assert_error(&plain(&client, "GET", &many).await, 414, "UNSUPPORTED");
    // What nobody has defined means nothing.
    let answer = plain(&client, "GET", "/v2/app/tags/list?foo=bar&&=&n=5&n=5").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn requests_have_ids_of_their_own() {
    let client = Registry::default().open().await;
    let (one, two) = (client.get("/v2/").await, client.get("/v2/").await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
}

async fn page(client: &Client, path: &str) -> (StatusCode, String) {
    let router = client.0.router(Router::new());
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = Answer::of(router.oneshot(request).await.unwrap()).await;
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn health_follows_draining() {
    let client = Registry::default().open().await;
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(page(&client, path).await.0, 200, "{path}");
    }
    client.0.drain();
    assert_eq!(page(&client, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()));
    for path in ["/livez", "/startupz", "/v2/"] {
        assert_eq!(page(&client, path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_api_is_not_found() {
    let client = Registry::default().open().await;
    for path in ["/", "/v1/", "/v2x", "/metrics", "/v3/app/tags/list"] {
        let answer = client.get(path).await;
        assert_error(&answer, 404, "UNSUPPORTED");
        assert!(!answer.headers.contains_key("docker-distribution-api-version"), "{path}");
    }
}

#[tokio::test]
async fn headers_of_a_client_change_nothing() {
    let client = Registry::default().open().await;
    client.push_image("app", "v1", b"layer").await;
    let headers = [
        ("accept-encoding", "zstd, gzip"),
        ("origin", "x"),
        ("expect", "100-continue"),
        ("range", "bytes=0-1"),
    ];
    let answer = ask(&client, "GET", "/v2/app/tags/list", &headers, Body::empty()).await;
    assert_eq!((answer.status.as_u16(), answer.json()["tags"][0].as_str()), (200, Some("v1")));
}
