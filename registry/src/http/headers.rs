//! Header names and values of the distribution API.

use std::fmt::Display;

use bytes::Bytes;
use http::Response;
use http::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, WARNING};

use crate::oci::Digest;

/// The digest of what is answered.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// What older clients tell a registry by.
pub(super) const DOCKER_DISTRIBUTION_API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
/// An upload's name.
pub(super) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// The subject that a pushed manifest was listed under.
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// The tags that a push by digest has set.
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// The filters that a list of referrers went through.
pub(super) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// The namespace that an answer is from.
pub(super) const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// A request's name in the log.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes a value of what this program has rendered of parsed things.
pub(super) fn value(text: impl Display) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text.to_string()))
        .expect("parsed names, tags, digests and media types are visible ASCII")
}

/// Makes a value of bytes that were rendered before, without copying them.
pub(super) fn shared(text: &Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.clone()).expect("digests are visible ASCII")
}

/// Makes the strong ETag of content: its digest, quoted.
pub(super) fn etag(digest: &str) -> HeaderValue {
    value(format_args!("\"{digest}\""))
}

/// Makes a warning: code 299, no agent, no date.
///
/// *Spec:* `spec.md#warnings`.
fn warning(text: &str) -> HeaderValue {
    value(format_args!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Says in a response that it is what was cached, of an upstream that could not be asked.
pub(super) fn warn_of_stale<B>(response: &mut Response<B>, upstream: Option<&str>) {
    let Some(upstream) = upstream else { return };
    let text = format!("the upstream {upstream} could not be asked; this is the copy that was cached");
    response.headers_mut().insert(WARNING, warning(&text));
}

/// Makes the link to the next page.
///
/// *Spec:* RFC 8288. Relative, since behind a proxy this program does not know its own name.
pub(super) fn next_page(path: impl Display) -> HeaderValue {
    value(format_args!("<{path}>; rel=\"next\""))
}

/// Returns a header as text; one that is not visible ASCII is absent.
pub(super) fn text(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Says whether `If-None-Match` lets a client keep what it has of this digest.
///
/// *Spec:* RFC 9110 §13.1.2: weakly compared, a list, or `*`.
pub(super) fn is_unchanged(headers: &HeaderMap, digest: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| matches_tag(value, digest))
}

fn matches_tag(value: &str, digest: &str) -> bool {
    value.split(',').map(str::trim).any(|tag| {
        tag == "*"
            || tag.trim_start_matches("W/").strip_prefix('"').and_then(|tag| tag.strip_suffix('"'))
                == Some(digest)
    })
}

/// A condition on what a PUT replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precondition {
    /// There is none.
    Any,
    /// Nothing may be there: `If-None-Match: *`.
    Absent,
    /// This must be there: `If-Match: "<digest>"`.
    At(Digest),
    /// One that this registry cannot hold.
    Unknown,
}

/// Reads the precondition of a PUT.
///
/// *Spec:* RFC 9110 §13.1.1 and §13.1.2.
pub(super) fn precondition(headers: &HeaderMap) -> Precondition {
    match (headers.get(IF_MATCH), headers.get(IF_NONE_MATCH)) {
        (None, None) => Precondition::Any,
        (None, Some(value)) if value.as_bytes() == b"*" => Precondition::Absent,
        (Some(value), None) => {
            let tag = value.to_str().ok().and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"'));
            tag.and_then(|tag| Digest::parse(tag).ok()).map_or(Precondition::Unknown, Precondition::At)
        }
        _ => Precondition::Unknown,
    }
}

#[cfg(test)]
mod tests {
    //! Goal: conditions as RFC 9110 has them, and warnings that cannot be broken out of. Method: tables.

    use super::*;

    #[test]
    fn entity_tags() {
        for (value, expect) in [
            ("\"d\"", true),
            ("W/\"d\"", true),
            ("\"x\", \"d\"", true),
            ("*", true),
            ("\"x\"", false),
            ("d", false),
            ("", false),
        ] {
            assert_eq!(matches_tag(value, "d"), expect, "{value}");
        }
    }

    #[test]
    fn warnings_are_quoted() {
        assert_eq!(warning("a \"b\" \\ c"), "299 - \"a \\\"b\\\" \\\\ c\"");
    }
}
