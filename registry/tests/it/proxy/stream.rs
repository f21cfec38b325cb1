//! Goal: one fetch serves everybody, as it arrives, and nobody's leaving harms the others.
//! Method: many clients of the real listener, and an origin that waits at a gate.

use futures_util::future::join_all;
use sim::fault::{Fault, Selector};
use wharfinger::clock::Clock;

use super::bench::{
    Bench, Listening, NAME, Wire, blob_path, content, manifest_path, read, read_at_least, registry, until,
    upstream,
};
use super::scripted::{Gate, Scripted, gated, response};
use crate::support::{Client, sha256};

/// An origin with one blob, which it stops sending at a gate.
struct Gated {
    origin: Scripted,
    gate: Gate,
    bytes: Vec<u8>,
    path: String,
    client: Client,
    listening: Listening,
}

impl Gated {
    async fn new(len: usize, first: usize) -> Self {
        let (bytes, gate) = (content(len, 1), Gate::shut());
        let (sent, shut) = (bytes.clone(), gate.clone());
        let origin = Scripted::start(move |_| gated(&sent, first, &shut)).await;
        let client = registry(vec![upstream(NAME, &[origin.url()])], &Clock::system()).await;
        let listening = Listening::start(&client).await;
        let path = blob_path(sha256(&bytes));
        Self { origin, gate, bytes, path, client, listening }
    }
}

#[tokio::test]
async fn p4_fifty_clients_make_one_fetch() {
    let bench = Bench::new().await;
    let (blob, bytes) = bench.blob(1 << 20, 1);
    let drip = Fault::Drip { bytes: 64 * 1024, ms: 2 };
    let guard = bench.origin.install(Selector::get("*/blobs/*").suffer(drip));
    let listening = Listening::start(&bench.client).await;
    let path = blob_path(&blob.digest);
    let answers = join_all((0..50).map(|_| listening.get(&path))).await;
    for answer in answers {
        assert_eq!((answer.status.as_u16(), answer.cut), (200, false));
        assert_eq!(answer.header("content-length"), bytes.len().to_string());
        assert!(answer.body == bytes, "wrong bytes");
    }
    assert_eq!((bench.origin.journal().blob_gets(&blob.digest), guard.fired()), (1, 1));
}

#[tokio::test]
async fn p4_many_clients_of_a_tag_ask_once() {
    let bench = Bench::new().await;
    let image = bench.image("v1", &[10], 1);
    let guard = bench.origin.install(Selector::get("*").suffer(Fault::Latency { ms: 20 }));
    let path = manifest_path("v1");
    let answers = join_all((0..50).map(|_| bench.client.get(&path))).await;
    for answer in answers {
        assert_eq!(answer.header("docker-content-digest"), image.manifest.digest.to_string());
    }
    assert_eq!((bench.origin.journal().count("GET", &path), guard.fired()), (1, 1));
}

#[tokio::test]
async fn p4_a_leaver_stops_nobody() {
    let bench = Gated::new(500_000, 200_000).await;
    let mut leaver = bench.listening.open(Wire::Http1, &bench.path, &[]).await;
    let mut stayer = bench.listening.open(Wire::Http1, &bench.path, &[]).await;
    read_at_least(&mut leaver, 1).await;
    let mut body = read_at_least(&mut stayer, 100_000).await;
    drop(leaver);
    bench.gate.open();
    let rest = read(stayer).await;
    body.extend_from_slice(&rest.body);
    assert!(!rest.cut && body == bench.bytes);
    assert_eq!(bench.origin.blob_gets(), 1);
}

#[tokio::test]
async fn p4_a_fill_goes_on_without_its_client() {
    // More than the sockets' buffers hold: only a fill that reads lets the origin come to its end.
    let bench = Gated::new(32 << 20, 200_000).await;
    let mut leaver = bench.listening.open(Wire::Http1, &bench.path, &[]).await;
    read_at_least(&mut leaver, 1).await;
    drop(leaver);
    bench.gate.open();
    until("the origin has sent everything", || bench.origin.served() == 1).await;
    let answer = bench.client.get(&bench.path).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bench.bytes);
    assert_eq!(bench.origin.blob_gets(), 1);
}

#[tokio::test]
async fn p5_the_first_byte_comes_while_the_origin_still_has_the_rest() {
    for wire in [Wire::Http1, Wire::Http2] {
        let bench = Gated::new(1_000_000, 70_000).await;
        let mut response = bench.listening.open(wire, &bench.path, &[]).await;
        assert_eq!(response.content_length(), Some(1_000_000));
        // All that the origin has sent arrives, before it sends anything more.
        let mut body = read_at_least(&mut response, 70_000).await;
        bench.gate.open();
        let rest = read(response).await;
        body.extend_from_slice(&rest.body);
        assert!(!rest.cut && body == bench.bytes, "{wire:?}");
    }
}

