//! Referrers: the manifests of a repository that name a subject. Spec: end-12.

use bytes::Bytes;
use http::{HeaderName, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    dispatch::{Call, json, set},
    manifest::OCI_INDEX,
    store::Store,
};
use crate::digest::Digest;

/// Answers a list of referrers, empty for what is not known. A repeated `artifactType` means any of them.
pub(super) fn list(store: &Store, name: &str, subject: &Digest, call: &Call) -> Response<Bytes> {
    let wanted: Vec<&str> = call.query.all("artifactType").filter(|it| !it.is_empty()).collect();
    let manifests = store.repository(name).into_iter().flat_map(|it| &it.manifests);
    let entries: Vec<Value> = manifests
        .filter(|(_, manifest)| manifest.subject.as_ref() == Some(subject))
        .filter(|(_, manifest)| {
            wanted.is_empty() || manifest.artifact_type.as_deref().is_some_and(|it| wanted.contains(&it))
        })
        .map(|(digest, manifest)| manifest.descriptor(digest))
        .collect();
    let body = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
    let mut response = json(StatusCode::OK, body.to_string());
    set(&mut response, header::CONTENT_TYPE, OCI_INDEX);
    if !wanted.is_empty() {
        set(&mut response, HeaderName::from_static("oci-filters-applied"), "artifactType");
    }
    response
}
