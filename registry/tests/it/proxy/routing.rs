//! Goal: what is hosted asks nobody, each name goes to the upstreams that answer for it, in order,
//! and an error never changes the upstream.
//! Method: several origins with journals; what was asked of each is the verdict.

use axum::body::Body;
use sim::digest::Algorithm;
use sim::fault::{Fault, Guard, Selector};
use sim::origin::{Origin, Running};
use wharfinger::clock::Clock;
use wharfinger::config;

use super::bench::{
    Bench, NAME, REPO, asked, blob_path, content, head, image, manifest_path, registry, serve, upstream,
};
use crate::support::Client;

/// Two origins, and a registry in front of them.
struct Two {
    first: Running,
    second: Running,
    client: Client,
}

impl Two {
    /// As two upstreams.
    async fn upstreams() -> Self {
        let (first, second) = (serve(&Origin::new()).await, serve(&Origin::new()).await);
        let upstreams = vec![upstream("first", &[&first.url()]), upstream("second", &[&second.url()])];
        Self { client: registry(upstreams, &Clock::system()).await, first, second }
    }

    /// As two urls of one upstream.
    async fn urls() -> Self {
        let (first, second) = (serve(&Origin::new()).await, serve(&Origin::new()).await);
        let upstreams = vec![upstream(NAME, &[&first.url(), &second.url()])];
        Self { client: registry(upstreams, &Clock::system()).await, first, second }
    }

    /// Returns how many requests each origin got.
    fn counts(&self) -> (u64, u64) {
        (self.first.origin().journal().mark(), self.second.origin().journal().mark())
    }
}

fn fail(running: &Running, status: u16) -> Guard {
    running.origin().install(Selector::any("*").suffer(Fault::Status { status, retry_after: None }))
}

#[tokio::test]
async fn p10_what_is_hosted_asks_nobody() {
    let bench = Bench::new().await;
    let upstreams = bench.image("v1", &[10], 1);
    bench.image("only-upstream", &[10], 2);
    let (_, digest) = bench.client.push_image(REPO, "v1", b"hosted").await;
    let mark = bench.origin.journal().mark();
    let answer = bench.client.get(&manifest_path("v1")).await;
    assert_eq!((answer.status.as_u16(), answer.header("docker-content-digest")), (200, &*digest));
    let absent = [
        manifest_path("only-upstream"),
        manifest_path(&upstreams.manifest.digest),
        blob_path(&upstreams.layers[0].digest),
    ];
    for path in &absent {
        assert_eq!(bench.client.get(path).await.status, 404, "{path}");
        assert_eq!(head(&bench.client, path).await.status, 404, "{path}");
    }
    let tags = bench.client.get(&format!("/v2/{REPO}/tags/list")).await;
    assert_eq!(tags.json()["tags"], serde_json::json!(["v1"]));
    assert_eq!(bench.asked_since(mark), [""; 0]);
}

#[tokio::test]
async fn p10_what_is_pushed_over_a_cached_name_hides_the_cache() {
    let bench = Bench::new().await;
    let old = bench.image("cached", &[10], 1);
    assert_eq!(bench.client.get(&manifest_path("cached")).await.status, 200);
    bench.client.push_image(REPO, "v1", b"hosted").await;
    let mark = bench.origin.journal().mark();
    assert_eq!(bench.client.get(&manifest_path("cached")).await.status, 404);
    assert_eq!(bench.client.get(&manifest_path(&old.manifest.digest)).await.status, 404);
    let tags = bench.client.get(&format!("/v2/{REPO}/tags/list")).await;
    assert_eq!(tags.json()["tags"], serde_json::json!(["v1"]), "hosted tags never mix with cached ones");
    // A tag that is deleted stays deleted.
    let deleted = bench.client.call("DELETE", &manifest_path("v1"), &[], Body::empty()).await;
    assert_eq!(deleted.status, 202);
    bench.image("v1", &[10], 3);
    assert_eq!(bench.client.get(&manifest_path("v1")).await.status, 404);
    assert_eq!(bench.asked_since(mark), [""; 0]);
}

