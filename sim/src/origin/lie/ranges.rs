//! Lies about parts of blobs.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::{
    Plan, plan,
    tools::{Kind, bent, blob, misread, relength, respell, restatus, without},
};
use crate::origin::{
    dispatch::{Call, empty, set},
    store::Store,
};

/// Blobs above this size suffer the lie about resuming.
const RESUMED_BYTES: usize = 1024 * 1024;

pub(super) const LIES: &[Plan] = &[
    plan("range-one-too-many", "Serves one byte more than a range asks for.", |store, call| {
        misread(store, call, Kind::BlobPull, |call| {
            reread(call, |first, last| {
                let more = last.parse::<u64>().ok().filter(|_| !first.is_empty())?;
                Some(format!("bytes={first}-{}", more + 1))
            });
        })
    })
    .mutant(10),
    plan("range-said-and-not-cut", "Serves the whole blob with 206.", |store, call| {
        let whole = blob(call).and_then(|(name, digest)| store.blob(&name, &digest).ok().cloned());
        parts(store, call, |_, response| *response.body_mut() = whole.unwrap_or_default())
    })
    .mutant(10),
    plan(
        "range-suffix-from-the-start",
        "Serves the first bytes where the last are asked for.",
        |store, call| {
            misread(store, call, Kind::BlobPull, |call| {
                reread(call, |first, last| {
                    let count = last.parse::<u64>().ok().filter(|_| first.is_empty())?;
                    Some(format!("bytes=0-{}", count.saturating_sub(1)))
                });
            })
        },
    ),
    plan("range-unsaid", "Serves parts without Content-Range.", |store, call| {
        parts(store, call, |_, response| without(response, &header::CONTENT_RANGE))
    }),
    plan("range-first-of-several", "Serves the first of several ranges as if it were all.", |store, call| {
        misread(store, call, Kind::BlobPull, |call| {
            let first =
                call.header(header::RANGE).and_then(|it| it.split_once(',')).map(|(it, _)| it.to_owned());
            if let Some(first) = first {
                set_range(call, &first);
            }
        })
    })
    .mutant(11),
    plan("range-malformed-breaks", "Breaks with 500 on a Range that makes no sense.", |store, call| {
        bent(store, call, Kind::BlobPull, |call, response| {
            let range = call.header(header::RANGE).unwrap_or("bytes=0-0");
            let has_digits =
                range.strip_prefix("bytes=").is_some_and(|it| it.bytes().any(|b| b.is_ascii_digit()));
            if !has_digits {
                restatus(response, StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR);
            }
        })
    }),
    plan("range-of-nothing-breaks", "Breaks with 500 on a range of the empty blob.", |store, call| {
        bent(store, call, Kind::BlobPull, |_, response| {
            let size = response.headers().get(header::CONTENT_RANGE);
            if size.is_some_and(|it| it == "bytes */0") {
                *response = empty(StatusCode::INTERNAL_SERVER_ERROR);
            }
        })
    }),
    plan("range-beyond-is-empty", "Serves nothing, with 206, of what lies beyond the end.", |store, call| {
        bent(store, call, Kind::BlobPull, |_, response| {
            restatus(response, StatusCode::RANGE_NOT_SATISFIABLE, StatusCode::PARTIAL_CONTENT);
        })
    }),
    plan("range-beyond-without-size", "Answers 416 without the size of the blob.", |store, call| {
        bent(store, call, Kind::BlobPull, |_, response| {
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                without(response, &header::CONTENT_RANGE);
            }
        })
    }),
    plan("range-condition-unheard", "Serves a part although If-Range names other content.", |store, call| {
        misread(store, call, Kind::BlobPull, |call| {
            call.headers.remove(header::IF_RANGE);
        })
    }),
    plan(
        "range-condition-never-met",
        "Serves the whole although If-Range names this content.",
        |store, call| {
            misread(store, call, Kind::BlobPull, |call| {
                if call.headers.contains_key(header::IF_RANGE) {
                    call.headers.remove(header::RANGE);
                }
            })
        },
    ),
    plan("range-resumes-late", "Resumes blobs of more than a mebibyte one byte too late.", |store, call| {
        parts(store, call, |call, response| {
            let is_open = call.header(header::RANGE).is_some_and(|it| it.ends_with('-'));
            if is_open && response.body().len() > RESUMED_BYTES {
                respell(response, |bytes| {
                    bytes.remove(0);
                });
            }
        })
    }),
    plan(
        "range-of-head-shortens",
        "Says the size of the part in the answer to HEAD with a Range.",
        |store, call| {
            bent(store, call, Kind::BlobPull, |call, response| {
                if call.method == Method::HEAD && call.headers.contains_key(header::RANGE) {
                    relength(response, 1);
                }
            })
        },
    ),
    plan("range-of-a-manifest-is-wrong", "Serves the wrong part of a manifest with 206.", |store, call| {
        bent(store, call, Kind::ManifestPull, |call, response| {
            if call.headers.contains_key(header::RANGE) && response.status() == StatusCode::OK {
                respell(response, |bytes| {
                    bytes.reverse();
                    bytes.truncate(10);
                });
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                set(response, header::CONTENT_RANGE, "bytes 0-9/10");
            }
        })
    }),
];

/// Changes answers that are parts of blobs.
fn parts(
    store: &mut Store,
    call: &Call,
    change: impl FnOnce(&Call, &mut Response<Bytes>),
) -> Response<Bytes> {
    bent(store, call, Kind::BlobPull, |call, response| {
        if response.status() == StatusCode::PARTIAL_CONTENT {
            change(call, response);
        }
    })
}

/// Replaces a range by what is made of its two ends, which may be empty.
fn reread(call: &mut Call, read: impl FnOnce(&str, &str) -> Option<String>) {
    let ends = call.header(header::RANGE).and_then(|it| it.strip_prefix("bytes=")?.split_once('-'));
    if let Some(range) = ends.and_then(|(first, last)| read(first, last)) {
        set_range(call, &range);
    }
}

fn set_range(call: &mut Call, range: &str) {
    if let Ok(value) = HeaderValue::from_str(range) {
        call.headers.insert(header::RANGE, value);
    }
}
