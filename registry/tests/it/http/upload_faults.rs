//! Goal: a push that goes wrong stores nothing, loses nothing, and says where to go on (R-041,
//! T-018 to T-026, T-085 to T-104). Method: tables over the real dispatch; bodies that
//! break off or never end.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::exchange::{Headers, ask, assert_error, broken, pieces, plain, sha512};
use super::uploads::{chunk, open, stands};
use crate::support::{Client, Registry, sha256};

/// Says whether the repository has a blob.
async fn has(client: &Client, digest: &str) -> bool {
    let answer = plain(client, "GET", &format!("/v2/app/blobs/{digest}")).await;
    assert!([200, 404].contains(&answer.status.as_u16()), "{answer:?}");
    answer.status == 200
}

#[tokio::test]
async fn p3_a_wrong_digest_leaves_nothing_and_breaks_nothing() {
    let client = Registry::default().open().await;
    let existing = client.push_blob("app", b"existing").await;
    let (claimed, real) = (sha256(b"claimed"), sha256(b"real"));
    for digest in [&claimed, &existing, &sha512(b"claimed")] {
        let one = ask(&client, "POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), &[], "real").await;
        assert_error(&one, 400, "DIGEST_INVALID");
        let at = open(&client, "app").await;
        assert_eq!(chunk(&client, &at, 0, b"re").await.status, 202);
        let end =
            ask(&client, "PUT", &format!("{at}?digest={digest}"), &[("content-range", "2-3")], "al").await;
        assert_error(&end, 400, "DIGEST_INVALID");
        // Its bytes can become nothing any more.
        assert_error(&plain(&client, "GET", &at).await, 404, "BLOB_UPLOAD_UNKNOWN");
    }
    for absent in [&claimed, &real, &sha512(b"claimed"), &sha512(b"real")] {
        assert!(!has(&client, absent).await, "{absent}");
    }
    assert_eq!(plain(&client, "GET", &format!("/v2/app/blobs/{existing}")).await.body, "existing");
}

#[tokio::test]
async fn a_digest_that_cannot_be_read_leaves_the_session_as_it_was() {
    let client = Registry::default().open().await;
    let (digest, other) = (sha256(b"bytes"), sha256(b"other"));
    let at = open(&client, "app").await;
    assert_eq!(chunk(&client, &at, 0, b"by").await.status, 202);
    let hex = "a".repeat(63);
    for query in [
        String::new(),
        "?digest=".to_owned(),
        "?digest=latest".to_owned(),
        "?digest=sha256:XYZ".to_owned(),
        format!("?digest=sha256:{hex}"),
        format!("?digest=sha256:{hex}A"),
        format!("?digest=sha384:{hex}"),
        "?digest=md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(),
        format!("?digest={digest}&digest={other}"),
        "?digest=..%2f..%2fetc%2fpasswd".to_owned(),
    ] {
        let answer = ask(&client, "PUT", &format!("{at}{query}"), &[], "tes").await;
        assert_error(&answer, 400, "DIGEST_INVALID");
        assert_eq!(stands(&client, &at).await, "0-1", "{query}");
    }
    let end = ask(&client, "PUT", &format!("{at}?digest={digest}&digest={digest}"), &[], "tes").await;
    assert_eq!(end.status, 201);
}

#[tokio::test]
async fn algorithms_that_are_not_known_are_refused_at_once() {
    let client = Registry::default().open().await;
    for algorithm in ["md5", "sha384", "SHA512", "", "sha512%20", &"x".repeat(5000)] {
        let path = format!("/v2/app/blobs/uploads/?digest-algorithm={algorithm}");
        let answer = plain(&client, "POST", &path).await;
        assert_error(&answer, 400, "DIGEST_INVALID");
        assert!(answer.body.len() < 1000, "{}", answer.body.len());
    }
}

#[tokio::test]
async fn a_content_range_that_cannot_be_true_changes_nothing() {
    let client = Registry::default().open().await;
    let at = open(&client, "app").await;
    assert_eq!(chunk(&client, &at, 0, b"01234").await.status, 202);
    let end = format!("{at}?digest={}", sha256(b"0123456789"));
    let cases: [(Headers<'_>, u16, &str); 12] = [
        (&[("content-range", "bytes 5-9/10")], 400, "BLOB_UPLOAD_INVALID"),
        (&[("content-range", "abc")], 400, "BLOB_UPLOAD_INVALID"),
        (&[("content-range", "9-5")], 400, "BLOB_UPLOAD_INVALID"),
        (&[("content-range", "-5")], 400, "BLOB_UPLOAD_INVALID"),
        (&[("content-range", "5-")], 400, "BLOB_UPLOAD_INVALID"),
        (&[("content-range", "+5-9")], 400, "BLOB_UPLOAD_INVALID"),
        (&[("content-range", "")], 400, "BLOB_UPLOAD_INVALID"),
        (&[("content-range", "0-18446744073709551615")], 400, "BLOB_UPLOAD_INVALID"),
        (&[("content-range", "5-99999999999999999999999")], 400, "BLOB_UPLOAD_INVALID"),
        (&[("content-range", "5-9"), ("content-length", "4")], 400, "SIZE_INVALID"),
        (&[("content-range", "5-10")], 400, "SIZE_INVALID"),
        (&[("content-range", "5-8")], 400, "SIZE_INVALID"),
    ];
    for (headers, status, code) in cases {
        for (method, path) in [("PATCH", &at), ("PUT", &end)] {
            let answer = ask(&client, method, path, headers, "56789").await;
            assert_error(&answer, status, code);
            assert_eq!(stands(&client, &at).await, "0-4", "{method} {headers:?}");
        }
    }
    assert_eq!(ask(&client, "PUT", &end, &[("content-range", "5-9")], "56789").await.status, 201);
}

#[tokio::test]
async fn a_length_that_is_not_that_of_the_body_changes_nothing() {
    let client = Registry::default().open().await;
    let at = open(&client, "app").await;
    for length in ["4", "6"] {
        let answer = ask(&client, "PATCH", &at, &[("content-length", length)], "56789").await;
        assert_error(&answer, 400, "SIZE_INVALID");
        assert_eq!(stands(&client, &at).await, "0--1", "{length}");
    }
    let digest = sha256(b"56789");
    let path = format!("/v2/app/blobs/uploads/?digest={digest}");
    let answer = ask(&client, "POST", &path, &[("content-length", "9")], "56789").await;
    assert_error(&answer, 400, "SIZE_INVALID");
    assert!(!has(&client, &digest).await);
}

#[tokio::test]
async fn p2_a_body_that_breaks_off_is_kept_as_far_as_it_came() {
    let client = Registry::default().open().await;
    let at = open(&client, "app").await;
    for (method, path, headers) in [
        ("PATCH", at.clone(), &[][..]),
        ("PATCH", at.clone(), &[("content-range", "3-9")][..]),
        ("PUT", format!("{at}?digest={}", sha256(b"012345678")), &[][..]),
    ] {
        let before = stands(&client, &at).await;
        let next = before.trim_start_matches("0-").parse::<i64>().unwrap() + 1;
        let bytes: String = (next..next + 3).map(|digit| digit.to_string()).collect();
        let answer = ask(&client, method, &path, headers, broken(bytes.as_bytes())).await;
        assert_error(&answer, 400, "BLOB_UPLOAD_INVALID");
        let after = format!("0-{}", next + 2);
        assert_eq!(
            (answer.header("location"), answer.header("range")),
            (at.as_str(), after.as_str()),
            "{method}"
        );
        assert_eq!(stands(&client, &at).await, after, "{method}");
    }
    let end = format!("{at}?digest={}", sha256(b"012345678."));
    assert_eq!(ask(&client, "PUT", &end, &[("content-range", "9-9")], ".").await.status, 201);
    // A single request that breaks off leaves no session that anybody knows, and no blob.
    let digest = sha256(b"half");
    let path = format!("/v2/app/blobs/uploads/?digest={digest}");
    let answer = ask(&client, "POST", &path, &[], broken(b"half")).await;
    assert_error(&answer, 400, "BLOB_UPLOAD_INVALID");
    assert!(!answer.headers.contains_key("location"));
    assert!(!has(&client, &digest).await);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_is_one_that_broke_off() {
    let mut registry = Registry::default();
    registry.http.read_idle_timeout = Duration::from_secs(5);
    let client = registry.open().await;
    let at = open(&client, "app").await;
    let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"abc"))]);
    let body = Body::from_stream(first.chain(futures_util::stream::pending()));
    let answer = ask(&client, "PATCH", &at, &[], body).await;
    assert_error(&answer, 400, "BLOB_UPLOAD_INVALID");
    assert_eq!(stands(&client, &at).await, "0-2");
}

