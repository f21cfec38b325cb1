//! Lies about referrers: which are listed, how they are described, what the filter does.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    Plan,
    memory::{recall_all, remember},
    plan,
    tools::{Kind, bent, endpoint, manifest, refuse_if, rewrite, without},
};
use crate::{
    digest::{Algorithm, Digest},
    origin::{
        dispatch::{Call, honest, set},
        manifest::{Manifest, OCI_INDEX, OCI_MANIFEST},
        refusal::Refusal,
        route::{Endpoint, Reference},
        store::{Repository, Store},
    },
};

const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
/// Referrers that a list has at most.
const LISTED_MAX: usize = 20;

pub(super) const LIES: &[Plan] = &[
    plan("referrers-malformed-is-empty", "Lists nothing for a malformed digest.", |store, call| {
        let refused = Endpoint::parse(&call.path);
        if call.path.contains("/referrers/") && matches!(refused, Err(Refusal::DigestInvalid(_))) {
            let (folder, _) = call.path.rsplit_once('/').unwrap_or_default();
            call.path = format!("{folder}/{}", Digest::sha256_of(b"nothing refers to this"));
        }
        honest(store, call)
    }),
    plan(
        "referrers-of-other-repositories",
        "Lists referrers that other repositories hold.",
        |store, call| from_all(store, call),
    ),
    plan("referrers-doubled", "Lists a referrer once more for its tag.", |store, call| {
        let tagged = repository(store, call).map(|it| it.tags.values().cloned().collect::<Vec<_>>());
        entries(store, call, |list| {
            let has_tag = |entry: &Value| {
                let digest = entry["digest"].as_str().unwrap_or_default();
                tagged.iter().flatten().any(|it| it.to_string() == digest)
            };
            let again: Vec<Value> = list.iter().filter(|entry| has_tag(entry)).cloned().collect();
            list.extend(again);
        })
    }),
    plan("referrers-outlive-deletion", "Lists referrers that were deleted.", outliving),
    plan(
        "referrers-die-with-their-subject",
        "Hides the referrers of a deleted subject, and serves them.",
        |store, call| {
            let subject = subject(call);
            let is_there =
                repository(store, call).zip(subject).is_none_or(|(it, subject)| it.holds(&subject));
            entries(store, call, |list| {
                if !is_there {
                    list.clear();
                }
            })
        },
    ),
    plan(
        "referrers-type-of-config-unread",
        "Lists an image without artifactType without any.",
        |store, call| {
            entries(store, call, |list| {
                for entry in list.iter_mut().filter(|entry| entry["artifactType"] == OCI_CONFIG) {
                    remove(entry, "artifactType");
                }
            })
        },
    ),
    plan(
        "referrers-type-invented",
        "Lists an index without artifactType with its media type.",
        |store, call| {
            entries(store, call, |list| {
                for entry in list.iter_mut().filter(|entry| entry["mediaType"] == OCI_INDEX) {
                    if entry["artifactType"].is_null() {
                        entry["artifactType"] = json!(OCI_INDEX);
                    }
                }
            })
        },
    ),
    plan("referrers-annotations-dropped", "Lists referrers without their annotations.", |store, call| {
        entries(store, call, |list| list.iter_mut().for_each(|entry| remove(entry, "annotations")))
    }),
    plan("referrers-filter-claimed", "Says that it filters by artifactType, and does not.", |store, call| {
        let is_filtered = call.query.first("artifactType").is_some();
        call.query.remove("artifactType");
        bent(store, call, Kind::Referrers, |_, response| {
            if is_filtered {
                response.headers_mut().insert(FILTERS, HeaderValue::from_static("artifactType"));
            }
        })
    })
    .mutant(31),
    plan("referrers-filter-unsaid", "Filters by artifactType, and does not say so.", |store, call| {
        bent(store, call, Kind::Referrers, |_, response| without(response, &FILTERS))
    }),
    plan(
        "referrers-filter-always-claimed",
        "Says that it filters when nothing was to be filtered.",
        |store, call| {
            bent(store, call, Kind::Referrers, |_, response| {
                response.headers_mut().insert(FILTERS, HeaderValue::from_static("artifactType"));
            })
        },
    ),
    plan(
        "referrers-unknown-filter-claimed",
        "Says that it filters by whatever it is asked to.",
        |store, call| {
            bent(store, call, Kind::Referrers, |call, response| {
                if call.query.first("colour").is_some() {
                    response.headers_mut().insert(FILTERS, HeaderValue::from_static("colour"));
                }
            })
        },
    ),
    plan("referrers-cut-off", "Lists the first twenty referrers and no more.", |store, call| {
        entries(store, call, |list| list.truncate(LISTED_MAX))
    }),
    plan("referrers-pages-lose-one", "Loses a referrer between two pages.", lossy_pages),
    plan(
        "referrers-type-with-charset",
        "Adds a charset to the type of a list of referrers.",
        |store, call| {
            bent(store, call, Kind::Referrers, |_, response| {
                set(response, header::CONTENT_TYPE, &format!("{OCI_INDEX}; charset=utf-8"));
            })
        },
    ),
    plan("referrers-body-untyped", "Leaves mediaType out of a list of referrers.", |store, call| {
        bent(store, call, Kind::Referrers, |_, response| rewrite(response, |body| remove(body, "mediaType")))
    }),
    plan("referrers-of-sha512-unseen", "Lists no referrers of a subject in sha512.", |store, call| {
        let is_long = subject(call).is_some_and(|it| it.algorithm() == Algorithm::Sha512);
        entries(store, call, |list| {
            if is_long {
                list.clear();
            }
        })
    }),
    plan("referrers-of-referrers", "Lists the referrers of referrers too.", |store, call| {
        let further: Vec<Value> = transitive(store, call);
        entries(store, call, |list| list.extend(further))
    }),
    plan(
        "referrers-absent-for-new-repositories",
        "Answers 404 for referrers of a repository that nobody made.",
        |store, call| {
            refuse_if(store, call, StatusCode::NOT_FOUND, |store, call| {
                Kind::of(call) == Kind::Referrers && repository(store, call).is_none()
            })
        },
    ),
];

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Returns the digest whose referrers a request asks for.
fn subject(call: &Call) -> Option<Digest> {
    match endpoint(call)? {
        Endpoint::Referrers { digest, .. } => Some(digest),
        _ => None,
    }
}

