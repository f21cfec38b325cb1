//! What a run over a store has removed, or would.

use std::collections::BTreeMap;
use std::fmt;

/// What was removed, by its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How much of each kind.
    pub removed: BTreeMap<Kind, Amount>,
    /// What is cached of upstreams that are no longer configured, and stays.
    pub orphans: BTreeMap<String, Amount>,
    /// How many hosted tags and manifests would go if retention were no dry run.
    pub spared: BTreeMap<Kind, u64>,
    /// How often something could not be looked at or removed; it stays until a later run.
    pub failures: u64,
}

/// A number of things, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// How many bytes they have; none where they are records.
    pub bytes: u64,
}

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An upload, or a fetch, that stood still for too long.
    Upload,
    /// A cached manifest or blob of an upstream that is no longer configured.
    Orphan,
    /// A hosted tag that a policy does not keep.
    Tag,
    /// A hosted manifest that a policy lets go.
    Manifest,
    /// The record that a repository may serve a blob.
    Link,
    /// An entry of a list of referrers whose manifest is not there.
    Referrer,
    /// The hint that a tag points at a manifest which it does not point at.
    Hint,
    /// When a manifest was pulled that is not there.
    Pull,
    /// The note that content of an upstream is here, which is not.
    Held,
    /// The bytes of a blob or manifest.
    Content,
}

/// One thing that is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Where it is, in words.
    pub what: String,
    /// How many bytes it has; none where it is a record.
    pub bytes: u64,
}

impl Report {
    pub(super) fn add(&mut self, kind: Kind, objects: u64, bytes: u64) {
        self.removed.entry(kind).or_default().add(objects, bytes);
    }

    /// Adds what a further look has found.
    pub(super) fn append(&mut self, other: Self) {
        for (kind, amount) in other.removed {
            self.add(kind, amount.objects, amount.bytes);
        }
        for (kind, count) in other.spared {
            *self.spared.entry(kind).or_default() += count;
        }
        self.failures += other.failures;
    }

    /// Returns how much there is of a kind.
    pub fn of(&self, kind: Kind) -> Amount {
        self.removed.get(&kind).copied().unwrap_or_default()
    }

    /// Says whether nothing was found, and nothing failed.
    pub fn is_clean(&self) -> bool {
        self.removed.is_empty() && self.failures == 0
    }
}

impl Amount {
    pub(super) const fn add(&mut self, objects: u64, bytes: u64) {
        self.objects += objects;
        self.bytes += bytes;
    }
}

impl Kind {
    /// Returns its name in metrics and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Orphan => "orphan",
            Self::Tag => "tag",
            Self::Manifest => "manifest",
            Self::Link => "link",
            Self::Referrer => "referrer",
            Self::Hint => "hint",
            Self::Pull => "pull",
            Self::Held => "held",
            Self::Content => "content",
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.what)?;
        if self.bytes > 0 { write!(f, " ({} bytes)", self.bytes) } else { Ok(()) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, amount) in &self.removed {
            writeln!(f, "{}: {}", kind.as_str(), amount)?;
        }
        for (kind, objects) in &self.spared {
            writeln!(f, "{}: {objects} kept by retention.dryRun", kind.as_str())?;
        }
        for (upstream, amount) in &self.orphans {
            writeln!(f, "kept of {upstream}, which is not configured: {amount}; --orphans removes it")?;
        }
        if self.failures > 0 {
            writeln!(f, "could not be looked at or removed: {}", self.failures)?;
        }
        Ok(())
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} objects, {} bytes", self.objects, self.bytes)
    }
}
