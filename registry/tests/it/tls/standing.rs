//! Goal: who stands still takes nothing from the others, and not for ever; a stop lets end what is under way.
//! Method: handshakes that are not made, readers that do not read, over real sockets.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wharfinger::http::options::{Options, TlsOptions};

use super::authority::Files;
use super::stand::{DEADLINE, Stand, ask, head, rest};
use crate::support::Registry;

/// More than the sockets' buffers hold.
const LARGE: usize = 32 << 20;
const SHORT: Duration = Duration::from_millis(400);
/// How much earlier than a timeout nothing may happen; the clocks are not the same.
const EARLY: Duration = Duration::from_millis(350);

async fn stand(handshake_timeout: Duration, http: Options) -> Stand {
    let files = Files::new();
    let tls = Some(TlsOptions { handshake_timeout, ..files.options() });
    Stand::with(files, Registry { http: Options { tls, ..http }, ..Registry::default() }).await
}

/// Connects, and says the beginning of a handshake, or nothing.
async fn stalled(stand: &Stand, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    stream.write_all(said).await.unwrap();
    stream
}

/// The head of a record of 512 bytes, of which nothing comes.
const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1];

async fn live(stand: &Stand) {
    let mut stream = stand.connect().await;
    ask(&mut stream, "/livez", "connection: close\r\n").await.unwrap();
    assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 "));
}

/// Waits until the server has closed.
async fn closed(mut stream: TcpStream) {
    let mut came = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut came)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_stalled_handshakes_stop_nobody() {
    let stand = stand(DEADLINE * 2, Options::default()).await;
    let mut crowd = Vec::new();
    for number in 0..50 {
        crowd.push(stalled(&stand, &HALF_A_HELLO[..number % (HALF_A_HELLO.len() + 1)]).await);
    }
    let begun = Instant::now();
    for _ in 0..5 {
        live(&stand).await;
    }
    assert!(begun.elapsed() < DEADLINE / 3, "it took {:?}", begun.elapsed());
    // None of them holds up a stop either: no request has come with it.
    let begun = Instant::now();
    assert!(stand.stop().await, "it drained");
    assert!(begun.elapsed() < DEADLINE / 3, "it took {:?}", begun.elapsed());
    join_all(crowd.into_iter().map(closed)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_handshake_ends_in_time() {
    let stand = stand(SHORT, Options::default()).await;
    for said in [&[], HALF_A_HELLO] {
        let begun = Instant::now();
        closed(stalled(&stand, said).await).await;
        assert!(begun.elapsed() > EARLY, "it was closed after {:?}", begun.elapsed());
    }
    // The answer to who speaks no TLS is bounded too.
    let begun = Instant::now();
    closed(stalled(&stand, b"GET / HTTP/1.1\r\n").await).await;
    assert!(begun.elapsed() < DEADLINE, "it was closed after {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_handshakes_count_as_connections() {
    let stand = stand(SHORT, Options { connections_max: 2, ..Options::default() }).await;
    let begun = Instant::now();
    let _crowd = [stalled(&stand, HALF_A_HELLO).await, stalled(&stand, b"").await];
    live(&stand).await;
    assert!(begun.elapsed() > EARLY, "it was served after {:?}, beside the others", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_client_that_says_nothing_after_its_handshake_is_closed() {
    let stand = stand(DEADLINE, Options { header_timeout: SHORT, ..Options::default() }).await;
    for said in ["", "GET /v2/ HTT", "PRI * HT"] {
        let mut stream = stand.connect().await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let begun = Instant::now();
        let told = rest(&mut stream).await;
        assert!(begun.elapsed() > EARLY, "{said:?} was cut at once: {}", told.escape_ascii());
        assert!(begun.elapsed() < DEADLINE, "{said:?} was not cut");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_reader_that_stands_still_is_cut() {
    let stand = stand(DEADLINE, Options { write_idle_timeout: SHORT, ..Options::default() }).await;
    let bytes = vec![3; LARGE];
    let digest = stand.client.push_blob("app", &bytes).await;
    let mut stream = stand.connect().await;
    ask(&mut stream, &format!("/v2/app/blobs/{digest}"), "").await.unwrap();
    let answer = head(&mut stream).await.unwrap();
    assert!(answer.contains(&format!("content-length: {LARGE}\r\n")), "{answer}");
    // A stop waits for this connection, and so tells when it ended.
    let begun = Instant::now();
    assert!(stand.stop().await, "it was given up");
    assert!(begun.elapsed() < DEADLINE / 2, "it was cut after {:?}", begun.elapsed());
    // What was in the buffers is right, and it is plain that it is not all (P1).
    let came = rest(&mut stream).await;
    assert!(came.len() < LARGE && came == bytes[..came.len()], "{} bytes came", came.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_a_download_end_and_takes_no_more() {
    let stand = stand(DEADLINE, Options::default()).await;
    let bytes = vec![5; LARGE];
    let digest = stand.client.push_blob("app", &bytes).await;
    let idle = stand.connect().await;
    let mut stream = stand.connect().await;
    ask(&mut stream, &format!("/v2/app/blobs/{digest}"), "").await.unwrap();
    assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 "));
    let address = stand.address;
    let (server, _files) = stand.stopping();
    tokio::time::timeout(DEADLINE, async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("no further connection is taken");
    assert!(!server.is_finished(), "it waits for the download");
    assert!(rest(&mut stream).await == bytes, "the download is whole");
    assert!(server.await.unwrap(), "it drained");
    drop(idle);
}
