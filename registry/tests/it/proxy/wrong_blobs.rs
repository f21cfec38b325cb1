//! Goal (P1): whatever an upstream does to a blob's bytes, no response completes with wrong ones,
//! nothing but the upstream's bytes is in a body, and nothing wrong is kept.
//! Method: each fault of the wire, over HTTP/1.1 and HTTP/2; then the same pull without it.

use sim::fault::{At, Fault, Selector};
use wharfinger::clock::Clock;

use super::bench::{Bench, Listening, NAME, Wire, blob_path, content, registry, upstream};
use super::scripted::{Scripted, response};
use crate::support::{Answer, sha256};

const LARGE: usize = 300_000;

/// Says what is wrong with an answer to a pull that could not succeed: one that is a clean 502 or
/// is cut short of what it announced is right.
fn fault_of(answer: &Answer, honest: &[u8], is_prefix: bool) -> Option<&'static str> {
    match answer.status.as_u16() {
        502 if answer.cut => Some("a cut error"),
        502 => (answer.code() != "UNKNOWN").then_some("another code"),
        200 if !answer.cut => Some("completed"),
        200 => {
            let announced = answer.header("content-length").parse::<usize>();
            // Short of a length that is right this is a strict prefix; of one that is too large, the
            // whole may have come, and the end still did not.
            let is_short = announced.is_ok_and(|announced| answer.body.len() < announced);
            match (is_short, !is_prefix || honest.starts_with(&answer.body)) {
                (false, _) => Some("not short of its length"),
                (_, false) => Some("not a prefix"),
                _ => None,
            }
        }
        _ => Some("another status"),
    }
}

/// A registry in front of an origin, and its listener.
struct Stand {
    bench: Bench,
    listening: Listening,
}

impl Stand {
    async fn new() -> Self {
        let bench = Bench::new().await;
        Self { listening: Listening::start(&bench.client).await, bench }
    }
}

/// Pulls a blob of its own under a fault, and then without it.
async fn check(stand: &Stand, fault: Fault, len: usize, wire: Wire, statuses: &[u16]) {
    let Stand { bench, listening } = stand;
    let (blob, bytes) = bench.blob(len, bench.origin.journal().mark());
    let path = blob_path(&blob.digest);
    let text = format!("{fault:?} of {len} over {wire:?}");
    let is_prefix = !matches!(fault, Fault::Corrupt { .. });
    let guard = bench.origin.install(Selector::get("*/blobs/*").suffer(fault));
    // Not even the head arrives when the end is there before it was sent: that is cut short too.
    if let Some(answer) = listening.pull(wire, &path, &[]).await {
        assert_eq!(fault_of(&answer, &bytes, is_prefix), None, "{text}: {} bytes", answer.body.len());
        assert!(statuses.contains(&answer.status.as_u16()), "{text}: {}", answer.status);
    } else {
        assert!(statuses.contains(&200), "{text}: a clean error was possible");
    }
    assert_eq!(guard.fired(), 1, "{text}");
    drop(guard);
    for (round, gets) in [(1, 2), (2, 2)] {
        let answer = listening.pull(wire, &path, &[]).await.unwrap();
        assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{text}, healed, {round}");
        assert_eq!(bench.origin.journal().blob_gets(&blob.digest), gets, "{text}: what was wrong was kept");
    }
}

#[tokio::test]
async fn p1_a_large_blob_with_wrong_bytes_never_completes() {
    let (stand, last) = (Stand::new().await, LARGE as u64 - 1);
    for wire in [Wire::Http1, Wire::Http2] {
        for at in [At::Byte(0), At::Percent(50), At::Byte(last)] {
            check(&stand, Fault::Corrupt { at }, LARGE, wire, &[200]).await;
        }
        // A break may be seen before there is a reader: then the error is still clean.
        for at in [At::Byte(0), At::Byte(1), At::Percent(50), At::Byte(last)] {
            check(&stand, Fault::Truncate { at }, LARGE, wire, &[200, 502]).await;
        }
        check(&stand, Fault::Reset { at: At::Percent(50) }, LARGE, wire, &[200, 502]).await;
        for delta in [-1, 1, 1000, -200_000] {
            check(&stand, Fault::ContentLength { delta }, LARGE, wire, &[200]).await;
        }
        // Announced as small, it is verified first.
        check(&stand, Fault::ContentLength { delta: -250_000 }, LARGE, wire, &[502]).await;
        check(&stand, Fault::ContentLength { delta: -300_000 }, LARGE, wire, &[502]).await;
        check(&stand, Fault::Html, LARGE, wire, &[502]).await;
    }
}

