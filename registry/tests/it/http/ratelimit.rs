//! Goal: `http.ratelimit` holds from the file to the wire: a second's worth passes, what is beyond it
//! is told when to come back and is served then, and costs neither a body nor a session (R-141,
//! T-159). Method: the real dispatch over memory with a clock that stands still, and the real
//! listener where only a socket shows it.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::ServiceExt as _;
use wharfinger::config;
use wharfinger::extensions;

use super::exchange::{ask, assert_error, plain};
use super::wire::{exchange, header, request};
use crate::support::{Answer, Client, Registry, sha256};

/// Opens a registry with the section of a file.
async fn limited(section: &str) -> Client {
    let file = format!("http: {{ ratelimit: {section} }}");
    let loaded = config::parse(&file, &|_| None).unwrap();
    assert_eq!(loaded.warnings, [], "{file}");
    Registry { http: loaded.config.http, ..Registry::default() }.open().await
}

/// Asserts that an answer is a whole refusal, and returns how long it says to wait.
#[track_caller]
fn refused(answer: &Answer) -> Duration {
    assert_error(answer, 429, "TOOMANYREQUESTS");
    let seconds: u64 = answer.header("retry-after").parse().expect("Retry-After is whole seconds");
    assert!(seconds >= 1, "{answer:?}");
    Duration::from_secs(seconds)
}

