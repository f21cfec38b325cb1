//! Goal: the honest origin keeps the specification, so that a proxy's mistake is never the origin's.
//! Method: raw requests against a listening origin, one test per noun.

use sim::{
    digest::{Algorithm, Digest},
    origin::{ImageSpec, IndexSpec, Origin, Running, SeededImage},
};

use crate::raw::{Raw, get, send};

const REPO: &str = "o/app";

struct Bench {
    running: Running,
    image: SeededImage,
}

impl Bench {
    async fn new() -> Self {
        let origin = Origin::new();
        let spec = ImageSpec { layers: vec![1000, 0], seed: 3, ..ImageSpec::default() };
        let image = origin.seed_image(REPO, "v1", &spec);
        Self { running: origin.serve("127.0.0.1:0").await.unwrap(), image }
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Raw {
        send(self.running.addr(), method, path, headers, body).await
    }

    async fn get(&self, path: &str) -> Raw {
        get(self.running.addr(), path).await
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_slice(&self.get(path).await.body).unwrap()
    }

    fn layer(&self) -> String {
        format!("/v2/{REPO}/blobs/{}", self.image.layers[0].digest)
    }
}

#[tokio::test]
async fn manifests_are_pulled_by_tag_and_digest() {
    let bench = Bench::new().await;
    let digest = &bench.image.manifest.digest;
    for reference in ["v1".to_owned(), digest.to_string()] {
        let path = format!("/v2/{REPO}/manifests/{reference}");
        for accept in ["", "accept: application/vnd.docker.distribution.manifest.v2+json\r\n"] {
            let raw = bench.send("GET", &path, accept, b"").await;
            assert_eq!(raw.status, 200);
            assert!(digest.names(&raw.body));
            assert_eq!(raw.header("docker-content-digest"), Some(digest.to_string().as_str()));
            assert_eq!(raw.header("content-type"), Some("application/vnd.oci.image.manifest.v1+json"));
        }
        let head = bench.send("HEAD", &path, "", b"").await;
        let size = usize::try_from(bench.image.manifest.size).unwrap();
        assert_eq!((head.status, head.length(), head.body.len()), (200, Some(size), 0));
        let fresh = bench.send("GET", &path, &format!("if-none-match: \"{digest}\"\r\n"), b"").await;
        assert_eq!((fresh.status, fresh.body.len()), (304, 0));
    }
    let missing = bench.get(&format!("/v2/{REPO}/manifests/v2")).await;
    assert_eq!((missing.status, missing.code().as_str()), (404, "MANIFEST_UNKNOWN"));
    let nowhere = bench.get("/v2/no/where/manifests/v1").await;
    assert_eq!((nowhere.status, nowhere.code().as_str()), (404, "NAME_UNKNOWN"));
}

#[tokio::test]
async fn blobs_answer_ranges() {
    let bench = Bench::new().await;
    let whole = bench.get(&bench.layer()).await;
    assert!(bench.image.layers[0].digest.names(&whole.body));
    for (range, expect) in [("0-0", 0..1), ("990-", 990..1000), ("-5", 995..1000), ("5-9", 5..10)] {
        let raw = bench.send("GET", &bench.layer(), &format!("range: bytes={range}\r\n"), b"").await;
        assert_eq!((raw.status, &raw.body), (206, &whole.body[expect.clone()].to_vec()), "{range}");
        let content_range = format!("bytes {}-{}/1000", expect.start, expect.end - 1);
        assert_eq!(raw.header("content-range"), Some(content_range.as_str()));
    }
    let beyond = bench.send("GET", &bench.layer(), "range: bytes=1000-\r\n", b"").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */1000")));
    let empty = bench.get(&format!("/v2/{REPO}/blobs/{}", bench.image.layers[1].digest)).await;
    assert_eq!((empty.status, empty.length()), (200, Some(0)));
}

#[tokio::test]
async fn repositories_are_kept_apart() {
    let bench = Bench::new().await;
    let digest = &bench.image.layers[0].digest;
    bench.running.origin().seed_blob("o/other", "x", Algorithm::Sha256);
    let raw = bench.get(&format!("/v2/o/other/blobs/{digest}")).await;
    assert_eq!((raw.status, raw.code().as_str()), (404, "BLOB_UNKNOWN"));
    let mount = format!("/v2/o/other/blobs/uploads/?mount={digest}&from={REPO}");
    assert_eq!(bench.send("POST", &mount, "", b"").await.status, 201);
    assert_eq!(bench.send("DELETE", &bench.layer(), "", b"").await.status, 202);
    assert_eq!(bench.send("DELETE", &bench.layer(), "", b"").await.status, 404);
    assert_eq!(bench.get(&format!("/v2/o/other/blobs/{digest}")).await.status, 200);
}

#[tokio::test]
async fn uploads_go_in_chunks() {
    let bench = Bench::new().await;
    let start = bench.send("POST", "/v2/o/new/blobs/uploads/", "", b"").await;
    assert_eq!((start.status, start.header("range")), (202, Some("0-0")));
    let place = start.header("location").unwrap().to_owned();
    let patch = |range: &'static str, body: &'static [u8]| {
        let header = format!("content-range: {range}\r\n");
        let (bench, place) = (&bench, &place);
        async move { bench.send("PATCH", place, &header, body).await }
    };
    assert_eq!(patch("0-4", b"hello").await.header("range"), Some("0-4"));
    assert_eq!(patch("0-4", b"hello").await.status, 416, "a repeated chunk");
    assert_eq!(patch("6-9", b"gaps").await.status, 416, "a gap");
    assert_eq!(patch("5-9", b"no").await.status, 400, "a wrong length");
    assert_eq!(bench.get(&place).await.header("range"), Some("0-4"), "refused chunks left nothing");
    let wrong =
        bench.send("PUT", &format!("{place}?digest={}", Digest::sha256_of(b"x")), "", b" world").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "DIGEST_INVALID"));
    let digest = Digest::of(Algorithm::Sha512, b"hello world");
    let done = bench.send("PUT", &format!("{place}?digest={digest}"), "", b" world").await;
    assert_eq!(done.status, 201);
    assert_eq!(bench.get(done.header("location").unwrap()).await.body, b"hello world");
    assert_eq!(bench.get(&place).await.status, 404, "the session is over");
}

