//! Goal: upstreams are put in the place of others while clients pull, and what is asked, remembered, mirrored,
//! bounded and listed is the new ones' from then on; what stays the same goes on, and what has begun ends whole.
//! Method: routes that are replaced in a registry in this process, and what the origins are asked.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sim::digest::Algorithm;
use sim::fault::{Fault, Selector};
use sim::origin::{Origin, Running};
use tokio::task::JoinSet;
use wharfinger::backend::disk::{Disk, Stat};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::repository::Repositories;
use wharfinger::upstream::options::{CacheBound, Content, Options, Tags};
use wharfinger::upstream::reqwest_transport::ReqwestTransport;
use wharfinger::upstream::{Routes, Upstream};

use super::bench::{
    Listening, NAME, REPO, Wire, blob_path, content, image, manifest_path, read, read_at_least, serve, until,
    upstream,
};
use super::scripted::{Gate, Scripted, gated};
use crate::support::{Client, Registry, sha256};

const HOUR: Duration = Duration::from_secs(3600);
const KIB: usize = 1024;

struct Stand {
    client: Client,
    repositories: Repositories,
    disk: MemoryDisk,
    /// What goes on beside the requests.
    background: JoinSet<()>,
}

/// Opens a registry without upstreams.
async fn stand() -> Stand {
    let disk = MemoryDisk::new();
    let registry = Registry { disk: Arc::new(disk.clone()), ..Registry::default() };
    let (client, repositories) = registry.open_both().await;
    Stand { client, repositories, disk, background: JoinSet::new() }
}

/// Makes an upstream that remembers everything it was told for an hour.
fn made(name: &str, url: &str, configure: impl FnOnce(&mut Options)) -> Arc<Upstream> {
    let mut options = upstream(name, &[url]);
    (options.negative_ttl, options.manifest_check_interval) = (HOUR, HOUR);
    configure(&mut options);
    let transport = Arc::new(ReqwestTransport::new(&options).unwrap());
    Arc::new(Upstream::new(options, transport, Clock::system()))
}

fn mirrored(name: &str, url: &str) -> Arc<Upstream> {
    made(name, url, |options| {
        options.content = vec![Content {
            prefix: REPO.into(),
            destination: String::new(),
            strip_prefix: false,
            tags: Tags::default(),
        }];
        options.mirror.interval = Some(Duration::from_millis(5));
    })
}

impl Stand {
    fn replace(&self, upstreams: &[&Arc<Upstream>]) {
        let mut routes = Routes::default();
        for upstream in upstreams {
            routes.add(Arc::clone(upstream), upstream.options()).unwrap();
        }
        self.repositories.replace_routes(routes);
        self.client.0.take_upstreams();
    }

    async fn status(&self, path: &str) -> u16 {
        self.client.get(path).await.status.as_u16()
    }

    async fn names(&self, path: &str, key: &str) -> Vec<String> {
        let answer = self.client.get(path).await;
        let list: Value = serde_json::from_slice(&answer.body).unwrap();
        list[key]
            .as_array()
            .map(|names| names.iter().map(|it| it.as_str().unwrap().to_owned()).collect())
            .unwrap_or_default()
    }

    fn content_bytes(&self) -> u64 {
        let folder = "blobs/sha256";
        let mut total = 0;
        for shard in self.disk.entries(folder).unwrap_or_default() {
            for name in self.disk.entries(&format!("{folder}/{shard}")).unwrap_or_default() {
                if let Ok(Stat::File(len)) = self.disk.stat(&format!("{folder}/{shard}/{name}")) {
                    total += len;
                }
            }
        }
        total
    }
}

async fn origin() -> Running {
    serve(&Origin::new()).await
}

fn requests(origin: &Running) -> usize {
    origin.origin().journal().entries_since(0).len()
}

#[tokio::test]
async fn another_upstream_does_not_repeat_what_the_old_one_was_told() {
    let (it, old, new) = (stand().await, origin().await, origin().await);
    image(old.origin(), REPO, "old", &[10], 1);
    image(new.origin(), REPO, "new", &[10], 2);
    it.replace(&[&made(NAME, &old.url(), |_| {})]);
    let tags = format!("/v2/{REPO}/tags/list");
    assert_eq!(
        (it.status(&manifest_path("new")).await, it.names(&tags, "tags").await),
        (404, vec!["old".into()])
    );
    let asked = requests(&old);
    assert_eq!((it.status(&manifest_path("new")).await, requests(&old)), (404, asked), "it is remembered");
    it.replace(&[&made(NAME, &new.url(), |_| {})]);
    assert_eq!(
        (it.status(&manifest_path("new")).await, it.names(&tags, "tags").await),
        (200, vec!["new".into()])
    );
    assert_eq!(requests(&old), asked);
}

