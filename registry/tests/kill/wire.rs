//! Goal: HTTP's lesser-used parts work, and its ambiguous ones are refused.
//! Method: bytes written by hand, and a client that speaks HTTP/2 from the first byte.

use std::time::Duration;

use crate::support::{Connection, Folder, Launch, Random, Server, digest_of};

fn push(server: &Server, bytes: &[u8]) -> String {
    let digest = digest_of(bytes);
    let path = format!("/v2/team/app/blobs/uploads/?digest={digest}");
    let answer = server.connect().call("POST", &path, &[], bytes).expect("there is an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    format!("/v2/team/app/blobs/{digest}")
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let bytes = Random::new(14).bytes(300_000);
    let path = push(&server, &bytes);
    let mut wire = server.connect();
    wire.send(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("it reads");
    let answer = wire.answer("GET").expect("there is an answer");
    assert_eq!((answer.status, answer.version.as_str()), (200, "HTTP/1.0"));
    assert_eq!(answer.header("content-length"), "300000");
    assert!(answer.body == bytes, "the bytes are others");
    assert_eq!(wire.drained(), b"");
}

#[test]
fn connection_close_is_honoured() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let path = push(&server, b"bytes");
    let mut wire = server.connect();
    let answer = wire.call("GET", &path, &[("Connection", "close")], &[]).expect("there is an answer");
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    assert_eq!(answer.body, b"bytes");
    assert_eq!(wire.drained(), b"");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let bytes = Random::new(15).bytes(200_000);
    let path = push(&server, &bytes);
    let digest = digest_of(b"second");
    let mut wire = server.connect();
    let requests = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /v2/team/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nsecond\
         GET /v2/team/app/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"
    );
    wire.send(requests.as_bytes()).expect("it reads");
    let first = wire.answer("GET").expect("there is an answer");
    assert!(first.status == 200 && first.body == bytes);
    assert_eq!(wire.answer("POST").expect("there is an answer").status, 201);
    assert_eq!(wire.answer("GET").expect("there is an answer").body, b"second");
    assert_eq!(wire.answer("GET").expect("there is an answer").status, 200);
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let path = format!("/v2/team/app/blobs/uploads/?digest={}", digest_of(b"bytes"));
    let mut wire = server.connect();
    let headers = [("Content-Length", "5"), ("Expect", "100-continue")];
    wire.send_head("POST", &path, &headers).expect("it reads");
    assert_eq!(wire.head().expect("there is an answer").status, 100);
    wire.send(b"bytes").expect("it reads");
    assert_eq!(wire.answer("POST").expect("there is an answer").status, 201);
}

#[test]
fn a_client_that_waits_for_100_is_refused_before_it_sends() {
    let folder = Folder::new();
    let limits = "http: { limits: { maxBlobBytes: 1MiB, maxManifestBytes: 1KiB } }";
    let server = Launch::on(&folder).config(limits).start();
    let check = |method: &str, path: &str, headers: &[(&str, &str)], status: u16, code: &str| {
        let mut wire = server.connect();
        let mut headers = headers.to_vec();
        headers.push(("Expect", "100-continue"));
        wire.send_head(method, path, &headers).expect("it reads");
        let head = wire.head().expect("there is an answer");
        assert_eq!(head.status, status, "{method} {path}: {head:?}");
        let mut body = vec![0; head.header("content-length").parse().expect("it has a length")];
        let mut begin = 0;
        while begin < body.len() {
            begin += wire.read(&mut body[begin..]).expect("it sends");
        }
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains(code), "{method} {path}: {text}");
        // Whether a body follows cannot be told, so the connection is of no further use.
        assert_eq!(wire.drained(), b"");
    };
    let digest = digest_of(b"bytes");
    let large = [("Content-Length", "1048577")];
    check("POST", &format!("/v2/a/blobs/uploads/?digest={digest}"), &large, 413, "SIZE_INVALID");
    check("PUT", "/v2/a/manifests/latest", &large, 413, "SIZE_INVALID");
    check(
        "POST",
        "/v2/a/blobs/uploads/?digest=sha256:short",
        &[("Content-Length", "5")],
        400,
        "DIGEST_INVALID",
    );
    let unknown = "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000";
    check("PATCH", unknown, &[("Content-Length", "5")], 404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn http_2_without_tls_pushes_and_pulls() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it starts");
    runtime.block_on(async {
        let client =
            reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().expect("it is a client");
        let base = format!("http://{}", server.address);
        let bytes = Random::new(16).bytes(3 << 20);
        let digest = digest_of(&bytes);
        let opened =
            client.post(format!("{base}/v2/team/app/blobs/uploads/")).send().await.expect("an answer");
        assert_eq!((opened.status().as_u16(), opened.version()), (202, reqwest::Version::HTTP_2));
        let path = opened.headers()["location"].to_str().expect("it is text").to_owned();
        let (first, second) = bytes.split_at(1_000_003);
        let appended =
            client.patch(format!("{base}{path}")).body(first.to_vec()).send().await.expect("an answer");
        assert_eq!(appended.status(), 202);
        let target = format!("{base}{path}?digest={digest}");
        let committed = client.put(target).body(second.to_vec()).send().await.expect("an answer");
        assert_eq!(committed.status(), 201);
        let pulls = (0..20).map(|_| {
            let pull = client.get(format!("{base}/v2/team/app/blobs/{digest}")).send();
            async { pull.await.expect("an answer").bytes().await.expect("a body") }
        });
        for pulled in futures_util::future::join_all(pulls).await {
            assert!(pulled == bytes, "the bytes are others");
        }
    });
}

