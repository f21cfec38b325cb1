//! Goal: every variant really is one: it answers something otherwise than the honest origin, and nothing
//! with a server's error. Method: one script of requests for all of them, whose answers are compared. That
//! each variant keeps the specification is for the conformance suite to say.

use sim::{
    digest::{Algorithm, Digest},
    origin::{ImageSpec, IndexSpec, Origin, Running, Variant},
};

use crate::raw::{Raw, send};

const REPO: &str = "o/app";
const IMAGE: &str = "content-type: application/vnd.oci.image.manifest.v1+json\r\n";

/// An origin and what it has answered so far, without what differs from run to run.
struct Script {
    running: Running,
    seen: Vec<String>,
}

impl Script {
    async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Raw {
        let raw = send(self.running.addr(), method, path, headers, body).await;
        assert!(raw.status < 500, "{method} {path}: {}", raw.status);
        let head = raw.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
        let head = head.collect::<Vec<_>>().join("\n").replace(&self.running.addr().to_string(), "ADDR");
        self.seen.push(format!("{method} {}\n{}\n{:?}", without_ids(path), without_ids(&head), raw.body));
        raw
    }

    async fn get(&mut self, path: &str) -> Raw {
        self.send("GET", path, "", b"").await
    }

    /// Opens an upload and returns its path.
    async fn open(&mut self) -> String {
        let raw = self.send("POST", &format!("/v2/{REPO}/blobs/uploads/"), "", b"").await;
        self.path_of(&raw)
    }

    /// Returns the path of a Location, which may have a host.
    fn path_of(&self, raw: &Raw) -> String {
        let location = raw.header("location").unwrap();
        let addr = self.running.addr().to_string();
        location.split_once(&addr).map_or(location, |(_, path)| path).to_owned()
    }

    /// Asks for everything that can be read.
    async fn read(&mut self, layer: &Digest, manifest: &Digest) {
        let (blob, tag) = (format!("/v2/{REPO}/blobs/{layer}"), format!("/v2/{REPO}/manifests/v1"));
        for path in [
            "/v2".to_owned(),
            "/v2/_catalog?n=9".to_owned(),
            format!("/v2/{REPO}/tags/list?n=9"),
            "/v2/no/thing/tags/list".to_owned(),
            format!("/v2/{REPO}/referrers/{manifest}"),
            format!("/v2/{REPO}/referrers/{manifest}?artifactType=a/k1"),
            format!("/v2/{REPO}/blobs/{manifest}"),
            format!("/v2/{REPO}/manifests/none"),
            blob.clone(),
            tag.clone(),
        ] {
            self.get(&path).await;
        }
        self.send("GET", &blob, "range: bytes=0-3,6-9\r\n", b"").await;
        self.send("GET", &tag, "accept: application/json\r\n", b"").await;
    }

    /// Uploads in every way.
    async fn upload(&mut self, layer: &Digest) {
        let uploads = "/v2/o/other/blobs/uploads/";
        self.send("POST", &format!("{uploads}?mount={layer}&from={REPO}"), "", b"").await;
        self.send("POST", &format!("{uploads}?mount={layer}"), "", b"").await;
        let abc = Digest::sha256_of(b"abcdefgh");
        self.send("POST", &format!("{uploads}?digest={abc}"), "", b"abcdefgh").await;
        let open = self.open().await;
        self.send("PATCH", &open, "content-range: 7-9\r\n", b"abc").await;
        self.send("PATCH", &open, "content-range: x\r\n", b"abc").await;
        self.send("PATCH", &open, "", b"abcd").await;
        self.send("PATCH", &open, "", b"efgh").await;
        let mark = if open.contains('?') { '&' } else { '?' };
        self.send("PUT", &format!("{open}{mark}digest={layer}"), "", b"").await;
        self.send("PUT", &format!("{open}{mark}digest={abc}"), "", b"").await;
        let long = Digest::of(Algorithm::Sha512, b"long");
        let open = self.open().await;
        let mark = if open.contains('?') { '&' } else { '?' };
        self.send("PUT", &format!("{open}{mark}digest={long}"), "", b"long").await;
        let open = self.open().await;
        self.send("DELETE", &open, "", b"").await;
    }

    /// Pushes and deletes manifests.
    async fn change(&mut self, layer: &Digest, manifest: &Digest) {
        let bytes = self.running.origin().content(manifest).unwrap();
        let path = format!("/v2/{REPO}/manifests/{manifest}?tag=x");
        self.send("PUT", &path, IMAGE, &bytes).await;
        self.send("PUT", "/v2/o/sparse/manifests/x", IMAGE, &bytes).await;
        let with_subject = String::from_utf8(bytes.to_vec()).unwrap();
        let subject = format!(
            "{{\"subject\":{{\"mediaType\":\"a/b\",\"digest\":\"{manifest}\",\"size\":2}},{}",
            &with_subject[1..]
        );
        self.send("PUT", &format!("/v2/{REPO}/manifests/s"), IMAGE, subject.as_bytes()).await;
        for path in [
            format!("/v2/{REPO}/manifests/a"),
            format!("/v2/{REPO}/blobs/{layer}"),
            format!("/v2/{REPO}/manifests/{manifest}"),
        ] {
            self.send("DELETE", &path, "", b"").await;
        }
        self.get(&format!("/v2/{REPO}/referrers/{manifest}")).await;
    }
}

/// Replaces what looks like an id, which no two runs share.
fn without_ids(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !(c.is_ascii_hexdigit() || c == '-')) {
        let end = word.trim_end_matches(|c: char| !(c.is_ascii_hexdigit() || c == '-')).len();
        out.push_str(if end >= 32 { "ID" } else { &word[..end] });
        out.push_str(&word[end..]);
    }
    out
}

async fn answers(origin: Origin) -> Vec<String> {
    let image = |seed| ImageSpec { layers: vec![100], seed, ..ImageSpec::default() };
    let seeded = origin.seed_image(REPO, "v1", &image(1));
    for tag in ["a", "B", "c"] {
        origin.seed_image(REPO, tag, &image(1));
        origin.seed_image(&format!("p/{}", tag.to_lowercase()), "v1", &image(2));
    }
    for number in 0..3 {
        let (subject, kind) = (Some(seeded.manifest.digest.clone()), Some(format!("a/k{number}")));
        let spec = ImageSpec { subject, artifact_type: kind, ..image(3) };
        origin.seed_image(REPO, &format!("r{number}"), &spec);
    }
    origin.seed_index(REPO, "multi", &IndexSpec { images: vec![image(4)], ..IndexSpec::default() });
    let running = origin.serve("127.0.0.1:0").await.unwrap();
    let mut script = Script { running, seen: Vec::new() };
    let (layer, manifest) = (&seeded.layers[0].digest, &seeded.manifest.digest);
    script.read(layer, manifest).await;
    script.upload(layer).await;
    script.change(layer, manifest).await;
    script.seen
}

#[tokio::test]
async fn every_variant_answers_something_otherwise() {
    let honest = answers(Origin::new()).await;
    assert_eq!(honest, answers(Origin::new()).await, "the script itself is repeatable");
    for variant in Variant::ALL {
        let varied = answers(Origin::varied(*variant)).await;
        let other = honest.iter().zip(&varied).filter(|(honest, varied)| honest != varied).count();
        assert!(other > 0, "{} is the honest origin", variant.name());
    }
}
