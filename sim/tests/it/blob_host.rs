//! Goal: a redirected blob can be had by who was sent there, for this blob only, and by nobody's password.
//! Method: raw requests to an origin that redirects to itself, and to a second address.

use sim::origin::{Access, Action, BlobHost, ImageSpec, Origin, Right, Running, Scheme, TokenOptions};

use crate::raw::{get, send};

struct Bench {
    running: Running,
    host: Running,
    path: String,
    bytes: Vec<u8>,
}

impl Bench {
    async fn new(origin: Origin) -> Self {
        let spec = ImageSpec { layers: vec![5000], ..ImageSpec::default() };
        let layer = origin.seed_image("o/app", "v1", &spec).layers[0].digest.clone();
        let (running, host) =
            (origin.serve("127.0.0.1:0").await.unwrap(), origin.serve("127.0.0.1:0").await.unwrap());
        let bytes = origin.content(&layer).unwrap().to_vec();
        Self { running, host, path: format!("/v2/o/app/blobs/{layer}"), bytes }
    }

    /// Returns where the blob is redirected to.
    async fn location(&self) -> String {
        let raw = get(self.running.addr(), &self.path).await;
        assert_eq!((raw.status, raw.body.len()), (307, 0));
        assert!(raw.header("docker-content-digest").is_some());
        raw.header("location").unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_blob_is_at_the_address_that_was_signed_for_it() {
    let origin = Origin::of(sim::origin::Nature {
        blob_host: Some(BlobHost::SameAddress),
        ..sim::origin::Nature::default()
    });
    let bench = Bench::new(origin).await;
    let location = bench.location().await;
    assert!(location.starts_with("/storage/o/app/sha256:") && location.contains("&signature="), "{location}");
    let addr = bench.running.addr();
    assert_eq!(get(addr, &location).await.body, bench.bytes);
    let part = send(addr, "GET", &location, "range: bytes=10-19\r\n", b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &bench.bytes[10..20]));
    let head = send(addr, "HEAD", &bench.path, "", b"").await;
    assert_eq!((head.status, head.length()), (200, Some(5000)), "only GET is redirected");
    for forged in [
        location.replace("o/app", "o/other"),
        location.replace("expires=", "expires=9"),
        location.replace("signature=", "signature=0"),
        location.split('?').next().unwrap().to_owned(),
    ] {
        assert_eq!(get(addr, &forged).await.status, 403, "{forged}");
    }
    assert_eq!(get(addr, &bench.path.replace("sha256:", "sha256:0")).await.status, 400);
    bench.running.origin().redirect_blobs(None);
    assert_eq!(get(addr, &bench.path).await.body, bench.bytes);
}

#[tokio::test]
async fn another_host_takes_the_signature_and_no_credentials() {
    let access = Access {
        scheme: Scheme::Bearer(TokenOptions::default()),
        accounts: Vec::new(),
        anonymous: vec![Right::of("o/", [Action::Pull])],
    };
    let bench = Bench::new(Origin::guarded(access)).await;
    bench.running.origin().redirect_blobs(Some(BlobHost::Address(bench.host.url())));
    assert_eq!(get(bench.running.addr(), &bench.path).await.status, 401, "the redirect is behind the gate");
    let issued = get(bench.running.addr(), "/token?scope=repository:o/app:pull").await;
    let issued: serde_json::Value = serde_json::from_slice(&issued.body).unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", issued["token"].as_str().unwrap());
    let raw = send(bench.running.addr(), "GET", &bench.path, &bearer, b"").await;
    let location = raw.header("location").unwrap().to_owned();
    let signed = location.strip_prefix(&bench.host.url()).unwrap();
    assert_eq!(get(bench.host.addr(), signed).await.body, bench.bytes);
    assert_eq!(send(bench.host.addr(), "GET", signed, &bearer, b"").await.status, 400);
}
