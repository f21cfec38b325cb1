//! An upstream that died after an image was pulled, in each of the ways in which one dies.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sim::fault::{Fault, Guard, Selector};
use sim::origin::{ImageSpec, SeededImage};

use crate::support::layout::sha256;
use crate::support::server::Server;
use crate::support::upstream::{Upstream, sync};
use crate::support::wire::{Answer, Wire};

const NAME: &str = "team/app";
const TAG: &str = "v1";
/// How long a cached tag may wait for its upstream.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// What a busy machine may add to it. Less than that time, so that waiting for it twice is found.
const CHECK_SLACK: Duration = Duration::from_millis(900);
/// What is answered without the upstream takes at most this long, in the median.
const PROMPT: Duration = Duration::from_millis(100);
/// How many answers that median is of.
const SAMPLES: usize = 51;
/// After so many failures in a row a url is not asked for a while.
const BREAKER_FAILURES: usize = 2;
/// How long an answer may take before it counts as such a failure: longer than a check.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long it may take until the breakers of both urls are open. A url that never answers fails no oftener
/// than every [`RESPONSE_TIMEOUT`], and the urls are asked in turn.
const BREAKER_PATIENCE: Duration = Duration::from_secs(60);

/// A way to die.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// Connections are refused, and open ones are cut.
    Refuses,
    /// Requests are taken, and never answered.
    NeverAnswers,
    /// Everything is answered 503.
    IsUnavailable,
}

/// Two urls of one upstream, an image that was pulled from it, and one that was not.
struct Scene {
    urls: [Upstream; 2],
    server: Server,
    cached: SeededImage,
    uncached: SeededImage,
    _death: Vec<Guard>,
}

impl Scene {
    async fn set() -> Self {
        let urls = [Upstream::start().await, Upstream::start().await];
        let seed = |tag: &str, seed: u64| {
            let spec = ImageSpec { layers: vec![300_000, 10_000], seed, ..ImageSpec::default() };
            urls.each_ref().map(|url| url.origin().seed_image(NAME, tag, &spec)).into_iter().next().unwrap()
        };
        let (cached, uncached) = (seed(TAG, 1), seed("other", 2));
        let server = Server::with(&config(&urls)).await;
        let wire = server.wire();
        for path in paths(&cached, TAG) {
            wire.get(&path).await.expect(200);
        }
        Self { urls, server, cached, uncached, _death: Vec::new() }
    }

    /// Lets both urls die.
    async fn die(&mut self, death: Death) {
        for url in &self.urls {
            let fault = match death {
                Death::Refuses => {
                    url.stop().await;
                    continue;
                }
                Death::NeverAnswers => Fault::StallHeaders,
                Death::IsUnavailable => Fault::Status { status: 503, retry_after: None },
            };
            self._death.push(url.origin().install(Selector::any("*").suffer(fault)));
        }
    }

    /// Returns how many requests arrived at both.
    fn asked(&self) -> u64 {
        self.urls.iter().map(|url| url.origin().journal().mark()).sum()
    }
}

fn config(urls: &[Upstream; 2]) -> Value {
    sync(&[json!({
        "urls": urls.each_ref().map(Upstream::url),
        "onDemand": true,
        "tlsVerify": false,
        "checkTimeout": format!("{}ms", CHECK_TIMEOUT.as_millis()),
        "responseTimeout": format!("{}ms", RESPONSE_TIMEOUT.as_millis()),
        "onDemandTimeout": "2s",
        "breakerFailures": BREAKER_FAILURES,
        // No half-open probe comes in between.
        "breakerDelay": "1h",
    })])
}

/// Returns the paths of an image's manifest by tag and by digest, and of its blobs.
fn paths(image: &SeededImage, tag: &str) -> Vec<String> {
    let blobs = image.blobs().map(|blob| format!("/v2/{NAME}/blobs/{}", blob.digest));
    let references = [tag.to_owned(), image.manifest.digest.to_string()];
    references.map(|reference| format!("/v2/{NAME}/manifests/{reference}")).into_iter().chain(blobs).collect()
}

async fn timed(wire: &Wire, path: &str) -> (Answer, Duration) {
    let begun = Instant::now();
    (wire.get(path).await, begun.elapsed())
}

/// Asks many times for what must be there, and returns the median of the times.
async fn median(wire: &Wire, path: &str) -> Duration {
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let (answer, took) = timed(wire, path).await;
        answer.expect(200);
        times.push(took);
    }
    times.sort();
    println!("{path}: {:?} in the median, {:?} at most", times[SAMPLES / 2], times[SAMPLES - 1]);
    times[SAMPLES / 2]
}

/// Asks for a cached tag until the upstream is not asked any more. Every answer is the cached one, in time.
async fn check_until_the_breakers_are_open(scene: &Scene, wire: &Wire, path: &str, death: Death) {
    let deadline = Instant::now() + BREAKER_PATIENCE;
    loop {
        let (answer, took) = timed(wire, path).await;
        let answer = answer.expect(200);
        assert_eq!(sha256(&answer.body), scene.cached.manifest.digest.to_string());
        assert!(answer.header("warning").starts_with("299 - \""), "{answer:#?}");
        assert!(took < CHECK_TIMEOUT + CHECK_SLACK, "a cached tag, {death:?}: {took:?}");
        // Open breakers are in what the server tells of itself.
        let metrics = wire.get("/metrics").await.expect(200);
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let open = metrics.lines().find_map(|line| {
            line.strip_prefix("wharfinger_upstream_breakers_open{")?.split_whitespace().last()
        });
        if open == Some("2") {
            return;
        }
        assert!(Instant::now() < deadline, "{open:?} breakers are open, {death:?}");
    }
}

/// Asks for everything of an image that was never pulled. Nobody said that it is absent.
async fn expect_unavailable(scene: &Scene) {
    let wire = scene.server.wire();
    for method in ["HEAD", "GET"] {
        for path in paths(&scene.uncached, "other") {
            let answer = wire.send(method, &path, &[("accept", "*/*")], b"").await;
            let status = answer.status.as_u16();
            // Whoever may push hears of a layer that he has to send it (ADR 8).
            if method == "HEAD" && path.contains("/blobs/") {
                assert_eq!(status, 404, "{method} {path}: {answer:#?}");
                continue;
            }
            assert!([502, 503, 504].contains(&status), "p8: {method} {path}: {answer:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_is_cached_is_served_promptly_whatever_became_of_the_upstream() {
    for death in [Death::Refuses, Death::NeverAnswers, Death::IsUnavailable] {
        println!("--- {death:?}");
        let mut scene = Scene::set().await;
        scene.die(death).await;
        let (wire, all) = (scene.server.wire(), paths(&scene.cached, TAG));

        let before = scene.asked();
        for path in &all[1..] {
            assert!(median(&wire, path).await < PROMPT, "a cached digest, {death:?}: {path}");
        }
        assert_eq!(scene.asked(), before, "a cached digest never asks the upstream, {death:?}");

        check_until_the_breakers_are_open(&scene, &wire, &all[0], death).await;
        let before = scene.asked();
        assert!(median(&wire, &all[0]).await < PROMPT, "a cached tag with open breakers, {death:?}");
        assert_eq!(scene.asked(), before, "the breakers are open, {death:?}");
        expect_unavailable(&scene).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_what_is_not_cached_is_no_404_when_the_upstream_dies() {
    for death in [Death::Refuses, Death::NeverAnswers, Death::IsUnavailable] {
        println!("--- {death:?}");
        let mut scene = Scene::set().await;
        scene.die(death).await;
        // The breakers are closed when this begins.
        expect_unavailable(&scene).await;
    }
}
