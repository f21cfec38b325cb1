//! Goal: RFC 9110 §14 for blobs: a part where it can be told which, the whole where the request
//! may be ignored, 416 where nothing of it is there (R-033, T-034 to T-043). Method: tables over the
//! real dispatch, a transcript.

use axum::body::Body;

use super::exchange::{Headers, Transcript, ask, assert_error};
use crate::support::{Answer, Client, Registry};

const BLOB: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

async fn stored() -> (Client, String) {
    let client = Registry::default().open().await;
    let digest = client.push_blob("app", BLOB).await;
    (client, format!("/v2/app/blobs/{digest}"))
}

async fn get(client: &Client, path: &str, headers: Headers<'_>) -> Answer {
    ask(client, "GET", path, headers, Body::empty()).await
}

#[tokio::test]
async fn range_answers() {
    let (client, path) = stored().await;
    let mut transcript = Transcript::new(&client);
    for range in ["bytes=0-0", "bytes=-4", "bytes=0-1,34-", "bytes=99-"] {
        transcript.ask("GET", &path, &[("range", range)], Body::empty()).await;
    }
    transcript.ask("HEAD", &path, &[("range", "bytes=0-0")], Body::empty()).await;
    insta::assert_snapshot!(transcript.text());
}

#[tokio::test]
async fn one_range_is_one_part() {
    let (client, path) = stored().await;
    for (range, start, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=35-35", 35, 35),
        ("bytes=10-", 10, 35),
        ("bytes=10-99999", 10, 35),
        ("bytes=-1", 35, 35),
        ("bytes=-99999", 0, 35),
        ("bytes=0-35", 0, 35),
        ("Bytes=1-2", 1, 2),
        ("bytes=99-,1-2", 1, 2),
    ] {
        let answer = get(&client, &path, &[("range", range)]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {start}-{last}/36"), "{range}");
        assert_eq!(answer.header("content-length"), (last + 1 - start).to_string(), "{range}");
        assert_eq!(answer.header("content-type"), "application/octet-stream", "{range}");
        assert_eq!(answer.header("accept-ranges"), "bytes", "{range}");
        assert_eq!(answer.body, BLOB[start..=last], "{range}");
    }
}

#[tokio::test]
async fn what_may_be_ignored_is_ignored() {
    let (client, path) = stored().await;
    let many: Vec<String> = (0..1000).map(|_| "0-0".to_owned()).collect();
    let many = format!("bytes={}", many.join(","));
    for range in [
        "bytes=a-b",
        "items=0-1",
        "bytes=",
        "bytes",
        "bytes=5-3",
        "bytes=-",
        "bytes=0-35,0-35",
        "bytes=0-99999999999999999999999",
        many.as_str(),
    ] {
        let answer = get(&client, &path, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 36), "{range}");
        assert!(!answer.headers.contains_key("content-range"), "{range}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_satisfiable() {
    let (client, path) = stored().await;
    for range in ["bytes=36-", "bytes=36-40", "bytes=99-,100-", "bytes=-0"] {
        let answer = get(&client, &path, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-range")), (416, "bytes */36"), "{range}");
        assert_error(&answer, 416, "SIZE_INVALID");
    }
    let empty = client.push_blob("app", b"").await;
    let answer = get(&client, &format!("/v2/app/blobs/{empty}"), &[("range", "bytes=0-")]).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-range")), (416, "bytes */0"));
}

#[tokio::test]
async fn several_ranges_are_several_parts() {
    let (client, path) = stored().await;
    let answer = get(&client, &path, &[("range", "bytes=0-1, 10-11 ,-2")]).await;
    assert_eq!(answer.status, 206);
    assert!(!answer.headers.contains_key("content-range"));
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let boundary = answer.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[4]), (5, "\r\n", "--\r\n"));
    let expect = [("0-1", "01"), ("10-11", "ab"), ("34-35", "yz")];
    for (part, (range, bytes)) in parts[1..4].iter().zip(expect) {
        let (head, body) = part.trim_start().split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Range: bytes {range}/36")), "{head}");
        assert_eq!(body.trim_end_matches("\r\n"), bytes);
    }
}

#[tokio::test]
async fn an_outdated_part_is_answered_by_the_whole() {
    let (client, path) = stored().await;
    let digest = path.rsplit('/').next().unwrap();
    for (if_range, status) in [
        (format!("\"{digest}\""), 206),
        ("\"other\"".to_owned(), 200),
        (format!("W/\"{digest}\""), 200),
        ("Sat, 29 Oct 1994 19:43:31 GMT".to_owned(), 200),
    ] {
        let answer = get(&client, &path, &[("range", "bytes=0-0"), ("if-range", &if_range)]).await;
        assert_eq!(answer.status.as_u16(), status, "{if_range}");
    }
    let unchanged = format!("\"{digest}\"");
    let answer = get(&client, &path, &[("range", "bytes=0-0"), ("if-none-match", &unchanged)]).await;
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn a_head_or_a_manifest_has_no_ranges() {
    let (client, path) = stored().await;
    let head = ask(&client, "HEAD", &path, &[("range", "bytes=0-0")], Body::empty()).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "36"));
    let (manifest, _) = client.push_image("app", "v1", b"layer").await;
    let answer = get(&client, "/v2/app/manifests/v1", &[("range", "bytes=0-0")]).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, manifest.to_string().into()));
}

#[tokio::test]
async fn a_broken_pull_goes_on_where_it_ended() {
    let (client, path) = stored().await;
    let head = get(&client, &path, &[("range", "bytes=0-16")]).await.body;
    let tail = get(&client, &path, &[("range", "bytes=17-")]).await.body;
    assert_eq!([head, tail].concat(), BLOB);
}
