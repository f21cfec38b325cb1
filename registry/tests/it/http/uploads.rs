//! Goal: every way to push a blob that the spec and Docker's clients know ends in the blob, with
//! either algorithm and without a word about it before the end (R-042 to R-071, T-080 to T-107).
//! Method: the real dispatch over memory; the styles as a table, a transcript.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;

use super::exchange::{Transcript, ask, assert_error, pieces, plain, sha512};
use crate::support::{Answer, Client, Registry, sha256};

/// Opens a session, and returns where.
pub(super) async fn open(client: &Client, name: &str) -> String {
    let answer = plain(client, "POST", &format!("/v2/{name}/blobs/uploads/")).await;
    assert_eq!(answer.status, 202);
    answer.header("location").to_owned()
}

/// Sends a chunk with its range, and returns the answer.
pub(super) async fn chunk(client: &Client, location: &str, start: usize, bytes: &[u8]) -> Answer {
    let range = format!("{start}-{}", start + bytes.len() - 1);
    ask(client, "PATCH", location, &[("content-range", &range)], bytes.to_vec()).await
}

/// Returns where a session stands, as its status says.
pub(super) async fn stands(client: &Client, location: &str) -> String {
    let answer = plain(client, "GET", location).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("location"), location);
    answer.header("range").to_owned()
}

/// A way to push a blob.
#[derive(Debug, Clone, Copy)]
enum Style {
    OnePost,
    PostThenPut,
    StreamThenPut,
    TwoStreams,
    ChunksThenPut,
    ChunksThenLastByPut,
    StreamThenMoreByPut,
}

const STYLES: [Style; 7] = [
    Style::OnePost,
    Style::PostThenPut,
    Style::StreamThenPut,
    Style::TwoStreams,
    Style::ChunksThenPut,
    Style::ChunksThenLastByPut,
    Style::StreamThenMoreByPut,
];

async fn push(client: &Client, style: Style, bytes: &[u8], digest: &str, query: &str) -> Answer {
    if let Style::OnePost = style {
        let path = format!("/v2/app/blobs/uploads/?digest={digest}");
        return ask(client, "POST", &path, &[], bytes.to_vec()).await;
    }
    let opened = plain(client, "POST", &format!("/v2/app/blobs/uploads/{query}")).await;
    assert_eq!(opened.status, 202, "{style:?}");
    let at = opened.header("location").to_owned();
    let end = format!("{at}?digest={digest}");
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let last = format!("{}-{}", head.len(), bytes.len().saturating_sub(1));
    match style {
        Style::OnePost => unreachable!("answered above"),
        Style::PostThenPut => return ask(client, "PUT", &end, &[], bytes.to_vec()).await,
        Style::StreamThenPut => {
            assert_eq!(ask(client, "PATCH", &at, &[], pieces(&[head, tail])).await.status, 202);
        }
        Style::TwoStreams => {
            assert_eq!(ask(client, "PATCH", &at, &[], head.to_vec()).await.status, 202);
            assert_eq!(ask(client, "PATCH", &at, &[], pieces(&[tail])).await.status, 202);
        }
        Style::ChunksThenPut => {
            assert_eq!(chunk(client, &at, 0, head).await.status, 202);
            assert_eq!(chunk(client, &at, head.len(), tail).await.status, 202);
        }
        Style::ChunksThenLastByPut => {
            assert_eq!(chunk(client, &at, 0, head).await.status, 202);
            return ask(client, "PUT", &end, &[("content-range", &last)], tail.to_vec()).await;
        }
        Style::StreamThenMoreByPut => {
            assert_eq!(ask(client, "PATCH", &at, &[], head.to_vec()).await.status, 202);
            return ask(client, "PUT", &end, &[], tail.to_vec()).await;
        }
    }
    ask(client, "PUT", &end, &[], Body::empty()).await
}

async fn check_pushed(client: &Client, what: &str, answer: &Answer, bytes: &[u8], digest: &str) {
    assert_eq!(answer.status, 201, "{what}: {answer:?}");
    assert_eq!(answer.header("location"), format!("/v2/app/blobs/{digest}"), "{what}");
    assert_eq!(answer.header("docker-content-digest"), digest, "{what}");
    let pulled = plain(client, "GET", answer.header("location")).await;
    assert_eq!((pulled.status.as_u16(), &*pulled.body), (200, bytes), "{what}");
    assert_eq!(pulled.header("docker-content-digest"), digest, "{what}");
}

#[tokio::test]
async fn p1_every_style_and_algorithm_pushes_a_blob() {
    for style in STYLES {
        for query in ["", "?digest-algorithm=sha256", "?digest-algorithm=sha512"] {
            let client = Registry::default().open().await;
            for (bytes, digest) in
                [(&b"first blob"[..], sha256(b"first blob")), (b"second blob", sha512(b"second blob"))]
            {
                let what = format!("{style:?} {query} {digest}");
                let answer = push(&client, style, bytes, &digest, query).await;
                check_pushed(&client, &what, &answer, bytes, &digest).await;
            }
        }
    }
}

