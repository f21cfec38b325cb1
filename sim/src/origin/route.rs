//! The endpoint that a path means. Spec: `spec.md#endpoints`.

use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use crate::digest::{Digest, DigestError};

/// The longest repository name.
const NAME_BYTES_MAX: usize = 255;
/// The longest tag.
const TAG_BYTES_MAX: usize = 128;

/// An endpoint of the API with its parsed path parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Base,
    Catalog,
    Blob { name: String, digest: Digest },
    Manifest { name: String, reference: Reference },
    Uploads { name: String },
    Upload { name: String, id: String },
    Tags { name: String },
    Referrers { name: String, digest: Digest },
}

/// What names a manifest in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(String),
    Digest(Digest),
}

impl Endpoint {
    /// Reads a path. It is read from its end, because a name may contain `blobs` or `manifests` itself.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let rest = match path {
            "/v2" | "/v2/" => return Ok(Self::Base),
            "/v2/_catalog" => return Ok(Self::Catalog),
            _ => path.strip_prefix("/v2/").ok_or(Refusal::EndpointUnknown)?,
        };
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            [name @ .., "tags", "list"] => Ok(Self::Tags { name: parse_name(name)? }),
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
                Ok(Self::Uploads { name: parse_name(name)? })
            }
            [name @ .., "blobs", "uploads", id] => {
                Ok(Self::Upload { name: parse_name(name)?, id: (*id).to_owned() })
            }
            [name @ .., "blobs", digest] => {
                Ok(Self::Blob { name: parse_name(name)?, digest: parse_digest(digest)? })
            }
            [name @ .., "manifests", reference] => {
                Ok(Self::Manifest { name: parse_name(name)?, reference: parse_reference(reference)? })
            }
            [name @ .., "referrers", digest] => {
                Ok(Self::Referrers { name: parse_name(name)?, digest: parse_digest(digest)? })
            }
            _ => Err(Refusal::EndpointUnknown),
        }
    }
}

/// Says whether a text is a repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/…)*`.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && name.split('/').all(is_name_component)
}

/// Says whether a text is a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub(super) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    tag.len() <= TAG_BYTES_MAX
        && bytes.next().is_some_and(word)
        && bytes.all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_name_component(component: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = component.split(is_word).filter(|it| !it.is_empty());
    component.starts_with(is_word)
        && component.ends_with(is_word)
        && separators.into_iter().all(|it| matches!(it, "." | "_" | "__") || it.bytes().all(|b| b == b'-'))
}

fn parse_name(parts: &[&str]) -> Result<String, Refusal> {
    let name = parts.join("/");
    if is_name(&name) { Ok(name) } else { Err(Refusal::NameInvalid(name)) }
}

fn parse_digest(part: &str) -> Result<Digest, Refusal> {
    let text = decoded(part)?;
    text.parse().map_err(|_: DigestError| Refusal::DigestInvalid(text))
}

fn parse_reference(part: &str) -> Result<Reference, Refusal> {
    let text = decoded(part)?;
    if text.contains(':') {
        return text.parse().map(Reference::Digest).map_err(|_: DigestError| Refusal::DigestInvalid(text));
    }
    if is_tag(&text) { Ok(Reference::Tag(text)) } else { Err(Refusal::ReferenceInvalid(text)) }
}

fn decoded(part: &str) -> Result<String, Refusal> {
    match percent_decode_str(part).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Refusal::ReferenceInvalid(part.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "a--b", "a__b", "a.b/c_d/e-f", "0", &"a".repeat(255)] {
            assert!(is_name(good), "{good}");
        }
        for bad in
            ["", "A", "a___b", "-a", "a-", "a..b", "a//b", "a/./b", "a/", "a._b", "é", &"a".repeat(256)]
        {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn tags() {
        for good in ["latest", "_x", "1.0-rc_1", &"t".repeat(128)] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", ".x", "-x", "a b", "a:b", "é", &"t".repeat(129)] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn names_may_look_like_endpoints() {
        let digest = Digest::sha256_of(b"");
        let check = |path: &str, expect: Endpoint| assert_eq!(Endpoint::parse(path), Ok(expect), "{path}");
        let reference = || Reference::Tag("x".to_owned());
        check("/v2/", Endpoint::Base);
        check("/v2/tags/list/tags/list", Endpoint::Tags { name: "tags/list".to_owned() });
        check(
            "/v2/a/manifests/b/manifests/x",
            Endpoint::Manifest { name: "a/manifests/b".to_owned(), reference: reference() },
        );
        check(
            &format!("/v2/a/blobs/uploads/blobs/{}", digest.to_string().replace(':', "%3A")),
            Endpoint::Blob { name: "a/blobs/uploads".to_owned(), digest },
        );
        check("/v2/blobs/blobs/uploads/", Endpoint::Uploads { name: "blobs".to_owned() });
        check("/v2/a/blobs/uploads/1", Endpoint::Upload { name: "a".to_owned(), id: "1".to_owned() });
    }

    #[test]
    fn refuses_what_reaches_outside() {
        for path in
            ["/v2/../x/manifests/y", "/v2/a%2fb/manifests/y", "/v2/a/manifests/%2e%2e%2fx", "/etc/passwd"]
        {
            assert!(Endpoint::parse(path).is_err(), "{path}");
        }
    }
}