/// Sends bytes, and returns what came until the server closed or answered with a whole head.
fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut wire = server.connect();
    // A server that has seen enough closes before it has read all.
    let _ = wire.send(bytes);
    read_head(&mut wire)
}

fn read_head(wire: &mut Connection) -> String {
    wire.socket().set_read_timeout(Some(Duration::from_secs(20))).expect("a limit can be set");
    match wire.head() {
        Ok(head) => format!("{} {}", head.status, head.header("connection")),
        Err(error) => format!("{:?}", error.kind()),
    }
}

#[test]
fn large_heads_are_bounded() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let get = |path: &str, headers: &str| {
        exchange(&server, format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes())
    };
    let many: String = (0..1000).map(|number| format!("X-{number}: a\r\n")).collect();
    assert_eq!(get("/v2/", &many), "431 close");
    let query = format!("/v2/_catalog?n=1&last={}", "a".repeat(16 << 10));
    assert_eq!(get(&query, ""), "200 ");
    assert_eq!(get(&format!("/v2/?{}", "a=b&".repeat(16 << 10)), ""), "431 close");
    assert_eq!(get("/v2/", &format!("X: {}\r\n", "a".repeat(32 << 10))), "200 ");
    assert_eq!(get("/v2/", &format!("X: {}\r\n", "a".repeat(1 << 20))), "431 close");
    assert_eq!(get("/v2/", ""), "200 ");
}

/// Requests that two servers in a row could read differently.
const AMBIGUOUS: [(&str, &str); 7] = [
    ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
    ("a list of lengths", "Content-Length: 5, 6\r\n"),
    ("a signed length", "Content-Length: +5\r\n"),
    ("a length in hex", "Content-Length: 0x5\r\n"),
    ("chunks that are not last", "Transfer-Encoding: chunked, identity\r\n"),
    ("a space before the colon", "Content-Length : 5\r\n"),
    ("a folded line", "Content-Length:\r\n 5\r\n"),
];

#[test]
fn ambiguous_requests_are_refused() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let body = "5\r\nbytes\r\n0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n";
    let target = format!("/v2/team/app/blobs/uploads/?digest={}", digest_of(b"bytes"));
    for (what, headers) in AMBIGUOUS {
        let request = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
        assert_eq!(exchange(&server, request.as_bytes()), "400 close", "{what}");
    }
    let stored = server.connect().get(&format!("/v2/team/app/blobs/{}", digest_of(b"bytes")));
    assert_eq!(stored.expect("there is an answer").status, 404);
}

/// RFC 9112 section 6.1: chunks alone count, and nothing that follows on the connection.
#[test]
fn a_length_beside_chunks_counts_for_nothing() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let target = format!("/v2/team/app/blobs/uploads/?digest={}", digest_of(b"bytes"));
    let chunks = "5\r\nbytes\r\n0\r\n\r\n";
    for length in [0, 5, 15, 500] {
        let lengths = format!("Content-Length: {length}\r\n");
        let coding = "Transfer-Encoding: chunked\r\n";
        for headers in [format!("{lengths}{coding}"), format!("{coding}{lengths}")] {
            let mut wire = server.connect();
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            let smuggled = "DELETE /v2/team/app/manifests/latest HTTP/1.1\r\nHost: a\r\n\r\n";
            wire.send(format!("{head}{chunks}{smuggled}").as_bytes()).expect("it reads");
            let answer = wire.answer("POST").expect("there is an answer");
            assert_eq!((answer.status, answer.header("connection")), (201, "close"), "{headers}");
            assert_eq!(wire.drained(), b"", "{headers}");
        }
    }
    assert!(!folder.log().contains("DELETE"), "{}", folder.log());
}

#[test]
fn broken_chunks_add_nothing_that_did_not_arrive() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    for broken in ["zz\r\n", "5\r\nbytesX\r\n", "ffffffffffffffffff\r\n"] {
        let mut wire = server.connect();
        let opened = wire.call("POST", "/v2/team/app/blobs/uploads/", &[], &[]).expect("there is an answer");
        let path = opened.header("location").to_owned();
        wire.send_head("PATCH", &path, &[("Transfer-Encoding", "chunked")]).expect("it reads");
        wire.send(format!("4\r\ngood\r\n{broken}").as_bytes()).expect("it reads");
        let answer = wire.answer("PATCH").expect("there is an answer");
        assert_eq!(answer.status, 400, "{broken:?}: {answer:?}");
        let offset = server.connect().get(&path).expect("there is an answer").offset();
        assert!(offset == 4 || (offset == 9 && broken.contains("bytes")), "{broken:?}: {offset}");
    }
}
