//! `/v2/<name>/manifests/<tag-or-digest>`.

use axum::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::body;
use super::dispatch::Call;
use super::error::Error;
use super::headers::{self, DOCKER_CONTENT_DIGEST, OCI_SUBJECT, OCI_TAG, Precondition};
use super::route::Target;
use crate::oci::{MediaType, Reference, RepositoryName, Tag};
use crate::repository::push::{Condition, PushedManifest};

/// *Spec:* `[end-3]`. Accept never changes bytes: a manifest is served as it was pushed.
pub(super) async fn get(
    call: &Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    let pulled = call.repositories.manifest(&grant, call.namespace()?, reference).await?;
    let manifest = &pulled.manifest;
    let digest = std::str::from_utf8(&manifest.digest_text).unwrap_or_default();
    let unchanged = headers::is_unchanged(&call.headers, digest);
    let mut response =
        Response::new(if unchanged { Body::empty() } else { Body::from(manifest.bytes.clone()) });
    let map = response.headers_mut();
    map.insert(DOCKER_CONTENT_DIGEST, headers::shared(&manifest.digest_text));
    map.insert(ETAG, headers::shared(&manifest.etag));
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        map.insert(CONTENT_TYPE, headers::value(&manifest.media_type));
        map.insert(CONTENT_LENGTH, HeaderValue::from(manifest.bytes.len()));
    }
    headers::warn_of_stale(&mut response, pulled.stale.as_deref());
    call.name_namespace(&mut response)?;
    Ok(response)
}

/// *Spec:* `[end-7a]`, `[end-7b]`.
pub(super) async fn put(
    call: &Call<'_>,
    name: &RepositoryName,
    reference: Reference,
    body: Body,
) -> Result<Response<Body>, Error> {
    let options = &call.app.0.options;
    let tags = tags(call, &reference, options.tags_per_push_max);
    let grant = call.grant_for_tags(name, tags.as_deref().unwrap_or_default())?;
    let max = options.manifest_bytes_max;
    // Refused before the body is read, so that a client that waits for 100 sends none.
    let announced =
        headers::text(&call.headers, CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(Error::ManifestTooLarge { max });
    }
    let tags = tags?;
    let condition = match headers::precondition(&call.headers) {
        Precondition::Any => Condition::Any,
        Precondition::Absent => Condition::Absent,
        Precondition::At(digest) => Condition::At(digest),
        Precondition::Unknown => return Err(Error::Precondition),
    };
    let content_type = content_type(call)?;
    let bytes = body::manifest(body, options.read_idle_timeout, max).await?;
    let pushed = PushedManifest { reference, tags, content_type, bytes, condition };
    let stored = call.repositories.put_manifest(&grant, pushed).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let location = Target::Manifest(name.clone(), Reference::Digest(stored.digest));
    let map = response.headers_mut();
    map.insert(LOCATION, headers::value(location));
    map.insert(DOCKER_CONTENT_DIGEST, headers::value(stored.digest));
    if let Some(subject) = stored.subject {
        map.insert(OCI_SUBJECT, headers::value(subject));
    }
    for tag in &stored.tags {
        map.append(OCI_TAG, headers::value(tag));
    }
    Ok(response)
}

/// Reads the `tag` parameters of a push by digest; beside a tag in the path they mean nothing.
fn tags(call: &Call<'_>, reference: &Reference, max: usize) -> Result<Vec<Tag>, Error> {
    if matches!(reference, Reference::Tag(_)) {
        return Ok(Vec::new());
    }
    let mut tags: Vec<Tag> = Vec::new();
    for text in call.query.all("tag") {
        let tag = Tag::parse(text)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > max {
            return Err(Error::TooManyTags { max });
        }
    }
    Ok(tags)
}

/// Reads the Content-Type of a push, without its parameters; absent, the body's word counts.
fn content_type(call: &Call<'_>) -> Result<Option<MediaType>, Error> {
    let Some(value) = call.headers.get(CONTENT_TYPE) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(MediaType::parse);
    let unusable = || {
        let media_type = String::from_utf8_lossy(value.as_bytes()).into_owned();
        Error::Repository(crate::oci::ManifestError::Type { media_type }.into())
    };
    parsed.map(Some).ok_or_else(unusable)
}

/// *Spec:* `[end-9]`.
pub(super) async fn delete(
    call: &Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    call.repositories.delete_manifest(&grant, call.namespace()?, reference).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
