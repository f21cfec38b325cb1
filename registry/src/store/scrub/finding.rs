//! What can be wrong with a store, and what was done about it.

use std::fmt;

use serde::Serialize;

use crate::backend::Key;
use crate::oci::Digest;
use crate::store::RepositoryKey;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The bytes under a digest have another one: bits flipped, or some are missing or too many.
    CorruptContent,
    /// The disk does not give the bytes.
    UnreadableContent,
    /// A repository has a blob whose content is missing, corrupt, in quarantine or of another size.
    BlobContent,
    /// A repository has a manifest whose content is missing, corrupt, in quarantine or of another size.
    ManifestContent,
    /// The content of a manifest is no manifest of its type.
    ManifestSyntax,
    /// A hosted manifest refers to what its repository does not have (P3).
    ReferenceMissing,
    /// A tag points at a manifest that the repository does not have (P3).
    TagDangling,
    /// A tag that the delete of its manifest would not find.
    HintMissing,
    /// A hint at a tag of a manifest that is gone; harmless.
    HintStale,
    /// A manifest is not among the referrers of its subject.
    ReferrerMissing,
    /// An entry among the referrers whose manifest is gone; harmless.
    ReferrerStale,
    /// A repository holds manifests, and no catalog shows it.
    NameMissing,
    /// A name in the catalog whose repository holds nothing; harmless.
    NameStale,
    /// A record cannot be read, or does not say what the content says.
    Record,
    /// A key that the layout does not know.
    Foreign,
}

/// What was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// Nothing: it takes a push, or a hand.
    Reported,
    /// What was to be done failed.
    Failed,
    /// The content was moved to the quarantine.
    Quarantined,
    /// It was fetched again from its upstream.
    Refetched,
    /// What led to nothing was removed; what was cached is fetched again when it is asked for.
    Removed,
    /// It was written again from what is here.
    Restored,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// Where in the store.
    #[serde(serialize_with = "as_text")]
    pub key: Key,
    /// Whose it is; of content, which is shared, nobody's.
    #[serde(serialize_with = "as_text_if_any", skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryKey>,
    /// The content, manifest or blob; of a reference that is missing, what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What exactly, for a human.
    pub detail: String,
    /// What was done about it.
    pub done: Done,
}

impl Kind {
    /// Returns its name, as logs, metrics and reports have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CorruptContent => "corrupt-content",
            Self::UnreadableContent => "unreadable-content",
            Self::BlobContent => "blob-content",
            Self::ManifestContent => "manifest-content",
            Self::ManifestSyntax => "manifest-syntax",
            Self::ReferenceMissing => "reference-missing",
            Self::TagDangling => "tag-dangling",
            Self::HintMissing => "hint-missing",
            Self::HintStale => "hint-stale",
            Self::ReferrerMissing => "referrer-missing",
            Self::ReferrerStale => "referrer-stale",
            Self::NameMissing => "name-missing",
            Self::NameStale => "name-stale",
            Self::Record => "record",
            Self::Foreign => "foreign",
        }
    }
}

impl Done {
    /// Returns its name, as logs, metrics and reports have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Refetched => "refetched",
            Self::Removed => "removed",
            Self::Restored => "restored",
        }
    }

    /// Says whether nothing is wrong any more. Content in quarantine serves nobody wrong bytes; whoever lacks
    /// it now is a finding of its own.
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::Reported | Self::Failed)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Finding {
    /// Compares by where it is, what is wrong, and with what: the order of a report.
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let parts = |it: &Self| (it.key.clone(), it.kind, it.digest);
        parts(self).cmp(&parts(other)).then_with(|| self.detail.cmp(&other.detail))
    }

    /// Returns whose it is, and what: `team/app sha256:…`, or the key where there is no better name.
    pub fn subject(&self) -> String {
        match (&self.repository, &self.digest) {
            (Some(repository), Some(digest)) => format!("{repository} {digest}"),
            (None, Some(digest)) => digest.to_string(),
            (_, None) => self.key.to_string(),
        }
    }
}

fn as_text<S: serde::Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_text_if_any<S: serde::Serializer>(
    value: &Option<impl fmt::Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