#[tokio::test]
async fn p10_a_session_belongs_to_its_repository() {
    let client = Registry::default().open().await;
    let at = open(&client, "team/app").await;
    assert_eq!(ask(&client, "PATCH", &at, &[], "bytes").await.status, 202);
    for name in ["team/other", "team", "app"] {
        let elsewhere = at.replace("team/app", name);
        let end = format!("{elsewhere}?digest={}", sha256(b"bytes"));
        for (method, path) in
            [("GET", &elsewhere), ("PATCH", &elsewhere), ("PUT", &end), ("DELETE", &elsewhere)]
        {
            assert_error(&ask(&client, method, path, &[], "").await, 404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    assert_eq!(stands(&client, &at).await, "0-4");
}

#[tokio::test]
async fn p6_a_blob_beyond_the_limit_is_refused() {
    let mut registry = Registry::default();
    registry.http.blob_bytes_max = 8;
    let client = registry.open().await;
    let (fits, large) = (sha256(b"12345678"), sha256(b"123456789"));
    let one = |digest: &str| format!("/v2/app/blobs/uploads/?digest={digest}");
    let announced = ask(&client, "POST", &one(&large), &[("content-length", "9")], "123456789").await;
    assert_error(&announced, 413, "SIZE_INVALID");
    let streamed = ask(&client, "POST", &one(&large), &[], pieces(&[b"12345", b"6789"])).await;
    assert_error(&streamed, 413, "SIZE_INVALID");
    let at = open(&client, "app").await;
    assert_eq!(chunk(&client, &at, 0, b"1234").await.status, 202);
    let ranged =
        ask(&client, "PATCH", &at, &[("content-range", "4-8"), ("content-length", "5")], "56789").await;
    assert_error(&ranged, 413, "SIZE_INVALID");
    assert_error(&ask(&client, "PATCH", &at, &[], "56789").await, 413, "SIZE_INVALID");
    assert_eq!(stands(&client, &at).await, "0-3");
    assert!(!has(&client, &large).await);
    assert_eq!(ask(&client, "PUT", &format!("{at}?digest={fits}"), &[], "5678").await.status, 201);
}

#[tokio::test]
async fn p6_sessions_beyond_the_limit_are_refused() {
    let mut registry = Registry::default();
    registry.store.uploads_max = 2;
    let client = registry.open().await;
    let (first, _second) = (open(&client, "app").await, open(&client, "app").await);
    let refused = plain(&client, "POST", "/v2/app/blobs/uploads/").await;
    assert_error(&refused, 429, "TOOMANYREQUESTS");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(plain(&client, "DELETE", &first).await.status, 204);
    open(&client, "app").await;
}

/// Two requests that write to one session would mix their bytes.
#[tokio::test]
async fn one_request_at_a_time_writes_to_a_session() {
    let client = Registry::default().open().await;
    let at = open(&client, "app").await;
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let body = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok::<_, std::io::Error>);
    let first = tokio::spawn({
        let (client, at) = (client.clone(), at.clone());
        async move { ask(&client, "PATCH", &at, &[], Body::from_stream(body)).await }
    });
    // The second piece is taken when the first was, so by then the session is in the request's hands.
    sender.send(Bytes::from_static(b"01")).await.unwrap();
    sender.send(Bytes::from_static(b"23")).await.unwrap();
    sender.send(Bytes::from_static(b"45")).await.unwrap();
    for (method, path) in
        [("PATCH", at.clone()), ("PUT", format!("{at}?digest={}", sha256(b"x"))), ("DELETE", at.clone())]
    {
        let second = ask(&client, method, &path, &[], "x").await;
        assert_error(&second, 409, "BLOB_UPLOAD_INVALID");
        assert_eq!((second.header("location"), second.header("range")), (at.as_str(), "0--1"), "{method}");
        assert!(!second.header("retry-after").is_empty(), "{method}");
    }
    drop(sender);
    assert_eq!(first.await.unwrap().header("range"), "0-5");
    let end = format!("{at}?digest={}", sha256(b"012345"));
    assert_eq!(ask(&client, "PUT", &end, &[], Body::empty()).await.status, 201);
}

/// The bytes of a client that left are those of a session that goes on.
#[tokio::test]
async fn p2_a_client_that_leaves_can_come_back() {
    let client = Registry::default().open().await;
    let at = open(&client, "app").await;
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let body = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok::<_, std::io::Error>);
    let request = tokio::spawn({
        let (client, at) = (client.clone(), at.clone());
        async move { ask(&client, "PATCH", &at, &[], Body::from_stream(body)).await }
    });
    for piece in ["01", "23", "45"] {
        sender.send(Bytes::from_static(piece.as_bytes())).await.unwrap();
    }
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    // The work goes on until the body ends, which a connection that is gone makes it do.
    drop(sender);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while stands(&client, &at).await != "0-5" {
        assert!(tokio::time::Instant::now() < deadline, "the session did not settle");
        tokio::task::yield_now().await;
    }
    let end = format!("{at}?digest={}", sha256(b"0123456"));
    assert_eq!(ask(&client, "PUT", &end, &[("content-range", "6-6")], "6").await.status, 201);
}
