//! Manifests: pull by tag or digest, push, delete. Spec: end-3, end-7, end-9.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::{
    dispatch::{Answer, Call, empty, etag, set, set_digest},
    manifest::Manifest,
    refusal::Refusal,
    route::{Reference, is_tag},
    store::Store,
};
use crate::digest::Digest;

/// The largest manifest that may be pushed.
const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most tags that one push may set.
const TAGS_PER_PUSH_MAX: usize = 100;

/// Answers a GET or HEAD of a manifest: the stored bytes, whatever `Accept` says.
pub(super) fn pull(store: &Store, name: &str, reference: &Reference, call: &Call) -> Answer {
    let (digest, manifest) = store.repository(name)?.manifest(reference)?;
    let mut response = if call.has_fresh_copy(&etag(digest)) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(manifest.bytes.clone())
    };
    set_digest(&mut response, digest);
    set(&mut response, header::CONTENT_TYPE, &manifest.media_type);
    Ok(response)
}

/// What must be there before a manifest is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    /// Everything that it references, its subject excepted.
    Whole,
    /// Nothing.
    Sparse,
}

/// Stores a manifest whose bytes, shape and references are right.
pub(super) fn push(
    store: &mut Store,
    name: &str,
    reference: &Reference,
    call: &Call,
    completeness: Completeness,
) -> Answer {
    if call.body.len() > MANIFEST_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    let (digest, tags) = target(reference, call)?;
    let manifest = Manifest::parse(call.body.clone(), call.header(header::CONTENT_TYPE))?;
    let repository = store.repository(name).ok();
    let missing = |needed: &&Digest| repository.is_none_or(|it| !it.holds(needed));
    let missing: Vec<String> = manifest.needs.iter().filter(missing).map(ToString::to_string).collect();
    if completeness == Completeness::Whole && !missing.is_empty() {
        return Err(Refusal::ManifestBlobUnknown(missing));
    }
    let mut response = empty(StatusCode::CREATED);
    set_digest(&mut response, &digest);
    set(&mut response, header::LOCATION, &format!("/v2/{name}/manifests/{digest}"));
    if let Some(subject) = &manifest.subject {
        set(&mut response, HeaderName::from_static("oci-subject"), &subject.to_string());
    }
    if matches!(reference, Reference::Digest(_)) {
        for tag in &tags {
            let value = HeaderValue::from_str(tag).expect("a tag is visible ASCII");
            response.headers_mut().append("oci-tag", value);
        }
    }
    let repository = store.repository_or_new(name);
    repository.tags.extend(tags.into_iter().map(|tag| (tag, digest.clone())));
    repository.manifests.insert(digest, manifest);
    Ok(response)
}

/// Deletes a tag alone, or a manifest with every tag on it.
pub(super) fn delete(store: &mut Store, name: &str, reference: &Reference) -> Answer {
    let repository = store.repository_mut(name)?;
    repository.manifest(reference)?;
    match reference {
        Reference::Tag(tag) => {
            repository.tags.remove(tag);
        }
        Reference::Digest(digest) => {
            repository.manifests.remove(digest);
            repository.tags.retain(|_, target| target != digest);
        }
    }
    Ok(empty(StatusCode::ACCEPTED))
}

/// Returns the digest of the pushed bytes and the tags that shall point at it.
fn target(reference: &Reference, call: &Call) -> Result<(Digest, Vec<String>), Refusal> {
    match reference {
        Reference::Tag(tag) => Ok((Digest::sha256_of(&call.body), vec![tag.clone()])),
        Reference::Digest(digest) => {
            if !digest.names(&call.body) {
                return Err(Refusal::DigestInvalid(digest.to_string()));
            }
            let mut tags: Vec<String> = call.query.all("tag").map(str::to_owned).collect();
            tags.sort();
            tags.dedup();
            if tags.len() > TAGS_PER_PUSH_MAX {
                return Err(Refusal::TooManyTags);
            }
            if let Some(bad) = tags.iter().find(|tag| !is_tag(tag)) {
                return Err(Refusal::ReferenceInvalid(bad.clone()));
            }
            Ok((digest.clone(), tags))
        }
    }
}
