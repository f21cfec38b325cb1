//! Goal: what is to be mirrored is here whole before anybody asks, signatures too, and nothing else; one tag that
//! cannot be had does not keep the others; what vanishes there goes only where that is wanted and plausible.
//! Method: an origin with images, indexes, referrers and tags of all sorts, one run, and then the origin stopped.

use std::sync::Arc;
use std::time::Duration;

use sim::fault::{Fault, Selector};
use sim::origin::{ImageSpec, IndexSpec, Origin, Running, SeededImage};
use wharfinger::clock::Clock;
use wharfinger::repository::Repositories;
use wharfinger::repository::mirror::Mirrored;
use wharfinger::upstream::options::{CacheBound, Content, OnRefusal, Options, Tags};
use wharfinger::upstream::reqwest_transport::ReqwestTransport;
use wharfinger::upstream::{Routes, Upstream};

use super::bench::{NAME, image, serve, upstream};
use crate::support::{Client, Registry};

const HOUR: Duration = Duration::from_secs(3600);

struct Stand {
    origin: Running,
    client: Client,
    repositories: Repositories,
    upstream: Arc<Upstream>,
}

fn content(prefix: &str, tags: Tags) -> Content {
    Content { prefix: prefix.to_owned(), destination: String::new(), strip_prefix: false, tags }
}

fn matching(regex: &str) -> Tags {
    Tags { regex: Some(regex.to_owned()), ..Tags::default() }
}

async fn stand(configure: impl FnOnce(&mut Options)) -> Stand {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let mut options = upstream(NAME, &[&origin.url()]);
    options.on_demand = false;
    options.mirror.interval = Some(HOUR);
    configure(&mut options);
    let transport = Arc::new(ReqwestTransport::new(&options).unwrap());
    let upstream = Arc::new(Upstream::new(options.clone(), transport, clock.clone()));
    let mut routes = Routes::default();
    routes.add(Arc::clone(&upstream), &options).unwrap();
    let (client, repositories) = Registry { routes, clock, ..Registry::default() }.open_both().await;
    Stand { origin, client, repositories, upstream }
}

impl Stand {
    async fn run(&self) -> Mirrored {
        self.repositories.mirror(&self.upstream).await.unwrap()
    }

    fn image(&self, name: &str, tag: &str, seed: u64) -> SeededImage {
        image(self.origin.origin(), name, tag, &[1000, 100_000], seed)
    }

    async fn status(&self, path: &str) -> u16 {
        self.client.get(&format!("/v2/{path}")).await.status.as_u16()
    }

    /// Says whether an image is here whole.
    async fn has(&self, made: &SeededImage) -> bool {
        let name = &made.repository;
        let mut is_here = self.status(&format!("{name}/manifests/{}", made.manifest.digest)).await == 200;
        for blob in made.blobs() {
            is_here &= self.status(&format!("{name}/blobs/{}", blob.digest)).await == 200;
        }
        is_here
    }
}

#[tokio::test]
async fn what_is_to_be_mirrored_is_here_whole_and_nothing_else() {
    let it = stand(|options| {
        options.content = vec![content("team/*", matching("^v1")), content("lone", Tags::default())];
    })
    .await;
    let (one, two) = (it.image("team/app", "v1.0", 1), it.image("team/app", "v2.0", 2));
    let (three, four) = (it.image("lone", "latest", 3), it.image("other", "v1", 4));
    let done = it.run().await;
    assert_eq!(done, Mirrored { repositories: 2, tags: 2, failed: 0, removed: 0 });
    let mark = it.origin.origin().journal().mark();
    it.origin.stop().await;
    assert!(it.has(&one).await && it.has(&three).await);
    assert!(!it.has(&two).await && !it.has(&four).await);
    assert_eq!(
        (it.status("team/app/manifests/v1.0").await, it.status("team/app/manifests/v2.0").await),
        (200, 404)
    );
    assert_eq!(it.client.get("/v2/team/app/tags/list").await.json()["tags"], serde_json::json!(["v1.0"]));
    assert!(it.origin.origin().journal().entries_since(mark).is_empty(), "nobody is asked on demand");
    // What is here is not fetched again.
    it.origin.start().await;
    let mark = it.origin.origin().journal().mark();
    assert_eq!(it.run().await, done);
    let gets = it.origin.origin().journal().entries_since(mark);
    let fetched = gets.iter().filter(|it| it.method == "GET" && it.path.contains("/blobs/")).count();
    assert_eq!(fetched, 0);
}