#[tokio::test]
async fn p10_cached_bytes_are_not_readable_through_another_repository() {
    let bench = Bench::new().await;
    let image = bench.image("v1", &[100_000], 1);
    let (manifest, layer) = (&image.manifest.digest, &image.layers[0].digest);
    assert_eq!(bench.client.get(&manifest_path(manifest)).await.status, 200);
    assert_eq!(bench.client.get(&blob_path(layer)).await.status, 200);
    let mark = bench.origin.journal().mark();
    let others = [format!("/v2/other/app/blobs/{layer}"), format!("/v2/other/app/manifests/{manifest}")];
    for path in &others {
        assert_eq!(bench.client.get(path).await.status, 404, "{path}");
    }
    // Of bytes that are here it is asked whether they are there as well.
    let asked = [format!("HEAD {}", others[0]), format!("GET {}", others[1])];
    assert_eq!(bench.asked_since(mark), asked);
}

#[tokio::test]
async fn the_next_upstream_is_asked_when_the_first_has_none() {
    let two = Two::upstreams().await;
    let there = image(two.second.origin(), REPO, "v1", &[10], 1);
    assert_eq!(two.client.get(&manifest_path("v1")).await.status, 200);
    assert_eq!(two.counts(), (1, 1));
    for blob in there.blobs() {
        let answer = two.client.get(&blob_path(&blob.digest)).await;
        assert_eq!(answer.body, two.second.origin().content(&blob.digest).unwrap());
    }
    assert_eq!(two.client.get(&manifest_path("nowhere")).await.status, 404);
    assert_eq!(two.counts(), (4, 4));
}

#[tokio::test]
async fn a_digest_that_another_upstream_gave_asks_nobody() {
    let two = Two::upstreams().await;
    let there = image(two.second.origin(), REPO, "v1", &[10], 1);
    let path = manifest_path(&there.manifest.digest);
    assert_eq!(two.client.get(&path).await.status, 200);
    let _guard = fail(&two.first, 500);
    assert_eq!(two.client.get(&path).await.status, 200);
    assert_eq!(two.counts(), (1, 1));
}

#[tokio::test]
async fn p10_an_error_does_not_change_the_upstream() {
    let two = Two::upstreams().await;
    let there = image(two.second.origin(), REPO, "v1", &[10], 1);
    let paths =
        [manifest_path("v1"), manifest_path(&there.manifest.digest), blob_path(&there.layers[0].digest)];
    for (status, expect) in [(401, 403), (403, 403), (429, 429), (500, 502), (503, 502), (302, 502)] {
        let guard = fail(&two.first, status);
        for path in &paths {
            assert_eq!(two.client.get(path).await.status, expect, "{status} {path}");
            // Who may push hears of a blob that he has to send it: from nobody else is it lent.
            let told = if path.contains("/blobs/") { 404 } else { expect };
            assert_eq!(head(&two.client, path).await.status, told, "{status} {path}");
        }
        assert_eq!(guard.fired(), 6);
    }
    two.first.stop().await;
    for path in &paths {
        assert_eq!(two.client.get(path).await.status, 502, "{path}");
    }
    assert_eq!(two.counts().1, 0, "the second upstream answered for the first one's names");
}

#[tokio::test]
async fn a_404_and_an_error_are_an_error() {
    let two = Two::upstreams().await;
    for (status, expect) in [(404, 404), (403, 403), (429, 429), (500, 502)] {
        let _guard = fail(&two.second, status);
        assert_eq!(two.client.get(&manifest_path("v1")).await.status, expect, "{status}");
        let digest = sim::digest::Digest::sha256_of(b"x");
        assert_eq!(two.client.get(&blob_path(&digest)).await.status, expect, "{status}");
    }
}

