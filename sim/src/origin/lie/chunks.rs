//! Lies about chunks: their order, their ranges, what becomes of their bytes.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::{
    Plan, plan,
    tools::{Kind, bent, misread, refuse_if, upload, without},
};
use crate::origin::{
    dispatch::{Call, honest, set},
    store::Store,
};

/// Bytes that a forgetful session keeps.
const KEPT_BYTES: usize = 200;

pub(super) const LIES: &[Plan] = &[
    plan(
        "chunk-out-of-order-taken",
        "Appends a chunk wherever its range says that it belongs.",
        |store, call| {
            misread(store, call, Kind::Chunk, |call| {
                call.headers.remove(header::CONTENT_RANGE);
            })
        },
    )
    .mutant(13),
    plan(
        "chunk-appended-then-refused",
        "Appends a chunk out of order, and then answers 416.",
        |store, call| {
            let response = honest(store, call);
            if Kind::of(call) == Kind::Chunk
                && response.status() == StatusCode::RANGE_NOT_SATISFIABLE
                && let Some((_, id)) = upload(call)
                && let Some(upload) = store.uploads.get_mut(&id)
            {
                upload.bytes.extend_from_slice(&call.body);
            }
            response
        },
    )
    .mutant(14),
    plan(
        "chunk-range-says-the-length",
        "Says `0-<length>` after a chunk, one more than there is.",
        |store, call| {
            let response = honest(store, call);
            counted(store, call, response, |held, _| held)
        },
    )
    .mutant(15),
    plan(
        "chunk-range-of-the-last-one",
        "Counts only the last chunk in the Range of its answer.",
        |store, call| {
            let response = honest(store, call);
            counted(store, call, response, |_, added| added.saturating_sub(1))
        },
    )
    .mutant(16),
    plan("chunk-range-missing", "Answers a chunk without Range.", |store, call| {
        bent(store, call, Kind::Chunk, |_, response| without(response, &header::RANGE))
    }),
    plan("chunk-location-missing", "Answers a chunk without Location.", |store, call| {
        bent(store, call, Kind::Chunk, |_, response| without(response, &header::LOCATION))
    }),
    plan("chunk-is-204", "Answers 204 to the chunks of a session that is not new.", |store, call| {
        let is_new = is_new(store, call);
        bent(store, call, Kind::Chunk, |_, response| {
            if response.status() == StatusCode::ACCEPTED && !is_new {
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
        })
    }),
    plan(
        "chunk-twice-is-202",
        "Answers 202 to a chunk that it has already, without adding it.",
        |store, call| {
            bent(store, call, Kind::Chunk, |call, response| {
                let first = call.header(header::CONTENT_RANGE).unwrap_or_default();
                let last = response.headers().get(header::RANGE).and_then(|it| it.to_str().ok());
                let ends_there = last.and_then(|it| it.rsplit('-').next()) == first.rsplit('-').next();
                if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && ends_there {
                    *response.status_mut() = StatusCode::ACCEPTED;
                    *response.body_mut() = Bytes::new();
                }
            })
        },
    ),
    plan("chunk-anywhere-first", "Takes a first chunk that begins beyond zero.", |store, call| {
        let is_new = is_new(store, call);
        misread(store, call, Kind::Chunk, |call| {
            if is_new {
                call.headers.remove(header::CONTENT_RANGE);
            }
        })
    })
    .mutant(13),
    plan("chunk-range-malformed-taken", "Appends a chunk whose range it cannot read.", |store, call| {
        misread(store, call, Kind::Chunk, |call| {
            let numbers = call.header(header::CONTENT_RANGE).unwrap_or_default().split('-');
            if !numbers.into_iter().all(|it| it.parse::<u64>().is_ok()) {
                call.headers.remove(header::CONTENT_RANGE);
            }
        })
    }),
    plan("chunk-length-unchecked", "Appends a chunk whose range does not fit its length.", |store, call| {
        let held = upload(call).and_then(|(_, id)| store.uploads.get(&id)).map(|upload| upload.bytes.len());
        misread(store, call, Kind::Chunk, |call| {
            let first = call.header(header::CONTENT_RANGE).and_then(|it| it.split_once('-'));
            let last = first.and_then(|(_, last)| last.parse::<usize>().ok());
            if first.and_then(|(first, _)| first.parse().ok()) == held && last > held {
                call.headers.remove(header::CONTENT_RANGE);
            }
        })
    }),
    plan("chunks-forgotten", "Keeps no more than 200 bytes of what comes in chunks.", |store, call| {
        let response = honest(store, call);
        if let Some((_, id)) = upload(call).filter(|_| Kind::of(call) == Kind::Chunk)
            && let Some(upload) = store.uploads.get_mut(&id)
        {
            upload.bytes.truncate(KEPT_BYTES);
        }
        response
    }),
    plan("streams-refused", "Refuses bytes that come without Content-Range.", |store, call| {
        refuse_if(store, call, StatusCode::LENGTH_REQUIRED, |_, call| {
            Kind::of(call) == Kind::Chunk && call.header(header::CONTENT_RANGE).is_none()
        })
    }),
    plan(
        "close-range-unread",
        "Appends the last chunk wherever its range says that it belongs.",
        |store, call| {
            misread(store, call, Kind::Close, |call| {
                call.headers.remove(header::CONTENT_RANGE);
            })
        },
    )
    .mutant(17),
    plan(
        "close-body-dropped",
        "Drops the bytes that come with the close of a session in chunks.",
        |store, call| {
            let is_new = is_new(store, call);
            misread(store, call, Kind::Close, |call| {
                if !is_new {
                    call.body = Bytes::new();
                }
            })
        },
    )
    .mutant(18),
];

/// Says whether a request is to a session that holds nothing yet.
fn is_new(store: &Store, call: &Call) -> bool {
    let upload = upload(call).and_then(|(_, id)| store.uploads.get(&id));
    upload.is_none_or(|upload| upload.bytes.is_empty())
}

/// Counts the bytes of a session wrongly in the answer to a chunk.
fn counted(
    store: &Store,
    call: &Call,
    mut response: Response<Bytes>,
    last: fn(usize, usize) -> usize,
) -> Response<Bytes> {
    if response.status() == StatusCode::ACCEPTED
        && let Some((_, id)) = upload(call).filter(|_| Kind::of(call) == Kind::Chunk)
        && let Some(upload) = store.uploads.get(&id)
    {
        set(&mut response, header::RANGE, &format!("0-{}", last(upload.bytes.len(), call.body.len())));
    }
    response
}
