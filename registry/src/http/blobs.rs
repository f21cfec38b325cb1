//! `/v2/<name>/blobs/<digest>`.

use std::time::Duration;

use axum::body::Body;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::body;
use super::dispatch::Call;
use super::error::Error;
use super::headers::{self, DOCKER_CONTENT_DIGEST};
use super::ranges::{self, Wanted};
use super::route::Verb;
use crate::oci::{Digest, RepositoryName};
use crate::repository::blobs::{PulledBlob, StoredBlob};
use crate::repository::fill::{Cold, Filling};
use crate::telemetry::WithCauses;

/// *Spec:* `[end-2]`. The type and size of a blob never need a walk over manifests.
pub(super) async fn get(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    let text = digest.to_string();
    let mut response = Response::new(Body::empty());
    let map = response.headers_mut();
    map.insert(DOCKER_CONTENT_DIGEST, headers::value(&text));
    map.insert(ETAG, headers::etag(&text));
    map.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let unchanged = headers::is_unchanged(&call.headers, &text);
    let repositories = &call.repositories;
    if call.verb == Verb::Head || unchanged {
        let size = repositories.blob_size(&grant, call.namespace()?, digest).await?;
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(ranges::OCTET_STREAM));
        }
    } else {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(ranges::OCTET_STREAM));
        let part = ranges::part_wanted(&call.headers, &format!("\"{text}\""));
        let pulled = repositories.blob(&grant, call.namespace()?, digest, part).await?;
        let upstream = pulled.upstream().map(ToString::to_string);
        match pulled {
            PulledBlob::Cold(cold) => cold_part(call, &mut response, *cold, &text)?,
            PulledBlob::Stored(blob) => stored(call, &mut response, &blob, digest, &text).await?,
            PulledBlob::Filling(filling) => {
                // HTTP/1.0 ends a body of unknown length by closing, which is what a cut looks like.
                let may_be_cut = filling.size.is_some() || call.version >= http::Version::HTTP_11;
                let filling = if may_be_cut { filling } else { filling.verified().await? };
                arriving(call, &mut response, filling, &text)?;
            }
        }
        if let Some(upstream) = upstream {
            let sent = std::mem::take(response.body_mut());
            *response.body_mut() = body::counted(sent, upstream);
        }
    }
    call.name_namespace(&mut response)?;
    Ok(response)
}

/// How long the url of a redirect can be used, from the answer on: a client follows it at once, and may try
/// again for a while.
const LINK_LIFE: Duration = Duration::from_secs(20 * 60);

/// Returns where the bucket itself gives a blob, if clients are to be sent there.
async fn link(blob: &StoredBlob) -> Option<HeaderValue> {
    if !blob.is_redirected {
        return None;
    }
    match blob.content.link(LINK_LIFE).await {
        Ok(url) => url.and_then(|url| HeaderValue::from_str(&url).ok()),
        Err(error) => {
            tracing::warn!(error = %WithCauses(&error), "no url of the bucket can be signed, so the blob is sent from here");
            None
        }
    }
}

async fn stored(
    call: &Call<'_>,
    response: &mut Response<Body>,
    blob: &StoredBlob,
    digest: &Digest,
    text: &str,
) -> Result<(), Error> {
    let content = &blob.content;
    let size = content.size();
    let etag = format!("\"{text}\"");
    match ranges::wanted(&call.headers, size, &etag, call.app.0.options.ranges_max)? {
        Wanted::Whole => {
            if let Some(url) = link(blob).await {
                *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
                response.headers_mut().insert(LOCATION, url);
                return Ok(());
            }
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
            *response.body_mut() = if blob.is_verified_on_read {
                body::outgoing(body::Verified::new(content.stream(0, size), *digest), Some(size))
            } else {
                body::outgoing(content.stream(0, size), Some(size))
            };
        }
        Wanted::Part(range) if range.len() == size && blob.is_verified_on_read => {
            ranges::part(response, range, Some(size));
            *response.body_mut() =
                body::outgoing(body::Verified::new(content.stream(0, size), *digest), Some(size));
        }
        Wanted::Part(range) => {
            ranges::part(response, range, Some(size));
            *response.body_mut() =
                body::outgoing(content.stream(range.start, range.last + 1), Some(range.len()));
        }
        Wanted::Parts(parts) => ranges::parts(response, content, &parts),
    }
    Ok(())
}

/// Of a blob that is still arriving, one range is followed; several are answered by the whole.
fn arriving(
    call: &Call<'_>,
    response: &mut Response<Body>,
    filling: Filling,
    text: &str,
) -> Result<(), Error> {
    let etag = format!("\"{text}\"");
    let wanted = match filling.size {
        Some(size) => ranges::wanted(&call.headers, size, &etag, call.app.0.options.ranges_max)?,
        None => Wanted::Whole,
    };
    let size = filling.size;
    *response.body_mut() = match wanted {
        Wanted::Part(range) => {
            ranges::part(response, range, size);
            body::outgoing(filling.stream(range.start, Some(range.last + 1)), Some(range.len()))
        }
        Wanted::Whole | Wanted::Parts(_) => {
            if let Some(size) = size {
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
            }
            body::outgoing(filling.stream(0, size), size)
        }
    };
    Ok(())
}

/// Of a blob that is not here, one range was asked for.
fn cold_part(call: &Call<'_>, response: &mut Response<Body>, cold: Cold, text: &str) -> Result<(), Error> {
    let etag = format!("\"{text}\"");
    match ranges::wanted(&call.headers, cold.size, &etag, call.app.0.options.ranges_max)? {
        Wanted::Part(range) => {
            ranges::part(response, range, Some(cold.size));
            *response.body_mut() =
                body::outgoing(cold.stream(range.start, range.last + 1), Some(range.len()));
            Ok(())
        }
        // Only a single range is asked for in parts.
        Wanted::Whole | Wanted::Parts(_) => Err(Error::Range { size: cold.size }),
    }
}

/// *Spec:* `[end-10]`.
pub(super) async fn delete(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    call.repositories.delete_blob(&grant, call.namespace()?, digest).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
