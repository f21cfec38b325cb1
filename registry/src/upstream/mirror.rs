//! Which repositories, tags and platforms of an upstream are mirrored: pure.
//!
//! The meaning of `tags` is zot's: a tag is taken that `regex` finds, that `excludeRegex` does not find, and
//! that is a version where `semver` is set.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::options::pattern::{PatternError, compile};
use super::options::{Mirror, Tags};
use crate::oci::descriptor::Platform;
use crate::oci::{Digest, Tag};

/// A version: one to three numbers, with or without a `v`, and what may follow them.
///
/// *Spec:* semver.org; with missing numbers, as zot takes them.
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"(0|[1-9][0-9]*)";
    let pattern = format!(r"^v?{number}(\.{number}){{0,2}}(-[0-9A-Za-z.-]+)?$");
    Regex::new(&pattern).expect("the pattern is right")
});

/// Suffixes of the tags in which signatures stand that are older than referrers.
const COSIGN_SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];

/// Which tags are mirrored.
#[derive(Debug, Default)]
pub struct TagFilter {
    regex: Option<Regex>,
    exclude: Option<Regex>,
    semver: bool,
}

impl TagFilter {
    /// Makes the filter of what was configured.
    ///
    /// *Errors:* an expression is none.
    pub fn new(tags: &Tags) -> Result<Self, PatternError> {
        let regex = |pattern: &Option<String>| pattern.as_deref().map(compile).transpose();
        Ok(Self { regex: regex(&tags.regex)?, exclude: regex(&tags.exclude)?, semver: tags.semver })
    }

    /// Says whether a tag is mirrored.
    pub fn wants(&self, tag: &str) -> bool {
        self.regex.as_ref().is_none_or(|regex| regex.is_match(tag.as_bytes()))
            && !self.exclude.as_ref().is_some_and(|regex| regex.is_match(tag.as_bytes()))
            && (!self.semver || VERSION.is_match(tag.as_bytes()))
    }
}

impl Mirror {
    /// Says whether a manifest in an index is mirrored; one without a platform always is.
    pub fn wants(&self, platform: Option<&Platform>) -> bool {
        let Some(platform) = platform.filter(|_| !self.platforms.is_empty()) else { return true };
        self.platforms.iter().any(|wanted| {
            let mut parts = wanted.split('/');
            parts.next() == Some(&platform.os)
                && parts.next() == Some(&platform.architecture)
                && parts.next().is_none_or(|variant| platform.variant.as_deref() == Some(variant))
        })
    }
}

/// Returns the tags under which signatures of a manifest may stand.
pub fn cosign_tags(digest: &Digest) -> impl Iterator<Item = Tag> {
    let stem = format!("{}-{}", digest.algorithm(), digest.hex());
    COSIGN_SUFFIXES.iter().filter_map(move |suffix| Tag::parse(&format!("{stem}{suffix}")).ok())
}

/// Says whether a tag is one of a signature, and no image's.
pub fn is_cosign_tag(tag: &str) -> bool {
    let Some((algorithm, rest)) = tag.split_once('-') else { return false };
    let stem = COSIGN_SUFFIXES.iter().find_map(|suffix| rest.strip_suffix(suffix));
    stem.is_some_and(|hex| Digest::parse(&format!("{algorithm}:{hex}")).is_ok())
}

/// Says whether a type of artifact is one of a signature.
pub fn is_signature(artifact_type: &str) -> bool {
    const TYPES: [&str; 3] = [
        "application/vnd.cncf.notary.signature",
        "application/vnd.dev.cosign.artifact.sig.v1+json",
        "application/vnd.dev.sigstore.bundle",
    ];
    TYPES.iter().any(|known| artifact_type.starts_with(known))
}

#[cfg(test)]
mod tests {
    //! Goal: each key means what it says. Method: tables.

    use super::*;
    use crate::oci::{Algorithm, Hasher};

    #[test]
    fn tags() {
        let filter = |regex: &str, exclude: &str, semver| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            TagFilter::new(&Tags { regex: some(regex), exclude: some(exclude), semver }).unwrap()
        };
        for (regex, exclude, semver, tag, expect) in [
            ("", "", false, "latest", true),
            ("^v1", "", false, "v1.2", true),
            ("^v1", "", false, "v2", false),
            ("1", "", false, "v0.1", true),
            ("", "-rc", false, "v1-rc1", false),
            ("^v1", "-rc", false, "v1.0", true),
            ("", "", true, "v1.26.0", true),
            ("", "", true, "1.2", true),
            ("", "", true, "1.2.3-alpine", true),
            ("", "", true, "1.2.3.4", false),
            ("", "", true, "01.2", false),
            ("", "", true, "latest", false),
            ("^v1", "", true, "v1x", false),
        ] {
            assert_eq!(filter(regex, exclude, semver).wants(tag), expect, "{regex} {exclude} {semver} {tag}");
        }
    }

    #[test]
    fn platforms() {
        let platform = |os: &str, architecture: &str, variant: Option<&str>| Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        };
        let mirror = Mirror {
            platforms: vec!["linux/amd64".to_owned(), "linux/arm/v7".to_owned()],
            ..Mirror::default()
        };
        for (of, expect) in [
            (Some(platform("linux", "amd64", None)), true),
            (Some(platform("linux", "amd64", Some("v3"))), true),
            (Some(platform("linux", "arm", Some("v7"))), true),
            (Some(platform("linux", "arm", Some("v6"))), false),
            (Some(platform("linux", "arm", None)), false),
            (Some(platform("unknown", "unknown", None)), false),
            (None, true),
        ] {
            assert_eq!(mirror.wants(of.as_ref()), expect, "{of:?}");
        }
        assert!(Mirror::default().wants(Some(&platform("plan9", "mips", None))));
    }

    #[test]
    fn signatures() {
        let digest = Hasher::digest(Algorithm::Sha256, b"");
        let tags: Vec<Tag> = cosign_tags(&digest).collect();
        assert_eq!(tags.len(), 3);
        assert!(tags.iter().all(|tag| is_cosign_tag(tag.as_str())), "{tags:?}");
        assert!(!is_cosign_tag("v1.sig") && !is_cosign_tag("sha256-e3b0.sig") && !is_cosign_tag("latest"));
        assert!(is_signature("application/vnd.dev.sigstore.bundle.v0.3+json"));
        assert!(!is_signature("application/vnd.example.sbom"));
    }
}