#[tokio::test]
async fn manifests_are_checked() {
    let bench = Bench::new().await;
    let config = &bench.image.config;
    let oci = "content-type: application/vnd.oci.image.manifest.v1+json\r\n";
    let put = |name: &'static str, body: String| {
        let bench = &bench;
        async move { bench.send("PUT", &format!("/v2/{name}"), oci, body.as_bytes()).await }
    };
    let manifest = |digest: &Digest| {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{digest}","size":{}}},"layers":[]}}"#,
            config.size
        )
    };
    assert_eq!(put("o/app/manifests/new", manifest(&config.digest)).await.status, 201);
    let missing = put("o/app/manifests/bad", manifest(&Digest::sha256_of(b"?"))).await;
    assert_eq!((missing.status, missing.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
    let elsewhere = put("o/other/manifests/bad", manifest(&config.digest)).await;
    assert_eq!(elsewhere.code(), "MANIFEST_BLOB_UNKNOWN", "a blob of another repository is missing here");
    for body in ["", "null", "[]", "{", r#"{"mediaType":"x/y"}"#, r#"{"schemaVersion":2}"#] {
        let raw = put("o/app/manifests/bad", body.to_owned()).await;
        assert_eq!((raw.status, raw.code().as_str()), (400, "MANIFEST_INVALID"), "{body}");
    }
    let tags = bench.json("/v2/o/app/tags/list").await;
    assert_eq!(tags, serde_json::json!({ "name": "o/app", "tags": ["new", "v1"] }));
    let path = format!("/v2/{REPO}/manifests/{}", bench.image.manifest.digest);
    assert_eq!(bench.send("DELETE", &path, "", b"").await.status, 202);
    assert_eq!(bench.get("/v2/o/app/manifests/v1").await.status, 404, "the tag went with its manifest");
}

#[tokio::test]
async fn tags_are_paged() {
    let bench = Bench::new().await;
    let spec = ImageSpec { layers: vec![1], ..ImageSpec::default() };
    for tag in ["B", "a", "C", "_x", "1", "10"] {
        bench.running.origin().seed_image("o/tags", tag, &spec);
    }
    let (mut seen, mut next) = (Vec::new(), Some("/v2/o/tags/tags/list?n=2".to_owned()));
    while let Some(path) = next {
        let raw = bench.get(&path).await;
        let body: serde_json::Value = serde_json::from_slice(&raw.body).unwrap();
        seen.extend(body["tags"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()));
        next = raw.header("link").map(|it| it[1..it.find('>').unwrap()].to_owned());
    }
    assert_eq!(seen, ["1", "10", "B", "C", "_x", "a"]);
    let none = bench.get("/v2/o/tags/tags/list?n=0").await;
    assert_eq!((none.header("link"), none.body.ends_with(br#""tags":[]}"#)), (None, true));
    assert_eq!(bench.json("/v2/o/tags/tags/list?last=Z").await["tags"], serde_json::json!(["_x", "a"]));
    assert_eq!(bench.get("/v2/o/tags/tags/list?n=-1").await.status, 400);
}

#[tokio::test]
async fn referrers_are_listed_and_filtered() {
    let bench = Bench::new().await;
    let subject = bench.image.manifest.digest.clone();
    for kind in ["a/sig+json", "a/sbom"] {
        let spec = ImageSpec {
            layers: vec![1],
            subject: Some(subject.clone()),
            artifact_type: Some(kind.to_owned()),
            ..ImageSpec::default()
        };
        bench.running.origin().seed_image(
            REPO,
            kind.split('/').next_back().unwrap().trim_end_matches("+json"),
            &spec,
        );
    }
    let path = format!("/v2/{REPO}/referrers/{subject}");
    assert_eq!(bench.json(&path).await["manifests"].as_array().unwrap().len(), 2);
    let filtered = bench.get(&format!("{path}?artifactType=a/sig%2Bjson")).await;
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    let body: serde_json::Value = serde_json::from_slice(&filtered.body).unwrap();
    assert_eq!(body["manifests"][0]["artifactType"], "a/sig+json");
    assert_eq!(body["manifests"].as_array().unwrap().len(), 1);
    let unknown = bench.json(&format!("/v2/never/seen/referrers/{subject}")).await;
    assert_eq!(unknown["manifests"], serde_json::json!([]));
    assert_eq!(bench.get(&format!("/v2/{REPO}/referrers/sha256:bad")).await.status, 400);
}

#[tokio::test]
async fn an_index_brings_its_children() {
    let bench = Bench::new().await;
    let image =
        |seed| ImageSpec { layers: vec![10], seed, algorithm: Algorithm::Sha512, ..ImageSpec::default() };
    let spec = IndexSpec { images: vec![image(1), image(2)], algorithm: Algorithm::Sha512 };
    let index = bench.running.origin().seed_index("o/multi", "v1", &spec);
    let raw = bench.get("/v2/o/multi/manifests/v1").await;
    assert!(index.manifest.digest.names(&raw.body));
    assert_eq!(raw.header("docker-content-digest"), Some(index.manifest.digest.to_string().as_str()));
    for child in &index.images {
        let raw = bench.get(&format!("/v2/o/multi/manifests/{}", child.manifest.digest)).await;
        assert!(child.manifest.digest.names(&raw.body));
    }
}

#[tokio::test]
async fn methods_and_places_that_are_none() {
    let bench = Bench::new().await;
    let base = bench.get("/v2/").await;
    assert_eq!(base.header("docker-distribution-api-version"), Some("registry/2.0"));
    let method = bench.send("FOO", "/v2/o/app/manifests/v1", "", b"").await;
    assert_eq!((method.status, method.code().as_str()), (405, "UNSUPPORTED"));
    assert!(method.header("allow").is_some());
    assert_eq!(bench.get("/v2/o/app/unknown/x").await.status, 404);
    assert_eq!(bench.get("/v2/UPPER/manifests/x").await.code(), "NAME_INVALID");
}

#[tokio::test]
async fn an_empty_blob_tells_head_its_length() {
    let bench = Bench::new().await;
    let empty = &bench.image.layers[1];
    assert_eq!(empty.size, 0);
    let raw = bench.send("HEAD", &format!("/v2/{REPO}/blobs/{}", empty.digest), "", b"").await;
    assert_eq!((raw.status, raw.length()), (200, Some(0)));
}
