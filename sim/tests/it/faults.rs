//! Goal: each fault, seen by a client that hides nothing, does what its name says, where it says.
//! Method: one seeded layer, one rule, one raw GET; and the journal must agree with the client.

use std::{io, time::Instant};

use sim::{
    fault::{At, DigestHeader, Fault, ORIGIN_WORDS, Selector},
    origin::{ImageSpec, Origin, Running, SeededImage},
};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::raw::{DEADLINE, End, Raw, get, open, send};

const LAYER: usize = 200_000;
pub(crate) const REPO: &str = "faults/app";

pub(crate) struct Bench {
    pub(crate) origin: Origin,
    pub(crate) running: Running,
    image: SeededImage,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let origin = Origin::new();
        let spec = ImageSpec { layers: vec![LAYER], seed: 11, ..ImageSpec::default() };
        let image = origin.seed_image(REPO, "v1", &spec);
        let running = origin.serve("127.0.0.1:0").await.unwrap();
        Self { origin, running, image }
    }

    pub(crate) fn layer_path(&self) -> String {
        format!("/v2/{REPO}/blobs/{}", self.image.layers[0].digest)
    }

    pub(crate) async fn get_layer(&self) -> Raw {
        get(self.running.addr(), &self.layer_path()).await
    }

    /// Gets the layer under a fault; the fault must have fired once, and be gone afterwards.
    pub(crate) async fn suffer(&self, fault: Fault) -> Raw {
        let guard = self.origin.install(Selector::get("/v2/*/blobs/*").suffer(fault));
        let raw = self.get_layer().await;
        assert_eq!(guard.fired(), 1);
        let entry = self.origin.journal().entries().pop().unwrap();
        assert_eq!(entry.faults, [guard.rule().fault.name()]);
        drop(guard);
        let clean = self.get_layer().await;
        assert!(self.image.layers[0].digest.names(&clean.body), "the fault outlived its guard");
        raw
    }
}

#[tokio::test]
async fn truncate_closes_at_the_byte() {
    let bench = Bench::new().await;
    for at in [0, 1, 4096, 65_537, 199_999] {
        let raw = bench.suffer(Fault::Truncate { at: At::Byte(at) }).await;
        assert_eq!((raw.status, raw.length(), raw.end), (200, Some(LAYER), End::Closed));
        assert_eq!(raw.body.len() as u64, at);
    }
    let entries = bench.origin.journal().entries();
    let cut: Vec<u64> = entries.iter().filter(|it| !it.complete).map(|it| it.bytes_sent).collect();
    assert_eq!(cut, [0, 1, 4096, 65_537, 199_999]);
}

#[tokio::test]
async fn reset_is_a_reset() {
    let bench = Bench::new().await;
    let raw = bench.suffer(Fault::Reset { at: At::Percent(1) }).await;
    assert_eq!((raw.status, raw.end), (200, End::Reset));
    assert!(raw.body.len() <= 2000, "{}", raw.body.len());
}

#[tokio::test]
async fn a_cut_beyond_the_end_does_not_happen() {
    let bench = Bench::new().await;
    let rule = Selector::any("*").suffer(Fault::Truncate { at: At::Byte(LAYER as u64) });
    let guard = bench.origin.install(rule);
    assert_eq!(bench.get_layer().await.body.len(), LAYER);
    assert_eq!(guard.fired(), 0);
}

#[tokio::test]
async fn corrupt_flips_one_byte() {
    let bench = Bench::new().await;
    let honest = bench.get_layer().await.body;
    let raw = bench.suffer(Fault::Corrupt { at: At::Byte(70_000) }).await;
    assert_eq!((raw.body.len(), raw.end), (LAYER, End::Closed));
    let wrong: Vec<usize> = (0..LAYER).filter(|at| raw.body[*at] != honest[*at]).collect();
    assert_eq!(wrong, [70_000]);
}

#[tokio::test]
async fn content_length_lies_both_ways() {
    let bench = Bench::new().await;
    for delta in [-10, 10] {
        let raw = bench.suffer(Fault::ContentLength { delta }).await;
        assert_eq!(raw.length(), LAYER.checked_add_signed(isize::try_from(delta).unwrap()));
        assert_eq!(raw.head.to_lowercase().matches("content-length").count(), 1);
        assert_eq!((raw.body.len(), raw.end), (LAYER, End::Closed));
    }
}

#[tokio::test]
async fn status_says_so_and_in_how_long() {
    let bench = Bench::new().await;
    let raw = bench.suffer(Fault::Status { status: 429, retry_after: Some("7".to_owned()) }).await;
    assert_eq!((raw.status, raw.header("retry-after")), (429, Some("7")));
    assert_eq!(raw.code(), "TOOMANYREQUESTS");
    assert!(String::from_utf8_lossy(&raw.body).contains(ORIGIN_WORDS));
}