#[tokio::test]
async fn one_that_stays_the_same_keeps_what_it_was_told() {
    let (it, one, two) = (stand().await, origin().await, origin().await);
    image(two.origin(), REPO, "v1", &[10], 1);
    let (first, second) = (made("one", &one.url(), |_| {}), made("two", &two.url(), |_| {}));
    it.replace(&[&first]);
    assert_eq!(it.status(&manifest_path("v1")).await, 404);
    let asked = requests(&one);
    it.replace(&[&first, &second]);
    assert_eq!((it.status(&manifest_path("v1")).await, requests(&one)), (200, asked));
}

#[tokio::test]
async fn what_has_begun_ends_whole_and_what_is_cached_comes_back() {
    let (bytes, gate) = (content(100 * KIB, 1), Gate::shut());
    let (sent, shut) = (bytes.clone(), gate.clone());
    let origin = Scripted::start(move |_| gated(&sent, 10 * KIB, &shut)).await;
    let (it, path) = (stand().await, blob_path(sha256(&bytes)));
    let listening = Listening::start(&it.client).await;
    let upstream = made(NAME, origin.url(), |_| {});
    it.replace(&[&upstream]);
    let mut pull = listening.open(Wire::Http1, &path, &[]).await;
    let first = read_at_least(&mut pull, KIB).await;
    it.replace(&[]);
    assert_eq!(it.status(&path).await, 404, "nobody answers for it any more");
    gate.open();
    let rest = read(pull).await;
    assert!(!rest.cut && [first, rest.body.to_vec()].concat() == bytes, "the pull was broken off");
    assert_eq!((it.status(&path).await, it.names("/v2/_catalog", "repositories").await), (404, vec![]));
    it.replace(&[&upstream]);
    assert_eq!((it.status(&path).await, origin.served()), (200, 1));
}

#[tokio::test]
async fn requests_get_new_upstreams_with_the_access_that_is_about_them() {
    let (it, one) = (stand().await, origin().await);
    image(one.origin(), REPO, "v1", &[10], 1);
    let mut routes = Routes::default();
    let upstream = made(NAME, &one.url(), |_| {});
    routes.add(Arc::clone(&upstream), upstream.options()).unwrap();
    it.repositories.replace_routes(routes);
    assert_eq!((it.status(&manifest_path("v1")).await, requests(&one)), (404, 0));
    it.client.0.take_upstreams();
    assert_eq!(it.status(&manifest_path("v1")).await, 200);
}

/// Makes an upstream whose failures are tried again in the background, soon and often.
fn patient(url: &str) -> Arc<Upstream> {
    made(NAME, url, |options| {
        (options.retries_max, options.manifest_check_interval) = (1_000_000, Duration::ZERO);
        (options.retry_delay, options.retry_delay_max) =
            (Duration::from_millis(20), Duration::from_millis(20));
        options.on_demand_timeout = Duration::ZERO;
    })
}

#[tokio::test]
async fn what_the_old_one_is_asked_in_the_background_ends_and_moves_no_tags() {
    let (it, old, new) = (stand().await, origin().await, origin().await);
    image(old.origin(), REPO, "v1", &[10], 1);
    let wanted = image(new.origin(), REPO, "v1", &[10], 2);
    let fails = old
        .origin()
        .install(Selector::get("*/manifests/*").suffer(Fault::Status { status: 503, retry_after: None }));
    let first = patient(&old.url());
    it.replace(&[&first]);
    assert_eq!(it.status(&manifest_path("v1")).await, 502);
    until("it is asked in the background", || fails.fired() > 2).await;
    it.replace(&[&made(NAME, &new.url(), |_| {})]);
    assert_eq!(it.status(&manifest_path("v1")).await, 200);
    drop(fails);
    until("nobody asks it any more", || Arc::strong_count(&first) == 1).await;
    let pulled = it.client.get(&manifest_path("v1")).await;
    assert_eq!(pulled.header("docker-content-digest"), wanted.manifest.digest.to_string());
}

