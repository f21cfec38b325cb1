//! Goal: statuses, challenges and redirects mean what the specifications say, and no secret goes
//! where it does not belong. Method: the real transport against mock servers, in real time.

mod challenges;
mod lanes;
mod redirects;

use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;

use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::clock::Timestamp;
use crate::upstream::reqwest_transport::ReqwestTransport;

const MANIFEST: &str = "/v2/team/app/manifests/v1";
const NAME: &str = "hub";

fn name() -> RepositoryName {
    RepositoryName::parse("team/app").unwrap()
}

fn tag() -> Reference {
    Reference::parse("v1").unwrap()
}

/// Makes an upstream with these urls, and the clock by which its tokens live.
fn upstream_with(urls: &[String], clock: &Clock) -> Arc<Upstream> {
    let options = Options { name: NAME.to_owned(), urls: urls.to_vec(), ..Options::default() };
    let transport = ReqwestTransport::new(&options).unwrap();
    Arc::new(Upstream::new(options, Arc::new(transport), clock.clone()))
}

fn upstream(server: &MockServer) -> Arc<Upstream> {
    upstream_with(&[server.uri()], &Clock::system())
}

async fn manifest(upstream: &Arc<Upstream>) -> Result<String, Error> {
    let mut worst = Worst::default();
    for url in upstream.urls() {
        match upstream.manifest(url, &name(), &tag()).await {
            Ok(manifest) => return Ok(String::from_utf8(manifest.bytes.to_vec()).unwrap()),
            Err(error) => worst.add(upstream, error),
        }
    }
    Err(upstream.failed(worst))
}

/// Returns how often a server was asked with this method for this path.
async fn asked(server: &MockServer, verb: &str, path: &str) -> usize {
    let requests = server.received_requests().await.unwrap();
    requests.iter().filter(|it| it.method.as_str() == verb && it.url.path() == path).count()
}

/// Returns the `Authorization` headers of the requests that a server got, in order.
async fn authorizations(server: &MockServer) -> Vec<Option<String>> {
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|it| it.headers.get(AUTHORIZATION).map(text)).collect()
}

async fn serving(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path(MANIFEST)).respond_with(response).mount(&server).await;
    server
}

