//! Goal (P11): an upstream gets to see nothing of a client. Method: a client that sends all it has,
//! and an origin that keeps every byte of the requests.

use axum::body::Body;
use wharfinger::clock::Clock;

use super::bench::{NAME, blob_path, manifest_path, registry, upstream};
use super::scripted::{Scripted, response};
use crate::support::sha256;

#[tokio::test]
async fn p11_nothing_of_a_client_goes_upstream() {
    let origin = Scripted::start(|_| response("content-length: 2\r\n", b"no")).await;
    let client = registry(vec![upstream(NAME, &[origin.url()])], &Clock::system()).await;
    let secrets = [
        ("authorization", "Bearer clients-own-secret"),
        ("proxy-authorization", "Basic Y2xpZW50czpzZWNyZXQ="),
        ("cookie", "session=clients-own-secret"),
        ("x-forwarded-for", "10.1.2.3"),
        ("referer", "https://clients-own-secret.example/"),
        ("accept", "application/clients-own-secret"),
        ("if-none-match", "\"clients-own-secret\""),
        ("range", "bytes=0-1"),
        ("user-agent", "clients-own-secret/1"),
    ];
    let digest = sha256(b"something");
    let paths = [manifest_path("v1"), manifest_path(&digest), blob_path(&digest)];
    for path in &paths {
        for method in ["GET", "HEAD"] {
            let query = format!("{path}?account=clients-own-secret&service=x");
            client.call(method, &query, &secrets, Body::empty()).await;
        }
    }
    let heads = origin.heads();
    assert_eq!(heads.len(), 6);
    for head in heads {
        let (request, fields) = head.split_once("\r\n").unwrap();
        assert!(!head.contains("secret") && !head.contains("Y2xpZW50"), "{head}");
        let path = request.split(' ').nth(1).unwrap();
        assert!(paths.iter().any(|it| it == path), "{request}");
        for field in fields.lines().filter(|field| !field.is_empty()) {
            let name = field.split(':').next().unwrap().to_lowercase();
            assert!(["host", "user-agent", "accept"].contains(&name.as_str()), "{field}");
        }
    }
}
