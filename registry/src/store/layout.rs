//! The one maker of keys. The tree is drawn in `docs/storage-layout.md`.

use std::fmt;
use std::sync::Arc;

use crate::backend::Key;
use crate::backend::object::Roots;
use crate::oci::{Algorithm, Digest, Hasher, RepositoryName, Tag};

/// Whose links: what was pushed here, or what was cached of one upstream. The bytes are shared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// What was pushed here.
    Hosted,
    /// What was cached of the upstream with this name.
    Upstream(Arc<str>),
}

/// A repository of a space. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryKey {
    /// Whose it is.
    pub space: Space,
    /// Its name there.
    pub name: RepositoryName,
}

impl RepositoryKey {
    /// Returns the key of a repository that is pushed to.
    pub const fn hosted(name: RepositoryName) -> Self {
        Self { space: Space::Hosted, name }
    }
}

impl fmt::Display for RepositoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.space {
            Space::Hosted => fmt::Display::fmt(&self.name, f),
            Space::Upstream(upstream) => write!(f, "{} of {upstream}", self.name),
        }
    }
}

/// The version of the layout, in the record at [`version`].
pub(super) const VERSION: u32 = 1;

/// What a backend over a bucket treats in ways of its own.
pub const ROOTS: Roots = Roots {
    local: &["fills", "parked"],
    unique: &["uploads", "claims"],
    single: &["claims"],
    content: &["blobs", "quarantine"],
};

/// Where the layout's version is.
pub(super) fn version() -> Key {
    Key::new("wharfinger.json")
}

/// Where content is.
pub(super) fn blob(digest: &Digest) -> Key {
    let hex = digest.hex();
    Key::new(&format!("blobs/{}/{}/{hex}", digest.algorithm(), &hex[..2]))
}

/// The folder of what processes that share the store claim.
pub(super) fn claims() -> Key {
    Key::new("claims")
}

/// The folder of what was moved aside.
pub(super) fn quarantine() -> Key {
    Key::new("quarantine")
}

/// The folder of what stood under a digest and was something else.
pub(super) fn quarantined(digest: &Digest) -> Key {
    quarantine().child(&digest.algorithm().to_string()).child(&digest.hex())
}

/// Content that stood under a digest, by what it is: what goes wrong twice is kept twice.
pub(super) fn quarantined_content(digest: &Digest, actual: &Digest) -> Key {
    quarantined(digest).child(&actual.hex()).child("content")
}

/// What is known of it.
pub(super) fn quarantined_record(digest: &Digest, actual: &Digest) -> Key {
    quarantined(digest).child(&actual.hex()).child("record")
}

/// How far the store was scrubbed.
pub(super) fn scrub() -> Key {
    system().child("scrub")
}

/// The folder of what the registry keeps for itself.
pub(super) fn system() -> Key {
    Key::new("system")
}

/// What stands below [`system`].
pub(super) const SYSTEM: [&str; 3] = ["api-keys", "scrub", "token-keys"];

/// A folder of what the access layer keeps.
pub(super) fn kept(folder: &str) -> Key {
    system().child(folder)
}

/// The folder of the content of one algorithm.
pub(super) fn contents(algorithm: Algorithm) -> Key {
    all_contents().child(&algorithm.to_string())
}

/// The folder of all content.
pub(super) fn all_contents() -> Key {
    Key::new("blobs")
}

/// What stands below the root; the first two are the backend's own.
pub(super) const ROOT: [&str; 17] = [
    "tmp",
    "wharfinger.lock",
    "wharfinger.json",
    "blobs",
    "claims",
    "condemned",
    "fills",
    "locks",
    "names",
    "parked",
    "quarantine",
    "repositories",
    "retention",
    "slots",
    "system",
    "upstreams",
    "uploads",
];

/// The folder of all content of one algorithm.
pub(super) fn blobs(algorithm: Algorithm) -> Key {
    Key::new(&format!("blobs/{algorithm}"))
}

/// Since when pulls of hosted manifests are written down.
pub(super) fn pulls_known() -> Key {
    Key::new("retention/pulls")
}

/// The folder of all uploads.
pub(super) fn uploads() -> Key {
    Key::new("uploads")
}

/// The folder of content that is being fetched or copied.
pub(super) fn fills() -> Key {
    Key::new("fills")
}

/// The folder of what is known of fetched content that is not whole. At start, content in [`fills`] that
/// none of these names is removed.
pub(super) fn parked() -> Key {
    Key::new("parked")
}

/// What is known of the bytes of a blob that one repository of an upstream was asked for.
///
/// The bytes belong to that repository alone: being allowed to read a digest in one says nothing of another.
pub(super) fn parked_fill(repository: &RepositoryKey, digest: &Digest) -> Key {
    let whose = match &repository.space {
        Space::Hosted => "",
        Space::Upstream(upstream) => upstream,
    };
    let text = format!("{whose}\n{}\n{digest}", repository.name);
    parked().child(&Hasher::digest(Algorithm::Sha256, text.as_bytes()).hex())
}

/// The folder of one upload.
pub(super) fn upload(id: &str) -> Key {
    uploads().child(id)
}