#[tokio::test]
async fn p1_a_small_blob_with_wrong_bytes_is_a_clean_502() {
    let stand = Stand::new().await;
    for len in [1, 1000, 64 * 1024] {
        let last = At::Byte(len as u64 - 1);
        for fault in [
            Fault::Corrupt { at: At::Byte(0) },
            Fault::Corrupt { at: last },
            Fault::Truncate { at: At::Byte(0) },
            Fault::Truncate { at: last },
            Fault::Reset { at: last },
            Fault::ContentLength { delta: -1 },
            Fault::Html,
        ] {
            check(&stand, fault, len, Wire::Http1, &[502]).await;
        }
    }
    // One byte more than is verified first.
    check(&stand, Fault::Corrupt { at: At::Byte(0) }, 64 * 1024 + 1, Wire::Http1, &[200]).await;
    check(&stand, Fault::ContentLength { delta: 1 }, 64 * 1024, Wire::Http1, &[200]).await;
}

#[tokio::test]
async fn p1_everybody_who_follows_wrong_bytes_is_cut() {
    let Stand { bench, listening } = Stand::new().await;
    let (blob, bytes) = bench.blob(LARGE, 7);
    let corrupt = Fault::Corrupt { at: At::Percent(90) };
    let guard = bench.origin.install(Selector::get("*/blobs/*").nth(1).suffer(corrupt));
    let path = blob_path(&blob.digest);
    let pulls = (0..20).map(|_| listening.pull(Wire::Http1, &path, &[]));
    for answer in futures_util::future::join_all(pulls).await.into_iter().flatten() {
        // Who comes after the first fetch gets the second one, whose bytes are right.
        let is_right = answer.status == 200 && !answer.cut && answer.body == bytes;
        let fault = fault_of(&answer, &bytes, false);
        assert!(is_right || fault.is_none(), "{fault:?}");
    }
    assert_eq!(guard.fired(), 1);
    assert!(bench.origin.journal().blob_gets(&blob.digest) <= 2);
}

#[tokio::test]
async fn p1_without_a_length_wrong_bytes_never_complete() {
    let honest = content(LARGE, 1);
    for (name, sent) in [
        ("cut", honest[..LARGE - 1].to_vec()),
        ("cut early", honest[..100_000].to_vec()),
        ("longer", [honest.as_slice(), b"x"].concat()),
        ("other", content(LARGE, 2)),
    ] {
        for wire in [Wire::Http1, Wire::Http2] {
            let sent = sent.clone();
            let origin = Scripted::start(move |_| response("connection: close\r\n", &sent)).await;
            let client = registry(vec![upstream(NAME, &[origin.url()])], &Clock::system()).await;
            let listening = Listening::start(&client).await;
            let path = blob_path(sha256(&honest));
            for gets in 1..=2 {
                if let Some(answer) = listening.pull(wire, &path, &[]).await {
                    assert!(answer.status == 200 && answer.cut, "{name} over {wire:?}: {}", answer.status);
                    assert!(!sha256(&answer.body).eq(&sha256(&honest)), "{name} over {wire:?}");
                }
                assert_eq!(origin.blob_gets(), gets, "{name}: what was wrong was kept");
            }
        }
    }
}

#[tokio::test]
async fn p1_a_client_that_cannot_tell_a_cut_waits_for_the_verdict() {
    let honest = content(LARGE, 1);
    for (sent, status) in [(honest.clone(), 200), (content(LARGE, 2), 502)] {
        let body = sent.clone();
        let origin = Scripted::start(move |_| response("connection: close\r\n", &body)).await;
        let client = registry(vec![upstream(NAME, &[origin.url()])], &Clock::system()).await;
        let mut request =
            http::Request::get(blob_path(sha256(&honest))).body(axum::body::Body::empty()).unwrap();
        *request.version_mut() = http::Version::HTTP_10;
        let answer = client.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.cut), (status, false));
        if status == 200 {
            assert_eq!(answer.header("content-length"), LARGE.to_string());
            assert_eq!(answer.body, honest);
        }
    }
}

#[tokio::test]
async fn p1_a_small_body_without_a_length_that_is_wrong_is_a_clean_502() {
    let honest = content(1000, 1);
    for sent in [&honest[..999], &[][..], &content(1000, 2)] {
        let sent = sent.to_vec();
        let origin = Scripted::start(move |_| response("connection: close\r\n", &sent)).await;
        let client = registry(vec![upstream(NAME, &[origin.url()])], &Clock::system()).await;
        let answer = client.get(&blob_path(sha256(&honest))).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UNKNOWN"));
    }
}