#[tokio::test]
async fn the_next_url_is_asked_after_any_failure_of_the_first() {
    for status in [401, 403, 404, 429, 500, 503] {
        let two = Two::urls().await;
        let there = image(two.second.origin(), REPO, "v1", &[100_000], 1);
        let guard = fail(&two.first, status);
        assert_eq!(two.client.get(&manifest_path("v1")).await.status, 200, "{status}");
        let answer = two.client.get(&blob_path(&there.layers[0].digest)).await;
        assert_eq!(answer.body, two.second.origin().content(&there.layers[0].digest).unwrap());
        assert_eq!((two.counts(), guard.fired()), ((2, 2), 2), "{status}");
    }
    let two = Two::urls().await;
    image(two.second.origin(), REPO, "v1", &[10], 1);
    two.first.stop().await;
    assert_eq!(two.client.get(&manifest_path("v1")).await.status, 200);
    assert_eq!(two.counts(), (0, 1));
}

#[tokio::test]
async fn a_url_that_answers_is_enough() {
    let two = Two::urls().await;
    for running in [&two.first, &two.second] {
        image(running.origin(), REPO, "v1", &[10], 1);
    }
    assert_eq!(two.client.get(&manifest_path("v1")).await.status, 200);
    assert_eq!(two.counts(), (1, 0));
    two.first.stop().await;
    let answer = two.client.get(&manifest_path("v1")).await;
    assert_eq!((answer.status.as_u16(), answer.header("warning")), (200, ""), "the mirror confirmed it");
}

/// The configuration that the project was asked for, with origins of this test as its upstreams.
#[tokio::test]
async fn two_upstreams_as_the_configuration_has_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/configs/sync-two-upstreams.json");
    let (first, second) = (serve(&Origin::new()).await, serve(&Origin::new()).await);
    let text = std::fs::read_to_string(path).unwrap();
    let text = text
        .replace("https://gcr.lank8s.cn", &first.url())
        .replace("https://registry.lank8s.cn", &second.url());
    let loaded = config::parse(&text, &|_| None).unwrap();
    assert_eq!(loaded.config.upstreams.len(), 2);
    let client = registry(loaded.config.upstreams, &Clock::system()).await;
    let two = Two { first, second, client };
    image(two.first.origin(), "google-containers/pause", "v1", &[10], 1);
    image(two.first.origin(), "kube-proxy", "v1", &[10], 1);
    image(two.second.origin(), "kube-proxy", "v1", &[10], 2);
    image(two.second.origin(), "google-containers/etcd", "v1", &[10], 2);
    image(two.second.origin(), "google-containers/a/b", "v1", &[10], 2);
    for (name, status, counts) in [
        ("google-containers/pause", 200, (1, 0)),
        // Only the second matches: `*` is one component.
        ("kube-proxy", 200, (1, 1)),
        ("google-containers/a/b", 200, (1, 2)),
        // Both match, and the first has none.
        ("google-containers/etcd", 200, (2, 3)),
        ("google-containers/none", 404, (3, 4)),
    ] {
        assert_eq!(two.client.get(&format!("/v2/{name}/manifests/v1")).await.status, status, "{name}");
        assert_eq!(two.counts(), counts, "{name}");
    }
    let _guard = fail(&two.first, 500);
    assert_eq!(two.client.get("/v2/google-containers/away/manifests/v1").await.status, 502);
    assert_eq!(two.counts(), (4, 4));
}

#[tokio::test]
async fn an_upstream_that_is_not_on_demand_is_not_asked() {
    let bench = Bench::with(|options| options.on_demand = false).await;
    let image = bench.image("v1", &[10], 1);
    for path in [manifest_path("v1"), blob_path(&image.layers[0].digest)] {
        assert_eq!(bench.client.get(&path).await.status, 404);
    }
    assert_eq!(bench.asked(), [""; 0]);
}