/// An upload's staged bytes.
pub(super) fn upload_data(id: &str) -> Key {
    upload(id).child("data")
}

/// An upload's record.
pub(super) fn upload_state(id: &str) -> Key {
    upload(id).child("state")
}

/// The folder of the names of the repositories that hold something.
pub(super) fn names(space: &Space) -> Key {
    match space {
        Space::Hosted => Key::new("names"),
        Space::Upstream(upstream) => Key::new(&format!("upstreams/{upstream}/names")),
    }
}

/// The mark that a repository holds something. A name has no colon, so this is one to one.
pub(super) fn name(repository: &RepositoryKey) -> Key {
    names(&repository.space).child(&repository.name.as_str().replace('/', ":"))
}

/// The repository's name that a child of [`names`] stands for, or `None` for a foreign file.
pub(super) fn name_of(child: &str) -> Option<RepositoryName> {
    RepositoryName::parse(&child.replace(':', "/")).ok()
}

fn of(repository: &RepositoryKey, rest: &str) -> Key {
    let name = &repository.name;
    match &repository.space {
        Space::Hosted => Key::new(&format!("repositories/{name}/{rest}")),
        Space::Upstream(upstream) => Key::new(&format!("upstreams/{upstream}/repositories/{name}/{rest}")),
    }
}

/// What a file system keeps for itself in the root of a volume.
pub(super) const OF_THE_VOLUME: &str = "lost+found";

/// The folder of everything that a repository has.
pub(super) fn repository(repository: &RepositoryKey) -> Key {
    let name = &repository.name;
    match &repository.space {
        Space::Hosted => repositories().child(name.as_str()),
        Space::Upstream(upstream) => repositories_of(upstream).child(name.as_str()),
    }
}

/// Where a repository's blobs are.
pub(super) const BLOBS: &str = "_blobs";
/// Where a repository's manifests are.
pub(super) const MANIFESTS: &str = "_manifests";

/// Where a repository's referrers are, by their subject.
pub(super) const REFERRERS: &str = "_referrers";
/// Where a repository's tags are.
pub(super) const TAGS: &str = "_tags";
/// Where hints at them are, by the digest they point at.
pub(super) const TAGGED: &str = "_tagged";
/// What stands below a repository beside the repositories below it.
pub(super) const PARTS: [&str; 9] =
    [BLOBS, MANIFESTS, REFERRERS, TAGS, TAGGED, "_gone", "_checked", "_pulled", "_mirrored"];

/// Where the content is noted that was fetched from an upstream.
pub(super) const HELD: &str = "held";
/// What stands below an upstream.
pub(super) const UPSTREAM: [&str; 3] = ["names", "repositories", HELD];

/// A part of a repository.
pub(super) fn part(repository: &RepositoryKey, part: &str) -> Key {
    of(repository, part)
}

/// The folder of the hosted repositories.
pub(super) fn repositories() -> Key {
    Key::new("repositories")
}

/// The folder of the upstreams of which something is cached.
pub(super) fn upstreams() -> Key {
    Key::new("upstreams")
}

/// Everything of an upstream but what was fetched in part.
pub(super) fn upstream(upstream_name: &str) -> Key {
    upstreams().child(upstream_name)
}

/// The folder of the cached repositories of an upstream.
pub(super) fn repositories_of(upstream: &str) -> Key {
    upstreams().child(upstream).child("repositories")
}

/// The folder of the blobs of one algorithm that a repository may serve.
pub(super) fn members(repository: &RepositoryKey, algorithm: Algorithm) -> Key {
    of(repository, &format!("{BLOBS}/{algorithm}"))
}

/// The record that a repository may serve a blob.
pub(super) fn member(repository: &RepositoryKey, digest: &Digest) -> Key {
    members(repository, digest.algorithm()).child(&digest.hex())
}

/// When a manifest was last pulled. In a folder of its own: it is written again and again.
pub(super) fn pulled(repository: &RepositoryKey, digest: &Digest) -> Key {
    of(repository, &format!("_pulled/{}/{}", digest.algorithm(), digest.hex()))
}

/// The folder of when manifests of one algorithm were pulled.
pub(super) fn all_pulled(repository: &RepositoryKey, algorithm: Algorithm) -> Key {
    of(repository, &format!("_pulled/{algorithm}"))
}

/// The folder of the marks of mirrored manifests of one algorithm.
pub(super) fn all_mirrored(repository: &RepositoryKey, algorithm: Algorithm) -> Key {
    of(repository, &format!("_mirrored/{algorithm}"))
}

/// That a cached manifest was mirrored.
pub(super) fn mirrored(repository: &RepositoryKey, digest: &Digest) -> Key {
    all_mirrored(repository, digest.algorithm()).child(&digest.hex())
}

/// The folder of the content of one algorithm that was fetched from an upstream.
pub(super) fn all_held(upstream: &str, algorithm: Algorithm) -> Key {
    upstreams().child(upstream).child(HELD).child(&algorithm.to_string())
}

