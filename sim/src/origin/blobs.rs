//! Blobs: pull, whole or one range, and delete. Spec: end-2, end-10.

use http::{Response, StatusCode, header};

use super::{
    dispatch::{Answer, Call, empty, etag, set, set_digest},
    range::{Requested, requested},
    refusal::Refusal,
    store::Store,
};
use crate::digest::Digest;

/// Answers a GET or HEAD of a blob.
pub(super) fn pull(store: &Store, name: &str, digest: &Digest, call: &Call) -> Answer {
    let bytes = store.blob(name, digest)?;
    let tag = etag(digest);
    let mut response =
        if call.has_fresh_copy(&tag) { empty(StatusCode::NOT_MODIFIED) } else { slice(bytes, &tag, call) };
    set_digest(&mut response, digest);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    Ok(response)
}

/// Deletes a blob from this repository only.
pub(super) fn delete(store: &mut Store, name: &str, digest: &Digest) -> Answer {
    let removed = store.repository_mut(name)?.blobs.remove(digest);
    removed.map(|_| empty(StatusCode::ACCEPTED)).ok_or_else(|| Refusal::BlobUnknown(digest.to_string()))
}

fn slice(bytes: &bytes::Bytes, tag: &str, call: &Call) -> Response<bytes::Bytes> {
    let size = bytes.len() as u64;
    // A range is defined for GET only, and only while If-Range still names these bytes.
    let wanted = call.method == http::Method::GET && call.header(header::IF_RANGE).is_none_or(|it| it == tag);
    let range = if wanted { call.header(header::RANGE) } else { None };
    let (status, body, content_range) = match requested(range, size) {
        Requested::Whole => (StatusCode::OK, bytes.clone(), None),
        Requested::Slice { first, last } => {
            let index = |at: u64| usize::try_from(at).expect("a position in memory fits usize");
            let part = bytes.slice(index(first)..=index(last));
            (StatusCode::PARTIAL_CONTENT, part, Some(format!("bytes {first}-{last}/{size}")))
        }
        Requested::Unsatisfiable => {
            (StatusCode::RANGE_NOT_SATISFIABLE, bytes::Bytes::new(), Some(format!("bytes */{size}")))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    if call.method == http::Method::HEAD && size == 0 {
        // The length of an empty body is told to HEAD only when it is said here.
        set(&mut response, header::CONTENT_LENGTH, "0");
    }
    if let Some(value) = content_range {
        set(&mut response, header::CONTENT_RANGE, &value);
    }
    response
}
