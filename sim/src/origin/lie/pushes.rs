//! Lies about pushed manifests: what is stored, which tags move, what is refused.

use bytes::Bytes;
use http::{HeaderName, Response, StatusCode, header};

use super::{
    Plan, plan,
    tools::{DIGEST, Kind, behind, bent, manifest, pushed, recode, refuse_if, without},
};
use crate::{
    digest::Digest,
    origin::{
        dispatch::{Call, empty, honest, set, set_digest},
        route::{Reference, is_tag},
        store::Store,
    },
};

const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const MEBIBYTE: usize = 1024 * 1024;
/// Tags that a push makes of the many that it was given.
const TAGS_KEPT: usize = 50;

pub(super) const LIES: &[Plan] = &[
    plan("push-location-missing", "Answers 201 to a pushed manifest without Location.", |store, call| {
        bent(store, call, Kind::ManifestPush, |_, response| without(response, &header::LOCATION))
    }),
    plan("push-digest-unsaid", "Answers 201 to a pushed manifest without its digest.", |store, call| {
        bent(store, call, Kind::ManifestPush, |_, response| without(response, &DIGEST))
    }),
    plan("push-by-digest-tags", "Tags what is pushed by digest as `latest`.", |store, call| {
        stored(store, call, |store, name, reference, digest| {
            if matches!(reference, Reference::Digest(_)) {
                store.repository_or_new(name).tags.insert("latest".to_owned(), digest);
            }
        })
    }),
    plan("push-leaves-the-tag", "Leaves a tag where it is when it is pushed again.", |store, call| {
        tags_stay(store, call, |_| true)
    }),
    plan(
        "push-leaves-the-tag-of-the-known",
        "Leaves a tag where it is when what is pushed is known.",
        |store, call| tags_stay(store, call, |is_known| is_known),
    ),
    plan("push-twice-is-409", "Answers 409 to a manifest that its tag names already.", |store, call| {
        refuse_if(store, call, StatusCode::CONFLICT, |store, call| {
            let target = manifest(call).and_then(|(name, reference)| {
                let Reference::Tag(tag) = reference else { return None };
                store.repository(&name).ok()?.tags.get(&tag).cloned()
            });
            Kind::of(call) == Kind::ManifestPush && target.is_some_and(|it| it.names(&call.body))
        })
    }),
    plan("push-trimmed", "Stores a manifest without the space around it.", |store, call| {
        respelled(store, call, |bytes| bytes.trim_ascii().to_vec())
    }),
    plan("push-printed-again", "Stores a manifest as it prints it, not as it came.", |store, call| {
        respelled(store, call, |bytes| {
            serde_json::from_slice::<serde_json::Value>(bytes)
                .map_or_else(|_| bytes.to_vec(), |it| it.to_string().into())
        })
    }),
    plan("push-tags-unmade", "Lists tags in OCI-Tag that it did not make.", |store, call| {
        let before = manifest(call).and_then(|(name, _)| Some(store.repository(&name).ok()?.tags.clone()));
        stored(store, call, |store, name, reference, _| {
            if matches!(reference, Reference::Digest(_)) {
                store.repository_or_new(name).tags = before.unwrap_or_default();
            }
        })
    }),
    plan("push-tags-half-listed", "Lists one tag in OCI-Tag of those that it made.", |store, call| {
        bent(store, call, Kind::ManifestPush, |_, response| {
            let first = response.headers().get(OCI_TAG).cloned();
            if let Some(first) = first {
                response.headers_mut().insert(OCI_TAG, first);
            }
        })
    }),
    plan(
        "push-tags-half-made",
        "Makes the good tags of a push that it refuses for a bad one.",
        |store, call| {
            let response = honest(store, call);
            if response.status() == StatusCode::BAD_REQUEST
                && let Some((name, Reference::Digest(digest))) = manifest(call)
                && Kind::of(call) == Kind::ManifestPush
                && store.repository(&name).is_ok_and(|it| it.manifests.contains_key(&digest))
            {
                let tags = call.query.all("tag").filter(|tag| is_tag(tag));
                let tags = tags.map(|tag| (tag.to_owned(), digest.clone()));
                store.repository_or_new(&name).tags.extend(tags);
            }
            response
        },
    ),
    plan("push-tags-silently-cut", "Makes the first fifty tags of a push with more.", |store, call| {
        if Kind::of(call) == Kind::ManifestPush && call.query.all("tag").count() > TAGS_KEPT {
            let tags: Vec<String> = call.query.all("tag").take(TAGS_KEPT).map(str::to_owned).collect();
            let text: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
            call.query = crate::origin::query::Query::parse(&text.join("&"));
        }
        honest(store, call)
    }),
    plan(
        "push-gaps-miscalled",
        "Says MANIFEST_INVALID of a manifest whose blobs are missing.",
        |store, call| {
            bent(store, call, Kind::ManifestPush, |_, response| {
                recode(response, "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID");
            })
        },
    )
    .mutant(35),
    plan(
        "push-gaps-are-kept",
        "Refuses a manifest whose blobs are missing, and stores it.",
        |store, call| {
            let response = honest(store, call);
            let is_gap = String::from_utf8_lossy(response.body()).contains("MANIFEST_BLOB_UNKNOWN");
            if is_gap
                && let Some((name, reference)) = manifest(call)
                && let Some((digest, manifest)) = pushed(call)
            {
                let repository = store.repository_or_new(&name);
                if let Reference::Tag(tag) = reference {
                    repository.tags.insert(tag, digest.clone());
                }
                repository.manifests.insert(digest, manifest);
            }
            response
        },
    )
    .mutant(25),
    plan(
        "push-gaps-filled-from-elsewhere",
        "Fills the gaps of a manifest with blobs of other repositories.",
        |store, call| {
            if let Some((name, _)) = manifest(call).filter(|_| Kind::of(call) == Kind::ManifestPush)
                && let Some((_, manifest)) = pushed(call)
            {
                for digest in &manifest.needs {
                    if let Some(bytes) = store.content(digest) {
                        store.repository_or_new(&name).blobs.entry(digest.clone()).or_insert(bytes);
                    }
                }
            }
            honest(store, call)
        },
    ),
    plan("push-without-limit", "Takes manifests of any size.", |store, call| {
        bent(store, call, Kind::ManifestPush, |call, response| {
            if let Some((name, _)) = manifest(call)
                && response.status() == StatusCode::PAYLOAD_TOO_LARGE
            {
                let digest = Digest::sha256_of(&call.body);
                *response = empty(StatusCode::CREATED);
                set(response, header::LOCATION, &format!("/v2/{name}/manifests/{digest}"));
                set_digest(response, &digest);
            }
        })
    }),
    plan("push-limit-of-a-mebibyte", "Refuses manifests of more than a mebibyte.", |store, call| {
        refuse_if(store, call, StatusCode::PAYLOAD_TOO_LARGE, |_, call| {
            Kind::of(call) == Kind::ManifestPush && call.body.len() > MEBIBYTE
        })
    }),
    plan("push-type-parameters-kept", "Keeps the parameters of a pushed Content-Type.", |store, call| {
        let media = call.header(header::CONTENT_TYPE).unwrap_or_default().to_owned();
        stored(store, call, |store, name, _, digest| {
            if let Some(manifest) = store.repository_or_new(name).manifests.get_mut(&digest) {
                manifest.media_type = media;
            }
        })
    }),
    plan("push-subject-unsaid", "Answers a push with a subject without OCI-Subject.", |store, call| {
        bent(store, call, Kind::ManifestPush, |_, response| without(response, &OCI_SUBJECT))
    })
    .mutant(32),
    plan("push-subject-always-said", "Answers every push with OCI-Subject.", |store, call| {
        bent(store, call, Kind::ManifestPush, |call, response| {
            if response.status() == StatusCode::CREATED && !response.headers().contains_key(OCI_SUBJECT) {
                set(response, OCI_SUBJECT, &Digest::sha256_of(&call.body).to_string());
            }
        })
    }),
    plan("push-subject-demanded", "Refuses a manifest whose subject is not there.", |store, call| {
        refuse_if(store, call, StatusCode::NOT_FOUND, |store, call| {
            let subject = pushed(call).and_then(|(_, manifest)| manifest.subject);
            let repository = manifest(call).and_then(|(name, _)| store.repository(&name).ok());
            Kind::of(call) == Kind::ManifestPush
                && subject.is_some_and(|it| repository.is_none_or(|repository| !repository.holds(&it)))
        })
    }),
];

