//! From a request to its handler. Everything here is pure: bytes in, response out, no waiting.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::{
    access::Caller,
    blobs, lie,
    manifests::{self, Completeness},
    query::Query,
    referrers,
    refusal::Refusal,
    registry::Nature,
    route::Endpoint,
    store::Store,
    tags, uploads, variant,
};
use crate::digest::Digest;

/// The result of a handler.
pub(super) type Answer = Result<Response<Bytes>, Refusal>;

/// A request with its body, read whole.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Who asks, as far as handlers must know it.
    pub(super) caller: Caller,
}

impl Call {
    /// Says whether the request reads.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// Returns `host:port` as the client wrote it.
    pub(super) fn host(&self) -> &str {
        self.header(header::HOST).unwrap_or("localhost")
    }

    /// Returns a header's value, if it is text.
    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the value of a header about who asks, which may stand once: of two, somebody else may read the other.
    pub(super) fn one(&self, name: HeaderName) -> Result<Option<&str>, Refusal> {
        if self.headers.get_all(&name).iter().count() > 1 {
            return Err(Refusal::ParameterInvalid("two headers about who asks"));
        }
        Ok(self.header(name))
    }

    /// Says whether `If-None-Match` names this entity tag.
    pub(super) fn has_fresh_copy(&self, etag: &str) -> bool {
        let fresh = |it: &str| it.trim() == "*" || it.trim().trim_start_matches("W/") == etag;
        self.header(header::IF_NONE_MATCH).is_some_and(|value| value.split(',').any(fresh))
    }
}

/// Answers a request as this origin's nature has it: the honest answer, with at most one departure.
pub(super) fn answer(store: &mut Store, call: Call, nature: &Nature) -> Response<Bytes> {
    match (nature.lie, nature.variant) {
        (Some(lie), _) => lie::answer(lie, store, call),
        (None, Some(variant)) => variant::answer(variant, store, &call),
        (None, None) => honest(store, &call),
    }
}

/// Answers a request from, or changes, the store.
pub(super) fn honest(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = finished(route(store, call));
    if let Some(remaining) = store.quota {
        set(&mut response, HeaderName::from_static("ratelimit-remaining"), &format!("{remaining};w=21600"));
    }
    response
}

/// Returns the response of an answer, with the header that all of them have.
pub(super) fn finished(answer: Answer) -> Response<Bytes> {
    let mut response = answer.unwrap_or_else(|refusal| refusal.response());
    response
        .headers_mut()
        .insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    response
}

fn route(store: &mut Store, call: &Call) -> Answer {
    let endpoint = Endpoint::parse(&call.path)?;
    let is_read = call.is_read();
    match (&endpoint, call.method.as_str()) {
        (Endpoint::Base, _) if is_read => Ok(json(StatusCode::OK, "{}")),
        (Endpoint::Catalog, _) if is_read => tags::catalog(store, call),
        (Endpoint::Tags { name }, _) if is_read => tags::list(store, name, call),
        (Endpoint::Referrers { name, digest }, _) if is_read => {
            Ok(referrers::list(store, name, digest, call))
        }
        (Endpoint::Blob { name, digest }, _) if is_read => blobs::pull(store, name, digest, call),
        (Endpoint::Blob { name, digest }, "DELETE") => blobs::delete(store, name, digest),
        (Endpoint::Manifest { name, reference }, _) if is_read => {
            manifests::pull(store, name, reference, call)
        }
        (Endpoint::Manifest { name, reference }, "PUT") => {
            manifests::push(store, name, reference, call, Completeness::Whole)
        }
        (Endpoint::Manifest { name, reference }, "DELETE") => manifests::delete(store, name, reference),
        (Endpoint::Uploads { name }, "POST") => uploads::start(store, name, call),
        (Endpoint::Upload { name, id }, "GET") => uploads::status(store, name, id),
        (Endpoint::Upload { name, id }, "PATCH") => uploads::append(store, name, id, call),
        (Endpoint::Upload { name, id }, "PUT") => uploads::finish(store, name, id, call),
        (Endpoint::Upload { name, id }, "DELETE") => uploads::cancel(store, name, id),
        (endpoint, _) => Err(Refusal::MethodUnsupported { allow: allowed(endpoint) }),
    }
}

/// Returns the methods that an endpoint has.
pub(super) fn allowed(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Base | Endpoint::Catalog | Endpoint::Tags { .. } | Endpoint::Referrers { .. } => {
            "GET, HEAD"
        }
        Endpoint::Blob { .. } => "GET, HEAD, DELETE",
        Endpoint::Manifest { .. } => "GET, HEAD, PUT, DELETE",
        Endpoint::Uploads { .. } => "POST",
        Endpoint::Upload { .. } => "GET, PATCH, PUT, DELETE",
    }
}

/// Returns a response with a JSON body.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/json");
    response
}

/// Returns a response without a body.
pub(super) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Sets a header to a value that is known to be visible ASCII: digests, names, numbers, parsed text.
pub(super) fn set(response: &mut Response<Bytes>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""));
    response.headers_mut().insert(name, value);
}

/// Sets the headers that name content: its digest, and the entity tag made of it.
pub(super) fn set_digest(response: &mut Response<Bytes>, digest: &Digest) {
    set(response, HeaderName::from_static("docker-content-digest"), &digest.to_string());
    set(response, header::ETAG, &etag(digest));
}

/// Returns the entity tag of content.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}
