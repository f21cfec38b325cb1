//! Blobs and manifests: how they are served.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::{
    digest::{Algorithm, Digest},
    origin::{
        dispatch::{Call, finished, honest, set},
        range::{Requested, requested},
        refusal::Refusal,
        route::Endpoint,
        store::Store,
    },
};

/// The most ranges that are served as parts; more are ignored.
const PARTS_MAX: usize = 16;
/// What stands between the parts of a body; unlikely in random bytes, which is all that the format asks.
const BOUNDARY: &str = "ballast-8c2f61d09b7e";

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Answers as if these headers had not been sent.
fn ignoring(names: &[HeaderName], store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut call = call.clone();
    for name in names {
        call.headers.remove(name);
    }
    honest(store, &call)
}

pub(super) fn no_ranges(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = ignoring(&[header::RANGE], store, call);
    response.headers_mut().remove(header::ACCEPT_RANGES);
    response
}

pub(super) fn multipart_ranges(store: &mut Store, call: &Call) -> Response<Bytes> {
    let response = honest(store, call);
    let is_blob = matches!(Endpoint::parse(&call.path), Ok(Endpoint::Blob { .. }));
    // The honest answer to several ranges is everything.
    let specs = call.header(header::RANGE).and_then(|it| it.strip_prefix("bytes=")).filter(|_| is_blob);
    let specs: Vec<&str> = specs.unwrap_or_default().split(',').map(str::trim).collect();
    if response.status() != StatusCode::OK || !(2..=PARTS_MAX).contains(&specs.len()) {
        return response;
    }
    match parts(&specs, response.body()) {
        Some(body) => {
            let (mut head, _) = response.into_parts();
            head.status = StatusCode::PARTIAL_CONTENT;
            let mut response = Response::from_parts(head, Bytes::from(body));
            let media_type = format!("multipart/byteranges; boundary={BOUNDARY}");
            set(&mut response, header::CONTENT_TYPE, &media_type);
            response
        }
        None => response,
    }
}

/// Returns the parts that were asked for, or nothing when one of them does not exist.
fn parts(specs: &[&str], bytes: &Bytes) -> Option<Vec<u8>> {
    let size = bytes.len() as u64;
    let mut body = Vec::new();
    for spec in specs {
        let Requested::Slice { first, last } = requested(Some(&format!("bytes={spec}")), size) else {
            return None;
        };
        let head = format!(
            "--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: bytes {first}-{last}/{size}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        let index = |at: u64| usize::try_from(at).expect("a position in memory fits usize");
        body.extend_from_slice(&bytes[index(first)..=index(last)]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    Some(body)
}

pub(super) fn no_etags(store: &mut Store, call: &Call) -> Response<Bytes> {
    // A range under a condition that nothing can meet gives everything.
    let mut ignored = vec![header::IF_NONE_MATCH];
    if call.headers.contains_key(header::IF_RANGE) {
        ignored.push(header::RANGE);
    }
    let mut response = ignoring(&ignored, store, call);
    response.headers_mut().remove(header::ETAG);
    response
}

pub(super) fn no_docker_headers(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = honest(store, call);
    for name in ["docker-distribution-api-version", "docker-upload-uuid"] {
        response.headers_mut().remove(name);
    }
    // Reading content and pushing a manifest must tell the digest; pushing a blob need not.
    let is_manifest = matches!(Endpoint::parse(&call.path), Ok(Endpoint::Manifest { .. }));
    if response.status() == StatusCode::CREATED && !is_manifest {
        response.headers_mut().remove(DIGEST);
    }
    response
}

pub(super) fn other_digest(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = honest(store, call);
    let is_manifest = matches!(Endpoint::parse(&call.path), Ok(Endpoint::Manifest { .. }));
    if is_manifest && call.is_read() && response.status() == StatusCode::OK {
        let digest = Digest::of(Algorithm::Sha512, response.body());
        set(&mut response, DIGEST, &digest.to_string());
    }
    response
}

pub(super) fn strict_accept(store: &mut Store, call: &Call) -> Response<Bytes> {
    let response = honest(store, call);
    let is_manifest = matches!(Endpoint::parse(&call.path), Ok(Endpoint::Manifest { .. }));
    let accepted = || {
        let mut values = call.headers.get_all(header::ACCEPT).iter().peekable();
        let media_type = response.headers().get(header::CONTENT_TYPE);
        values.peek().is_none() || values.any(|value| accepts(value, media_type))
    };
    if is_manifest && call.is_read() && response.status().is_success() && !accepted() {
        return finished(Err(Refusal::NotAcceptable));
    }
    response
}

/// Says whether an Accept header names the media type, or every one. Weights only order, zero aside, which
/// nobody sends.
fn accepts(accept: &HeaderValue, media_type: Option<&HeaderValue>) -> bool {
    let media_type = media_type.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let names = accept.to_str().unwrap_or_default().split(',');
    let mut names = names.map(|it| it.split(';').next().unwrap_or_default().trim());
    names.any(|it| it == media_type || matches!(it, "*/*" | "application/*"))
}

pub(super) fn manifests_as_blobs(store: &mut Store, call: &Call) -> Response<Bytes> {
    let response = honest(store, call);
    let Ok(Endpoint::Blob { name, digest }) = Endpoint::parse(&call.path) else { return response };
    if !call.is_read() || response.status() != StatusCode::NOT_FOUND {
        return response;
    }
    let call = Call { path: format!("/v2/{name}/manifests/{digest}"), ..call.clone() };
    let mut found = honest(store, &call);
    if !found.status().is_success() {
        return response;
    }
    set(&mut found, header::CONTENT_TYPE, "application/octet-stream");
    found
}
