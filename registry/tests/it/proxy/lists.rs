//! Goal: the tags and referrers of an upstream are listed through the proxy, whole and in order, as often as
//! a cached tag is checked, and from what is here when the upstream is away (P7); no list leads elsewhere.
//! Method: an origin that pages, goes away, has no referrers API, or sends the proxy in circles.

use std::time::Duration;

use serde_json::{Value, json};
use sim::digest::Digest;
use sim::fault::{Fault, Selector};
use sim::origin::{ImageSpec, Origin, Variant};
use wharfinger::clock::{Clock, Timestamp};

use super::bench::{Bench, NAME, REPO, image, manifest_path, registry, serve, upstream};
use super::scripted::{Scripted, response};
use crate::support::{Answer, Client};

const TAGS: &str = "/v2/team/app/tags/list";

async fn tags(client: &Client, query: &str) -> Answer {
    client.get(&format!("{TAGS}{query}")).await
}

async fn referrers(client: &Client, subject: &Digest) -> Answer {
    client.get(&format!("/v2/{REPO}/referrers/{subject}")).await
}

fn digests(answer: &Answer) -> Vec<String> {
    let listed = answer.json()["manifests"].as_array().cloned().unwrap_or_default();
    listed.iter().map(|it| it["digest"].as_str().unwrap().to_owned()).collect()
}

/// Makes a manifest about another one at an origin.
fn about(origin: &Origin, subject: &Digest, seed: u64) -> String {
    let spec = ImageSpec {
        subject: Some(subject.clone()),
        artifact_type: Some("application/x.sbom".to_owned()),
        seed,
        ..ImageSpec::default()
    };
    origin.seed_image(REPO, &format!("about-{seed}"), &spec).manifest.digest.to_string()
}

#[tokio::test]
async fn p7_lists_are_those_of_the_upstream_and_else_what_was_listed_or_cached() {
    let bench = Bench::new().await;
    let subject = bench.image("v1", &[10], 1).manifest.digest;
    let referrer = about(&bench.origin, &subject, 7);
    bench.image("unpulled", &[10], 2);
    let all = json!(["about-7", "unpulled", "v1"]);
    assert_eq!(tags(&bench.client, "").await.json()["tags"], all);
    assert_eq!(tags(&bench.client, "?n=1&last=about-7").await.json()["tags"], json!(["unpulled"]));
    assert_eq!(digests(&referrers(&bench.client, &subject).await), [referrer.as_str()]);
    bench.running.stop().await;
    let stale = tags(&bench.client, "").await;
    assert_eq!((stale.status.as_u16(), &stale.json()["tags"]), (200, &all));
    assert!(stale.header("warning").starts_with("299 - \"the upstream hub could not be asked"), "{stale:?}");
    let stale = referrers(&bench.client, &subject).await;
    assert_eq!((stale.status.as_u16(), digests(&stale)), (200, vec![referrer]));
    assert!(stale.header("warning").starts_with("299"), "{stale:?}");
}

#[tokio::test]
async fn p10_an_empty_list_of_what_is_cached_asks_no_other_upstream() {
    let (first, second) = (serve(&Origin::new()).await, serve(&Origin::new()).await);
    let upstreams = vec![upstream("first", &[&first.url()]), upstream("second", &[&second.url()])];
    let client = registry(upstreams, &Clock::system()).await;
    let subject = image(first.origin(), REPO, "v1", &[10], 1).manifest.digest;
    let foreign = about(second.origin(), &subject, 7);
    assert_eq!(digests(&referrers(&client, &subject).await), [foreign], "nobody knows the name yet");
    assert_eq!(client.get(&manifest_path("v1")).await.status, 200);
    let asked = second.origin().journal().mark();
    let listed = referrers(&client, &subject).await;
    assert_eq!((listed.status.as_u16(), digests(&listed)), (200, Vec::new()));
    assert_eq!(second.origin().journal().mark(), asked);
}

#[tokio::test]
async fn p7_what_is_cached_is_listed_where_nothing_was_listed_before() {
    let bench = Bench::new().await;
    let subject = bench.image("v1", &[10], 1).manifest.digest;
    let referrer = about(&bench.origin, &subject, 7);
    for tag in ["v1", "about-7"] {
        assert_eq!(bench.client.get(&manifest_path(tag)).await.status, 200);
    }
    bench.image("unpulled", &[10], 2);
    bench.running.stop().await;
    assert_eq!(tags(&bench.client, "").await.json()["tags"], json!(["about-7", "v1"]));
    let listed = referrers(&bench.client, &subject).await;
    assert_eq!(digests(&listed), [referrer]);
    assert_eq!(listed.json()["manifests"][0]["artifactType"], "application/x.sbom");
    let mark = bench.origin.journal().mark();
    assert_eq!(bench.client.get("/v2/_catalog").await.json()["repositories"], json!([REPO]));
    assert_eq!(bench.origin.journal().mark(), mark, "the catalog asks nobody");
}