/// Sends requests until one is refused, and returns how many were not.
async fn burst(client: &Client, method: &str, path: &str) -> usize {
    let mut passed = 0;
    while plain(client, method, path).await.status != StatusCode::TOO_MANY_REQUESTS {
        passed += 1;
        assert!(passed < 1000, "nothing is limited");
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_and_the_rest_comes_back_later() {
    let client = limited("{ rate: 5 }").await;
    for _ in 0..5 {
        assert_eq!(plain(&client, "GET", "/v2/").await.status, 200);
    }
    let wait = refused(&plain(&client, "GET", "/v2/").await);
    // Whatever is asked, and whether or not there is such a thing.
    for (method, path) in [
        ("GET", "/v2/"),
        ("HEAD", "/v2/app/manifests/v1"),
        ("POST", "/v2/app/blobs/uploads/"),
        ("PUT", "/v2/app/manifests/v1"),
        ("DELETE", "/v2/app/manifests/.x"),
        ("FOO", "/v2/_catalog"),
        ("GET", "/v2/app/unknown/x"),
    ] {
        assert_eq!(refused(&plain(&client, method, path).await), wait, "{method} {path}");
    }
    tokio::time::advance(wait).await;
    assert_eq!(burst(&client, "GET", "/v2/").await, 5, "what was refused has cost nothing");
    tokio::time::advance(Duration::from_millis(400)).await;
    assert_eq!(burst(&client, "GET", "/v2/").await, 2);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(burst(&client, "GET", "/v2/").await, 5, "an hour's worth is not saved up");
}

#[tokio::test]
async fn nothing_is_limited_where_nothing_is_written() {
    let client = Registry::default().open().await;
    for _ in 0..2000 {
        assert_eq!(plain(&client, "GET", "/v2/").await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn one_method_is_limited_and_the_others_are_free() {
    let client = limited("{ methods: [{ method: put, rate: 2 }] }").await;
    assert_eq!(burst(&client, "PUT", "/v2/app/manifests/v1").await, 2);
    for method in ["GET", "HEAD", "POST", "PATCH", "DELETE", "FOO"] {
        for _ in 0..20 {
            assert_ne!(plain(&client, method, "/v2/app/manifests/v1").await.status, 429, "{method}");
        }
    }
    refused(&plain(&client, "PUT", "/v2/app/manifests/v1").await);
}

#[tokio::test(start_paused = true)]
async fn both_limits_hold_and_neither_pays_for_the_other() {
    let client = limited("{ rate: 4, methods: [{ method: PUT, rate: 1 }] }").await;
    assert_eq!(burst(&client, "PUT", "/v2/app/manifests/v1").await, 1);
    assert_eq!(burst(&client, "GET", "/v2/").await, 3);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(burst(&client, "GET", "/v2/").await, 4);
    // The common limit refuses this one, which leaves it its own.
    refused(&plain(&client, "PUT", "/v2/app/manifests/v1").await);
    tokio::time::advance(Duration::from_millis(250)).await;
    assert_ne!(plain(&client, "PUT", "/v2/app/manifests/v1").await.status, 429);
}

/// A body that fails the test when somebody reads it.
fn unread() -> Body {
    Body::from_stream(futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<std::io::Result<Bytes>>> {
        panic!("the body of a refused request was read")
    }))
}

#[tokio::test(start_paused = true)]
async fn an_upload_survives_a_refusal() {
    let client = limited("{ methods: [{ method: PATCH, rate: 1 }] }").await;
    let opened = plain(&client, "POST", "/v2/app/blobs/uploads/").await;
    let session = opened.header("location").to_owned();
    let chunk = |range| [("content-range", range), ("content-length", "3")];
    let first = ask(&client, "PATCH", &session, &chunk("0-2"), "abc").await;
    assert_eq!(first.status, 202);
    let location = first.header("location").to_owned();
    let wait = refused(&ask(&client, "PATCH", &location, &chunk("3-5"), unread()).await);
    let status = plain(&client, "GET", &location).await;
    assert_eq!((status.status.as_u16(), status.header("range")), (204, "0-2"));
    tokio::time::advance(wait).await;
    let second = ask(&client, "PATCH", &location, &chunk("3-5"), "def").await;
    assert_eq!((second.status.as_u16(), second.header("range")), (202, "0-5"));
    let digest = sha256(b"abcdef");
    let location = format!("{}?digest={digest}", second.header("location"));
    assert_eq!(plain(&client, "PUT", &location).await.status, 201);
    assert_eq!(client.get(&format!("/v2/app/blobs/{digest}")).await.body, "abcdef");
}

#[tokio::test(start_paused = true)]
async fn probes_and_metrics_are_not_counted_and_refusals_are() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let client = limited("{ rate: 1 }").await;
    let router = client.0.router(extensions::metrics::router("/metrics", handle));
    let get = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        Answer::of(router.clone().oneshot(request).await.unwrap()).await
    };
    assert_eq!(get("/v2/").await.status, 200);
    assert_eq!(refused(&get("/v2/").await), Duration::from_secs(1));
    for path in ["/livez", "/readyz", "/startupz"].repeat(5) {
        assert_eq!(get(path).await.status, 200, "{path}");
    }
    assert_eq!(refused(&get("/metrics").await), Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(1)).await;
    let page = get("/metrics").await;
    let page = std::str::from_utf8(&page.body).unwrap();
    let of = |status: &str| {
        let words = ["wharfinger_http_requests_total{", "method=\"GET\"", "route=\"base\"", status];
        let line = page.lines().find(|line| words.iter().all(|word| line.contains(word)));
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!(of("status=\"200\""), Some("1".to_owned()), "{page}");
    assert_eq!(of("status=\"429\""), Some("1".to_owned()), "{page}");
    refused(&get("/v2/").await);
}

/// Requests in one write, so that a second cannot pass between all of them.
const IN_A_ROW: usize = 20;

/// Whether or not there is a body of which nothing was read, the answers stay in step.
#[tokio::test]
async fn a_refusal_leaves_the_connection_usable() {
    let client = limited("{ methods: [{ method: HEAD, rate: 1 }, { method: PUT, rate: 1 }] }").await;
    let close = request("GET", "/livez", "connection: close\r\n");
    let put = request("PUT", "/v2/app/manifests/v1", "content-length: 4\r\n") + "null";
    for (method, one) in [("HEAD", request("HEAD", "/v2/", "")), ("PUT", put)] {
        let mut requests = vec![one; IN_A_ROW];
        requests.push(close.clone());
        let came = exchange(&client, &requests).await;
        assert_eq!(came.matches("HTTP/1.1 ").count(), IN_A_ROW + 1, "{method}: {came}");
        let refusals: Vec<_> = came
            .split("HTTP/1.1 ")
            .filter(|answer| answer.starts_with("429 Too Many Requests\r\n"))
            .collect();
        assert!(!refusals.is_empty(), "{method}: {came}");
        for refusal in refusals {
            let (head, body) = refusal.split_once("\r\n\r\n").unwrap();
            assert_eq!(header(head, "retry-after"), Some("1"), "{head}");
            assert_eq!(header(head, "content-type"), Some("application/json"), "{head}");
            assert_eq!(body.is_empty(), method == "HEAD", "{body}");
        }
        assert!(came.ends_with("\r\n\r\nlive\n"), "{method}: {came}");
    }
}