#[tokio::test]
async fn a_claimed_namespace_asks_its_upstream_only() {
    let two = Two::upstreams().await;
    for (running, seed) in [(&two.first, 1), (&two.second, 2)] {
        image(running.origin(), REPO, "v1", &[10], seed);
    }
    let (_, hosted) = two.client.push_image(REPO, "v1", b"hosted").await;
    let ns = two.second.addr().to_string();
    let expect = two.second.origin().content(&digest_of(&two.second).await).unwrap();
    let answer = two.client.get(&format!("{}?ns={ns}", manifest_path("v1"))).await;
    assert_eq!((answer.status.as_u16(), answer.header("oci-namespace")), (200, &*ns));
    assert_eq!(answer.body, expect);
    let blob = two.second.origin().seed_blob(REPO, content(1000, 5), Algorithm::Sha256);
    let answer = two.client.get(&format!("{}?ns={ns}", blob_path(&blob.digest))).await;
    assert_eq!((answer.status.as_u16(), answer.header("oci-namespace")), (200, &*ns));
    let absent = two.client.get(&format!("{}?ns={ns}", manifest_path("nowhere"))).await;
    assert_eq!(absent.status, 404);
    assert_eq!(two.counts().0, 0, "the other upstream was asked");
    // The query is this registry's business.
    let queries = two.second.origin().journal().entries().into_iter().map(|it| it.query);
    assert!(queries.into_iter().all(|query| query.is_empty()));
    // Without it, what is hosted answers.
    let bare = two.client.get(&manifest_path("v1")).await;
    assert_eq!((bare.header("docker-content-digest"), bare.header("oci-namespace")), (&*hosted, ""));
}

/// Returns the digest that an origin's tag `v1` has.
async fn digest_of(running: &Running) -> sim::digest::Digest {
    let url = format!("{}{}", running.url(), manifest_path("v1"));
    let client = reqwest::Client::builder().retry(reqwest::retry::never()).no_proxy().build().unwrap();
    let response = client.head(url).send().await.unwrap();
    response.headers()["docker-content-digest"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_unclaimed_namespace_means_nothing() {
    let two = Two::upstreams().await;
    image(two.first.origin(), REPO, "v1", &[10], 1);
    for ns in ["registry.example", "127.0.0.1", "localhost:5000"] {
        let answer = two.client.get(&format!("{}?ns={ns}", manifest_path("v1"))).await;
        assert_eq!((answer.status.as_u16(), answer.header("oci-namespace")), (200, ""), "{ns}");
    }
    let entries = two.first.origin().journal().entries();
    let path = manifest_path("v1");
    assert_eq!(asked(&entries), [format!("GET {path}"), format!("HEAD {path}"), format!("HEAD {path}")]);
    // What is hosted still asks nobody.
    let (_, hosted) = two.client.push_image("own/app", "v1", b"hosted").await;
    let answer = two.client.get("/v2/own/app/manifests/v1?ns=registry.example").await;
    assert_eq!(answer.header("docker-content-digest"), hosted);
    assert_eq!(two.counts(), (3, 0));
}

#[tokio::test]
async fn p10_an_upstream_that_states_its_namespaces_is_not_asked_about_others() {
    let (first, second) = (serve(&Origin::new()).await, serve(&Origin::new()).await);
    let mut stated = upstream("first", &[&first.url()]);
    stated.namespaces = Some(vec!["registry.example".to_owned()]);
    let upstreams = vec![stated, upstream("second", &[&second.url()])];
    let two = Two { client: registry(upstreams, &Clock::system()).await, first, second };
    for (running, seed) in [(&two.first, 1), (&two.second, 2)] {
        image(running.origin(), REPO, "v1", &[10], seed);
    }
    for (query, counts) in [("?ns=other.example", (0, 1)), ("?ns=registry.example", (1, 1)), ("", (2, 1))] {
        let answer = two.client.get(&format!("{}{query}", manifest_path("v1"))).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(two.counts(), counts, "{query}");
    }
    let own = two.client.push_image("own/app", "v1", b"hosted").await.1;
    let answer = two.client.get("/v2/own/app/manifests/v1?ns=other.example").await;
    assert_eq!(answer.header("docker-content-digest"), own);
    assert_eq!(two.counts(), (2, 1));
}
