//! Parts of the API that are not offered.

use bytes::Bytes;
use http::{HeaderName, Method, Response, StatusCode, header};

use crate::origin::{
    dispatch::{Call, finished, honest},
    refusal::Refusal,
    route::{Endpoint, Reference},
    store::Store,
};

fn refused(refusal: Refusal) -> Response<Bytes> {
    finished(Err(refusal))
}

fn method_off(allow: &'static str) -> Response<Bytes> {
    refused(Refusal::MethodUnsupported { allow })
}

pub(super) fn catalog(store: &mut Store, call: &Call) -> Response<Bytes> {
    match Endpoint::parse(&call.path) {
        Ok(Endpoint::Catalog) => refused(Refusal::EndpointUnknown),
        _ => honest(store, call),
    }
}

/// What a request would delete.
#[derive(Debug, PartialEq, Eq)]
enum Deletion {
    Tag,
    Manifest,
    Blob,
    Upload,
}

fn deletion(call: &Call) -> Option<Deletion> {
    match Endpoint::parse(&call.path).ok().filter(|_| call.method == Method::DELETE)? {
        Endpoint::Manifest { reference: Reference::Tag(_), .. } => Some(Deletion::Tag),
        Endpoint::Manifest { reference: Reference::Digest(_), .. } => Some(Deletion::Manifest),
        Endpoint::Blob { .. } => Some(Deletion::Blob),
        Endpoint::Upload { .. } => Some(Deletion::Upload),
        _ => None,
    }
}

/// Refuses these deletions with 405.
fn without(off: &[Deletion], store: &mut Store, call: &Call) -> Response<Bytes> {
    match deletion(call).filter(|it| off.contains(it)) {
        None => honest(store, call),
        Some(Deletion::Tag | Deletion::Manifest) => method_off("GET, HEAD, PUT"),
        Some(Deletion::Blob) => method_off("GET, HEAD"),
        Some(Deletion::Upload) => method_off("GET, PATCH, PUT"),
    }
}

pub(super) fn deletes_with_405(store: &mut Store, call: &Call) -> Response<Bytes> {
    without(&[Deletion::Tag, Deletion::Manifest, Deletion::Blob], store, call)
}

pub(super) fn deletes_with_400(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = deletes_with_405(store, call);
    if call.method == Method::DELETE && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

pub(super) fn tag_deletes(store: &mut Store, call: &Call) -> Response<Bytes> {
    without(&[Deletion::Tag], store, call)
}

pub(super) fn manifest_deletes(store: &mut Store, call: &Call) -> Response<Bytes> {
    without(&[Deletion::Manifest], store, call)
}

pub(super) fn blob_deletes(store: &mut Store, call: &Call) -> Response<Bytes> {
    without(&[Deletion::Blob], store, call)
}

pub(super) fn upload_cancels(store: &mut Store, call: &Call) -> Response<Bytes> {
    without(&[Deletion::Upload], store, call)
}

pub(super) fn referrers(store: &mut Store, call: &Call) -> Response<Bytes> {
    if let Ok(Endpoint::Referrers { .. }) = Endpoint::parse(&call.path) {
        return refused(Refusal::EndpointUnknown);
    }
    let mut response = honest(store, call);
    // The header would promise that the referrer can be found.
    response.headers_mut().remove(HeaderName::from_static("oci-subject"));
    response
}

pub(super) fn sha512(store: &mut Store, call: &Call) -> Response<Bytes> {
    let parameters = ["digest", "mount", "digest-algorithm"];
    let mut digests = parameters.iter().flat_map(|name| call.query.all(name));
    let last = call.path.rsplit('/').next().unwrap_or_default();
    if last.starts_with("sha512:") || digests.any(|it| it.starts_with("sha512")) {
        return refused(Refusal::DigestInvalid(last.to_owned()));
    }
    honest(store, call)
}

pub(super) fn tag_parameter(store: &mut Store, call: &Call) -> Response<Bytes> {
    ignoring(&["tag"], store, call)
}

pub(super) fn mounts(store: &mut Store, call: &Call) -> Response<Bytes> {
    ignoring(&["mount", "from"], store, call)
}

pub(super) fn single_posts(store: &mut Store, call: &Call) -> Response<Bytes> {
    if call.method != Method::POST {
        return honest(store, call);
    }
    ignoring(&["digest"], store, call)
}

/// Answers as if these parameters had not been sent.
fn ignoring(parameters: &[&str], store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut call = call.clone();
    for name in parameters {
        call.query.remove(name);
    }
    honest(store, &call)
}
