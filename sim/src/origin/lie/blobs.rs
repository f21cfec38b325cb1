//! Lies about pulled blobs: their bytes, their headers, whose they are.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::{
    Plan, plan,
    tools::{DIGEST, Kind, bent, blob, manifest, misread, recode, relength, respell, restatus, without},
};
use crate::origin::{
    dispatch::{Call, empty, honest, set},
    route::Reference,
    store::Store,
};

/// Blobs above this size suffer the lies about large ones.
const LARGE_BYTES: usize = 64 * 1024;

pub(super) const LIES: &[Plan] = &[
    plan("blob-bit-flipped", "Serves blobs of more than 64 KiB with one bit flipped.", |store, call| {
        large(store, call, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        })
    }),
    plan("blob-cut-short", "Serves blobs of more than 64 KiB without their last byte.", |store, call| {
        large(store, call, |bytes| {
            bytes.pop();
        })
    }),
    plan("blob-with-more", "Serves blobs of more than 64 KiB with one byte more.", |store, call| {
        large(store, call, |bytes| bytes.push(b'\n'))
    }),
    plan("blob-digest-unsaid", "Serves blobs without Docker-Content-Digest.", |store, call| {
        bent(store, call, Kind::BlobPull, |_, response| without(response, &DIGEST))
    }),
    plan("blob-head-wrong-size", "Says one byte too many in the answer to HEAD of a blob.", |store, call| {
        head(store, call, |response| {
            let length = response.body().len();
            relength(response, length + 1);
        })
    })
    .mutant(9),
    plan("blob-head-absent", "Answers 404 to HEAD of a blob that is there.", |store, call| {
        head(store, call, |response| restatus(response, StatusCode::OK, StatusCode::NOT_FOUND))
    }),
    plan("blob-head-always", "Answers 200 to HEAD of every blob.", |store, call| {
        bent(store, call, Kind::BlobPull, |call, response| {
            if call.method == Method::HEAD {
                restatus(response, StatusCode::NOT_FOUND, StatusCode::OK);
            }
        })
    }),
    plan("blob-of-any-repository", "Serves blobs of other repositories.", |store, call| {
        if let Some((name, digest)) = blob(call).filter(|_| Kind::of(call) == Kind::BlobPull)
            && store.blob(&name, &digest).is_err()
            && let Some(other) = store.names().find(|other| store.blob(other, &digest).is_ok())
        {
            call.path = format!("/v2/{other}/blobs/{digest}");
        }
        honest(store, call)
    }),
    plan(
        "blob-missing-is-empty",
        "Serves nothing, with 200, for a blob that is not there.",
        |store, call| missing(store, call, StatusCode::OK),
    ),
    plan("blob-missing-is-500", "Answers 500 for a blob that is not there.", |store, call| {
        missing(store, call, StatusCode::INTERNAL_SERVER_ERROR)
    }),
    plan("blob-unknown-miscalled", "Says MANIFEST_UNKNOWN of a blob that is not there.", |store, call| {
        bent(store, call, Kind::BlobPull, |_, response| recode(response, "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"))
    })
    .mutant(35),
    plan("blob-said-gzipped", "Says that a blob is compressed to who would take it so.", |store, call| {
        bent(store, call, Kind::BlobPull, |call, response| {
            if call.header(header::ACCEPT_ENCODING).is_some_and(|it| it.contains("gzip")) {
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        })
    }),
    plan("blob-etag-unsaid", "Serves blobs without ETag.", |store, call| {
        bent(store, call, Kind::BlobPull, |_, response| without(response, &header::ETAG))
    }),
    plan("blob-etag-unheard", "Ignores If-None-Match of blobs, which have an ETag.", |store, call| {
        misread(store, call, Kind::BlobPull, |call| {
            call.headers.remove(header::IF_NONE_MATCH);
        })
    }),
    plan("blob-never-changed", "Answers 304 to every If-None-Match of a blob.", |store, call| {
        misread(store, call, Kind::BlobPull, |call| {
            if call.headers.contains_key(header::IF_NONE_MATCH) {
                call.headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
            }
        })
    }),
    plan("blob-if-match-is-304", "Answers 304 to a wrong If-Match of a blob.", |store, call| {
        bent(store, call, Kind::BlobPull, |call, response| {
            if call.headers.contains_key(header::IF_MATCH) {
                *response = empty(StatusCode::NOT_MODIFIED);
            }
        })
    }),
    plan("blob-said-to-be-text", "Serves blobs as text.", |store, call| {
        bent(store, call, Kind::BlobPull, |_, response| set(response, header::CONTENT_TYPE, "text/html"))
    }),
    plan("blob-served-as-manifest", "Serves a blob where a manifest is asked for.", |store, call| {
        if let Some((name, Reference::Digest(digest))) = manifest(call).filter(|_| call.is_read())
            && store.blob(&name, &digest).is_ok()
        {
            call.path = format!("/v2/{name}/blobs/{digest}");
        }
        honest(store, call)
    }),
];

/// Changes the bytes of large blobs.
fn large(store: &mut Store, call: &Call, change: fn(&mut Vec<u8>)) -> Response<Bytes> {
    bent(store, call, Kind::BlobPull, |_, response| {
        if response.status() == StatusCode::OK && response.body().len() > LARGE_BYTES {
            respell(response, change);
        }
    })
}

/// Changes the answer to HEAD of a blob that is there.
fn head(store: &mut Store, call: &Call, change: fn(&mut Response<Bytes>)) -> Response<Bytes> {
    bent(store, call, Kind::BlobPull, |call, response| {
        if call.method == Method::HEAD && response.status() == StatusCode::OK {
            change(response);
        }
    })
}

/// Answers GET of a blob that is not there with another status.
fn missing(store: &mut Store, call: &Call, status: StatusCode) -> Response<Bytes> {
    bent(store, call, Kind::BlobPull, |call, response| {
        if call.method == Method::GET {
            restatus(response, StatusCode::NOT_FOUND, status);
        }
    })
}
