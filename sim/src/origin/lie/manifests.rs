//! Lies about pulled manifests: their bytes, their types, whose they are.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::{
    Plan, plan,
    tools::{DIGEST, Kind, bent, manifest, misread, recode, respell, restatus, without},
};
use crate::origin::{
    dispatch::{Call, empty, honest, set},
    manifest::{OCI_INDEX, OCI_MANIFEST},
    route::Reference,
    store::Store,
};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Manifests above this size suffer the lie about large ones.
const LARGE_BYTES: usize = 64 * 1024;

pub(super) const LIES: &[Plan] = &[
    plan(
        "manifest-bit-flipped",
        "Serves manifests of more than 64 KiB with one bit flipped.",
        |store, call| {
            bent(store, call, Kind::ManifestPull, |_, response| {
                if response.body().len() > LARGE_BYTES {
                    respell(response, |bytes| bytes[LARGE_BYTES] ^= 1);
                }
            })
        },
    ),
    plan("manifest-digest-unsaid", "Serves manifests without Docker-Content-Digest.", |store, call| {
        bent(store, call, Kind::ManifestPull, |_, response| without(response, &DIGEST))
    }),
    plan(
        "manifest-digest-echoed",
        "Says the tag that was asked for in Docker-Content-Digest.",
        |store, call| {
            bent(store, call, Kind::ManifestPull, |call, response| {
                if let Some((_, Reference::Tag(tag))) = manifest(call) {
                    set(response, DIGEST, &tag);
                }
            })
        },
    )
    .mutant(8),
    plan("manifest-of-any-repository", "Serves manifests of other repositories by digest.", |store, call| {
        if let Some((name, reference @ Reference::Digest(_))) = manifest(call).filter(|_| call.is_read()) {
            let has = |name: &str| store.repository(name).is_ok_and(|it| it.manifest(&reference).is_ok());
            if !has(&name)
                && let Some(other) = store.names().find(|other| has(other)).map(str::to_owned)
            {
                call.path = call.path.replacen(&name, &other, 1);
            }
        }
        honest(store, call)
    }),
    plan("manifest-missing-is-another", "Serves some tag for one that is not there.", |store, call| {
        if let Some((name, Reference::Tag(tag))) = manifest(call).filter(|_| call.is_read())
            && let Ok(repository) = store.repository(&name)
            && !repository.tags.contains_key(&tag)
            && let Some(other) = repository.tags.keys().next()
        {
            call.path = format!("/v2/{name}/manifests/{other}");
        }
        honest(store, call)
    }),
    plan("manifest-head-always", "Answers 200 to HEAD of every manifest.", |store, call| {
        bent(store, call, Kind::ManifestPull, |call, response| {
            if call.method == Method::HEAD {
                restatus(response, StatusCode::NOT_FOUND, StatusCode::OK);
            }
        })
    }),
    plan("manifest-missing-is-403", "Answers 403 for a manifest that is not there.", |store, call| {
        bent(store, call, Kind::ManifestPull, |_, response| {
            restatus(response, StatusCode::NOT_FOUND, StatusCode::FORBIDDEN);
        })
    }),
    plan(
        "manifest-unknown-miscalled",
        "Says BLOB_UNKNOWN of a manifest that is not there.",
        |store, call| {
            bent(store, call, Kind::ManifestPull, |_, response| {
                recode(response, "MANIFEST_UNKNOWN", "BLOB_UNKNOWN");
            })
        },
    )
    .mutant(35),
    plan(
        "repository-unknown-is-500",
        "Answers 500 for manifests of a repository that nobody made.",
        |store, call| {
            let is_known = manifest(call).is_none_or(|(name, _)| store.repository(&name).is_ok());
            bent(store, call, Kind::ManifestPull, |_, response| {
                if !is_known {
                    restatus(response, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR);
                }
            })
        },
    ),
    plan("manifest-type-forgotten", "Serves every manifest as plain JSON.", |store, call| {
        typed(store, call, |_, _| Some("application/json".to_owned()))
    })
    .mutant(26),
    plan("manifest-head-untyped", "Answers HEAD of a manifest without Content-Type.", |store, call| {
        bent(store, call, Kind::ManifestPull, |call, response| {
            if call.method == Method::HEAD {
                without(response, &header::CONTENT_TYPE);
            }
        })
    })
    .mutant(26),
    plan("manifest-type-with-charset", "Adds a charset to the type of an index.", |store, call| {
        typed(store, call, |_, media| (media == OCI_INDEX).then(|| format!("{media}; charset=utf-8")))
    }),
    plan("manifest-converted", "Converts a manifest for who names only Docker's type.", |store, call| {
        bent(store, call, Kind::ManifestPull, |call, response| {
            if call.header(header::ACCEPT) == Some(DOCKER_MANIFEST) {
                let text = String::from_utf8_lossy(response.body()).replace(OCI_MANIFEST, DOCKER_MANIFEST);
                *response.body_mut() = text.into();
                set(response, header::CONTENT_TYPE, DOCKER_MANIFEST);
            }
        })
    }),
    plan(
        "manifest-accept-demanded",
        "Answers 404 to who does not name the manifest's type.",
        |store, call| {
            bent(store, call, Kind::ManifestPull, |call, response| {
                let asked = call.headers.get_all(header::ACCEPT).iter();
                let asked: Vec<&str> = asked.filter_map(|it| it.to_str().ok()).collect();
                let media = response.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
                if !media.is_some_and(|media| asked.iter().any(|it| it.contains(media))) {
                    restatus(response, StatusCode::OK, StatusCode::NOT_FOUND);
                }
            })
        },
    ),
    plan("manifest-never-changed", "Answers 304 to every If-None-Match of a manifest.", |store, call| {
        misread(store, call, Kind::ManifestPull, |call| {
            if call.headers.contains_key(header::IF_NONE_MATCH) {
                call.headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
            }
        })
    }),
    plan(
        "manifest-said-gzipped",
        "Says that a manifest is compressed to who would take it so.",
        |store, call| {
            bent(store, call, Kind::ManifestPull, |call, response| {
                if call.header(header::ACCEPT_ENCODING).is_some_and(|it| it.contains("gzip")) {
                    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
            })
        },
    ),
    plan(
        "manifest-children-hidden",
        "Does not serve the children of an index by themselves.",
        |store, call| {
            if let Some((name, Reference::Digest(digest))) = manifest(call).filter(|_| call.is_read())
                && let Ok(repository) = store.repository(&name)
                && repository
                    .manifests
                    .values()
                    .any(|it| it.media_type == OCI_INDEX && it.needs.contains(&digest))
            {
                return empty(StatusCode::NOT_FOUND);
            }
            honest(store, call)
        },
    ),
    plan("docker-type-renamed", "Serves Docker's manifests under the type of OCI.", |store, call| {
        typed(store, call, |_, media| (media == DOCKER_MANIFEST).then(|| OCI_MANIFEST.to_owned()))
    }),
    plan(
        "namespace-unknown-is-404",
        "Answers 404 to a request with an `ns` that it does not know.",
        |store, call| {
            if call.query.first("ns").is_some() { empty(StatusCode::NOT_FOUND) } else { honest(store, call) }
        },
    ),
];

/// Serves manifests under another type, where there is one.
fn typed(store: &mut Store, call: &Call, other: fn(&Call, &str) -> Option<String>) -> Response<Bytes> {
    bent(store, call, Kind::ManifestPull, |call, response| {
        let media = response.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let media = media.filter(|_| response.status() == StatusCode::OK).and_then(|it| other(call, it));
        if let Some(media) = media {
            set(response, header::CONTENT_TYPE, &media);
        }
    })
}
