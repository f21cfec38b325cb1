//! Goal: what only a socket shows: a HEAD has the length of its GET and no body, an error too, and
//! the connection goes on (R-034 to R-037, T-003, T-030, T-150). Method: the real listener on a port
//! of the system's choice, requests written by hand.

use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wharfinger::http::listener;
use wharfinger::http::options::Options;

use crate::support::{Client, Registry, sha256};

/// Serves a client's registry while `talk` talks to it.
async fn serving<T>(client: &Client, talk: impl AsyncFnOnce(TcpStream) -> T) -> T {
    let options = Options { port: 0, drain_timeout: Duration::from_secs(10), ..Options::default() };
    let (socket, address) = listener::bind(&options).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = client.0.router(Router::new());
    let server = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopped.await;
        };
        listener::serve(socket, router, &options, stopped).await
    });
    let result = talk(TcpStream::connect(address).await.unwrap()).await;
    drop(stop);
    assert!(server.await.unwrap(), "the server drained");
    result
}

/// Sends requests in a row over one connection, and returns everything that came.
pub(super) async fn exchange(client: &Client, requests: &[String]) -> String {
    serving(client, async |mut stream| {
        stream.write_all(requests.concat().as_bytes()).await.unwrap();
        let mut came = Vec::new();
        let read = stream.read_to_end(&mut came);
        tokio::time::timeout(Duration::from_secs(30), read).await.unwrap().unwrap();
        String::from_utf8(came).unwrap()
    })
    .await
}

pub(super) fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

/// Returns the value of a header in the head of an answer.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|pair| pair.1)
}

#[tokio::test]
async fn a_head_has_the_length_of_its_get_and_no_body() {
    let client = Registry::default().open().await;
    let (manifest, digest) = client.push_image("app", "v1", b"layer").await;
    let paths = [
        ("/v2/".to_owned(), 200, 2),
        ("/v2/app/manifests/v1".to_owned(), 200, manifest.to_string().len()),
        (format!("/v2/app/manifests/{digest}"), 200, manifest.to_string().len()),
        (format!("/v2/app/blobs/{}", sha256(b"layer")), 200, 5),
        (format!("/v2/app/blobs/{}", sha256(b"none")), 404, 0),
        ("/v2/app/manifests/none".to_owned(), 404, 0),
        ("/v2/app/unknown/x".to_owned(), 404, 0),
        ("/v2/app/manifests/.x".to_owned(), 400, 0),
    ];
    for (path, status, length) in paths {
        let close = request("GET", "/livez", "connection: close\r\n");
        let came = exchange(&client, &[request("HEAD", &path, ""), close]).await;
        let (head, rest) = came.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        assert!(rest.starts_with("HTTP/1.1 200 OK"), "the next answer follows at once: {path}: {rest}");
        if status == 200 {
            assert_eq!(header(head, "content-length"), Some(length.to_string().as_str()), "{path}");
        }
        let got = exchange(&client, &[request("GET", &path, "connection: close\r\n")]).await;
        let (get_head, body) = got.split_once("\r\n\r\n").unwrap();
        for name in ["content-length", "content-type", "etag", "docker-content-digest", "accept-ranges"] {
            assert_eq!(header(head, name), header(get_head, name), "{path} {name}");
        }
        assert_eq!(header(get_head, "content-length"), Some(body.len().to_string().as_str()), "{path}");
    }
}

#[tokio::test]
async fn an_old_client_is_answered_and_let_go() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("app", b"hello").await;
    let came = exchange(&client, &[format!("GET /v2/app/blobs/{digest} HTTP/1.0\r\n\r\n")]).await;
    let (head, body) = came.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert_eq!(body, "hello");
}

