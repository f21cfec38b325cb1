//! Lies about deletion.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::{
    Plan,
    memory::{recall, remember},
    plan,
    tools::{Kind, behind, bent, blob, manifest, recode, refuse_if, restatus},
};
use crate::origin::{
    dispatch::{Call, empty, honest},
    refusal::Refusal,
    route::Reference,
    store::Store,
};

pub(super) const LIES: &[Plan] = &[
    plan("delete-tag-takes-the-manifest", "Deletes the manifest with its tag.", |store, call| {
        if let Some((name, reference @ Reference::Tag(_))) = manifest(call)
            && Kind::of(call) == Kind::ManifestDelete
            && let Ok((digest, _)) = store.repository(&name).and_then(|it| it.manifest(&reference))
        {
            call.path = format!("/v2/{name}/manifests/{digest}");
        }
        honest(store, call)
    })
    .mutant(33),
    plan("delete-tag-keeps-it", "Answers 202 to the deletion of a tag, and keeps it.", |store, call| {
        pretend(store, call, |reference| matches!(reference, Reference::Tag(_)))
    }),
    plan(
        "delete-manifest-keeps-it",
        "Answers 202 to the deletion of a manifest, and keeps it.",
        |store, call| pretend(store, call, |reference| matches!(reference, Reference::Digest(_))),
    ),
    plan("delete-manifest-leaves-its-tags", "Lists the tags of a deleted manifest.", |store, call| {
        let repository = manifest(call).and_then(|(name, _)| store.repository(&name).ok());
        let tags = repository.map(|it| it.tags.clone()).unwrap_or_default();
        behind(store, call, Kind::ManifestDelete, StatusCode::ACCEPTED, |store, call| {
            if let Some((name, Reference::Digest(_))) = manifest(call) {
                store.repository_or_new(&name).tags = tags;
            }
        })
    }),
    plan("delete-blob-keeps-it", "Answers 202 to the deletion of a blob, and keeps it.", |store, call| {
        match blob(call).filter(|_| Kind::of(call) == Kind::BlobDelete) {
            Some((name, digest)) if store.blob(&name, &digest).is_ok() => empty(StatusCode::ACCEPTED),
            _ => honest(store, call),
        }
    }),
    plan("delete-blob-of-any-repository", "Deletes a blob of another repository.", |store, call| {
        if let Some((name, digest)) = blob(call).filter(|_| Kind::of(call) == Kind::BlobDelete)
            && store.blob(&name, &digest).is_err()
            && let Some(other) = store.names().find(|other| store.blob(other, &digest).is_ok())
        {
            call.path = format!("/v2/{other}/blobs/{digest}");
        }
        honest(store, call)
    }),
    plan(
        "delete-blob-in-both-algorithms",
        "Deletes the same bytes under their other digest too.",
        |store, call| {
            let bytes = blob(call).and_then(|(name, digest)| store.blob(&name, &digest).ok().cloned());
            behind(store, call, Kind::BlobDelete, StatusCode::ACCEPTED, |store, call| {
                if let Some((name, _)) = blob(call) {
                    store.repository_or_new(&name).blobs.retain(|_, other| Some(&*other) != bytes.as_ref());
                }
            })
        },
    ),
    plan(
        "delete-blob-in-use-breaks-its-manifest",
        "Forgets the manifests that need a deleted blob.",
        |store, call| {
            behind(store, call, Kind::BlobDelete, StatusCode::ACCEPTED, |store, call| {
                if let Some((name, digest)) = blob(call) {
                    store.repository_or_new(&name).manifests.retain(|_, it| !it.needs.contains(&digest));
                }
            })
        },
    ),
    plan("delete-child-breaks-its-index", "Forgets the indexes of a deleted child.", |store, call| {
        behind(store, call, Kind::ManifestDelete, StatusCode::ACCEPTED, |store, call| {
            if let Some((name, Reference::Digest(digest))) = manifest(call) {
                store.repository_or_new(&name).manifests.retain(|_, it| !it.needs.contains(&digest));
            }
        })
    }),
    plan(
        "delete-missing-manifest-is-202",
        "Answers 202 to the deletion of a manifest that is not there.",
        |store, call| missing(store, call, |reference| matches!(reference, Reference::Digest(_))),
    ),
    plan(
        "delete-missing-tag-is-202",
        "Answers 202 to the deletion of a tag that is not there.",
        |store, call| missing(store, call, |reference| matches!(reference, Reference::Tag(_))),
    ),
    plan(
        "delete-missing-blob-is-202",
        "Answers 202 to the deletion of a blob that is not there.",
        |store, call| {
            bent(store, call, Kind::BlobDelete, |_, response| {
                restatus(response, StatusCode::NOT_FOUND, StatusCode::ACCEPTED);
            })
        },
    ),
    plan("delete-is-for-ever", "Does not serve again what was deleted once.", for_ever),
    plan("delete-tag-is-200", "Answers 200 to the deletion of a tag.", |store, call| {
        bent(store, call, Kind::ManifestDelete, |call, response| {
            if matches!(manifest(call), Some((_, Reference::Tag(_)))) {
                restatus(response, StatusCode::ACCEPTED, StatusCode::OK);
            }
        })
    }),
    plan("delete-off-is-403", "Forbids the deletion of manifests with 403.", |store, call| {
        refuse_if(store, call, StatusCode::FORBIDDEN, |_, call| {
            matches!(manifest(call), Some((_, Reference::Digest(_))))
                && Kind::of(call) == Kind::ManifestDelete
        })
    }),
    plan(
        "delete-off-miscalled",
        "Says NAME_INVALID of the deletion of blobs, which is off.",
        |store, call| {
            if Kind::of(call) != Kind::BlobDelete {
                return honest(store, call);
            }
            let mut response = Refusal::MethodUnsupported { allow: "GET, HEAD" }.response();
            recode(&mut response, "UNSUPPORTED", "NAME_INVALID");
            response
        },
    )
    .mutant(35),
];

/// Answers 202 to a deletion, and does nothing.
fn pretend(store: &mut Store, call: &Call, is_such: fn(&Reference) -> bool) -> Response<Bytes> {
    let target = manifest(call).filter(|_| Kind::of(call) == Kind::ManifestDelete);
    match target.filter(|(_, reference)| is_such(reference)) {
        Some((name, reference))
            if store.repository(&name).is_ok_and(|it| it.manifest(&reference).is_ok()) =>
        {
            empty(StatusCode::ACCEPTED)
        }
        _ => honest(store, call),
    }
}

/// Answers 202 to the deletion of what is not there.
fn missing(store: &mut Store, call: &Call, is_such: fn(&Reference) -> bool) -> Response<Bytes> {
    bent(store, call, Kind::ManifestDelete, |call, response| {
        if manifest(call).is_some_and(|(_, reference)| is_such(&reference)) {
            restatus(response, StatusCode::NOT_FOUND, StatusCode::ACCEPTED);
        }
    })
}

/// Keeps a mark of every deleted blob, which hides it when it is pushed again.
fn for_ever(store: &mut Store, call: &mut Call) -> Response<Bytes> {
    const MARKED: &str = "marked";
    let response = honest(store, call);
    match (Kind::of(call), blob(call)) {
        (Kind::BlobDelete, Some((name, digest))) if response.status() == StatusCode::ACCEPTED => {
            remember(store, MARKED, &name, &digest.to_string(), b"");
            response
        }
        (Kind::BlobPull, Some((name, digest)))
            if recall(store, MARKED, &name, &digest.to_string()).is_some() =>
        {
            Refusal::BlobUnknown(digest.to_string()).response()
        }
        _ => response,
    }
}
