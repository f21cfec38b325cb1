//! A blob host: blobs are answered with a redirect to an address that was signed for this one download, as
//! registries over object storage do it.
//!
//! *Shape*: `<address>/storage/<name>/<digest>?expires=…&signature=…`. The signature covers path and
//! expiry, and is of no use to anybody else: the key is the origin's own.
//!
//! Spec: `spec.md#api` (redirects); RFC 9110 section 15.4.8.

use std::{
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use uuid::Uuid;

use super::{
    blobs,
    dispatch::{Answer, Call, empty, finished, set, set_digest},
    refusal::Refusal,
    route::Endpoint,
    store::Store,
};
use crate::{digest::Digest, locked};

const PREFIX: &str = "/storage/";
/// How long a signed address is good for.
const LIFETIME: Duration = Duration::from_secs(600);

/// Where blobs are served from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobHost {
    /// The address of the registry itself, under another path.
    SameAddress,
    /// Another address, `http://host:port`, at which the same origin listens too.
    ///
    /// As object storage does, it answers 400 to a request that carries `Authorization` beside the
    /// signature: a client must not send a registry's credentials there.
    Address(String),
}

/// Redirects to a blob host, and is one.
#[derive(Debug)]
pub(super) struct Redirects {
    host: Mutex<Option<BlobHost>>,
    key: Uuid,
}

impl Redirects {
    pub(super) fn new(host: Option<BlobHost>) -> Self {
        Self { host: Mutex::new(host), key: Uuid::new_v4() }
    }

    pub(super) fn set(&self, host: Option<BlobHost>) {
        *locked(&self.host) = host;
    }

    /// Serves an address that was signed here; `None` for any other.
    pub(super) fn serve(&self, store: &Store, call: &Call, now: SystemTime) -> Option<Response<Bytes>> {
        let rest = call.path.strip_prefix(PREFIX).filter(|_| call.is_read())?;
        Some(finished(self.serve_signed(store, rest, call, now)))
    }

    fn serve_signed(&self, store: &Store, rest: &str, call: &Call, now: SystemTime) -> Answer {
        let elsewhere = matches!(&*locked(&self.host), Some(BlobHost::Address(_)));
        if elsewhere && call.header(header::AUTHORIZATION).is_some() {
            return Err(Refusal::ParameterInvalid("Authorization beside a signature"));
        }
        let expires = call.query.first("expires").and_then(|it| it.parse().ok()).unwrap_or(0);
        let signed = call.query.first("signature") == Some(&self.signature(&call.path, expires));
        if !signed || expires <= seconds(now) {
            return Err(Refusal::Denied);
        }
        let (name, digest) = rest.rsplit_once('/').ok_or(Refusal::EndpointUnknown)?;
        let digest: Digest = digest.parse().map_err(|_| Refusal::DigestInvalid(digest.to_owned()))?;
        blobs::pull(store, name, &digest, call)
    }

    /// Redirects the GET of a blob that is there; `None` for any other request.
    pub(super) fn redirect(&self, store: &Store, call: &Call, now: SystemTime) -> Option<Response<Bytes>> {
        let host = locked(&self.host).clone()?;
        let Ok(Endpoint::Blob { name, digest }) = Endpoint::parse(&call.path) else { return None };
        if call.method != Method::GET || store.blob(&name, &digest).is_err() {
            return None;
        }
        let expires = seconds(now + LIFETIME);
        let path = format!("{PREFIX}{name}/{digest}");
        let base = match &host {
            BlobHost::SameAddress => "",
            BlobHost::Address(address) => address.trim_end_matches('/'),
        };
        let signature = self.signature(&path, expires);
        let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
        set(
            &mut response,
            header::LOCATION,
            &format!("{base}{path}?expires={expires}&signature={signature}"),
        );
        set_digest(&mut response, &digest);
        Some(finished(Ok(response)))
    }

    /// Signs a path. Who does not know the key cannot make a signature, which is all that is needed here.
    fn signature(&self, path: &str, expires: u64) -> String {
        let text = format!("{} {path} {expires} {}", self.key, self.key);
        Digest::sha256_of(text.as_bytes()).to_string().replace("sha256:", "")
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
