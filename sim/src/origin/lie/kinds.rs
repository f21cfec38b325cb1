//! Lies about what is a manifest: malformed ones that are taken, and kinds that are refused.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::{
    Plan, plan,
    tools::{Kind, bent, misread, refuse_if, restatus},
};
use crate::{
    digest::Digest,
    origin::{
        dispatch::{Call, empty, honest},
        manifest::{Manifest, OCI_INDEX},
        route::Reference,
        store::Store,
    },
};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

pub(super) const LIES: &[Plan] = &[
    plan("malformed-breaks", "Breaks with 500 on what is no manifest.", |store, call| {
        bent(store, call, Kind::ManifestPush, |call, response| {
            if serde_json::from_slice::<Value>(&call.body).is_err() {
                restatus(response, StatusCode::BAD_REQUEST, StatusCode::INTERNAL_SERVER_ERROR);
            }
        })
    }),
    plan("malformed-is-taken", "Stores what is no manifest as if it were one.", |store, call| {
        take_if(store, call, |call| serde_json::from_slice::<Value>(&call.body).is_err())
    }),
    plan(
        "type-mismatch-is-taken",
        "Takes a manifest whose mediaType is not what the header says.",
        |store, call| {
            misread(store, call, Kind::ManifestPush, |call| {
                let body = body(call);
                let media = body["mediaType"].as_str().and_then(|it| HeaderValue::from_str(it).ok());
                if let Some(media) = media.filter(|_| call.headers.contains_key(header::CONTENT_TYPE)) {
                    call.headers.insert(header::CONTENT_TYPE, media);
                }
            })
        },
    ),
    plan("untyped-breaks", "Breaks with 500 on a manifest without Content-Type.", |store, call| {
        refuse_if(store, call, StatusCode::INTERNAL_SERVER_ERROR, |_, call| {
            Kind::of(call) == Kind::ManifestPush && !call.headers.contains_key(header::CONTENT_TYPE)
        })
    }),
    plan("descriptors-unchecked", "Takes a manifest with impossible descriptors.", |store, call| {
        take_if(store, call, |call| {
            let body = body(call);
            let layers = body["layers"].as_array();
            layers.is_some_and(|it| {
                it.iter().any(|layer| {
                    let digest = layer["digest"].as_str().map(str::parse::<Digest>);
                    !layer["size"].is_u64() || !matches!(digest, Some(Ok(_)))
                })
            })
        })
    }),
    plan("ambiguous-is-taken", "Takes a manifest that is an image and an index.", |store, call| {
        take_if(store, call, |call| {
            let body = body(call);
            !body["layers"].is_null() && !body["manifests"].is_null()
        })
    }),
    plan("subject-unchecked", "Takes a manifest whose subject has a malformed digest.", |store, call| {
        take_if(store, call, |call| {
            body(call)["subject"]["digest"].as_str().is_some_and(|it| it.parse::<Digest>().is_err())
        })
    }),
    plan("foreign-layers-demanded", "Demands layers that may not be distributed.", |store, call| {
        refuse_if(store, call, StatusCode::BAD_REQUEST, |_, call| {
            Kind::of(call) == Kind::ManifestPush
                && body(call)["layers"]
                    .as_array()
                    .is_some_and(|it| it.iter().any(|layer| !layer["urls"].is_null()))
        })
    }),
    plan("docker-refused", "Refuses Docker's manifests.", |store, call| {
        refuse_type(store, call, DOCKER_MANIFEST)
    }),
    plan("docker-list-refused", "Refuses Docker's manifest lists.", |store, call| {
        refuse_type(store, call, DOCKER_LIST)
    }),
    plan("schema1-breaks", "Breaks with 500 on Docker's first kind of manifest.", |store, call| {
        refuse_if(store, call, StatusCode::INTERNAL_SERVER_ERROR, |_, call| {
            call.header(header::CONTENT_TYPE).is_some_and(|it| it.contains("docker.distribution.manifest.v1"))
        })
    }),
    plan("mixed-index-refused", "Refuses an index with children of Docker's kind.", |store, call| {
        refuse_children(store, call, |media| media == DOCKER_MANIFEST)
    }),
    plan("index-of-blobs-refused", "Refuses an index whose entries are no manifests.", |store, call| {
        refuse_children(store, call, |media| media.contains("layer") || media.contains("cacheconfig"))
    }),
    plan(
        "artifacts-refused",
        "Refuses images whose configuration is not one of a container.",
        |store, call| {
            refuse_if(store, call, StatusCode::BAD_REQUEST, |_, call| {
                let body = body(call);
                let config = body["config"]["mediaType"].as_str();
                Kind::of(call) == Kind::ManifestPush
                    && body["subject"].is_null()
                    && config.is_some_and(|it| it != OCI_CONFIG && it.contains("vnd.cncf"))
            })
        },
    ),
    plan(
        "referrers-tag-refused",
        "Refuses an index under the tag that stands for referrers.",
        |store, call| {
            refuse_if(store, call, StatusCode::BAD_REQUEST, |_, call| {
                Kind::of(call) == Kind::ManifestPush
                    && call
                        .path
                        .rsplit('/')
                        .next()
                        .is_some_and(|tag| tag.starts_with("sha256-") && !tag.ends_with(".sig"))
            })
        },
    ),
];

/// Returns a pushed body as JSON, null if it is none.
fn body(call: &Call) -> Value {
    serde_json::from_slice(&call.body).unwrap_or_default()
}

/// Stores a manifest unread, if an honest origin refuses it and a condition holds.
fn take_if(store: &mut Store, call: &Call, condition: fn(&Call) -> bool) -> Response<Bytes> {
    let response = honest(store, call);
    let is_target = Kind::of(call) == Kind::ManifestPush && response.status() == StatusCode::BAD_REQUEST;
    match super::tools::manifest(call).filter(|_| is_target && condition(call)) {
        Some((name, reference)) => {
            let digest = Digest::sha256_of(&call.body);
            let manifest = Manifest {
                bytes: call.body.clone(),
                media_type: call.header(header::CONTENT_TYPE).unwrap_or_default().to_owned(),
                subject: None,
                artifact_type: None,
                annotations: None,
                needs: Vec::new(),
            };
            let repository = store.repository_or_new(&name);
            if let Reference::Tag(tag) = reference {
                repository.tags.insert(tag, digest.clone());
            }
            repository.manifests.insert(digest, manifest);
            empty(StatusCode::CREATED)
        }
        None => response,
    }
}

fn refuse_type(store: &mut Store, call: &Call, media: &str) -> Response<Bytes> {
    refuse_if(store, call, StatusCode::UNSUPPORTED_MEDIA_TYPE, |_, call| {
        Kind::of(call) == Kind::ManifestPush && call.header(header::CONTENT_TYPE) == Some(media)
    })
}

fn refuse_children(store: &mut Store, call: &Call, is_bad: fn(&str) -> bool) -> Response<Bytes> {
    refuse_if(store, call, StatusCode::BAD_REQUEST, |_, call| {
        let body = body(call);
        let children = body["manifests"].as_array();
        Kind::of(call) == Kind::ManifestPush
            && call.header(header::CONTENT_TYPE) == Some(OCI_INDEX)
            && children
                .is_some_and(|it| it.iter().any(|child| child["mediaType"].as_str().is_some_and(is_bad)))
    })
}
