//! Blob uploads: in one request, in chunks, and by mount. Spec: end-4, 5, 6, 11, 13, 14.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, Response, StatusCode, header};
use uuid::Uuid;

use super::{
    dispatch::{Answer, Call, empty, set, set_digest},
    range::chunk,
    refusal::Refusal,
    store::{Store, UPLOADS_MAX, Upload},
};
use crate::digest::Digest;

/// The largest blob that may be pushed.
pub(super) const BLOB_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Answers a POST: mounts, stores a blob sent with it, or opens an upload.
pub(super) fn start(store: &mut Store, name: &str, call: &Call) -> Answer {
    if let Some(hint) = call.query.first("digest-algorithm")
        && !matches!(hint, "sha256" | "sha512")
    {
        return Err(Refusal::DigestInvalid(hint.to_owned()));
    }
    if let Some(mount) = call.query.first("mount") {
        let digest = parse(mount)?;
        // What the caller may not read is as good as missing: the answer must not tell that it is there.
        let from = call.query.first("from").filter(|from| call.caller.may_pull(from));
        let source = from.and_then(|from| store.blob(from, &digest).ok().cloned());
        if let Some(bytes) = source {
            return Ok(keep(store, name, digest, bytes));
        }
    } else if call.query.first("digest").is_some() {
        let digest = closing_digest(call)?;
        if !digest.names(&call.body) {
            return Err(Refusal::DigestInvalid(digest.to_string()));
        }
        return Ok(keep(store, name, digest, call.body.clone()));
    }
    if store.uploads.len() >= UPLOADS_MAX {
        return Err(Refusal::TooLarge);
    }
    let id = Uuid::new_v4().to_string();
    let response = progress(StatusCode::ACCEPTED, name, &id, 0);
    store.uploads.insert(id, Upload { name: name.to_owned(), bytes: BytesMut::new() });
    Ok(response)
}

/// Answers a GET: how far the upload is.
pub(super) fn status(store: &mut Store, name: &str, id: &str) -> Answer {
    let length = open(store, name, id)?.bytes.len();
    Ok(progress(StatusCode::NO_CONTENT, name, id, length))
}

/// Answers a PATCH: appends a chunk.
pub(super) fn append(store: &mut Store, name: &str, id: &str, call: &Call) -> Answer {
    let upload = open(store, name, id)?;
    check_chunk(upload, id, call)?;
    upload.bytes.extend_from_slice(&call.body);
    Ok(progress(StatusCode::ACCEPTED, name, id, upload.bytes.len()))
}

/// Answers a PUT: appends a last chunk, if there is one, and stores the blob if the digest is right.
/// A refused PUT leaves the upload as it was.
pub(super) fn finish(store: &mut Store, name: &str, id: &str, call: &Call) -> Answer {
    let upload = open(store, name, id)?;
    let digest = closing_digest(call)?;
    if !call.body.is_empty() {
        check_chunk(upload, id, call)?;
    }
    let mut bytes = upload.bytes.clone();
    bytes.extend_from_slice(&call.body);
    if !digest.names(&bytes) {
        return Err(Refusal::DigestInvalid(digest.to_string()));
    }
    store.uploads.remove(id);
    Ok(keep(store, name, digest, bytes.freeze()))
}

/// Answers a DELETE: forgets the upload.
pub(super) fn cancel(store: &mut Store, name: &str, id: &str) -> Answer {
    open(store, name, id)?;
    store.uploads.remove(id);
    Ok(empty(StatusCode::NO_CONTENT))
}

fn open<'a>(store: &'a mut Store, name: &str, id: &str) -> Result<&'a mut Upload, Refusal> {
    store.uploads.get_mut(id).filter(|upload| upload.name == name).ok_or(Refusal::UploadUnknown)
}

pub(super) fn keep(store: &mut Store, name: &str, digest: Digest, bytes: Bytes) -> Response<Bytes> {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set_digest(&mut response, &digest);
    store.repository_or_new(name).blobs.insert(digest, bytes);
    response
}

fn check_chunk(upload: &Upload, id: &str, call: &Call) -> Result<(), Refusal> {
    let offset = upload.bytes.len();
    if offset + call.body.len() > BLOB_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    let Some(value) = call.header(header::CONTENT_RANGE) else { return Ok(()) };
    let (first, last) = chunk(value).ok_or(Refusal::UploadInvalid)?;
    if first != offset as u64 {
        let location = location(&upload.name, id);
        return Err(Refusal::UploadOutOfStep { location, range: range(offset) });
    }
    if (last - first).checked_add(1) != Some(call.body.len() as u64) {
        return Err(Refusal::UploadInvalid);
    }
    Ok(())
}

fn closing_digest(call: &Call) -> Result<Digest, Refusal> {
    let mut said = call.query.all("digest");
    let first = said.next().ok_or_else(|| Refusal::DigestInvalid(String::new()))?;
    if said.any(|other| other != first) {
        return Err(Refusal::DigestInvalid(first.to_owned()));
    }
    parse(first)
}

fn parse(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|_| Refusal::DigestInvalid(text.to_owned()))
}

fn progress(status: StatusCode, name: &str, id: &str, length: usize) -> Response<Bytes> {
    let mut response = empty(status);
    set(&mut response, header::LOCATION, &location(name, id));
    set(&mut response, header::RANGE, &range(length));
    set(&mut response, HeaderName::from_static("docker-upload-uuid"), id);
    response
}

fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// An empty upload is `0-0` too: the header cannot say "nothing", and clients refuse an end below the start.
fn range(length: usize) -> String {
    format!("0-{}", length.saturating_sub(1))
}
