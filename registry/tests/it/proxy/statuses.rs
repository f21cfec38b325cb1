//! Goal (P8): each failure of an upstream has its own status, an OCI body that names the upstream
//! as it is configured, and none of its words or addresses.
//! Method: a table of failures by everything that can be asked; the clock is paused.

use std::time::Duration;

use axum::body::Body;
use sim::digest::Digest;
use sim::fault::{At, Fault, ORIGIN_WORDS, Selector};
use sim::origin::Origin;
use tokio::time::Instant;
use wharfinger::auth::options::{AccessControl, Action, RepositoryPolicy};
use wharfinger::clock::Clock;
use wharfinger::upstream::options::Options;

use super::bench::{
    Bench, NAME, REPO, blob_path, head, image, manifest_path, registry, routes, serve, upstream,
};
use crate::support::Registry;

/// What a client is told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: u16,
    code: String,
    retry_after: String,
}

fn told(status: u16, code: &str, retry_after: &str) -> Told {
    Told { status, code: code.to_owned(), retry_after: retry_after.to_owned() }
}

/// Asks for something cold in each way; the error's code for what is not there differs, and is
/// taken from `missing` when `expect` says `MISSING`.
async fn check(bench: &Bench, name: &str, expect: &Told, took: Duration) {
    let digest = Digest::sha256_of(name.as_bytes());
    for (method, path, missing) in [
        ("GET", manifest_path("cold"), "MANIFEST_UNKNOWN"),
        ("GET", manifest_path(&digest), "MANIFEST_UNKNOWN"),
        ("GET", blob_path(&digest), "BLOB_UNKNOWN"),
        ("HEAD", manifest_path("cold"), "MANIFEST_UNKNOWN"),
        ("HEAD", blob_path(&digest), "BLOB_UNKNOWN"),
    ] {
        let begun = Instant::now();
        let answer = bench.client.call(method, &path, &[], Body::empty()).await;
        let what = format!("{name}: {method} {path}");
        // A HEAD of a tag is a check, which is never waited for any longer.
        let is_check = method == "HEAD" && path.ends_with("/cold");
        assert!(is_check || begun.elapsed() == took, "{what}: {:?}", begun.elapsed());
        // Whoever may push is told what his push may build on.
        if method == "HEAD" && path.contains("/blobs/") {
            assert_eq!(answer.status.as_u16(), 404, "{what}");
            continue;
        }
        assert_eq!(answer.status.as_u16(), expect.status, "{what}");
        assert_eq!(answer.header("retry-after"), expect.retry_after, "{what}");
        if method == "GET" {
            let code = if expect.code == "MISSING" { missing } else { &expect.code };
            assert_eq!(
                (answer.code().as_str(), answer.header("content-type")),
                (code, "application/json"),
                "{what}"
            );
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            let address = bench.running.addr();
            for secret in [ORIGIN_WORDS, &address.to_string(), &address.port().to_string(), "http://"] {
                assert!(!text.contains(secret), "{what}: {text}");
            }
            assert_eq!(text.contains(NAME), expect.code != "MISSING", "{what}: {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p8_each_failure_has_its_status() {
    let bench = Bench::new().await;
    let status = |status, retry_after: Option<&str>| Fault::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
    };
    let response_timeout = Options::default().response_timeout;
    for (fault, expect, took) in [
        (status(404, None), told(404, "MISSING", ""), Duration::ZERO),
        (status(401, None), told(403, "DENIED", ""), Duration::ZERO),
        (status(403, None), told(403, "DENIED", ""), Duration::ZERO),
        (status(429, Some("7")), told(429, "TOOMANYREQUESTS", "7"), Duration::ZERO),
        (status(429, Some("0")), told(429, "TOOMANYREQUESTS", "1"), Duration::ZERO),
        (status(429, Some("soon")), told(429, "TOOMANYREQUESTS", "5"), Duration::ZERO),
        (status(429, None), told(429, "TOOMANYREQUESTS", "5"), Duration::ZERO),
        (status(500, None), told(502, "UNKNOWN", ""), Duration::ZERO),
        (status(502, None), told(502, "UNKNOWN", ""), Duration::ZERO),
        (status(503, Some("9")), told(502, "UNKNOWN", ""), Duration::ZERO),
        (status(400, None), told(502, "UNKNOWN", ""), Duration::ZERO),
        (status(410, None), told(502, "UNKNOWN", ""), Duration::ZERO),
        (status(206, None), told(502, "UNKNOWN", ""), Duration::ZERO),
        (status(302, None), told(502, "UNKNOWN", ""), Duration::ZERO),
        (Fault::StallHeaders, told(504, "UNKNOWN", ""), response_timeout),
    ] {
        let guard = bench.origin.install(Selector::any("*").suffer(fault.clone()));
        check(&bench, &format!("{fault:?}"), &expect, took).await;
        assert_eq!(guard.fired(), 5, "{fault:?}");
    }
    bench.running.stop().await;
    check(&bench, "refused", &told(502, "UNKNOWN", ""), Duration::ZERO).await;
}

/// Without a name in the configuration an upstream is called by its url's host and port, inside.
#[tokio::test(start_paused = true)]
async fn p8_a_name_that_was_made_of_the_url_is_not_told() {
    let running = serve(&Origin::new()).await;
    let address = running.addr().to_string();
    let client = registry(vec![upstream(&address, &[&running.url()])], &Clock::system()).await;
    image(running.origin(), REPO, "v1", &[300_000], 1);
    assert_eq!(client.get(&manifest_path("v1")).await.status, 200);
    running.stop().await;
    for (path, status) in [(manifest_path("v1"), 200), (manifest_path("cold"), 502)] {
        let answer = client.get(&path).await;
        assert_eq!(answer.status, status);
        assert!(status == 502 || !answer.header("warning").is_empty());
        assert!(!format!("{answer:?}").contains(&address), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p8_a_body_that_stands_still_is_a_504_before_the_status_line() {
    let bench = Bench::new().await;
    let image = bench.image("v1", &[1000], 1);
    let stall = Fault::StallBody { at: At::Percent(50), ms: None };
    let guard = bench.origin.install(Selector::get("*").suffer(stall));
    for path in [manifest_path("v1"), blob_path(&image.layers[0].digest)] {
        let begun = Instant::now();
        let answer = bench.client.get(&path).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "UNKNOWN"), "{path}");
        assert_eq!(begun.elapsed(), Options::default().response_timeout);
    }
    assert_eq!(guard.fired(), 2);
}

#[tokio::test(start_paused = true)]
async fn p6_a_small_body_that_drips_is_given_up() {
    let bench = Bench::new().await;
    bench.image("v1", &[1000], 1);
    let _guard = bench.origin.install(Selector::get("*").suffer(Fault::Drip { bytes: 1, ms: 1000 }));
    for path in [manifest_path("v1"), format!("/v2/{REPO}/tags/list")] {
        let begun = Instant::now();
        assert_eq!(bench.client.get(&path).await.status, 504, "{path}");
        assert_eq!(begun.elapsed(), Options::default().response_timeout, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn p1_a_large_body_that_stands_still_is_cut() {
    let bench = Bench::new().await;
    let (blob, bytes) = bench.blob(300_000, 1);
    let stall = Fault::StallBody { at: At::Percent(50), ms: None };
    let guard = bench.origin.install(Selector::get("*").suffer(stall));
    let begun = Instant::now();
    let answer = bench.client.get(&blob_path(&blob.digest)).await;
    assert_eq!((answer.status.as_u16(), answer.cut), (200, true));
    assert!(answer.body == bytes[..150_000], "all that came was passed on");
    assert_eq!((begun.elapsed(), guard.fired()), (Options::default().response_timeout, 1));
}

/// A registry that everybody may read, and nobody may push to.
async fn reading(origin: &sim::origin::Running) -> crate::support::Client {
    let policy = RepositoryPolicy { anonymous_policy: vec![Action::Read], ..RepositoryPolicy::default() };
    let access = AccessControl { repositories: vec![("**".to_owned(), policy)], ..AccessControl::default() };
    let auth = wharfinger::auth::options::Options { access: Some(access), ..Default::default() };
    let (clock, options) = (Clock::system(), upstream(NAME, &[&origin.url()]));
    Registry { auth, routes: routes(vec![options], &clock), clock, ..Registry::default() }.open().await
}

/// Who may not push is told of a blob what happened, by a HEAD too.
#[tokio::test]
async fn p8_a_head_of_who_may_only_read_is_honest() {
    let origin = serve(&Origin::new()).await;
    let client = reading(&origin).await;
    let path = blob_path(Digest::sha256_of(b"cold"));
    for (status, expect) in [(404, 404), (403, 403), (429, 429), (500, 502)] {
        let fault = Fault::Status { status, retry_after: None };
        let _guard = origin.origin().install(Selector::any("*/blobs/*").suffer(fault));
        assert_eq!(head(&client, &path).await.status.as_u16(), expect, "{status}");
    }
}

/// A portal on the way answers everything with its page.
#[tokio::test]
async fn p8_a_page_is_no_blob() {
    let origin = serve(&Origin::new()).await;
    let client = reading(&origin).await;
    let _guard = origin.origin().install(Selector::any("*/blobs/*").suffer(Fault::Html));
    assert_eq!(head(&client, &blob_path(Digest::sha256_of(b"cold"))).await.status, 502);
}
