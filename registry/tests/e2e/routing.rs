//! The configuration that the project was asked for, with two upstreams of this machine in the places
//! of its two hosts: which of them is asked for which name, by which namespace.
//!
//! *Method*: for each pair of stated namespaces and `ns` a program of its own, asked as containerd asks;
//! the upstreams' journals are the verdict.

use serde_json::{Value, json};
use sim::fault::{Fault, Selector};
use sim::origin::ImageSpec;

use crate::support::layout::sha256;
use crate::support::server::Server;
use crate::support::upstream::Upstream;
use crate::support::wire::{Answer, Wire};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/configs/sync-two-upstreams.json");
/// The hosts in it, in order.
const HOSTS: [&str; 2] = ["https://gcr.lank8s.cn", "https://registry.lank8s.cn"];

/// What both have, what only the second has, what none has, and what the second has while the first fails.
const NAMES: [(&str, &str); 5] = [
    ("kube-proxy", "v1.26.0"),
    ("google-containers/pause", "3.9"),
    ("google-containers/etcd", "3.5.6-0"),
    ("google-containers/none", "1"),
    ("google-containers/away", "1"),
];
/// The name that is asked for while the first upstream fails.
const AWAY: &str = "google-containers/away";

/// What becomes of each of [`NAMES`]: the status, and the upstreams that are asked for it.
type Course = [(u16, &'static [usize]); NAMES.len()];

/// By `content`, in the order of the configuration; an error of the first is not a 404 of it.
const BY_CONTENT: Course = [(200, &[1]), (200, &[0]), (200, &[0, 1]), (404, &[0, 1]), (502, &[0])];
/// Only the first, whose `content` has no `kube-proxy`.
const ONLY_FIRST: Course = [(404, &[]), (200, &[0]), (404, &[0]), (404, &[0]), (502, &[0])];
const ONLY_SECOND: Course = [(200, &[1]), (200, &[1]), (200, &[1]), (404, &[1]), (200, &[1])];
const NOBODY: Course = [(404, &[]), (404, &[]), (404, &[]), (404, &[]), (404, &[])];

/// The namespaces that the upstreams state, the `ns` of a request, and the course.
const CASES: [([&str; 2], &str, Course); 15] = [
    (["", ""], "", BY_CONTENT),
    (["", ""], "registry.k8s.io", BY_CONTENT),
    (["", ""], "gcr.io", BY_CONTENT),
    (["", ""], "docker.io", BY_CONTENT),
    (["", ""], "unknown.example", BY_CONTENT),
    (["gcr.io", "registry.k8s.io"], "", BY_CONTENT),
    (["gcr.io", "registry.k8s.io"], "registry.k8s.io", ONLY_SECOND),
    (["gcr.io", "registry.k8s.io"], "gcr.io", ONLY_FIRST),
    (["gcr.io", "registry.k8s.io"], "docker.io", NOBODY),
    (["gcr.io", "registry.k8s.io"], "unknown.example", NOBODY),
    (["gcr.io", ""], "", BY_CONTENT),
    (["gcr.io", ""], "registry.k8s.io", ONLY_SECOND),
    (["gcr.io", ""], "gcr.io", ONLY_FIRST),
    (["gcr.io", ""], "docker.io", ONLY_SECOND),
    (["gcr.io", ""], "unknown.example", ONLY_SECOND),
];

#[tokio::test(flavor = "multi_thread")]
async fn p10_two_upstreams_are_asked_as_the_configuration_says() {
    for (namespaces, ns, course) in CASES {
        println!("--- namespaces {namespaces:?}, ns {ns:?}");
        let upstreams = upstreams().await;
        let server = Server::with(&config(&upstreams, namespaces)).await;
        let wire = server.wire();
        for ((name, tag), (status, asked)) in NAMES.into_iter().zip(course) {
            let fails = Selector::any("*").suffer(Fault::Status { status: 500, retry_after: None });
            let _guard = (name == AWAY).then(|| upstreams[0].origin().install(fails));
            let marks = upstreams.each_ref().map(|it| it.origin().journal().mark());
            let digest = pull(&wire, name, tag, ns, status).await;
            let case = format!("{name}:{tag} of {namespaces:?} as {ns:?}");
            for (position, upstream) in upstreams.iter().enumerate() {
                let requests = upstream.asked_since(marks[position]);
                assert_eq!(
                    !requests.is_empty(),
                    asked.contains(&position),
                    "{case} {position}: {requests:?}"
                );
            }
            if let Some(answer) = digest {
                let last = &upstreams[*asked.last().expect("somebody gave it")];
                let there = Wire::to(&last.url()).digest(name, tag).await;
                assert_eq!(sha256(&answer.body), there, "{case}");
                let claimed = !ns.is_empty() && namespaces.contains(&ns);
                let said = answer.headers.get("oci-namespace").map(|value| value.to_str().unwrap());
                assert_eq!(said, claimed.then_some(ns), "{case}");
            }
        }
    }
}

/// Starts two upstreams with images of one name that differ.
async fn upstreams() -> [Upstream; 2] {
    let both = [Upstream::start().await, Upstream::start().await];
    for (seed, upstream) in (1..).zip(&both) {
        for (name, tag) in NAMES {
            let has = match name {
                "google-containers/none" => false,
                "google-containers/etcd" => seed == 2,
                _ => true,
            };
            if has {
                let spec = ImageSpec { layers: vec![100_000, 10], seed, ..ImageSpec::default() };
                upstream.origin().seed_image(name, tag, &spec);
            }
        }
    }
    both
}

/// Reads the configuration, and puts the upstreams in the places of its hosts.
fn config(upstreams: &[Upstream; 2], namespaces: [&str; 2]) -> Value {
    let mut text = std::fs::read_to_string(CONFIG).unwrap();
    for (host, upstream) in HOSTS.into_iter().zip(upstreams) {
        assert_eq!(text.matches(host).count(), 1, "{host} stands in {CONFIG}");
        text = text.replace(host, &upstream.url());
    }
    let mut config: Value = serde_json::from_str(&text).unwrap();
    for (position, namespace) in namespaces.into_iter().enumerate() {
        if !namespace.is_empty() {
            config["extensions"]["sync"]["registries"][position]["namespaces"] = json!([namespace]);
        }
    }
    config
}

/// Asks as containerd does: for the tag's digest, for the manifest of that digest, for its blobs. Returns
/// the manifest where the tag's status says that there is one.
async fn pull(wire: &Wire, name: &str, tag: &str, ns: &str, status: u16) -> Option<Answer> {
    let query = if ns.is_empty() { String::new() } else { format!("?ns={ns}") };
    let path = |kind: &str, reference: &str| format!("/v2/{name}/{kind}/{reference}{query}");
    let head = wire.send("HEAD", &path("manifests", tag), &[("accept", "*/*")], b"").await.expect(status);
    if status != 200 {
        return None;
    }
    let digest = head.header("docker-content-digest");
    let manifest = wire.get(&path("manifests", digest)).await.expect(200);
    assert_eq!(sha256(&manifest.body), digest);
    let parsed = manifest.json();
    for blob in parsed["layers"].as_array().unwrap().iter().chain([&parsed["config"]]) {
        let digest = blob["digest"].as_str().unwrap();
        let answer = wire.get(&path("blobs", digest)).await.expect(200);
        assert_eq!(sha256(&answer.body), digest);
    }
    Some(manifest)
}