/// That content was fetched from an upstream, whatever its repository.
pub(super) fn held(upstream: &str, digest: &Digest) -> Key {
    all_held(upstream, digest.algorithm()).child(&digest.hex())
}

/// The folder of a repository's manifests of one algorithm.
pub(super) fn manifests(repository: &RepositoryKey, algorithm: Algorithm) -> Key {
    of(repository, &format!("{MANIFESTS}/{algorithm}"))
}

/// The record of a manifest.
pub(super) fn manifest(repository: &RepositoryKey, digest: &Digest) -> Key {
    manifests(repository, digest.algorithm()).child(&digest.hex())
}

/// The folder of the subjects of one algorithm that manifests are about.
pub(super) fn all_referrers(repository: &RepositoryKey, algorithm: Algorithm) -> Key {
    of(repository, &format!("_referrers/{algorithm}"))
}

/// The folder of the manifests about a subject.
pub(super) fn referrers(repository: &RepositoryKey, subject: &Digest) -> Key {
    of(repository, &format!("{REFERRERS}/{}/{}", subject.algorithm(), subject.hex()))
}

/// The descriptor of one manifest about a subject.
pub(super) fn referrer(repository: &RepositoryKey, subject: &Digest, referrer: &Digest) -> Key {
    referrers(repository, subject).child(&referrer.to_string())
}

/// The folder of a repository's tags.
pub(super) fn tags(repository: &RepositoryKey) -> Key {
    of(repository, TAGS)
}

/// The record of a tag.
pub(super) fn tag(repository: &RepositoryKey, tag: &Tag) -> Key {
    tags(repository).child(tag.as_str())
}

/// That a tag was deleted, where an upstream might bring it back.
pub(super) fn gone(repository: &RepositoryKey, tag: &Tag) -> Key {
    all_gone(repository).child(tag.as_str())
}

/// The folder of such tags.
pub(super) fn all_gone(repository: &RepositoryKey) -> Key {
    of(repository, "_gone")
}

/// When a cached tag was last checked. In a folder of its own: it is written again and again.
pub(super) fn checked(repository: &RepositoryKey, tag: &Tag) -> Key {
    of(repository, "_checked").child(tag.as_str())
}

/// The folder of the digests of one algorithm that tags may point at.
pub(super) fn all_tagged(repository: &RepositoryKey, algorithm: Algorithm) -> Key {
    of(repository, &format!("_tagged/{algorithm}"))
}

/// The folder of the tags that may point at a digest.
pub(super) fn tagged(repository: &RepositoryKey, digest: &Digest) -> Key {
    of(repository, &format!("{TAGGED}/{}/{}", digest.algorithm(), digest.hex()))
}

#[cfg(test)]
mod tests {
    //! Goal: two things never share a key, and nothing leaves the root. Method: properties over
    //! names, digests and tags at the limits of their grammars.

    use proptest::prelude::*;

    use super::*;

    fn digest(text: &str) -> Digest {
        Hasher::digest(Algorithm::Sha256, text.as_bytes())
    }

    proptest! {
        #[test]
        fn keys_are_one_to_one(a in "[ab]{1,2}(/[ab_]{0,1}[ab]{1,2}){0,2}", b in "[ab]{1,2}(/[ab]{1,2}){0,2}", tag_text in "[a-b_]{1,2}") {
            let (Ok(a), Ok(b)) = (RepositoryName::parse(&a), RepositoryName::parse(&b)) else { return Ok(()) };
            let tag_name = Tag::parse(&tag_text).unwrap();
            let keys = |name: RepositoryName| {
                let repository = RepositoryKey::hosted(name);
                let digest = digest("x");
                [name_key(&repository), member(&repository, &digest), manifest(&repository, &digest),
                 gone(&repository, &tag_name), pulled(&repository, &digest), mirrored(&repository, &digest), referrer(&repository, &digest, &digest), tag(&repository, &tag_name), checked(&repository, &tag_name), tagged(&repository, &digest)]
            };
            let (first, second) = (keys(a.clone()), keys(b.clone()));
            for (i, x) in first.iter().enumerate() {
                for (j, y) in second.iter().enumerate() {
                    prop_assert_eq!(x == y, i == j && a == b, "{} {}", x, y);
                    // A key that is a folder of another would be a file and a folder at once.
                    prop_assert!(!y.as_str().starts_with(&format!("{x}/")), "{} is above {}", x, y);
                }
            }
            prop_assert_eq!(name_of(first[0].as_str().rsplit('/').next().unwrap()), Some(a));
        }
    }

    fn name_key(repository: &RepositoryKey) -> Key {
        name(repository)
    }

    #[test]
    fn the_longest_names_fit() {
        let longest =
            RepositoryName::parse(&"a/".repeat(127).replacen('a', "aa", 1)[..255].replace("//", "/a")).ok();
        let repository = RepositoryKey::hosted(
            longest.unwrap_or_else(|| RepositoryName::parse(&"a".repeat(255)).unwrap()),
        );
        name(&repository);
        tag(&repository, &Tag::parse(&"t".repeat(128)).unwrap());
        referrer(&repository, &digest(""), &Hasher::digest(Algorithm::Sha512, b""));
    }
}
