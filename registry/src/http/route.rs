//! Every URL below `/v2`, and those of tokens and keys: parsing, and rendering for `Location` and `Link`.
//!
//! A name may contain any of the words that end a path (`tags/list` is a fine name), so a path is
//! read from the right. Pure, and total: every path is a [`Route`] or a [`RouteError`] that says
//! what is wrong with it.
//!
//! *Spec:* `spec.md#endpoints`.

use std::borrow::Cow;
use std::fmt;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::auth::challenge::{API_KEYS_PATH, TOKEN_PATH};
use crate::oci::{Digest, DigestError, NameError, Reference, ReferenceError, RepositoryName};
use crate::repository::UploadId;

/// A request's method and what its path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// What the path names.
    pub target: Target,
}

/// A method that some target knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PATCH`.
    Patch,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/v2/`, `[end-1]`.
    Base,
    /// `/v2/_catalog`.
    Catalog,
    /// `/v2/<name>/manifests/<tag-or-digest>`, `[end-3]`, `[end-7a]`, `[end-9]`.
    Manifest(RepositoryName, Reference),
    /// `/v2/<name>/blobs/<digest>`, `[end-2]`, `[end-10]`.
    Blob(RepositoryName, Digest),
    /// `/v2/<name>/blobs/uploads/`, `[end-4a]`, `[end-11]`.
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`, `[end-5]`, `[end-6]`, `[end-13]`, `[end-14]`.
    Upload(RepositoryName, UploadId),
    /// `/v2/<name>/tags/list`, `[end-8a]`.
    Tags(RepositoryName),
    /// `/v2/<name>/referrers/<digest>`, `[end-12a]`.
    Referrers(RepositoryName, Digest),
    /// `/v2/<name>/_wharfinger/cache`, our own: what is cached of the repository.
    Cache(RepositoryName),
    /// `/auth/token`: tokens of our own issuing.
    Token,
    /// `/auth/apikey`: the keys that users make.
    ApiKeys,
}

/// Why a method and path are not a [`Route`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No URL of the API looks like this.
    #[error("there is nothing at this path")]
    Path,
    /// The path is not text.
    #[error("the path is not UTF-8, or has an encoded slash")]
    Encoding,
    /// The path is known, but not with this method.
    #[error("the method is not one of {}", Verb::list(.allowed))]
    Method {
        /// The methods that the path knows.
        allowed: &'static [Verb],
    },
    /// The name is malformed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The tag or digest of a manifest is malformed.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The digest is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The name of the upload is not one that this registry gives.
    #[error("there is no such upload")]
    Upload,
}

impl Verb {
    /// Parses a method, or returns `None` for one that no target knows.
    pub fn parse(method: &Method) -> Option<Self> {
        Some(match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PATCH => Self::Patch,
            Method::PUT => Self::Put,
            Method::DELETE => Self::Delete,
            _ => return None,
        })
    }

    /// Returns the method as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Renders methods as the value of `Allow`.
    pub fn list(verbs: &[Self]) -> String {
        verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(", ")
    }
}

const READ: &[Verb] = &[Verb::Get, Verb::Head];
const TOKEN: &[Verb] = &[Verb::Get, Verb::Post];
const API_KEYS: &[Verb] = &[Verb::Get, Verb::Post, Verb::Delete];

impl Target {
    /// Returns its name in logs and metrics: one word per variant.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Manifest(..) => "manifest",
            Self::Blob(..) => "blob",
            Self::Uploads(_) => "uploads",
            Self::Upload(..) => "upload",
            Self::Tags(_) => "tags",
            Self::Referrers(..) => "referrers",
            Self::Cache(_) => "cache",
            Self::Token => "token",
            Self::ApiKeys => "apikeys",
        }
    }

    /// Returns the repository that it is in.
    pub const fn name(&self) -> Option<&RepositoryName> {
        match self {
            Self::Base | Self::Catalog | Self::Token | Self::ApiKeys => None,
            Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Tags(name)
            | Self::Cache(name)
            | Self::Referrers(name, _) => Some(name),
        }
    }
}

/// Renders the path; what it renders parses to the same target.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("/v2/"),
            Self::Catalog => f.write_str("/v2/_catalog"),
            Self::Token => f.write_str(TOKEN_PATH),
            Self::ApiKeys => f.write_str(API_KEYS_PATH),
            Self::Manifest(name, reference) => write!(f, "/v2/{name}/manifests/{reference}"),
            Self::Blob(name, digest) => write!(f, "/v2/{name}/blobs/{digest}"),
            Self::Uploads(name) => write!(f, "/v2/{name}/blobs/uploads/"),
            Self::Upload(name, id) => write!(f, "/v2/{name}/blobs/uploads/{id}"),
            Self::Tags(name) => write!(f, "/v2/{name}/tags/list"),
            Self::Cache(name) => write!(f, "/v2/{name}/_wharfinger/cache"),
            Self::Referrers(name, digest) => write!(f, "/v2/{name}/referrers/{digest}"),
        }
    }
}

