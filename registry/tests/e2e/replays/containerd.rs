//! containerd, nerdctl, `BuildKit` and docker with containerd's image store, replayed.
//!
//! It demands: HEAD of a tag with the digest, then GET of that digest; blobs in parallel ranges; `ns` on
//! every request to a mirror, on pushes too, where an unknown one must not matter. It sends a monolithic
//! PUT and takes any success.

use super::Image;
use crate::support::layout::{MANIFEST, sha256};
use crate::support::server::Server;

const AGENT: (&str, &str) = ("user-agent", "containerd/2.1.4");
const ACCEPT: (&str, &str) = (
    "accept",
    "application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*",
);
/// What a node of kind calls the registry on its host.
const NS: &str = "ns=localhost%3A5001";
const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

#[tokio::test(flavor = "multi_thread")]
async fn containerd_pushes_and_pulls_with_an_unknown_ns() {
    let server = Server::start().await;
    let (wire, image) = (server.wire(), Image::new(31, 4_000_000));
    let digest = sha256(&image.manifest);
    wire.send("HEAD", &format!("/v2/app/manifests/1?{NS}"), &[AGENT, ACCEPT], b"").await.expect(404);
    for bytes in image.blobs() {
        let digest = sha256(bytes);
        let blob = format!("/v2/app/blobs/{digest}?{NS}");
        wire.send("HEAD", &blob, &[AGENT, ("accept", "*/*")], b"").await.expect(404);
        let begun =
            wire.send("POST", &format!("/v2/app/blobs/uploads/?{NS}"), &[AGENT], b"").await.expect(202);
        let location = begun.location();
        let joint = if location.contains('?') { '&' } else { '?' };
        let put = format!("{location}{joint}digest={}&{NS}", digest.replace(':', "%3A"));
        wire.send("PUT", &put, &[AGENT, OCTETS], bytes).await.expect(201);
    }
    let tagged = format!("/v2/app/manifests/1?{NS}");
    let typed = [AGENT, ("content-type", MANIFEST)];
    wire.send("PUT", &tagged, &typed, &image.manifest).await.expect(201);

    let head = wire.send("HEAD", &tagged, &[AGENT, ACCEPT], b"").await.expect(200);
    assert_eq!(head.header("docker-content-digest"), digest);
    assert_eq!(head.header("content-type"), MANIFEST);
    assert_eq!(head.header("content-length"), image.manifest.len().to_string());
    let by_digest = format!("/v2/app/manifests/{digest}?{NS}");
    let manifest = wire.send("GET", &by_digest, &[AGENT, ACCEPT], b"").await.expect(200);
    assert_eq!(manifest.body, image.manifest);

    // The layer in four pieces at once, and none of them packed though the client could unpack it.
    let (path, size) = (format!("/v2/app/blobs/{}?{NS}", sha256(&image.layer)), image.layer.len());
    let piece = |from: usize| {
        let (wire, path, to) = (wire.clone(), path.clone(), (from + 1_000_000).min(size) - 1);
        async move {
            let range = format!("bytes={from}-{to}");
            let packing = ("accept-encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5");
            let headers = [AGENT, ("accept", "*/*"), ("range", &range), packing];
            let answer = wire.send("GET", &path, &headers, b"").await.expect(206);
            assert_eq!(answer.header("content-range"), format!("bytes {from}-{to}/{size}"));
            assert!(answer.headers.get("content-encoding").is_none(), "{answer:?}");
            answer.body
        }
    };
    let (a, b, c, d) = tokio::join!(piece(0), piece(1_000_000), piece(2_000_000), piece(3_000_000));
    assert!([a, b, c, d].concat() == image.layer, "the pieces make the layer");

    // After a break it goes on to the end.
    let rest = wire.send("GET", &path, &[AGENT, ("range", "bytes=3999000-")], b"").await.expect(206);
    assert_eq!(rest.body, image.layer[3_999_000..]);
    assert_eq!(rest.header("content-range"), format!("bytes 3999000-{}/{size}", size - 1));
}