/// Changes the store behind a manifest that was taken.
fn stored(
    store: &mut Store,
    call: &Call,
    change: impl FnOnce(&mut Store, &str, &Reference, Digest),
) -> Response<Bytes> {
    behind(store, call, Kind::ManifestPush, StatusCode::CREATED, |store, call| {
        if let Some((name, reference)) = manifest(call) {
            let digest = match &reference {
                Reference::Digest(digest) => digest.clone(),
                Reference::Tag(_) => Digest::sha256_of(&call.body),
            };
            change(store, &name, &reference, digest);
        }
    })
}

/// Leaves a tag that is there already where it is, if it does so for a manifest that is or is not known.
fn tags_stay(store: &mut Store, call: &Call, stays: fn(bool) -> bool) -> Response<Bytes> {
    let repository = manifest(call).and_then(|(name, _)| store.repository(&name).ok());
    let before = repository.map(|it| it.tags.clone()).unwrap_or_default();
    let own = Digest::sha256_of(&call.body);
    let is_known = repository.is_some_and(|it| it.manifests.contains_key(&own));
    stored(store, call, |store, name, reference, _| {
        if let Reference::Tag(tag) = reference
            && let Some(old) = before.get(tag)
            && stays(is_known)
        {
            store.repository_or_new(name).tags.insert(tag.clone(), old.clone());
        }
    })
}

/// Stores other bytes than those that were pushed, under the same digest.
fn respelled(store: &mut Store, call: &Call, spell: fn(&[u8]) -> Vec<u8>) -> Response<Bytes> {
    stored(store, call, |store, name, _, digest| {
        if let Some(manifest) = store.repository_or_new(name).manifests.get_mut(&digest) {
            manifest.bytes = spell(&manifest.bytes).into();
        }
    })
}