/// HTTP/2 without TLS, as a client that knows of it speaks it: many requests over one connection.
#[tokio::test]
async fn p10_a_request_names_one_host() {
    let client = Registry::default().open().await;
    let ask = async |version: &str, hosts: &str| {
        let request = format!("GET /v2/ {version}\r\n{hosts}connection: close\r\n\r\n");
        exchange(&client, &[request]).await
    };
    for hosts in [
        "",
        "host: a\r\nhost: b\r\n",
        "host: a\r\nhost: a\r\n",
        "host: a b\r\n",
        "host: a/b\r\n",
        "host: a?b\r\n",
        "host: b@a\r\n",
        "host: a\",realm=\"b\r\n",
        "host: a:b\r\n",
        "host: [::1\r\n",
    ] {
        let came = ask("HTTP/1.1", hosts).await;
        assert!(came.starts_with("HTTP/1.1 400 ") && came.contains("UNSUPPORTED"), "{hosts:?}: {came}");
    }
    for hosts in ["host: a\r\n", "host: a_b.example:5000\r\n", "host: [::1]:80\r\n", "host:\r\n"] {
        let came = ask("HTTP/1.1", hosts).await;
        assert!(came.starts_with("HTTP/1.1 200 "), "{hosts:?}: {came}");
    }
    let came = ask("HTTP/1.0", "").await;
    assert!(came.starts_with("HTTP/1.0 200 "), "hosts are younger: {came}");
}

#[tokio::test]
async fn http2_pushes_and_pulls_the_same_bytes() {
    let client = Registry::default().open().await;
    let bytes = Bytes::from(vec![7; 1_000_000]);
    let digest = sha256(&bytes);
    serving(&client, async |stream| {
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut send = async |method: &str, path: &str, body: Bytes| {
            let uri = format!("http://localhost{path}");
            let request = Request::builder().method(method).uri(uri).body(Full::new(body)).unwrap();
            sender.ready().await.unwrap();
            let answer = sender.send_request(request).await.unwrap();
            (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes())
        };
        let push = format!("/v2/app/blobs/uploads/?digest={digest}");
        assert_eq!(send("POST", &push, bytes.clone()).await.0, 201);
        let pull = format!("/v2/app/blobs/{digest}");
        assert_eq!(send("GET", &pull, Bytes::new()).await, (200, bytes.clone()));
        assert_eq!(send("HEAD", &pull, Bytes::new()).await, (200, Bytes::new()));
        assert_eq!(send("GET", "/v2/app/manifests/none", Bytes::new()).await.0, 404);
        drop(sender);
        connection.await.unwrap().unwrap();
    })
    .await;
}

/// A client that asks before it sends is refused without having sent anything.
#[tokio::test]
async fn a_refused_push_is_not_asked_for_its_body() {
    let client = Registry::default().open().await;
    let digest = sha256(b"hello");
    let expect = "expect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n";
    let unknown = format!("/v2/app/blobs/uploads/3d2f7b0e-6c1e-4d5a-9b1e-0a1b2c3d4e5f?digest={digest}");
    let refused = exchange(&client, &[request("PUT", &unknown, expect)]).await;
    assert!(refused.starts_with("HTTP/1.1 404 "), "{refused}");
    let path = format!("/v2/app/blobs/uploads/?digest={digest}");
    let taken = exchange(&client, &[request("POST", &path, expect), "hello".to_owned()]).await;
    assert!(taken.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"), "{taken}");
}

/// A manifest that is too large is read to its end, so that the client hears why.
#[tokio::test]
async fn a_connection_survives_what_it_refused() {
    let client = Registry::default().open().await;
    let size = 4 * 1024 * 1024 + 1;
    let chunked = format!("{size:x}\r\n{}\r\n0\r\n\r\n", " ".repeat(size));
    let put = request("PUT", "/v2/app/manifests/v1", "transfer-encoding: chunked\r\n");
    let close = request("GET", "/livez", "connection: close\r\n");
    let came = exchange(&client, &[put, chunked, close]).await;
    assert!(came.starts_with("HTTP/1.1 413 "), "{came}");
    assert!(came.ends_with("live\n"), "{came}");
}

#[tokio::test]
async fn p2_a_body_that_ends_too_early_is_no_blob() {
    let client = Registry::default().open().await;
    let digest = sha256(b"hello");
    let head = request("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), "content-length: 9\r\n");
    serving(&client, async |mut stream| {
        stream.write_all(format!("{head}hello").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut came = Vec::new();
        // The server may answer 400 or just close; it may not say 201.
        let _ = stream.read_to_end(&mut came).await;
        assert!(!came.starts_with(b"HTTP/1.1 2"), "{}", came.escape_ascii());
    })
    .await;
    assert_eq!(client.get(&format!("/v2/app/blobs/{digest}")).await.status, 404);
}