#[tokio::test]
async fn an_empty_blob_goes_in_by_every_style_without_ranges() {
    for style in [
        Style::OnePost,
        Style::PostThenPut,
        Style::StreamThenPut,
        Style::TwoStreams,
        Style::StreamThenMoreByPut,
    ] {
        for digest in [sha256(b""), sha512(b"")] {
            let client = Registry::default().open().await;
            let answer = push(&client, style, b"", &digest, "").await;
            check_pushed(&client, &format!("{style:?} {digest}"), &answer, b"", &digest).await;
        }
    }
}

#[tokio::test]
async fn upload_answers() {
    let client = Registry::default().open().await;
    let mut transcript = Transcript::new(&client);
    let digest = sha256(b"hello, wharf");
    let at = transcript.plain("POST", "/v2/app/blobs/uploads/").await.header("location").to_owned();
    transcript.plain("GET", &at).await;
    transcript.ask("PATCH", &at, &[], Body::empty()).await;
    transcript.ask("PATCH", &at, &[("content-range", "0-6")], "hello, ").await;
    transcript.plain("GET", &at).await;
    transcript.ask("PATCH", &at, &[("content-range", "9-13")], "wharf").await;
    transcript.ask("PATCH", &at, &[("content-range", "bytes 7-11/12")], "wharf").await;
    transcript.ask("PATCH", &at, &[("content-range", "7-11"), ("content-length", "4")], "whar").await;
    transcript.ask("PATCH", &at, &[("content-range", "7-11")], "whar").await;
    transcript.ask("PUT", &at, &[], Body::empty()).await;
    transcript.ask("PUT", &format!("{at}?digest=sha256:x"), &[], Body::empty()).await;
    transcript.ask("PUT", &format!("{at}?digest={digest}"), &[("content-range", "0-4")], "wharf").await;
    transcript.ask("PUT", &format!("{at}?digest={digest}"), &[("content-range", "7-11")], "wharf").await;
    transcript.plain("GET", &at).await;
    let at = transcript.plain("POST", "/v2/app/blobs/uploads/").await.header("location").to_owned();
    transcript.ask("PUT", &format!("{at}?digest={digest}"), &[], "other").await;
    let at = transcript.plain("POST", "/v2/app/blobs/uploads/").await.header("location").to_owned();
    transcript.plain("DELETE", &at).await;
    transcript.plain("DELETE", &at).await;
    transcript.ask("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), &[], "hello, wharf").await;
    transcript.ask("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), &[], "other").await;
    transcript.plain("POST", "/v2/app/blobs/uploads/?digest-algorithm=md5").await;
    insta::assert_snapshot!(transcript.text());
}

#[tokio::test]
async fn a_session_tells_where_it_stands() {
    let client = Registry::default().open().await;
    let opened = plain(&client, "POST", "/v2/app/blobs/uploads/").await;
    let at = opened.header("location").to_owned();
    assert_eq!((opened.header("range"), opened.header("content-length")), ("0-0", "0"));
    assert!(
        at.ends_with(opened.header("docker-upload-uuid")) && !opened.header("docker-upload-uuid").is_empty()
    );
    assert_eq!(stands(&client, &at).await, "0--1");
    for (start, bytes, expect) in
        [(0, vec![1; 100], "0-99"), (100, vec![2; 50], "0-149"), (150, vec![3], "0-150")]
    {
        let answer = chunk(&client, &at, start, &bytes).await;
        assert_eq!((answer.status.as_u16(), answer.header("range")), (202, expect));
        assert_eq!(answer.header("location"), at);
        assert_eq!(stands(&client, &at).await, expect);
    }
    let streamed = ask(&client, "PATCH", &at, &[], pieces(&[&[4; 9], &[], &[4; 10]])).await;
    assert_eq!((streamed.status.as_u16(), streamed.header("range")), (202, "0-169"));
}

/// The official suite, and clients after it, go on at the same place after a 416.
#[tokio::test]
async fn a_chunk_out_of_order_leaves_the_session_usable() {
    let client = Registry::default().open().await;
    let digest = sha512(b"0123456789");
    let at = open(&client, "app").await;
    let first = chunk(&client, &at, 5, b"56789").await;
    assert_eq!((first.status.as_u16(), first.header("range")), (416, "0--1"));
    assert_eq!(chunk(&client, &at, 0, b"01234").await.status, 202);
    // The same again, an overlap, and a gap.
    for (start, bytes) in [(0, &b"01234"[..]), (4, b"4567"), (6, b"6789")] {
        let answer = chunk(&client, &at, start, bytes).await;
        assert_error(&answer, 416, "BLOB_UPLOAD_INVALID");
        assert_eq!((answer.header("location"), answer.header("range")), (at.as_str(), "0-4"), "{start}");
    }
    let end = format!("{at}?digest={digest}");
    let put = ask(&client, "PUT", &end, &[("content-range", "6-9")], "6789").await;
    assert_error(&put, 416, "BLOB_UPLOAD_INVALID");
    assert_eq!((put.header("location"), put.header("range")), (at.as_str(), "0-4"));
    assert_eq!(plain(&client, "GET", &end).await.status, 204);
    assert_eq!(chunk(&client, &at, 5, b"567").await.header("range"), "0-7");
    let answer = ask(&client, "PUT", &end, &[("content-range", "8-9")], "89").await;
    check_pushed(&client, "after 416", &answer, b"0123456789", &digest).await;
}

#[tokio::test]
async fn sessions_are_distinct_and_end_once() {
    let client = Registry::default().open().await;
    let mut ids = HashSet::new();
    for _ in 0..100 {
        let at = open(&client, "app").await;
        let id = at.strip_prefix("/v2/app/blobs/uploads/").unwrap().to_owned();
        assert!(uuid::Uuid::try_parse(&id).is_ok_and(|id| id.get_version_num() == 4), "{id}");
        assert!(ids.insert(id));
    }
    let (finished, cancelled) = (open(&client, "app").await, open(&client, "app").await);
    let end = format!("{finished}?digest={}", sha256(b"x"));
    assert_eq!(ask(&client, "PUT", &end, &[], "x").await.status, 201);
    assert_eq!(ask(&client, "PATCH", &cancelled, &[], "y").await.status, 202);
    assert_eq!(plain(&client, "DELETE", &cancelled).await.status, 204);
    let unknown = "/v2/app/blobs/uploads/3d2f7b0e-6c1e-4d5a-9b1e-0a1b2c3d4e5f";
    for at in [finished.as_str(), cancelled.as_str(), unknown, "/v2/app/blobs/uploads/nothing"] {
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let answer = ask(&client, method, &format!("{at}?digest={}", sha256(b"y")), &[], "y").await;
            assert_error(&answer, 404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    assert_error(
        &plain(&client, "GET", &format!("/v2/app/blobs/{}", sha256(b"y"))).await,
        404,
        "BLOB_UNKNOWN",
    );
}

/// What ggcr and Docker's legacy client send beside what the spec asks for.
#[tokio::test]
async fn a_session_opens_whatever_else_is_sent() {
    let client = Registry::default().open().await;
    for path in [
        "/v2/app/blobs/uploads/?origin=library/alpine",
        "/v2/app/blobs/uploads",
        "/v2/app/blobs/uploads/?mount",
    ] {
        let answer = ask(&client, "POST", path, &[("content-type", "application/json")], Body::empty()).await;
        let expect = if path.ends_with("mount") { 400 } else { 202 };
        assert_eq!(answer.status.as_u16(), expect, "{path}");
    }
    for name in ["blobs", "uploads", "tags/list", "a/blobs/uploads", "manifests"] {
        client.push_image(name, "v1", b"layer").await;
        assert_eq!(plain(&client, "GET", &format!("/v2/{name}/manifests/v1")).await.status, 200, "{name}");
    }
}

/// Pushes of one blob at once, each in a session of its own.
#[tokio::test]
async fn pushes_of_one_blob_at_once_all_succeed() {
    let client = Registry::default().open().await;
    let (bytes, digest) = (vec![7; 100_000], sha256(&[7; 100_000]));
    let pushes = (0..16).map(|number| {
        let (client, bytes, digest) = (client.clone(), bytes.clone(), digest.clone());
        tokio::spawn(async move {
            let at = open(&client, &format!("app-{number}")).await;
            ask(&client, "PUT", &format!("{at}?digest={digest}"), &[], bytes).await.status
        })
    });
    for push in pushes.collect::<Vec<_>>() {
        assert_eq!(push.await.unwrap(), 201);
    }
    for number in 0..16 {
        let pulled = plain(&client, "GET", &format!("/v2/app-{number}/blobs/{digest}")).await;
        assert_eq!(pulled.body, bytes, "{number}");
    }
}

/// The hashes go on from where they were saved, in either algorithm, hinted or not.
#[tokio::test]
async fn p2_a_session_survives_a_restart() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let start = async || Registry { disk: Arc::clone(&disk), ..Registry::default() }.open().await;
    for (query, digest) in [
        ("", sha256(b"0123456789")),
        ("", sha512(b"0123456789")),
        ("?digest-algorithm=sha512", sha512(b"0123456789")),
    ] {
        let first = start().await;
        let opened = plain(&first, "POST", &format!("/v2/app/blobs/uploads/{query}")).await;
        let at = opened.header("location").to_owned();
        assert_eq!(chunk(&first, &at, 0, b"0123").await.status, 202);
        let second = start().await;
        assert_eq!(stands(&second, &at).await, "0-3", "{query}");
        assert_eq!(chunk(&second, &at, 4, b"456").await.status, 202);
        let third = start().await;
        let end = format!("{at}?digest={digest}");
        let put = ask(&third, "PUT", &end, &[("content-range", "7-9")], "789").await;
        check_pushed(&third, query, &put, b"0123456789", &digest).await;
        assert_error(&plain(&start().await, "GET", &at).await, 404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[tokio::test]
async fn a_blob_that_is_there_may_be_pushed_again() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("app", b"again").await;
    assert_eq!(client.push_blob("app", b"again").await, digest);
    assert_eq!(client.push_blob("other", b"again").await, digest);
    assert_eq!(plain(&client, "GET", &format!("/v2/other/blobs/{digest}")).await.body, "again");
}
