//! Goal: a page beside the API that only some may read is asked for under the same eyes as the API: each request has its
//! line, each failed login its record, a client its rate, and a panic its answer. Method: the router around the real
//! dispatch, with pages of the test's own.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Request, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;
use wharfinger::auth::options::{AccessControl, Options, RepositoryPolicy};
use wharfinger::clock::Clock;
use wharfinger::http::peer::{Channel, Peer};
use wharfinger::telemetry::Target;
use wharfinger::telemetry::audit::Audit;
use wharfinger::{config, extensions};

use crate::support::log::Log;
use crate::support::{Answer, Client, Registry};

/// A registry with an account `admin`, whose password is `hunter2`.
fn registry(folder: &TempDir) -> Registry {
    let htpasswd = folder.path().join("htpasswd");
    std::fs::write(&htpasswd, format!("admin:{}\n", bcrypt::hash("hunter2", 4).unwrap())).unwrap();
    let repositories = vec![("**".to_owned(), RepositoryPolicy::default())];
    let access = Some(AccessControl { repositories, ..AccessControl::default() });
    let auth = Options { htpasswd: Some(htpasswd), access, fail_delay: Duration::ZERO, ..Options::default() };
    Registry { auth, ..Registry::default() }
}

fn pages() -> Router {
    Router::new().route("/metrics", get(async || "all is well\n"))
}

async fn ask(client: &Client, pages: &Router, method: Method, from: &str, login: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri("/metrics?secret=in-query");
    if let Some(login) = login {
        request = request.header("authorization", format!("Basic {}", BASE64_STANDARD.encode(login)));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer::new(SocketAddr::new(from.parse().unwrap(), 4711), Channel::Plain));
    Answer::of(client.0.router(pages.clone()).oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn each_request_has_its_line_and_its_metrics() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let folder = tempfile::tempdir().unwrap();
    let client = registry(&folder).open().await;
    for (method, login, status, user) in [
        (Method::GET, None, 401, ""),
        (Method::GET, Some("admin:guess"), 401, ""),
        (Method::GET, Some("admin:hunter2"), 200, "auth.user=\"admin\""),
        (Method::HEAD, Some("admin:hunter2"), 200, "auth.user=\"admin\""),
        (Method::POST, Some("admin:hunter2"), 405, "auth.user=\"admin\""),
    ] {
        let (log, _listening) = Log::listen();
        let answer = ask(&client, &pages(), method.clone(), "192.0.2.1", login).await;
        assert_eq!(answer.status, status, "{method} {login:?}");
        assert!(!answer.header("x-request-id").is_empty(), "{answer:?}");
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{answer:?}");
        let body = if status == 200 && method == Method::GET { "all is well\n" } else { "" };
        assert!(answer.body.ends_with(body.as_bytes()), "{answer:?}");
        let said = log.take();
        let lines: Vec<_> = said.lines().filter(|line| line.contains(": request ")).collect();
        let [line] = lines[..] else { panic!("{status}: {said}") };
        let fields = [
            format!("http.method={method} "),
            "http.path=/metrics ".to_owned(),
            format!("http.status={status} "),
            "client.address=192.0.2.1 ".to_owned(),
            user.to_owned(),
        ];
        for field in &fields {
            assert!(line.contains(field), "{field}: {line}");
        }
        assert!(
            !said.contains("in-query") && !said.contains("hunter2") && !said.contains("guess"),
            "P11: {said}"
        );
    }
    let page = handle.render();
    let counted = page.lines().filter(|line| line.starts_with("wharfinger_http_requests_total{"));
    assert!(
        counted.clone().count() >= 4 && counted.clone().all(|line| line.contains("route=\"metrics\"")),
        "{page}"
    );
}

#[tokio::test]
async fn each_failed_login_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let (audit, writing) = Audit::start(&Target::File(path.clone()), Clock::system()).unwrap();
    let client = Registry { audit: Some(audit.clone()), ..registry(&folder) }.open().await;
    for login in [None, Some("admin:guess"), Some("eve:guess"), Some("admin:hunter2")] {
        ask(&client, &pages(), Method::GET, "192.0.2.1", login).await;
    }
    audit.end().await;
    writing.await.unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let seen: Vec<_> =
        lines.map(|line| [line["event"].clone(), line["user"].clone(), line["status"].clone()]).collect();
    assert_eq!(
        seen,
        [[json!("login"), json!("admin"), json!(401)], [json!("login"), json!("eve"), json!(401)]]
    );
}

/// The scraper has a rate of its own, as every client, and what all take together is not counted against it.
#[tokio::test(start_paused = true)]
async fn guesses_have_a_rate() {
    let folder = tempfile::tempdir().unwrap();
    let file = "http: { limits: { maxRequestsPerSecond: 1 }, ratelimit: { rate: 3 } }";
    let loaded = config::parse(file, &|_| None).unwrap();
    let client = Registry { http: loaded.config.http, ..registry(&folder) }.open().await;
    let mut refused = 0;
    for _ in 0..10 {
        let answer = ask(&client, &pages(), Method::GET, "192.0.2.1", Some("admin:guess")).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            refused += 1;
        }
    }
    assert_eq!(refused, 7);
    for _ in 0..2 {
        let answer = ask(&client, &pages(), Method::GET, "192.0.2.2", Some("admin:hunter2")).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let client = registry(&folder).open().await;
    let pages = Router::new().route("/metrics", get(async || -> &str { panic!("a page of a test") }));
    let answer = ask(&client, &pages, Method::GET, "192.0.2.1", Some("admin:hunter2")).await;
    assert_eq!(answer.status, 500);
}

#[tokio::test]
async fn the_real_page_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let client = registry(&folder).open().await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let pages = extensions::metrics::router("/metrics", recorder.handle());
    let answer = ask(&client, &pages, Method::GET, "192.0.2.1", Some("admin:hunter2")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/plain; version=0.0.4"));
}
