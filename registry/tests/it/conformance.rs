//! Goal: this registry passes its own suite, and nothing is skipped that it could run. Method: the
//! suite against the real listener, once open to everybody, once with accounts, once over a bucket, once
//! behind TLS.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use conformance::check::Outcome;
use conformance::report::Report;
use wharfinger::auth;
use wharfinger::backend::object::bucket::Bucket;
use wharfinger::backend::object::memory::MemoryBucket;
use wharfinger::http::listener;
use wharfinger::http::options::Options;
use wharfinger::http::tls::Tls;
use wharfinger::store;
use wharfinger::store::options::Writers;

use crate::support::Registry;
use crate::tls::authority::Files;

/// Serves a registry until the test ends.
async fn serve(registry: Registry) -> SocketAddr {
    let options = Options { port: 0, ..registry.http.clone() };
    let client = registry.open().await;
    let (socket, address) = listener::bind(&options).await.unwrap();
    let router = client.0.router(axum::Router::new());
    let tls = options.tls.as_ref().map(|tls| Arc::new(Tls::open(tls).unwrap()));
    tokio::spawn(async move {
        listener::serve_with(socket, router, &options, tls, std::future::pending()).await;
    });
    address
}

fn assert_green(report: &Report, skipped_for: &[&str]) {
    assert!(report.failures().is_empty(), "{}", conformance::report::text(report));
    let skips = report.checks.iter().filter(|check| check.outcome == Outcome::Skip);
    let reasons: BTreeSet<&str> = skips.map(|check| check.message.as_str()).collect();
    let unexpected: Vec<&&str> =
        reasons.iter().filter(|reason| !skipped_for.iter().any(|known| reason.contains(known))).collect();
    assert!(unexpected.is_empty(), "skipped for {unexpected:?}\n{}", conformance::report::text(report));
    assert!(report.count(Outcome::Pass) > 150, "{}", conformance::report::text(report));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_registry_conforms() {
    let address = serve(Registry::default()).await;
    let report = conformance::run(conformance::Options::new(format!("http://{address}"))).await.unwrap();
    assert_green(
        &report,
        &["control", "--heavy", "credentials", "account", "an origin", "HTTP/2", "announces no minimum"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_over_a_bucket_conforms() {
    let bucket: Option<Arc<dyn Bucket>> = Some(Arc::new(MemoryBucket::new()));
    let store = store::options::Options { writers: Writers::Several, ..Default::default() };
    let address = serve(Registry { bucket, store, ..Registry::default() }).await;
    let report = conformance::run(conformance::Options::new(format!("http://{address}"))).await.unwrap();
    assert_green(
        &report,
        &["control", "--heavy", "credentials", "account", "an origin", "HTTP/2", "announces no minimum"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_behind_tls_conforms() {
    let files = Files::new();
    let http = Options { tls: Some(files.options()), ..Options::default() };
    let address = serve(Registry { http, ..Registry::default() }).await;
    let authority = files.path("authority.crt");
    std::fs::write(&authority, files.authority.pem()).unwrap();
    let mut options = conformance::Options::new(format!("https://{address}"));
    options.trust = conformance::wire::Trust { ca: Some(authority) };
    let report = conformance::run(options).await.unwrap();
    assert_green(
        &report,
        &["control", "--heavy", "credentials", "account", "an origin", "announces no minimum"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_accounts_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let hash = bcrypt::hash("secret", 4).unwrap();
    std::fs::write(&path, format!("admin:{hash}\n")).unwrap();
    // The suite gives more wrong passwords than anybody else.
    let auth = auth::options::Options { htpasswd: Some(path), failures_max: 0, ..Default::default() };
    let address = serve(Registry { auth, ..Registry::default() }).await;
    let mut options = conformance::Options::new(format!("http://{address}"));
    options.credentials = Some(("admin".to_owned(), "secret".to_owned()));
    let report = conformance::run(options).await.unwrap();
    assert_green(
        &report,
        &["control", "--heavy", "account", "tokens", "an origin", "HTTP/2", "announces no minimum"],
    );
}
