//! Which hosted tags and manifests are removed, and when (`storage.retention`), as zot's keys have it.

use std::time::Duration;

use globset::GlobMatcher;
use regex::bytes::Regex;

use crate::oci::{RepositoryName, Tag};

/// What is kept of what was pushed. Without a policy everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Whether it is only told and counted what would go (`dryRun`).
    pub dry_run: bool,
    /// How old a manifest without a tag, or a referrer without its subject, must be to go (`delay`).
    pub delay: Duration,
    /// The policies; the first that has the repository decides.
    pub policies: Vec<Policy>,
}

/// What is kept of some repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The repositories.
    pub repositories: Vec<Glob>,
    /// Whether referrers go whose subject is not there (`deleteReferrers`).
    pub delete_referrers: bool,
    /// Whether manifests go that no tag points at and no index needs (`deleteUntagged`).
    pub delete_untagged: bool,
    /// Rules, any of which keeps a tag; without one, every tag is kept.
    pub keep_tags: Vec<TagRule>,
    /// What keeps a manifest without a tag, where those go.
    pub keep_untagged: Option<Rule>,
}

/// What keeps some tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRule {
    /// The tags, any of these; all without one.
    pub patterns: Vec<Pattern>,
    /// What keeps them.
    pub rule: Rule,
}

/// What keeps a thing, any of these; without one, everything is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// It was pulled within this time.
    pub pulled_within: Option<Duration>,
    /// It was pushed within this time.
    pub pushed_within: Option<Duration>,
    /// It is among so many that were pushed last.
    pub most_recently_pushed: Option<usize>,
    /// It is among so many that were pulled last.
    pub most_recently_pulled: Option<usize>,
}

/// A pattern over tags, found anywhere in one.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

/// A glob over repositories, `*` of which matches within a component.
#[derive(Debug, Clone)]
pub struct Glob(GlobMatcher);

impl Retention {
    /// Returns the policy that decides about a repository.
    pub fn policy(&self, repository: &RepositoryName) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.repositories.iter().any(|glob| glob.has(repository)))
    }

    /// Says whether it matters when something was pulled.
    pub fn needs_pulls(&self) -> bool {
        let rules = self.policies.iter().flat_map(|policy| {
            policy.keep_tags.iter().map(|rule| &rule.rule).chain(policy.keep_untagged.as_ref())
        });
        rules.into_iter().any(|rule| rule.pulled_within.is_some() || rule.most_recently_pulled.is_some())
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { dry_run: false, delay: Duration::from_secs(24 * 3600), policies: Vec::new() }
    }
}

impl TagRule {
    /// Says whether it is about a tag.
    pub fn has(&self, tag: &Tag) -> bool {
        self.patterns.is_empty()
            || self.patterns.iter().any(|pattern| pattern.0.is_match(tag.as_str().as_bytes()))
    }
}

impl From<Regex> for Pattern {
    fn from(regex: Regex) -> Self {
        Self(regex)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Glob {
    /// Reads a glob; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let glob = globset::GlobBuilder::new(text.trim_start_matches('/')).literal_separator(true).build();
        Some(Self(glob.ok()?.compile_matcher()))
    }

    fn has(&self, repository: &RepositoryName) -> bool {
        self.0.is_match(repository.as_str())
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.0.glob() == other.0.glob()
    }
}

impl Eq for Glob {}
