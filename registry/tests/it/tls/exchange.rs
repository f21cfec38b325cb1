//! Goal: over TLS the registry is the same, in both versions of HTTP; an old version of TLS is refused where it
//! is to be, and what is no TLS is told so. Method: reqwest, and handshakes by hand.

use std::sync::Arc;

use http::Version;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wharfinger::http::options::{Options, TlsOptions, TlsVersion};

use super::authority::Files;
use super::stand::{DEADLINE, Stand, ask, connect, head, sends_on, trusting};
use crate::support::{Registry, image, sha256};

/// Pushes an image and pulls it again.
async fn push_and_pull(stand: &Stand, client: &reqwest::Client, version: Version) {
    let layer = vec![7; 3_000_000];
    let digest = sha256(&layer);
    let send = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.version(), version);
        (answer.status().as_u16(), answer.bytes().await.unwrap())
    };
    for blob in [b"{}".to_vec(), layer.clone()] {
        let path = format!("/v2/app/blobs/uploads/?digest={}", sha256(&blob));
        assert_eq!(send(client.post(stand.url(&path)).body(blob)).await.0, 201);
    }
    let manifest = image(&[(&sha256(b"{}"), 2)], &[(&digest, layer.len())]).to_string();
    let tagged = stand.url("/v2/app/manifests/v1");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let put = client.put(&tagged).header("content-type", kind).body(manifest.clone());
    assert_eq!(send(put).await.0, 201);
    assert_eq!(send(client.get(&tagged)).await, (200, manifest.into()));
    let pulled = send(client.get(stand.url(&format!("/v2/app/blobs/{digest}")))).await;
    assert!(pulled == (200, layer.into()), "the bytes are others");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_push_and_pull() {
    let stand = Stand::start().await;
    let first = stand.http(None).http1_only().build().unwrap();
    push_and_pull(&stand, &first, Version::HTTP_11).await;
    // By ALPN, without the client knowing before.
    let second = stand.http(None).build().unwrap();
    push_and_pull(&stand, &second, Version::HTTP_2).await;
    assert!(stand.stop().await, "it drained");
}

#[tokio::test]
async fn the_oldest_version_is_the_one_that_is_set() {
    let old = [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)];
    for (version_min, refused) in [(TlsVersion::V1_2, 0), (TlsVersion::V1_3, 1)] {
        let files = Files::new();
        let tls = Some(TlsOptions { version_min, ..files.options() });
        let http = Options { tls, ..Options::default() };
        let stand = Stand::with(files, Registry { http, ..Registry::default() }).await;
        for (index, (version, expect)) in old.into_iter().enumerate() {
            let config = Arc::new(trusting(&stand.files.authority, None, &[version]));
            let connected = connect(stand.address, &config).await;
            if index < refused {
                let error = connected.expect_err("the version is too old");
                let alert = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
                assert_eq!(error.get_ref().and_then(|error| error.downcast_ref()), Some(&alert));
                continue;
            }
            let mut stream = connected.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expect));
            ask(&mut stream, "/v2/", "connection: close\r\n").await.unwrap();
            assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 "));
        }
    }
}

/// Sends bytes without TLS, and returns what came until the end.
async fn plain(stand: &Stand, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut came = Vec::new();
    let read = stream.read_to_end(&mut came);
    tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
    came.escape_ascii().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_tls_is_told_so() {
    let stand = Stand::start().await;
    for sends_more in [false, true] {
        let mut stream = TcpStream::connect(stand.address).await.unwrap();
        if sends_more {
            sends_on(&mut stream).await.unwrap();
        } else {
            stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        }
        stream.shutdown().await.unwrap();
        let mut came = String::new();
        let read = stream.read_to_string(&mut came);
        tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
        let (head, body) = came.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(body, "this port speaks TLS: ask with https://\n");
    }
    // What is neither is closed, and the next client is served.
    let garbage = plain(&stand, b"\x16\x03\x01\x00\x05hello").await;
    assert!(!garbage.contains("HTTP"), "{garbage}");
    assert!(!plain(&stand, &[0; 64]).await.contains("HTTP"));
    let client = stand.http(None).build().unwrap();
    assert_eq!(client.get(stand.url("/livez")).send().await.unwrap().status().as_u16(), 200);
}