#[tokio::test]
async fn ranges_of_a_blob_that_is_arriving() {
    let bench = Gated::new(500_000, 200_000).await;
    let whole = bench.listening.open(Wire::Http1, &bench.path, &[]).await;
    let range = async |range: &str| bench.listening.open(Wire::Http1, &bench.path, &[("range", range)]).await;
    // What is here is answered at once.
    for (text, expect) in [("bytes=0-0", 0..1), ("bytes=1000-99999", 1000..100_000)] {
        let answer = read(range(text).await).await;
        assert_eq!((answer.status.as_u16(), answer.cut), (206, false), "{text}");
        let content_range = format!("bytes {}-{}/500000", expect.start, expect.end - 1);
        assert_eq!(answer.header("content-range"), content_range);
        assert!(answer.body == bench.bytes[expect], "{text}");
    }
    let beyond = read(range("bytes=500000-").await).await;
    assert_eq!((beyond.status.as_u16(), beyond.header("content-range")), (416, "bytes */500000"));
    // What is not yet here is waited for; several ranges are answered by the whole.
    let later = [("bytes=150000-250000", 206, 150_000..250_001), ("bytes=-10", 206, 499_990..500_000)];
    let several = ("bytes=0-1,5-6", 200, 0..500_000);
    let mut open = Vec::new();
    for (text, status, expect) in later.into_iter().chain([several]) {
        open.push((text, status, expect, range(text).await));
    }
    bench.gate.open();
    for (text, status, expect, response) in open {
        let answer = read(response).await;
        assert_eq!((answer.status.as_u16(), answer.cut), (status, false), "{text}");
        assert!(answer.body == bench.bytes[expect], "{text}");
    }
    assert!(read(whole).await.body == bench.bytes);
    assert_eq!(bench.origin.blob_gets(), 1);
}

#[tokio::test]
async fn p1_a_range_to_the_end_waits_for_the_verdict() {
    let bytes = content(300_000, 1);
    let asked_for = blob_path(sha256(&content(300_000, 2)));
    let headers = format!("content-length: {}\r\n", bytes.len());
    let origin = Scripted::start(move |_| response(&headers, &bytes)).await;
    let client = registry(vec![upstream(NAME, &[origin.url()])], &Clock::system()).await;
    let listening = Listening::start(&client).await;
    for range in ["bytes=-1", "bytes=299000-", "bytes=0-"] {
        let answer = listening.pull(Wire::Http1, &asked_for, &[("range", range)]).await;
        assert!(answer.is_none_or(|answer| answer.status == 206 && answer.cut), "{range}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_passed_on_and_stored() {
    for chunked in [false, true] {
        for len in [0, 10, 64 * 1024, 300_000] {
            let bytes = content(len, 1);
            let sent = bytes.clone();
            let origin = Scripted::start(move |_| match chunked {
                false => response("connection: close\r\n", &sent),
                true if sent.is_empty() => response("transfer-encoding: chunked\r\n", b"0\r\n\r\n"),
                true => {
                    let chunk =
                        [format!("{:x}\r\n", sent.len()).as_bytes(), &sent, b"\r\n0\r\n\r\n"].concat();
                    response("transfer-encoding: chunked\r\n", &chunk)
                }
            })
            .await;
            let client = registry(vec![upstream(NAME, &[origin.url()])], &Clock::system()).await;
            let listening = Listening::start(&client).await;
            for _ in 0..2 {
                let answer = listening.get(&blob_path(sha256(&bytes))).await;
                assert_eq!((answer.status.as_u16(), answer.cut), (200, false), "{len} {chunked}");
                assert!(answer.body == bytes, "{len} {chunked}");
            }
            assert_eq!(origin.blob_gets(), 1, "{len} {chunked}");
        }
    }
}

#[tokio::test]
async fn a_blob_that_is_arriving_can_be_read_in_this_process_too() {
    let bench = Gated::new(200_000, 100_000).await;
    let (answer, ()) = tokio::join!(bench.client.get(&bench.path), async {
        until("the origin was asked", || bench.origin.blob_gets() == 1).await;
        bench.gate.open();
    });
    assert!(answer.status == 200 && !answer.cut && answer.body == bench.bytes);
}