#[tokio::test]
async fn a_fetch_that_waits_for_the_old_one_keeps_nobody() {
    let (it, old, new) = (stand().await, origin().await, origin().await);
    let bytes = content(100 * KIB, 1);
    let blob = new.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256);
    let first = made(NAME, &old.url(), |options| {
        (options.retries_max, options.retry_delay, options.retry_delay_max) = (10, HOUR, HOUR);
        options.on_demand_timeout = Duration::ZERO;
    });
    old.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256);
    let _fails = old
        .origin()
        .install(Selector::get("*/blobs/*").suffer(Fault::Status { status: 503, retry_after: None }));
    it.replace(&[&first]);
    let path = blob_path(&blob.digest);
    assert_eq!(it.status(&path).await, 502, "it is tried again in an hour");
    let asked = requests(&old);
    it.replace(&[&made(NAME, &new.url(), |_| {})]);
    let pulled = it.client.get(&path).await;
    assert!(pulled.status == 200 && pulled.body == bytes, "{}", pulled.status);
    assert_eq!(requests(&old), asked);
}

#[tokio::test]
async fn a_url_is_left_alone_whoever_is_to_ask_it() {
    let (it, one) = (stand().await, origin().await);
    let busy = one.origin().install(
        Selector::get("*").suffer(Fault::Status { status: 429, retry_after: Some("600".to_owned()) }),
    );
    let cooling = |options: &mut Options| {
        (options.cool_down_max, options.negative_ttl) = (HOUR, Duration::ZERO);
    };
    let first = made(NAME, &one.url(), cooling);
    it.replace(&[&first]);
    it.status(&manifest_path("v1")).await;
    let asked = requests(&one);
    assert!(busy.fired() > 0);
    let other = made(NAME, &one.url(), |options| {
        cooling(options);
        options.retries_max = 1;
    });
    let second = Arc::new(Arc::into_inner(other).unwrap().going_on_from(&first));
    it.replace(&[&second]);
    it.status(&manifest_path("v1")).await;
    assert_eq!(requests(&one), asked, "it has asked for ten minutes");
}

#[tokio::test]
async fn mirrors_begin_and_end_with_their_upstreams() {
    let (mut it, one, two) = (stand().await, origin().await, origin().await);
    let all = it.repositories.clone();
    it.background.spawn(async move { all.keep_mirrored().await });
    let made = image(one.origin(), REPO, "v1", &[10], 1);
    let first = mirrored("one", &one.url());
    it.replace(&[&first]);
    let layer = &made.layers[0].digest;
    until("it is mirrored", || one.origin().journal().blob_gets(layer) == 1).await;
    let second = mirrored("two", &two.url());
    it.replace(&[&second]);
    until("nobody has it any more", || Arc::strong_count(&first) == 1).await;
    let (asked, rounds) = (requests(&one), requests(&two));
    until("the other one is mirrored again and again", || requests(&two) >= rounds + 3).await;
    assert_eq!(requests(&one), asked);
}

#[tokio::test]
async fn one_that_stays_the_same_is_mirrored_on() {
    let (mut it, one) = (stand().await, origin().await);
    let all = it.repositories.clone();
    it.background.spawn(async move { all.keep_mirrored().await });
    let upstream = made(NAME, &one.url(), |options| {
        options.content = mirrored(NAME, &one.url()).options().content.clone();
        options.mirror.interval = Some(HOUR);
    });
    it.replace(&[&upstream]);
    until("it is mirrored", || requests(&one) > 0).await;
    let other = made("other", &one.url(), |_| {});
    let asked = requests(&one);
    for _ in 0..10 {
        it.replace(&[&upstream, &other]);
        tokio::task::yield_now().await;
        it.replace(&[&upstream]);
        tokio::task::yield_now().await;
    }
    assert_eq!(requests(&one), asked, "each change began a run");
}

#[tokio::test]
async fn a_bound_that_comes_later_holds() {
    let (mut it, one) = (stand().await, origin().await);
    let all = it.repositories.clone();
    it.background.spawn(async move { all.keep_within_bounds().await });
    it.replace(&[&made(NAME, &one.url(), |_| {})]);
    for seed in 1..=3 {
        let made = image(one.origin(), REPO, &format!("v{seed}"), &[100 * KIB], seed);
        assert_eq!(it.status(&manifest_path(format!("v{seed}"))).await, 200);
        assert_eq!(it.status(&blob_path(&made.layers[0].digest)).await, 200);
    }
    until("all is kept", || it.content_bytes() > 300 * KIB as u64).await;
    let bytes_max = Some(150 * KIB as u64);
    it.replace(&[&made(NAME, &one.url(), |options| options.cache = CacheBound { bytes_max, age_max: None })]);
    until("it is within its bound", || it.content_bytes() <= 150 * KIB as u64).await;
}