#[tokio::test]
async fn statuses() {
    type Expect = fn(&Error) -> bool;
    let table: [(u16, Expect); 12] = [
        (404, Error::is_not_found),
        (401, |error| matches!(error, Error::Denied { .. })),
        (403, |error| matches!(error, Error::Denied { .. })),
        (429, |error| matches!(error, Error::RateLimited { retry_after: None, .. })),
        (204, |error| matches!(error, Error::Status { status: 204, .. })),
        (206, |error| matches!(error, Error::Status { status: 206, .. })),
        (400, |error| matches!(error, Error::Status { status: 400, .. })),
        (410, |error| matches!(error, Error::Status { status: 410, .. })),
        (500, |error| matches!(error, Error::Status { status: 500, .. })),
        (502, |error| matches!(error, Error::Status { status: 502, .. })),
        (503, |error| matches!(error, Error::Status { status: 503, .. })),
        (504, |error| matches!(error, Error::Status { status: 504, .. })),
    ];
    for (status, expect) in table {
        let server = serving(ResponseTemplate::new(status)).await;
        let error = manifest(&upstream(&server)).await.unwrap_err();
        assert!(expect(&error), "{status}: {error:?}");
        assert!(!error.to_string().contains(&server.address().to_string()), "P8: {error}");
        assert_eq!(asked(&server, "GET", MANIFEST).await, 1, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    let date = |ahead| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(ahead));
    let clock = Clock::manual(Timestamp::from_millis(1_000_000));
    for (value, expect) in [
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("0", Some(0)),
        ("1000000000", Some(1_000_000_000)),
        (date(1090).as_str(), Some(90)),
        (date(910).as_str(), Some(0)),
        ("-7", None),
        ("soon", None),
        ("", None),
    ] {
        let server = serving(ResponseTemplate::new(429).insert_header("retry-after", value)).await;
        let error = manifest(&upstream_with(&[server.uri()], &clock)).await.unwrap_err();
        let Error::RateLimited { retry_after, .. } = error else { panic!("{value:?}: {error:?}") };
        assert_eq!(retry_after, expect.map(Duration::from_secs), "{value:?}");
    }
}

#[tokio::test]
async fn the_next_url_is_asked_and_the_worst_answer_is_told() {
    let ok = || ResponseTemplate::new(200).set_body_string("whole");
    let status = ResponseTemplate::new;
    let limited = |after: &str| status(429).insert_header("retry-after", after);
    for (first, second, expect, seconds) in [
        (status(500), ok(), "whole", 1),
        (status(404), ok(), "whole", 1),
        (status(403), ok(), "whole", 1),
        (limited("3"), ok(), "whole", 1),
        (ok(), status(500), "whole", 0),
        (status(404), status(404), "the upstream hub does not have it", 1),
        (status(404), status(403), "the upstream hub refused access", 1),
        (status(404), status(500), "the upstream hub answered with status 500", 1),
        (status(500), status(404), "the upstream hub answered with status 500", 1),
        (status(500), status(503), "the upstream hub answered with status 500", 1),
        (status(500), limited("3"), "the upstream hub limits the rate of requests", 1),
    ] {
        let (first, second) = (serving(first).await, serving(second).await);
        let upstream = upstream_with(&[first.uri(), second.uri()], &Clock::system());
        let told = manifest(&upstream).await.unwrap_or_else(|error| error.to_string());
        let counts = (asked(&first, "GET", MANIFEST).await, asked(&second, "GET", MANIFEST).await);
        assert_eq!((told.as_str(), counts), (expect, (1, seconds)));
    }
    // Of several waits the longest: a shorter one would be too early for the other url.
    for waits in [["3", "7"], ["7", "3"]] {
        let (first, second) = (serving(limited(waits[0])).await, serving(limited(waits[1])).await);
        let upstream = upstream_with(&[first.uri(), second.uri()], &Clock::system());
        let error = manifest(&upstream).await.unwrap_err();
        assert!(
            matches!(error, Error::RateLimited { retry_after: Some(wait), .. } if wait.as_secs() == 7),
            "{waits:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_manifest_is_read_within_its_limit() {
    let page = ResponseTemplate::new(200).set_body_raw("<html></html>", "text/html; charset=utf-8");
    let server = serving(page).await;
    let honest = upstream(&server);
    let remote = honest.manifest(&honest.urls()[0], &name(), &tag()).await.unwrap();
    // What it is and what it is called is the caller's to judge; it is told both.
    assert_eq!(remote.media_type.map(|it| it.to_string()).as_deref(), Some("text/html"));
    assert_eq!(remote.bytes, "<html></html>");

    let server = serving(ResponseTemplate::new(200).set_body_string("0123456789")).await;
    for (limit, fits) in [(10, true), (9, false)] {
        let urls = vec![server.uri()];
        let options =
            Options { name: NAME.to_owned(), urls, manifest_bytes_max: limit, ..Options::default() };
        let transport = ReqwestTransport::new(&options).unwrap();
        let upstream = Arc::new(Upstream::new(options, Arc::new(transport), Clock::system()));
        let read = upstream.manifest(&upstream.urls()[0], &name(), &tag()).await;
        let is_refused = matches!(&read, Err(Error::Wrong { reason: Wrong::TooLarge, .. }));
        assert_eq!((read.is_ok(), is_refused), (fits, !fits), "{limit}");
    }
}

#[tokio::test]
async fn a_head_tells_what_the_upstream_claims() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for (claim, expect) in [(Some(digest.as_str()), true), (Some("sha256:short"), false), (None, false)] {
        let mut response = ResponseTemplate::new(200);
        if let Some(claim) = claim {
            response = response.insert_header("docker-content-digest", claim);
        }
        let server = serving(response).await;
        let told = upstream(&server).manifest_digest(&name(), &tag()).await.unwrap();
        assert_eq!(told.map(|it| it.to_string()).as_deref(), claim.filter(|_| expect));
        assert_eq!(asked(&server, "HEAD", MANIFEST).await, 1, "a HEAD, which costs no quota");
    }
}

#[tokio::test]
async fn a_request_accepts_every_manifest_and_nothing_compressed() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
    manifest(&upstream(&server)).await.unwrap_err();
    let requests = server.received_requests().await.unwrap();
    let accepted: Vec<&str> =
        requests[0].headers.get_all(ACCEPT).iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(accepted, [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST]);
    assert_eq!(requests[0].headers.get("accept-encoding"), None);
}
