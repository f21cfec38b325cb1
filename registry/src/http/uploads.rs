//! `/v2/<name>/blobs/uploads/` and the sessions below it.
//!
//! *Spec:* `spec.md#pushing-blobs`.

use axum::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, LOCATION, RANGE};
use http::{Response, StatusCode};

use super::body;
use super::dispatch::Call;
use super::error::Error;
use super::headers::{self, DOCKER_CONTENT_DIGEST, DOCKER_UPLOAD_UUID};
use super::route::Target;
use crate::auth::{Grant, Pull, Push};
use crate::oci::{Algorithm, ContentRange, Digest, DigestError, RepositoryName};
use crate::repository::{self, Chunk, UploadId};

/// Opens a session, mounts a blob, or takes a whole blob in one request.
///
/// *Spec:* `[end-4a]`, `[end-4b]`, `[end-4c]`, `[end-11]`.
pub(super) async fn open(
    call: &Call<'_>,
    name: &RepositoryName,
    body: Body,
) -> Result<Response<Body>, Error> {
    let grant: Grant<Push> = call.grant(name)?;
    let repositories = &call.repositories;
    if let Some(mount) = call.query.one("mount")? {
        let digest = Digest::parse(mount)?;
        if let Some(from) = call.query.one("from")?.map(RepositoryName::parse).transpose()?
            // Not readable and not there are one answer: a session (P10).
            && let Ok(from) = call.grant::<Pull>(&from)
            && repositories.mount(&grant, &from, &digest).await?
        {
            return Ok(created(name, &digest));
        }
    } else if let Some(digest) = call.query.one("digest")? {
        let digest = Digest::parse(digest)?;
        let chunk = chunk(call)?;
        let id = repositories.open_upload(&grant, Some(digest.algorithm())).await?;
        let body = body::incoming(body, call.app.0.options.read_idle_timeout);
        let committed = repositories.commit_upload(&grant, &id, chunk, body, &digest).await;
        if let Err(error) = committed {
            // Nobody was told the session's name; one that the failure has ended is gone already.
            let _ = repositories.cancel_upload(&grant, &id).await;
            return Err(error.into());
        }
        return Ok(created(name, &digest));
    }
    let hint = call.query.one("digest-algorithm")?.map(|text| {
        let unknown = || DigestError::Algorithm { algorithm: text.chars().take(64).collect() };
        Algorithm::parse(text).ok_or_else(unknown)
    });
    let id = repositories.open_upload(&grant, hint.transpose()?).await?;
    Ok(standing(StatusCode::ACCEPTED, name, &id, range_of_chunk(0)))
}

/// *Spec:* `[end-5]`.
pub(super) async fn append(
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
    body: Body,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    let chunk = chunk(call)?;
    let body = body::incoming(body, call.app.0.options.read_idle_timeout);
    let appended = call.repositories.append_upload(&grant, id, chunk, body).await;
    let offset = appended.map_err(|error| told(name, id, error))?;
    Ok(standing(StatusCode::ACCEPTED, name, id, range_of_chunk(offset)))
}

/// *Spec:* `[end-6]`.
pub(super) async fn commit(
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
    body: Body,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    let digest = Digest::parse(call.query.one("digest")?.ok_or(Error::DigestMissing)?)?;
    let chunk = chunk(call)?;
    let body = body::incoming(body, call.app.0.options.read_idle_timeout);
    let committed = call.repositories.commit_upload(&grant, id, chunk, body, &digest).await;
    committed.map_err(|error| told(name, id, error))?;
    Ok(created(name, &digest))
}

/// *Spec:* `[end-13]`.
pub(super) async fn status(
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    let offset = call.repositories.upload_offset(&grant, id).await?;
    Ok(standing(StatusCode::NO_CONTENT, name, id, range_of(offset)))
}

/// *Spec:* `[end-14]`.
pub(super) async fn cancel(
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    call.repositories.cancel_upload(&grant, id).await.map_err(|error| told(name, id, error))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Reads what the headers say of the body.
///
/// *Errors:* [`Error::ContentRange`], [`Error::ContentLength`], [`Error::BlobTooLarge`]: all
/// before the body is read, so that the session stays as it is.
fn chunk(call: &Call<'_>) -> Result<Chunk, Error> {
    let length = headers::text(&call.headers, CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let blob_bytes_max = match call.app.0.options.blob_bytes_max {
        0 => u64::MAX,
        max => max,
    };
    if length.is_some_and(|length| length > blob_bytes_max) {
        return Err(Error::BlobTooLarge { max: blob_bytes_max });
    }
    let Some(value) = call.headers.get(CONTENT_RANGE) else {
        return Ok(Chunk { start: None, len: length, blob_bytes_max });
    };
    let range = value.to_str().ok().and_then(ContentRange::parse).ok_or(Error::ContentRange)?;
    match length {
        Some(length) if length != range.len() => Err(Error::ContentLength { range: range.len(), length }),
        _ => Ok(Chunk { start: Some(range.start), len: Some(range.len()), blob_bytes_max }),
    }
}

fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let map = response.headers_mut();
    map.insert(LOCATION, headers::value(Target::Blob(name.clone(), *digest)));
    map.insert(DOCKER_CONTENT_DIGEST, headers::value(digest));
    response
}

fn standing(status: StatusCode, name: &RepositoryName, id: &UploadId, range: String) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let map = response.headers_mut();
    map.insert(LOCATION, headers::value(Target::Upload(name.clone(), id.clone())));
    map.insert(DOCKER_UPLOAD_UUID, headers::value(id));
    map.insert(RANGE, headers::value(range));
    if status != StatusCode::NO_CONTENT {
        map.insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    response
}

/// Renders the bytes that a session has, as an answer to a chunk.
///
/// The spec has no word for none; Docker's client refuses an end before the start here, so none
/// is `0-0`.
fn range_of_chunk(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

/// Renders the bytes that a session has, for a client that goes on where they end.
///
/// None is `0--1`, since a client that adds one to the end would skip a byte after `0-0`.
pub(super) fn range_of(offset: u64) -> String {
    if offset == 0 { "0--1".to_owned() } else { range_of_chunk(offset) }
}

fn told(name: &RepositoryName, id: &UploadId, source: repository::Error) -> Error {
    Error::Upload { source, location: Target::Upload(name.clone(), id.clone()).to_string() }
}
