//! Uploads, mounts, pushes and deletions: how they go.

use bytes::Bytes;
use http::{HeaderName, Method, Response, StatusCode, header};

use crate::{
    digest::Digest,
    origin::{
        dispatch::{Call, finished, honest, set},
        manifests::{self, Completeness},
        refusal::Refusal,
        route::{Endpoint, Reference},
        store::Store,
    },
};

/// The least length of a chunk that others may follow.
const CHUNK_BYTES_MIN: usize = 16;

pub(super) fn sparse_manifests(store: &mut Store, call: &Call) -> Response<Bytes> {
    match Endpoint::parse(&call.path) {
        Ok(Endpoint::Manifest { name, reference }) if call.method == Method::PUT => {
            finished(manifests::push(store, &name, &reference, call, Completeness::Sparse))
        }
        _ => honest(store, call),
    }
}

pub(super) fn anonymous_mounts(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut call = call.clone();
    let wanted = call.query.first("mount").filter(|_| call.query.first("from").is_none());
    let wanted = wanted.and_then(|it| it.parse::<Digest>().ok());
    if let Some(holder) = wanted.and_then(|digest| store.holder(&digest)) {
        call.query.set("from", holder);
    }
    honest(store, &call)
}

pub(super) fn deletes_referrers(store: &mut Store, call: &Call) -> Response<Bytes> {
    let response = honest(store, call);
    let deleted = call.method == Method::DELETE && response.status() == StatusCode::ACCEPTED;
    if let Ok(Endpoint::Manifest { name, reference: Reference::Digest(subject) }) =
        Endpoint::parse(&call.path)
        && let Ok(repository) = store.repository_mut(&name)
        && deleted
    {
        repository.manifests.retain(|_, manifest| manifest.subject.as_ref() != Some(&subject));
        let manifests = &repository.manifests;
        repository.tags.retain(|_, target| manifests.contains_key(target));
    }
    response
}

pub(super) fn protects_content(store: &mut Store, call: &Call) -> Response<Bytes> {
    let digest = match Endpoint::parse(&call.path) {
        Ok(
            Endpoint::Blob { name, digest }
            | Endpoint::Manifest { name, reference: Reference::Digest(digest) },
        ) if call.method == Method::DELETE => Some((name, digest)),
        _ => None,
    };
    let needed = digest.is_some_and(|(name, digest)| {
        store.repository(&name).is_ok_and(|it| it.manifests.values().any(|it| it.needs.contains(&digest)))
    });
    if !needed {
        return honest(store, call);
    }
    let mut response = finished(Err(Refusal::Denied));
    *response.status_mut() = StatusCode::CONFLICT;
    response
}

pub(super) fn negative_range(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = honest(store, call);
    let told = response.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
    let id = told.and_then(|it| it.rsplit_once("/blobs/uploads/")).map(|(_, id)| id);
    let is_empty = id.and_then(|id| store.uploads.get(id)).is_some_and(|it| it.bytes.is_empty());
    // Docker's client refuses it in the answer to a PATCH.
    if is_empty && call.method != Method::PATCH && response.headers().contains_key(header::RANGE) {
        set(&mut response, header::RANGE, "0--1");
    }
    response
}

pub(super) fn failed_close_ends(store: &mut Store, call: &Call) -> Response<Bytes> {
    let response = honest(store, call);
    if let Ok(Endpoint::Upload { id, .. }) = Endpoint::parse(&call.path)
        && call.method == Method::PUT
        && response.status() == StatusCode::BAD_REQUEST
    {
        store.uploads.remove(&id);
    }
    response
}

pub(super) fn chunk_minimum(store: &mut Store, call: &Call) -> Response<Bytes> {
    let id = match Endpoint::parse(&call.path) {
        Ok(Endpoint::Upload { id, .. }) if !call.body.is_empty() => Some(id),
        _ => None,
    };
    if id.as_ref().is_some_and(|id| store.ending.contains(id)) {
        return finished(Err(Refusal::UploadInvalid));
    }
    let mut response = honest(store, call);
    let is_short = call.body.len() < CHUNK_BYTES_MIN && response.status() == StatusCode::ACCEPTED;
    store.ending.extend(id.filter(|_| is_short));
    // What is closed or cancelled is not remembered.
    let open = &store.uploads;
    store.ending.retain(|id| open.contains_key(id));
    if call.method == Method::POST && response.status() == StatusCode::ACCEPTED {
        let name = HeaderName::from_static("oci-chunk-min-length");
        set(&mut response, name, &CHUNK_BYTES_MIN.to_string());
    }
    response
}
