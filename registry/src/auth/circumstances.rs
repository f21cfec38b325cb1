//! What a request is besides who asks and for what: where it came from, when, and how. Conditions of policies are
//! about it.
//!
//! *Source:* the members are those of `req` in zot's conditions, but for two. `req.claims` is not there: what a
//! token claims becomes a user and groups when it is verified, and a token of our own that was got for it has only
//! these. `req.client.forwardedFor` is not there either: anybody can write that header, and `req.client.ip` is
//! already what trusted proxies say.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::oci::{Reference, RepositoryName};

use super::identity::Identity;
use super::options::Action;

/// The members of `req` that an expression may name.
pub(super) const MEMBERS: &[&str] = &[
    "time",
    "method",
    "userAgent",
    "action",
    "repository",
    "reference",
    "referenceType",
    "tag",
    "digest",
    "user.username",
    "user.groups",
    "auth.anonymous",
    "auth.admin",
    "client.ip",
    "tls.enabled",
    "tls.version",
];

/// What is known of a request beside who asks for which repository. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Circumstances(Arc<Request>);

/// The parts of [`Circumstances`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// When it came.
    pub time: Timestamp,
    /// Its method.
    pub method: String,
    /// What its client calls itself, which it may invent.
    pub user_agent: String,
    /// The tag or the digest of a manifest or blob that its path names.
    pub reference: Option<Reference>,
    /// Its client's address, as far as trusted proxies say.
    pub address: Option<IpAddr>,
    /// Whether it came through TLS, to here or to a trusted proxy.
    pub transport: Transport,
}

/// What a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// What everybody on the way can read.
    Plain,
    /// TLS, of this version (`1.3`), or of one that only a proxy knows (empty).
    Tls(&'static str),
}

impl Circumstances {
    /// Makes them of their parts.
    pub fn new(request: Request) -> Self {
        Self(Arc::new(request))
    }

    /// Returns them as they would be of a request that names another reference.
    #[must_use]
    pub fn about(&self, reference: Reference) -> Self {
        Self::new(Request { reference: Some(reference), ..(*self.0).clone() })
    }

    /// Returns what expressions call `req`.
    pub(super) fn subject(&self, identity: &Identity, groups: &[&str], asked: Asked<'_>) -> Value {
        let request = &*self.0;
        let (kind, tag, digest) = match &request.reference {
            None => ("", String::new(), String::new()),
            Some(Reference::Tag(tag)) => ("tag", tag.to_string(), String::new()),
            Some(Reference::Digest(digest)) => ("digest", String::new(), digest.to_string()),
        };
        let (is_encrypted, version) = match request.transport {
            Transport::Plain => (false, ""),
            Transport::Tls(version) => (true, version),
        };
        json!({
            "time": request.time.to_string(),
            "method": request.method,
            "userAgent": request.user_agent,
            "action": asked.action.word(),
            "repository": asked.name.as_str(),
            "reference": request.reference.as_ref().map(ToString::to_string).unwrap_or_default(),
            "referenceType": kind,
            "tag": tag,
            "digest": digest,
            "user": { "username": identity.account().unwrap_or_default(), "groups": groups },
            "auth": { "anonymous": identity.account().is_none(), "admin": asked.is_admin },
            "client": { "ip": request.address.map(|address| address.to_string()).unwrap_or_default() },
            "tls": { "enabled": is_encrypted, "version": version },
        })
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) name: &'a RepositoryName,
    pub(super) action: Action,
    /// Whether `adminPolicy` names who asks.
    pub(super) is_admin: bool,
}
