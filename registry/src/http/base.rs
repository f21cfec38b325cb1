//! `/v2/`: whether this is a registry, and whether it knows the caller.
//!
//! *Spec:* `[end-1]`.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use super::dispatch::Call;
use super::error::Error;

pub(super) fn get(call: &Call<'_>) -> Result<Response<Body>, Error> {
    call.access.base(&call.identity)?;
    let mut response = Response::new(Body::from("{}"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
