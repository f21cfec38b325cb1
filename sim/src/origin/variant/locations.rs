//! Addresses: where a Location points, and what is redirected.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use uuid::Uuid;

use crate::origin::{
    dispatch::{Call, empty, finished, honest, set},
    refusal::Refusal,
    route::Endpoint,
    store::Store,
};

/// Where uploads are, when their addresses tell nothing.
const SESSIONS: &str = "/session/";
/// Where pushed blobs are, when they are elsewhere.
const CONTENT: &str = "/content/";
/// The parameter without which an upload is not found.
const STATE: &str = "_state";
/// The parameter of what has been redirected.
const SEEN: &str = "_seen";

/// Rewrites a header that has a value.
fn rewrite(response: &mut Response<Bytes>, name: HeaderName, change: impl Fn(&str) -> String) {
    let old = response.headers().get(&name).and_then(|value| value.to_str().ok());
    if let Some(value) = old.and_then(|old| HeaderValue::from_str(&change(old)).ok()) {
        response.headers_mut().insert(name, value);
    }
}

pub(super) fn absolute(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = honest(store, call);
    let base = format!("http://{}", call.host());
    rewrite(&mut response, header::LOCATION, |path| format!("{base}{path}"));
    rewrite(&mut response, header::LINK, |link| link.replacen('<', &format!("<{base}"), 1));
    response
}

pub(super) fn schemeless(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = honest(store, call);
    rewrite(&mut response, header::LOCATION, |path| format!("//{}{path}", call.host()));
    response
}

pub(super) fn stateful(store: &mut Store, call: &Call) -> Response<Bytes> {
    let is_upload = matches!(Endpoint::parse(&call.path), Ok(Endpoint::Upload { .. }));
    if is_upload && call.query.first(STATE).is_none() {
        return finished(Err(Refusal::UploadUnknown));
    }
    let mut response = honest(store, call);
    rewrite(&mut response, header::LOCATION, |path| {
        let state = Uuid::new_v4().simple().to_string();
        if path.contains("/blobs/uploads/") { format!("{path}?{STATE}={state}") } else { path.to_owned() }
    });
    response
}

pub(super) fn opaque(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut call = call.clone();
    if let Some(id) = call.path.strip_prefix(SESSIONS) {
        let Some(upload) = store.uploads.get(id) else { return finished(Err(Refusal::UploadUnknown)) };
        call.path = format!("/v2/{}/blobs/uploads/{id}", upload.name);
    } else if let Some(rest) = call.path.strip_prefix(CONTENT) {
        call.path = format!("/v2/{rest}");
    }
    let mut response = honest(store, &call);
    rewrite(&mut response, header::LOCATION, |path| {
        let inside = path.strip_prefix("/v2/").unwrap_or(path);
        match inside.rsplit_once("/blobs/uploads/") {
            Some((_, id)) => format!("{SESSIONS}{id}"),
            None if inside.contains("/blobs/") => format!("{CONTENT}{inside}"),
            None => path.to_owned(),
        }
    });
    response
}

pub(super) fn redirected_base(store: &mut Store, call: &Call) -> Response<Bytes> {
    if call.path == "/v2" && call.is_read() {
        return redirect(StatusCode::MOVED_PERMANENTLY, "/v2/");
    }
    honest(store, call)
}

pub(super) fn redirected_reads(store: &mut Store, call: &Call) -> Response<Bytes> {
    let endpoint = Endpoint::parse(&call.path);
    // An upload is no content: redirecting its status would give it a second address.
    let is_content = !matches!(endpoint, Err(_) | Ok(Endpoint::Base | Endpoint::Upload { .. }));
    if is_content && call.is_read() && call.query.first(SEEN).is_none() {
        let mut query = call.query.clone();
        query.set(SEEN, "1");
        return redirect(StatusCode::TEMPORARY_REDIRECT, &format!("{}?{query}", call.path));
    }
    honest(store, call)
}

fn redirect(status: StatusCode, to: &str) -> Response<Bytes> {
    let mut response = empty(status);
    set(&mut response, header::LOCATION, to);
    finished(Ok(response))
}