#[tokio::test]
async fn indexes_are_mirrored_for_their_platforms() {
    let it = stand(|options| {
        options.content = vec![content("team/app", Tags::default())];
        options.mirror.platforms = vec!["linux/arm64".to_owned()];
    })
    .await;
    let spec = |seed| ImageSpec { layers: vec![1000], seed, ..ImageSpec::default() };
    let images = vec![spec(1), spec(2), spec(3)];
    let made = it.origin.origin().seed_index("team/app", "v1", &IndexSpec { images, ..IndexSpec::default() });
    assert_eq!(it.run().await.tags, 1);
    it.origin.stop().await;
    assert_eq!(it.status("team/app/manifests/v1").await, 200);
    let mut here = Vec::new();
    for image in &made.images {
        here.push(it.has(image).await);
    }
    assert_eq!(here, [false, true, false], "amd64, arm64, riscv64");
}

/// Makes a signature of an image, as a referrer or under a tag.
fn sign(it: &Stand, made: &SeededImage, as_tag: bool) -> SeededImage {
    let digest = &made.manifest.digest;
    let spec = ImageSpec {
        layers: vec![100],
        seed: 99,
        subject: (!as_tag).then(|| digest.clone()),
        artifact_type: Some("application/vnd.dev.cosign.artifact.sig.v1+json".to_owned()),
        ..ImageSpec::default()
    };
    let tag = format!("{}.sig", digest.to_string().replace(':', "-"));
    let tag = if as_tag { tag } else { "signature".to_owned() };
    it.origin.origin().seed_image(&made.repository, &tag, &spec)
}

#[tokio::test]
async fn signatures_come_with_their_image() {
    for (as_tag, cosign_tags, expect) in [(false, false, true), (true, true, true), (true, false, false)] {
        let it = stand(|options| {
            options.content = vec![content("team/app", matching("^v1$"))];
            options.mirror.cosign_tags = cosign_tags;
        })
        .await;
        let made = it.image("team/app", "v1", 1);
        let signature = sign(&it, &made, as_tag);
        assert_eq!(it.run().await.failed, 0);
        it.origin.stop().await;
        assert!(it.has(&made).await);
        assert_eq!(it.has(&signature).await, expect, "{as_tag} {cosign_tags}");
        if !as_tag {
            let path = format!("/v2/team/app/referrers/{}", made.manifest.digest);
            let listed = it.client.get(&path).await.json();
            assert_eq!(listed["manifests"][0]["digest"], signature.manifest.digest.to_string());
        }
    }
}

