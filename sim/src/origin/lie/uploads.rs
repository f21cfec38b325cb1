//! Lies about upload sessions: how they begin, how they end, who may use them.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::{
    Plan,
    memory::{recall, remember},
    plan,
    tools::{Kind, bent, refuse_if, restatus, upload, without},
};
use crate::origin::{
    dispatch::{Call, empty, honest, set},
    store::{Store, Upload},
};

/// Characters of an id that is short enough to be guessed.
const SHORT_ID_CHARS: usize = 8;

pub(super) const LIES: &[Plan] = &[
    plan("close-location-missing", "Answers 201 to a pushed blob without Location.", |store, call| {
        bent(store, call, Kind::Close, |_, response| without(response, &header::LOCATION))
    }),
    plan("single-post-goes-nowhere", "Answers 202 without Location to a single POST.", |store, call| {
        refuse_if(store, call, StatusCode::ACCEPTED, |_, call| {
            Kind::of(call) == Kind::Start && call.query.first("digest").is_some()
        })
    })
    .mutant(19),
    plan("session-id-short", "Gives sessions ids of eight characters.", |store, call| {
        let mut response = honest(store, call);
        let location = response.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
        if Kind::of(call) == Kind::Start
            && response.status() == StatusCode::ACCEPTED
            && let Some((path, id)) = location.and_then(|it| it.rsplit_once('/'))
        {
            let short = id[..SHORT_ID_CHARS.min(id.len())].to_owned();
            let location = format!("{path}/{short}");
            if let Some(upload) = store.uploads.remove(id) {
                store.uploads.insert(short, upload);
            }
            set(&mut response, header::LOCATION, &location);
        }
        response
    }),
    plan("session-id-unsaid", "Leaves Docker-Upload-UUID out of a new session.", |store, call| {
        bent(store, call, Kind::Start, |_, response| {
            response.headers_mut().remove("docker-upload-uuid");
        })
    }),
    plan("session-for-any-repository", "Lets a session be used under another repository.", |store, call| {
        if let Some((_, id)) = upload(call)
            && let Some(own) = store.uploads.get(&id).map(|upload| upload.name.clone())
        {
            call.path = format!("/v2/{own}/blobs/uploads/{id}");
        }
        honest(store, call)
    })
    .mutant(21),
    plan(
        "session-outlives-its-close",
        "Lets a session be filled and closed again after its close.",
        |store, call| {
            let response = honest(store, call);
            if Kind::of(call) == Kind::Close
                && response.status() == StatusCode::CREATED
                && let Some((name, id)) = upload(call)
            {
                store.uploads.insert(id, Upload { name, bytes: bytes::BytesMut::new() });
            }
            response
        },
    ),
    plan("session-unknown-is-500", "Answers 500 for a session that is not there.", |store, call| {
        let is_upload = upload(call).is_some();
        let mut response = honest(store, call);
        if is_upload {
            restatus(&mut response, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR);
        }
        response
    }),
    plan("cancel-does-nothing", "Answers 204 to a cancelled upload, which goes on.", |store, call| {
        match upload(call).filter(|_| Kind::of(call) == Kind::Cancel) {
            Some((_, id)) if store.uploads.contains_key(&id) => empty(StatusCode::NO_CONTENT),
            _ => honest(store, call),
        }
    })
    .mutant(20),
    plan("cancelled-closes", "Lets a cancelled upload be closed all the same.", cancelled_closes).mutant(20),
    plan("status-is-200", "Answers 200 to the question how far a session is.", |store, call| {
        bent(store, call, Kind::Status, |_, response| {
            if response.status() == StatusCode::NO_CONTENT {
                *response.status_mut() = StatusCode::OK;
            }
        })
    }),
    plan("status-without-range", "Does not say how far a session is.", |store, call| {
        bent(store, call, Kind::Status, |_, response| without(response, &header::RANGE))
    }),
    plan(
        "status-counts-one-too-many",
        "Says of sessions above 512 bytes that they hold one more.",
        |store, call| {
            let held =
                upload(call).and_then(|(_, id)| store.uploads.get(&id)).map(|upload| upload.bytes.len());
            bent(store, call, Kind::Status, |_, response| {
                if let Some(held) = held.filter(|held| *held > 512) {
                    set(response, header::RANGE, &format!("0-{held}"));
                }
            })
        },
    )
    .mutant(15),
    plan("empty-blob-refused", "Refuses the empty blob.", |store, call| {
        refuse_if(store, call, StatusCode::BAD_REQUEST, |store, call| {
            let begun = upload(call).and_then(|(_, id)| store.uploads.get(&id));
            Kind::of(call) == Kind::Close
                && call.body.is_empty()
                && begun.is_some_and(|upload| upload.bytes.is_empty())
        })
    })
    .mutant(24),
    plan("empty-blob-refused-in-post", "Refuses the empty blob in a single POST.", |store, call| {
        refuse_if(store, call, StatusCode::BAD_REQUEST, |_, call| {
            Kind::of(call) == Kind::Start && call.body.is_empty() && call.query.first("digest").is_some()
        })
    })
    .mutant(24),
    plan("existing-blob-is-409", "Answers 409 to a blob that is there already.", |store, call| {
        refuse_if(store, call, StatusCode::CONFLICT, |store, call| {
            let digest = call.query.first("digest").and_then(|it| it.parse().ok());
            let name = upload(call).map(|(name, _)| name);
            Kind::of(call) == Kind::Close
                && name.zip(digest).is_some_and(|(name, digest)| store.blob(&name, &digest).is_ok())
        })
    }),
    plan("json-post-refused", "Refuses to begin an upload for a POST of a JSON type.", |store, call| {
        refuse_if(store, call, StatusCode::UNSUPPORTED_MEDIA_TYPE, |_, call| {
            Kind::of(call) == Kind::Start && call.header(header::CONTENT_TYPE) == Some("application/json")
        })
    }),
    plan("chunk-minimum-malformed", "Announces a least size of chunks that is no number.", |store, call| {
        bent(store, call, Kind::Start, |_, response| {
            response.headers_mut().insert("oci-chunk-min-length", http::HeaderValue::from_static("1 KiB"));
        })
    }),
];

/// Hides a cancelled upload from everything but its close.
fn cancelled_closes(store: &mut Store, call: &mut Call) -> Response<Bytes> {
    const CANCELLED: &str = "cancelled";
    let Some((name, id)) = upload(call) else { return honest(store, call) };
    match Kind::of(call) {
        Kind::Cancel => {
            if let Some(held) = store.uploads.get(&id).map(|upload| upload.bytes.clone()) {
                remember(store, CANCELLED, &name, &id, &held);
            }
        }
        Kind::Close => {
            if let Some(held) = recall(store, CANCELLED, &name, &id) {
                store.uploads.insert(id, Upload { name, bytes: held.into() });
            }
        }
        _ => {}
    }
    honest(store, call)
}
