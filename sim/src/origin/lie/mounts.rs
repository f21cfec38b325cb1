//! Lies about mounts.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::{
    Plan,
    memory::{recall, remember},
    plan,
    tools::{Kind, bent, blob, name, refuse_if, without},
};
use crate::{
    digest::Digest,
    origin::{
        dispatch::{Call, empty, honest, set, set_digest},
        store::Store,
        uploads::keep,
    },
};

pub(super) const LIES: &[Plan] = &[
    plan("mount-makes-nothing", "Answers 201 to a mount, and mounts nothing.", |store, call| {
        match wanted(call).filter(|(_, digest)| source(store, call, digest).is_some()) {
            Some((name, digest)) => mounted(&name, &digest),
            None => honest(store, call),
        }
    }),
    plan("mount-of-the-missing", "Answers 201 to the mount of a blob that is not there.", |store, call| {
        match wanted(call).filter(|(_, digest)| source(store, call, digest).is_none()) {
            Some((name, digest)) => mounted(&name, &digest),
            None => honest(store, call),
        }
    })
    .mutant(23),
    plan("mount-location-missing", "Answers a mount without Location.", |store, call| {
        let is_mount = wanted(call).is_some();
        bent(store, call, Kind::Start, |_, response| {
            if is_mount {
                without(response, &header::LOCATION);
            }
        })
    }),
    plan("mount-missing-is-404", "Answers 404 to the mount of a blob that is not there.", |store, call| {
        refuse_if(store, call, StatusCode::NOT_FOUND, |store, call| {
            wanted(call).is_some_and(|(_, digest)| source(store, call, &digest).is_none())
        })
    }),
    plan("mount-breaks-on-bad-names", "Breaks with 500 on a mount from a malformed name.", |store, call| {
        refuse_if(store, call, StatusCode::INTERNAL_SERVER_ERROR, |_, call| {
            wanted(call).is_some() && call.query.first("from").is_some_and(|it| it.contains(' '))
        })
    }),
    plan(
        "mount-dies-with-its-source",
        "Deletes a blob in every repository that it was mounted to.",
        |store, call| {
            let deleted = blob(call).filter(|_| Kind::of(call) == Kind::BlobDelete);
            let response = honest(store, call);
            if let Some((_, digest)) = deleted.filter(|_| response.status() == StatusCode::ACCEPTED) {
                let names: Vec<String> = store.names().map(str::to_owned).collect();
                for name in names {
                    let _ = store.repository_mut(&name).map(|it| it.blobs.remove(&digest));
                }
            }
            response
        },
    ),
    plan("mount-of-the-deleted", "Mounts a blob from a repository that has deleted it.", mounted_after_all)
        .mutant(34),
    plan("mount-of-its-own-is-409", "Answers 409 to a mount from the repository itself.", |store, call| {
        refuse_if(store, call, StatusCode::CONFLICT, |_, call| {
            wanted(call).is_some_and(|(name, _)| call.query.first("from") == Some(name.as_str()))
        })
    }),
    plan("mount-without-source-is-400", "Refuses a mount that names no source.", |store, call| {
        refuse_if(store, call, StatusCode::BAD_REQUEST, |_, call| {
            wanted(call).is_some() && call.query.first("from").is_none()
        })
    }),
    plan(
        "mount-with-digest-breaks",
        "Breaks with 500 on a mount that is a single POST too.",
        |store, call| {
            refuse_if(store, call, StatusCode::INTERNAL_SERVER_ERROR, |_, call| {
                wanted(call).is_some() && call.query.first("digest").is_some()
            })
        },
    ),
];

/// Returns repository and digest of a mount.
fn wanted(call: &Call) -> Option<(String, Digest)> {
    let digest = call.query.first("mount")?.parse().ok()?;
    Some((name(call).filter(|_| Kind::of(call) == Kind::Start)?, digest))
}

fn source(store: &Store, call: &Call, digest: &Digest) -> Option<Bytes> {
    store.blob(call.query.first("from")?, digest).ok().cloned()
}

fn mounted(name: &str, digest: &Digest) -> Response<Bytes> {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set_digest(&mut response, digest);
    response
}

/// Keeps what is deleted, for mounts alone.
fn mounted_after_all(store: &mut Store, call: &mut Call) -> Response<Bytes> {
    const DELETED: &str = "deleted";
    if let Some((name, digest)) = blob(call).filter(|_| Kind::of(call) == Kind::BlobDelete)
        && let Ok(bytes) = store.blob(&name, &digest).cloned()
    {
        remember(store, DELETED, &name, &digest.to_string(), &bytes);
    }
    if let Some((name, digest)) = wanted(call)
        && let Some(from) = call.query.first("from")
        && let Some(bytes) = recall(store, DELETED, from, &digest.to_string())
    {
        return keep(store, &name, digest, bytes);
    }
    honest(store, call)
}