#[tokio::test]
async fn heads_lie() {
    let bench = Bench::new().await;
    let portal = bench.suffer(Fault::Html).await;
    assert_eq!((portal.status, portal.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let json = bench.suffer(Fault::ContentType { value: "application/json".to_owned() }).await;
    assert_eq!(json.header("content-type"), Some("application/json"));
    let digest = bench.image.layers[0].digest.to_string();
    let lie = |value| bench.suffer(Fault::DigestHeader { value });
    assert_eq!(lie(DigestHeader::Missing).await.header("docker-content-digest"), None);
    assert_eq!(lie(DigestHeader::Garbage).await.header("docker-content-digest"), Some("not a digest"));
    let other = lie(DigestHeader::False).await;
    let other = other.header("docker-content-digest").unwrap();
    assert!(other != digest && other.parse::<sim::digest::Digest>().is_ok(), "{other}");
}

#[tokio::test]
async fn latency_and_pauses_take_their_time() {
    let bench = Bench::new().await;
    for fault in [
        Fault::Latency { ms: 120 },
        Fault::StallBody { at: At::Percent(50), ms: Some(120) },
        Fault::Drip { bytes: 50_000, ms: 30 },
        Fault::Pace { bytes_per_second: 1_600_000 },
    ] {
        let start = Instant::now();
        let raw = bench.suffer(fault.clone()).await;
        assert!(start.elapsed().as_millis() >= 120, "{fault:?} took {:?}", start.elapsed());
        assert!(bench.image.layers[0].digest.names(&raw.body), "{fault:?}");
    }
}

#[tokio::test]
async fn stalls_end_when_the_client_leaves() {
    let bench = Bench::new().await;
    let guard = bench.origin.install(Selector::any("*").nth(1).suffer(Fault::StallHeaders));
    let stalled = open(bench.running.addr(), "GET", &bench.layer_path(), "", b"").await;
    tokio::time::timeout(DEADLINE, async {
        while guard.fired() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(bench.origin.journal().entries()[0].status, None, "nothing was answered");
    drop(stalled);

    let rule = Selector::any("*").nth(2).suffer(Fault::StallBody { at: At::Byte(1000), ms: None });
    let guard = bench.origin.install(rule);
    bench.get_layer().await;
    let mut stalled = open(bench.running.addr(), "GET", &bench.layer_path(), "", b"").await;
    let mut bytes = vec![0; LAYER];
    let mut read = 0;
    let head = |bytes: &[u8]| bytes.windows(4).position(|it| it == b"\r\n\r\n").map(|at| at + 4);
    while head(&bytes[..read]).is_none_or(|head| read < head + 1000) {
        read += tokio::time::timeout(DEADLINE, stalled.read(&mut bytes[read..])).await.unwrap().unwrap();
    }
    assert_eq!(read, head(&bytes[..read]).unwrap() + 1000, "exactly so many bytes, then silence");
    assert_eq!(guard.fired(), 1);
}

#[tokio::test]
async fn refuse_refuses_and_heals() {
    let bench = Bench::new().await;
    let addr = bench.running.addr();
    let mut idle = TcpStream::connect(addr).await.unwrap();
    let guard = bench.origin.install(Selector::any("*").suffer(Fault::Refuse));
    bench.running.settle().await;
    let refused = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let cut = tokio::time::timeout(DEADLINE, idle.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(cut, Ok(0) | Err(_)), "an open connection outlived the outage: {cut:?}");
    drop(guard);
    bench.running.settle().await;
    assert_eq!(bench.get_layer().await.status, 200);
}

#[tokio::test]
async fn faults_compose() {
    let bench = Bench::new().await;
    let blobs = || Selector::get("/v2/*/blobs/*");
    let _a = bench.origin.install(blobs().suffer(Fault::Corrupt { at: At::Byte(10) }));
    let _b = bench.origin.install(blobs().suffer(Fault::Truncate { at: At::Byte(1000) }));
    let _c = bench.origin.install(blobs().suffer(Fault::DigestHeader { value: DigestHeader::Missing }));
    let raw = bench.get_layer().await;
    assert_eq!((raw.body.len(), raw.header("docker-content-digest")), (1000, None));
    let head = send(bench.running.addr(), "HEAD", &bench.layer_path(), "", b"").await;
    assert_eq!((head.length(), head.body.len()), (Some(LAYER), 0), "HEAD was not selected");
}