fn repository<'a>(store: &'a Store, call: &Call) -> Option<&'a Repository> {
    store.repository(&super::tools::name(call)?).ok()
}

fn remove(value: &mut Value, key: &str) {
    if let Some(members) = value.as_object_mut() {
        members.remove(key);
    }
}

/// Changes the entries of a list of referrers.
fn entries(store: &mut Store, call: &Call, change: impl FnOnce(&mut Vec<Value>)) -> Response<Bytes> {
    bent(store, call, Kind::Referrers, |_, response| {
        rewrite(response, |body| {
            if let Some(list) = body["manifests"].as_array_mut() {
                change(list);
            }
        });
    })
}

/// Lists the referrers of all repositories.
fn from_all(store: &mut Store, call: &Call) -> Response<Bytes> {
    let (own, subject) = (super::tools::name(call), subject(call));
    let others = store.names().filter(|name| Some(*name) != own.as_deref());
    let manifests = others.filter_map(|name| store.repository(name).ok()).flat_map(|it| &it.manifests);
    let found = manifests.filter(|(_, manifest)| subject.is_some() && manifest.subject == subject);
    let found: Vec<Value> = found.map(|(digest, manifest)| manifest.descriptor(digest)).collect();
    entries(store, call, |list| list.extend(found))
}

/// Keeps deleted referrers for the lists alone.
fn outliving(store: &mut Store, call: &mut Call) -> Response<Bytes> {
    const DELETED: &str = "deleted";
    if let Some((name, Reference::Digest(digest))) =
        manifest(call).filter(|_| Kind::of(call) == Kind::ManifestDelete)
        && let Ok((digest, bytes)) = store
            .repository(&name)
            .and_then(|it| it.manifest(&Reference::Digest(digest)))
            .map(|(digest, manifest)| (digest.to_string(), manifest.bytes.clone()))
    {
        remember(store, DELETED, &name, &digest, &bytes);
    }
    let name = super::tools::name(call).unwrap_or_default();
    let wanted = subject(call);
    let deleted: Vec<Value> = recall_all(store, DELETED, &name)
        .into_iter()
        .filter_map(|(digest, bytes)| {
            let digest = digest.parse::<Digest>().ok()?;
            let manifest = Manifest::parse(bytes, Some(OCI_MANIFEST)).ok()?;
            let is_back = repository(store, call).is_some_and(|it| it.holds(&digest));
            (manifest.subject == wanted && !is_back).then(|| manifest.descriptor(&digest))
        })
        .collect();
    entries(store, call, |list| list.extend(deleted))
}

/// Returns the descriptors of the referrers of the referrers.
fn transitive(store: &Store, call: &Call) -> Vec<Value> {
    let (Some(repository), Some(subject)) = (repository(store, call), subject(call)) else {
        return Vec::new();
    };
    let of = |digest: &Digest| {
        let digest = digest.clone();
        repository.manifests.iter().filter(move |(_, manifest)| manifest.subject.as_ref() == Some(&digest))
    };
    of(&subject)
        .flat_map(|(digest, _)| of(digest))
        .map(|(digest, manifest)| manifest.descriptor(digest))
        .collect()
}

/// Answers pages of which each begins one referrer too late.
fn lossy_pages(store: &mut Store, call: &mut Call) -> Response<Bytes> {
    let start = call.query.first("start").and_then(|start| start.parse::<usize>().ok()).unwrap_or_default();
    let mut has_next = false;
    let mut response = entries(store, call, |list| {
        has_next = list.len() > start + LISTED_MAX;
        *list = list.iter().skip(start).take(LISTED_MAX).cloned().collect();
    });
    if has_next {
        let kinds = call.query.all("artifactType").map(|kind| format!("&artifactType={kind}"));
        let kinds: String = kinds.collect();
        let link = format!("<{}?start={}{kinds}>; rel=\"next\"", call.path, start + LISTED_MAX + 1);
        set(&mut response, header::LINK, &link);
    }
    response
}