/// Says whether a path is this module's: `/v2` or below it.
pub fn is_api(path: &str) -> bool {
    path.strip_prefix("/v2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Parses a method and the path of a request, percent-encoded as it came.
///
/// *Errors:* every variant of [`RouteError`]: an unknown path before a wrong method, and a wrong
/// method before a malformed part.
pub fn parse(method: &Method, path: &str) -> Result<Route, RouteError> {
    if let Some((target, allowed)) = beside(path) {
        let verb = Verb::parse(method).filter(|verb| allowed.contains(verb));
        return verb.map(|verb| Route { verb, target }).ok_or(RouteError::Method { allowed });
    }
    let rest = path.strip_prefix("/v2").ok_or(RouteError::Path)?;
    let rest = match rest.strip_prefix('/') {
        Some(rest) => rest,
        None if rest.is_empty() => rest,
        None => return Err(RouteError::Path),
    };
    let shape = Shape::of(rest)?;
    let verb = Verb::parse(method).filter(|verb| shape.verbs().contains(verb));
    let verb = verb.ok_or(RouteError::Method { allowed: shape.verbs() })?;
    Ok(Route { verb, target: shape.parse()? })
}

/// Returns what stands beside the API, at a path of ours or below that of zot, where its clients look for it.
fn beside(path: &str) -> Option<(Target, &'static [Verb])> {
    match path.strip_prefix("/zot").unwrap_or(path) {
        TOKEN_PATH => Some((Target::Token, TOKEN)),
        API_KEYS_PATH => Some((Target::ApiKeys, API_KEYS)),
        _ => None,
    }
}

/// A path cut into its parts, which are not parsed yet.
enum Shape<'a> {
    Base,
    Catalog,
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Uploads(&'a str),
    Upload(&'a str, &'a str),
    Tags(&'a str),
    Referrers(&'a str, &'a str),
    Cache(&'a str),
}

impl<'a> Shape<'a> {
    fn of(rest: &'a str) -> Result<Self, RouteError> {
        match rest {
            "" => return Ok(Self::Base),
            "_catalog" => return Ok(Self::Catalog),
            _ => {}
        }
        let (before, last) = rest.rsplit_once('/').ok_or(RouteError::Path)?;
        let (name, word) = before.rsplit_once('/').ok_or(RouteError::Path)?;
        Ok(match (word, last) {
            ("tags", "list") => Self::Tags(name),
            ("_wharfinger", "cache") => Self::Cache(name),
            ("manifests", reference) => Self::Manifest(name, reference),
            ("referrers", digest) => Self::Referrers(name, digest),
            ("blobs", "uploads") => Self::Uploads(name),
            ("blobs", digest) => Self::Blob(name, digest),
            ("uploads", id) => match (name.rsplit_once('/'), id) {
                (Some((name, "blobs")), "") => Self::Uploads(name),
                (Some((name, "blobs")), id) => Self::Upload(name, id),
                _ => return Err(RouteError::Path),
            },
            _ => return Err(RouteError::Path),
        })
    }

    const fn verbs(&self) -> &'static [Verb] {
        match self {
            Self::Base | Self::Catalog | Self::Tags(_) | Self::Referrers(..) => READ,
            Self::Manifest(..) => &[Verb::Get, Verb::Head, Verb::Put, Verb::Delete],
            Self::Blob(..) => &[Verb::Get, Verb::Head, Verb::Delete],
            Self::Uploads(_) => &[Verb::Post],
            Self::Cache(_) => &[Verb::Delete],
            Self::Upload(..) => &[Verb::Get, Verb::Patch, Verb::Put, Verb::Delete],
        }
    }

    fn parse(self) -> Result<Target, RouteError> {
        let name = |text: &str| -> Result<RepositoryName, RouteError> {
            let parts: Result<Vec<Cow<'_, str>>, RouteError> = text.split('/').map(decode).collect();
            Ok(RepositoryName::parse(&parts?.join("/"))?)
        };
        Ok(match self {
            Self::Base => Target::Base,
            Self::Catalog => Target::Catalog,
            Self::Manifest(of, reference) => {
                Target::Manifest(name(of)?, Reference::parse(&decode(reference)?)?)
            }
            Self::Blob(of, digest) => Target::Blob(name(of)?, Digest::parse(&decode(digest)?)?),
            Self::Uploads(of) => Target::Uploads(name(of)?),
            Self::Upload(of, id) => {
                Target::Upload(name(of)?, UploadId::parse(&decode(id)?).ok_or(RouteError::Upload)?)
            }
            Self::Tags(of) => Target::Tags(name(of)?),
            Self::Cache(of) => Target::Cache(name(of)?),
            Self::Referrers(of, digest) => Target::Referrers(name(of)?, Digest::parse(&decode(digest)?)?),
        })
    }
}

/// Decodes one part; a slash that was encoded would be another path than the one that was routed.
fn decode(part: &str) -> Result<Cow<'_, str>, RouteError> {
    if !part.contains('%') {
        return Ok(Cow::Borrowed(part));
    }
    let decoded = percent_decode_str(part).decode_utf8().map_err(|_| RouteError::Encoding)?;
    if decoded.contains('/') { Err(RouteError::Encoding) } else { Ok(decoded) }
}

#[cfg(test)]
mod tests;