#[tokio::test]
async fn only_what_is_signed_is_taken_where_that_is_wanted() {
    for on_demand in [false, true] {
        let it = stand(|options| {
            options.on_demand = on_demand;
            options.content = vec![content("team/*", Tags::default())];
            options.only_signed = true;
        })
        .await;
        let (bare, one, two) =
            (it.image("team/a", "v1", 1), it.image("team/b", "v1", 2), it.image("team/c", "v1", 3));
        let (first, second) = (sign(&it, &one, false), sign(&it, &two, true));
        let spec = |seed| ImageSpec { layers: vec![1000], seed, ..ImageSpec::default() };
        let index = IndexSpec { images: vec![spec(7), spec(8)], ..IndexSpec::default() };
        let index = it.origin.origin().seed_index("team/d", "v1", &index);
        let whole = SeededImage { manifest: index.manifest.clone(), ..index.images[0].clone() };
        sign(&it, &whole, true);
        if on_demand {
            let answer = it.client.get("/v2/team/a/manifests/v1").await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "DENIED"), "{answer:?}");
            // A signature under a tag is known by its tag.
            let tag = second.tag.as_deref().unwrap();
            for path in ["b/manifests/v1", "c/manifests/v1", "d/manifests/v1", &format!("c/manifests/{tag}")]
            {
                assert_eq!(it.status(&format!("team/{path}")).await, 200, "{path}");
            }
        } else {
            assert_eq!(it.run().await.failed, 1);
            it.origin.stop().await;
            assert!(!it.has(&bare).await);
        }
        for made in [&one, &two, &first, &second, &index.images[0], &index.images[1]] {
            assert!(it.has(made).await, "{on_demand}: {} {:?}", made.repository, made.tag);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_tag_that_cannot_be_had_keeps_no_other() {
    let it = stand(|options| {
        options.content = vec![content("team/app", Tags::default())];
        options.cool_down_max = HOUR;
    })
    .await;
    let (one, two, three) =
        (it.image("team/app", "v1", 1), it.image("team/app", "v2", 2), it.image("team/app", "v3", 3));
    let broken = it
        .origin
        .origin()
        .install(Selector::any("*/manifests/v2").suffer(Fault::Status { status: 500, retry_after: None }));
    // Asked to be left alone, it rests before the next one; this one is mirrored the next time.
    let busy = Fault::Status { status: 429, retry_after: Some("7".into()) };
    let _busy = it.origin.origin().install(Selector::any("*/manifests/v3").nth(1).suffer(busy));
    let begun = tokio::time::Instant::now();
    let done = it.run().await;
    assert_eq!((done.tags, done.failed), (1, 2));
    assert!(begun.elapsed() >= Duration::from_secs(5), "it rested");
    drop(broken);
    assert_eq!(it.run().await, Mirrored { repositories: 1, tags: 3, failed: 0, removed: 0 });
    it.origin.stop().await;
    assert!(it.has(&one).await && it.has(&two).await && it.has(&three).await);
}

#[tokio::test]
async fn what_vanishes_goes_only_where_that_is_wanted_and_plausible() {
    for (follow, max, vanish, removed) in [
        (false, Some(99), 1, 0),
        (true, None, 1, 1),
        (true, None, 2, 0),
        (true, Some(2), 2, 2),
        (true, Some(1), 2, 0),
    ] {
        let it = stand(|options| {
            options.content = vec![content("team/app", Tags::default())];
            options.on_delete = if follow { OnRefusal::Follow } else { OnRefusal::Keep };
            options.mirror.deletions_max = max;
        })
        .await;
        for tag in 0..12 {
            image(it.origin.origin(), "team/app", &format!("v{tag}"), &[10], tag);
        }
        assert_eq!(it.run().await.tags, 12);
        for tag in 0..vanish {
            it.origin.origin().remove_tag("team/app", &format!("v{tag}"));
        }
        assert_eq!(it.run().await.removed, removed, "{follow} {max:?} {vanish}");
        let left = it.client.get("/v2/team/app/tags/list").await.json()["tags"].as_array().unwrap().len();
        assert_eq!(left, 12 - removed, "{follow} {max:?} {vanish}");
    }
}

#[tokio::test]
async fn what_was_mirrored_is_exempt_from_the_bound() {
    let it = stand(|options| {
        options.on_demand = true;
        options.content = vec![content("team/app", matching("^v1$"))];
        options.cache = CacheBound { bytes_max: Some(1), age_max: None };
    })
    .await;
    let (one, two) = (it.image("team/app", "v1", 1), it.image("team/app", "v2", 2));
    assert_eq!(it.run().await.tags, 1);
    assert!(it.has(&two).await, "on demand");
    it.repositories.evict(&it.upstream).await.unwrap();
    it.origin.stop().await;
    assert!(it.has(&one).await && !it.has(&two).await);
}
