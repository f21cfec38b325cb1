//! What a pull is made of: routing, digests, reading a manifest, and a whole pull in this process.
//!
//! The figures are for comparing two versions on one machine in one run; `cargo xtask bench` sets
//! the served ones beside nginx.

use std::hint::black_box;

use axum::body::Body;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body_util::BodyExt;
use wharfinger::http::App;
use wharfinger::http::route;
use wharfinger::oci::{Algorithm, Digest, Hasher, Manifest};

fn routes(criterion: &mut Criterion) {
    let digest = Hasher::digest(Algorithm::Sha256, b"x").to_string();
    let paths = [
        ("tag", "/v2/library/alpine/manifests/3.20".to_owned()),
        ("digest", format!("/v2/library/alpine/blobs/{digest}")),
        ("unknown", "/v2/library/alpine/nothing/here".to_owned()),
    ];
    let mut group = criterion.benchmark_group("route");
    for (name, path) in paths {
        group.bench_function(name, |bencher| {
            bencher.iter(|| route::parse(&http::Method::GET, black_box(&path)));
        });
    }
    group.finish();
}

fn digests(criterion: &mut Criterion) {
    let text = Hasher::digest(Algorithm::Sha256, b"x").to_string();
    criterion.bench_function("digest/parse", |bencher| bencher.iter(|| Digest::parse(black_box(&text))));
    let mut group = criterion.benchmark_group("hash");
    let bytes = vec![7_u8; 1 << 20];
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for algorithm in Algorithm::ALL {
        group.bench_function(algorithm.as_str(), |bencher| {
            bencher.iter(|| Hasher::digest(algorithm, black_box(&bytes)));
        });
    }
    group.finish();
}

fn manifests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("manifest");
    for name in ["oci-image", "oci-index", "artifact-with-subject"] {
        let body = fixtures::find(fixtures::VALID_MANIFESTS, name).as_bytes();
        group.bench_function(name, |bencher| bencher.iter(|| Manifest::parse(black_box(body), None)));
    }
    group.finish();
}

async fn call(app: &App, method: &str, path: &str, body: Bytes) -> http::StatusCode {
    let request =
        http::Request::builder().method(method).uri(path).body(Body::from(body)).expect("a sound request");
    let response = app.call(request).await;
    let status = response.status();
    let sent = response.into_body().collect().await.expect("a whole body");
    black_box(sent);
    status
}

fn pulls(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let app = runtime.block_on(benches::registry());
    let layer = vec![7_u8; 64 * 1024];
    let digest = Hasher::digest(Algorithm::Sha256, &layer);
    let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    runtime.block_on(async {
        let pushed =
            call(&app, "POST", &format!("/v2/bench/blobs/uploads/?digest={digest}"), layer.into()).await;
        assert_eq!(pushed, 201);
        assert_eq!(
            call(&app, "PUT", "/v2/bench/manifests/v1", Bytes::from_static(index.as_bytes())).await,
            201
        );
    });
    let mut group = criterion.benchmark_group("pull");
    for (name, path) in [
        ("manifest by tag", "/v2/bench/manifests/v1".to_owned()),
        ("blob of 64 KiB", format!("/v2/bench/blobs/{digest}")),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let status = runtime.block_on(call(&app, "GET", &path, Bytes::new()));
                assert_eq!(status, 200);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, routes, digests, manifests, pulls);
criterion_main!(benches);