#[tokio::test]
async fn p8_a_list_of_which_nothing_is_known_is_an_honest_error() {
    let bench = Bench::new().await;
    let unknown = tags(&bench.client, "").await;
    assert_eq!((unknown.status.as_u16(), unknown.code().as_str()), (404, "NAME_UNKNOWN"));
    let subject = bench.image("v1", &[10], 1).manifest.digest;
    bench.running.stop().await;
    for answer in [tags(&bench.client, "").await, referrers(&bench.client, &subject).await] {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 502, "{text}");
        assert!(text.contains(NAME) && !text.contains("127.0.0.1"), "{text}");
    }
}

#[tokio::test]
async fn a_list_is_asked_for_as_often_as_a_tag_is_checked() {
    let clock = Clock::manual(Timestamp::from_millis(1));
    let origin = serve(&Origin::new()).await;
    let mut options = upstream(NAME, &[&origin.url()]);
    options.manifest_check_interval = Duration::from_secs(60);
    let client = registry(vec![options], &clock).await;
    image(origin.origin(), REPO, "v1", &[10], 1);
    let asked = || origin.origin().journal().count("GET", TAGS);
    for (wait, asked_by_then) in [(0, 1), (59, 1), (1, 2), (10, 2)] {
        clock.advance(Duration::from_secs(wait));
        assert_eq!(tags(&client, "").await.status, 200);
        assert_eq!(asked(), asked_by_then);
    }
}

#[tokio::test]
async fn pages_are_put_together_and_the_tag_schema_is_read() {
    for variant in [Variant::SmallPages, Variant::PagedReferrers, Variant::NoReferrers] {
        let running = serve(&Origin::varied(variant)).await;
        let origin = running.origin();
        let subject = image(origin, REPO, "v1", &[10], 1).manifest.digest;
        let mut wanted: Vec<String> = (2..9).map(|seed| about(origin, &subject, seed)).collect();
        wanted.sort();
        if variant == Variant::NoReferrers {
            let entries: Vec<Value> = wanted
                .iter()
                .map(|digest| json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 7}))
                .collect();
            let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries});
            let tag = subject.to_string().replace(':', "-");
            let put = reqwest::Client::new()
                .put(format!("{}/v2/{REPO}/manifests/{tag}", running.url()))
                .header("content-type", "application/vnd.oci.image.index.v1+json")
                .body(index.to_string());
            assert!(put.send().await.unwrap().status().is_success(), "{variant:?}");
        }
        let client = registry(vec![upstream(NAME, &[&running.url()])], &Clock::system()).await;
        assert_eq!(digests(&referrers(&client, &subject).await), wanted, "{variant:?}");
        let listed = tags(&client, "").await.json()["tags"].as_array().unwrap().len();
        assert!(listed >= 8, "{variant:?}: {listed}");
    }
}

#[tokio::test]
async fn p10_a_list_that_leads_elsewhere_or_in_circles_is_refused() {
    let elsewhere = serve(&Origin::new()).await;
    for link in
        [format!("<{}{TAGS}>; rel=\"next\"", elsewhere.url()), format!("<{TAGS}?n=1000>; rel=\"next\"")]
    {
        let body = br#"{"name":"team/app","tags":["a"]}"#;
        let page = response(&format!("link: {link}\r\ncontent-length: {}\r\n", body.len()), body);
        let scripted = Scripted::start(move |_| page.clone()).await;
        let client = registry(vec![upstream(NAME, &[scripted.url()])], &Clock::system()).await;
        let answer = tags(&client, "").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UNKNOWN"), "{link}");
        assert_eq!(elsewhere.origin().journal().mark(), 0, "{link}");
    }
}

#[tokio::test]
async fn a_list_is_asked_for_once_by_all_who_want_it() {
    let bench = Bench::new().await;
    bench.image("v1", &[10], 1);
    let _slow = bench.origin.install(Selector::any("*/tags/list").suffer(Fault::Latency { ms: 50 }));
    let many = (0..20).map(|_| tags(&bench.client, ""));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.json()["tags"], json!(["v1"]));
    }
    assert_eq!(bench.origin.journal().count("GET", TAGS), 1);
}
