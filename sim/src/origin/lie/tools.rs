//! What lies are made with: to know a request, to misread it, to bend its answer.

use bytes::Bytes;
use http::{HeaderName, Method, Response, StatusCode, header};
use serde_json::Value;

use crate::{
    digest::Digest,
    origin::{
        dispatch::{Call, empty, honest, set},
        manifest::Manifest,
        route::{Endpoint, Reference},
        store::Store,
    },
};

pub(super) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Base,
    Catalog,
    Tags,
    Referrers,
    BlobPull,
    BlobDelete,
    ManifestPull,
    ManifestPush,
    ManifestDelete,
    Start,
    Status,
    Chunk,
    Close,
    Cancel,
    Other,
}

impl Kind {
    /// Returns what a request is about.
    pub(super) fn of(call: &Call) -> Self {
        let Some(endpoint) = endpoint(call) else { return Self::Other };
        let is_read = matches!(call.method, Method::GET | Method::HEAD);
        match (endpoint, call.method.as_str()) {
            (Endpoint::Base, _) if is_read => Self::Base,
            (Endpoint::Catalog, _) if is_read => Self::Catalog,
            (Endpoint::Tags { .. }, _) if is_read => Self::Tags,
            (Endpoint::Referrers { .. }, _) if is_read => Self::Referrers,
            (Endpoint::Blob { .. }, _) if is_read => Self::BlobPull,
            (Endpoint::Blob { .. }, "DELETE") => Self::BlobDelete,
            (Endpoint::Manifest { .. }, _) if is_read => Self::ManifestPull,
            (Endpoint::Manifest { .. }, "PUT") => Self::ManifestPush,
            (Endpoint::Manifest { .. }, "DELETE") => Self::ManifestDelete,
            (Endpoint::Uploads { .. }, "POST") => Self::Start,
            (Endpoint::Upload { .. }, "GET") => Self::Status,
            (Endpoint::Upload { .. }, "PATCH") => Self::Chunk,
            (Endpoint::Upload { .. }, "PUT") => Self::Close,
            (Endpoint::Upload { .. }, "DELETE") => Self::Cancel,
            _ => Self::Other,
        }
    }
}

/// Returns the endpoint of a request, if it is one.
pub(super) fn endpoint(call: &Call) -> Option<Endpoint> {
    Endpoint::parse(&call.path).ok()
}

/// Returns the repository of a request, if it names one.
pub(super) fn name(call: &Call) -> Option<String> {
    match endpoint(call)? {
        Endpoint::Base | Endpoint::Catalog => None,
        Endpoint::Blob { name, .. }
        | Endpoint::Manifest { name, .. }
        | Endpoint::Uploads { name }
        | Endpoint::Upload { name, .. }
        | Endpoint::Tags { name }
        | Endpoint::Referrers { name, .. } => Some(name),
    }
}

/// Returns repository and digest of a request for a blob.
pub(super) fn blob(call: &Call) -> Option<(String, Digest)> {
    match endpoint(call)? {
        Endpoint::Blob { name, digest } => Some((name, digest)),
        _ => None,
    }
}

/// Returns repository and reference of a request for a manifest.
pub(super) fn manifest(call: &Call) -> Option<(String, Reference)> {
    match endpoint(call)? {
        Endpoint::Manifest { name, reference } => Some((name, reference)),
        _ => None,
    }
}

/// Returns repository and id of a request to an upload.
pub(super) fn upload(call: &Call) -> Option<(String, String)> {
    match endpoint(call)? {
        Endpoint::Upload { name, id } => Some((name, id)),
        _ => None,
    }
}

/// Returns the digest and the manifest that a pushed body is, if it is one.
pub(super) fn pushed(call: &Call) -> Option<(Digest, Manifest)> {
    let manifest = Manifest::parse(call.body.clone(), call.header(header::CONTENT_TYPE)).ok()?;
    Some((Digest::sha256_of(&call.body), manifest))
}

// === the shapes of most lies ===

/// Answers honestly, and bends the answer to a request of this kind.
pub(super) fn bent(
    store: &mut Store,
    call: &Call,
    kind: Kind,
    bend: impl FnOnce(&Call, &mut Response<Bytes>),
) -> Response<Bytes> {
    let mut response = honest(store, call);
    if Kind::of(call) == kind {
        bend(call, &mut response);
    }
    response
}

/// Misreads a request of this kind, and answers what was read honestly.
pub(super) fn misread(
    store: &mut Store,
    call: &mut Call,
    kind: Kind,
    read: impl FnOnce(&mut Call),
) -> Response<Bytes> {
    if Kind::of(call) == kind {
        read(call);
    }
    honest(store, call)
}

/// Answers a request with this status if a condition holds, and honestly otherwise.
pub(super) fn refuse_if(
    store: &mut Store,
    call: &Call,
    status: StatusCode,
    condition: impl FnOnce(&Store, &Call) -> bool,
) -> Response<Bytes> {
    if condition(store, call) { empty(status) } else { honest(store, call) }
}

/// Answers honestly, and changes the store if a request of this kind had this status.
pub(super) fn behind(
    store: &mut Store,
    call: &Call,
    kind: Kind,
    status: StatusCode,
    change: impl FnOnce(&mut Store, &Call),
) -> Response<Bytes> {
    let response = honest(store, call);
    if Kind::of(call) == kind && response.status() == status {
        change(store, call);
    }
    response
}

/// Says whether somebody was not let in.
pub(super) fn is_refusal(response: &Response<Bytes>) -> bool {
    matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

// === parts of answers ===

/// Removes a header.
pub(super) fn without(response: &mut Response<Bytes>, name: &HeaderName) {
    response.headers_mut().remove(name);
}

/// Turns an answer with one status into one with another, without a body.
pub(super) fn restatus(response: &mut Response<Bytes>, from: StatusCode, to: StatusCode) {
    if response.status() == from {
        *response = empty(to);
    }
}

/// Exchanges a code of an error body.
pub(super) fn recode(response: &mut Response<Bytes>, from: &str, to: &str) {
    if response.status().is_client_error() {
        let text = String::from_utf8_lossy(response.body());
        let body = text.replace(&format!("{from:?}"), &format!("{to:?}"));
        *response.body_mut() = body.into();
    }
}

/// Changes the JSON body of a success.
pub(super) fn rewrite(response: &mut Response<Bytes>, change: impl FnOnce(&mut Value)) {
    if !response.status().is_success() {
        return;
    }
    if let Ok(mut value) = serde_json::from_slice(response.body()) {
        change(&mut value);
        *response.body_mut() = value.to_string().into();
    }
}

/// Changes the bytes of a body.
pub(super) fn respell(response: &mut Response<Bytes>, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = response.body().to_vec();
    change(&mut bytes);
    *response.body_mut() = bytes.into();
}

/// Gives the answer to a HEAD another length than its body's.
pub(super) fn relength(response: &mut Response<Bytes>, length: usize) {
    *response.body_mut() = Bytes::new();
    set(response, header::CONTENT_LENGTH, &length.to_string());
}
