//! Refusals: their bodies, statuses and headers.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::origin::{
    dispatch::{Call, honest},
    route::Endpoint,
    store::Store,
};

/// The code of the one error that has to say what it is.
const NEEDED_CODE: &str = "MANIFEST_BLOB_UNKNOWN";

fn is_error(response: &Response<Bytes>) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

fn says(response: &Response<Bytes>, code: &str) -> bool {
    String::from_utf8_lossy(response.body()).contains(&format!("\"{code}\""))
}

pub(super) fn plain(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = honest(store, call);
    if is_error(&response) {
        *response.body_mut() = Bytes::from_static(b"This cannot be done.\n");
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
    }
    response
}

pub(super) fn one_code(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = honest(store, call);
    if is_error(&response) && !says(&response, NEEDED_CODE) {
        *response.body_mut() = Bytes::from(json!({ "errors": [{ "code": "UNSUPPORTED" }] }).to_string());
    }
    response
}

pub(super) fn malformed_chunks(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = honest(store, call);
    if response.status() == StatusCode::BAD_REQUEST && says(&response, "BLOB_UPLOAD_INVALID") {
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    }
    response
}

pub(super) fn bare_unsatisfiable(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut response = honest(store, call);
    let is_upload = matches!(Endpoint::parse(&call.path), Ok(Endpoint::Upload { .. }));
    if is_upload && response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        response.headers_mut().remove(header::LOCATION);
        response.headers_mut().remove(header::RANGE);
    }
    response
}
