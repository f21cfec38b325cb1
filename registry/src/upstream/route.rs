//! Which upstreams answer for a name, and what they call it.
//!
//! The meaning of `content[]` is zot's: `prefix` is a glob over the upstream's names, in which `*` stands for
//! one component and `**` for any number; `destination` is put before them here, and `stripPrefix` leaves out
//! what stands before the glob's first `*`.
//!
//! *Spec:* `spec.md#proxying` for `ns`.

use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use super::Upstream;
use super::mirror::TagFilter;
use super::options::pattern::PatternError;
use super::options::{Content, Options};
use crate::oci::RepositoryName;

/// The upstreams in their order, with what each answers for.
#[derive(Debug, Default)]
pub struct Routes(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    upstream: Arc<Upstream>,
    /// None answers for all names.
    rules: Option<Vec<Rule>>,
}

/// One entry of `content`.
#[derive(Debug)]
struct Rule {
    /// What the name here begins with, beside what the glob matches; without slashes at its ends.
    destination: String,
    /// What the upstream's name begins with, and the name here does not.
    stripped: String,
    /// The upstream's names.
    prefix: GlobMatcher,
    /// The upstream's only name, if there are no others.
    exact: Option<RepositoryName>,
    tags: TagFilter,
}

/// What is wrong with an entry of `content`.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Its prefix is no glob.
    #[error("a prefix is not a glob")]
    Prefix(#[from] globset::Error),
    /// An expression over its tags is none.
    #[error("an expression over tags cannot be read")]
    Tags(#[from] PatternError),
}

/// An upstream that may be asked, and what it calls the repository.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// The repository's name there.
    pub name: RepositoryName,
    /// Whether it may be asked for what is not here.
    pub asking: Asking,
}

/// Whether an upstream may be asked for what is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// It may.
    Allowed,
    /// It is mirrored only: what is not here is not there.
    Never,
    /// Not by this client.
    Refused,
}

impl Routes {
    /// Adds an upstream after those that are there.
    ///
    /// *Errors:* [`ContentError`].
    pub fn add(&mut self, upstream: Arc<Upstream>, options: &Options) -> Result<(), ContentError> {
        let rules = options.content.iter().map(Rule::new).collect::<Result<Vec<_>, _>>()?;
        self.0.push(Entry { upstream, rules: (!rules.is_empty()).then_some(rules) });
        Ok(())
    }

    /// Returns the upstreams that answer for a name without a namespace, in order.
    pub fn of<'a>(&'a self, name: &'a RepositoryName) -> impl Iterator<Item = Candidate> + 'a {
        self.0.iter().filter_map(|entry| Some(entry.candidate(&entry.remote(name)?)))
    }

    /// Returns the upstreams that stand for a registry and answer for its name, in order.
    pub fn claimers(&self, namespace: &str, name: &RepositoryName) -> Vec<Candidate> {
        let claiming = self.0.iter().filter(|entry| entry.upstream.claims(namespace));
        claiming.filter(|entry| entry.has(name)).map(|entry| entry.candidate(name)).collect()
    }

    /// Splits a name whose first component is a registry that an upstream stands for: that registry, and the
    /// name there.
    pub fn namespace_of<'a>(&self, name: &'a RepositoryName) -> Option<(&'a str, RepositoryName)> {
        let (first, rest) = name.as_str().split_once('/')?;
        // A registry's name has a dot, so that no user's first component is taken for one.
        if !first.contains('.') || !self.is_claimed(first) {
            return None;
        }
        Some((first, RepositoryName::parse(rest).ok()?))
    }

    /// Returns the repositories of an upstream that can be mirrored without its catalog; `None` when there may
    /// be others. Without `content` there are none: nobody mirrors a whole registry by leaving something out.
    pub fn exact_names(&self, upstream: &Upstream) -> Option<Vec<RepositoryName>> {
        let Some(rules) = &self.entry(upstream)?.rules else { return Some(Vec::new()) };
        rules.iter().map(|rule| rule.exact.as_ref().map(|name| upstream.full_name(name))).collect()
    }

    /// Returns which tags of a repository of an upstream are mirrored; `None` when the repository is not.
    pub fn tags_of(&self, upstream: &Upstream, name: &RepositoryName) -> Option<&TagFilter> {
        let rules = self.entry(upstream)?.rules.as_ref()?;
        let matches = |rule: &&Rule| {
            let is_exact = rule.exact.as_ref().is_some_and(|exact| upstream.full_name(exact) == *name);
            is_exact || rule.prefix.is_match(name.as_str())
        };
        rules.iter().find(matches).map(|rule| &rule.tags)
    }

    fn entry(&self, upstream: &Upstream) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.upstream.id() == upstream.id())
    }

    /// Says whether an upstream stands for a registry, as a client's `ns` names it.
    pub fn is_claimed(&self, namespace: &str) -> bool {
        self.all().any(|upstream| upstream.claims(namespace))
    }

    /// Says whether this very upstream is among them: one with the same name may be another.
    pub fn has(&self, upstream: &Arc<Upstream>) -> bool {
        self.all().any(|it| Arc::ptr_eq(it, upstream))
    }

    /// Returns all upstreams, in order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.iter().map(|entry| &entry.upstream)
    }
}

impl Entry {
    /// Returns what the upstream calls a repository of this name here, if it answers for it.
    fn remote(&self, name: &RepositoryName) -> Option<RepositoryName> {
        match &self.rules {
            None => Some(name.clone()),
            Some(rules) => rules.iter().find_map(|rule| rule.remote(name.as_str())),
        }
    }

    /// Says whether the upstream answers for a name of its own.
    fn has(&self, remote: &RepositoryName) -> bool {
        let full = self.upstream.full_name(remote);
        self.rules.as_ref().is_none_or(|rules| {
            rules.iter().any(|rule| [remote, &full].iter().any(|it| rule.prefix.is_match(it.as_str())))
        })
    }

    fn candidate(&self, remote: &RepositoryName) -> Candidate {
        let asking = if self.upstream.options().on_demand { Asking::Allowed } else { Asking::Never };
        Candidate { upstream: Arc::clone(&self.upstream), name: self.upstream.full_name(remote), asking }
    }
}

impl Rule {
    fn new(content: &Content) -> Result<Self, ContentError> {
        let prefix = content.prefix.trim_matches('/');
        let literal = match prefix.find(['*', '?', '[', '{']) {
            Some(at) => prefix[..at].trim_end_matches('/'),
            None => prefix,
        };
        Ok(Self {
            destination: content.destination.trim_matches('/').to_owned(),
            stripped: if content.strip_prefix { literal.to_owned() } else { String::new() },
            exact: if literal == prefix { RepositoryName::parse(prefix).ok() } else { None },
            tags: TagFilter::new(&content.tags)?,
            prefix: GlobBuilder::new(prefix).literal_separator(true).build()?.compile_matcher(),
        })
    }

    fn remote(&self, name: &str) -> Option<RepositoryName> {
        let rest = match name.strip_prefix(self.destination.as_str())? {
            rest if self.destination.is_empty() => rest,
            "" => "",
            rest => rest.strip_prefix('/')?,
        };
        let parts = [self.stripped.as_str(), rest];
        let remote = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let remote = RepositoryName::parse(&remote).ok()?;
        self.prefix.is_match(remote.as_str()).then_some(remote)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: zot's meaning of `content`. Method: tables.

    use super::*;
    use crate::upstream::options::Tags;

    fn remote(prefix: &str, destination: &str, strip_prefix: bool, name: &str) -> Option<String> {
        let content = Content {
            prefix: prefix.to_owned(),
            destination: destination.to_owned(),
            strip_prefix,
            tags: Tags::default(),
        };
        Rule::new(&content).unwrap().remote(name).map(|remote| remote.as_str().to_owned())
    }

    #[test]
    fn prefixes() {
        for (prefix, name, expect) in [
            ("/google-containers/*", "google-containers/pause", true),
            ("/google-containers/*", "google-containers/a/b", false),
            ("/google-containers/*", "kube-proxy", false),
            ("repo3/**", "repo3/a/b", true),
            ("**", "a/b/c", true),
            ("kube-proxy", "kube-proxy", true),
            ("kube-proxy", "kube-proxy/x", false),
        ] {
            let is_match = remote(prefix, "", false, name).is_some_and(|remote| remote == name);
            assert_eq!(is_match, expect, "{prefix} {name}");
        }
    }

    #[test]
    fn destinations_and_stripped_prefixes_are_turned_round() {
        for (prefix, destination, strip, name, expect) in [
            ("/repo2/repo", "/repo", true, "repo", Some("repo2/repo")),
            ("/repo1/**", "/x", false, "x/repo1/a/b", Some("repo1/a/b")),
            ("/repo1/**", "/x", true, "x/a/b", Some("repo1/a/b")),
            ("/repo1/*", "", true, "a", Some("repo1/a")),
            ("**", "mirror", false, "mirror/a/b", Some("a/b")),
            ("**", "mirror", false, "mirrored/a", None),
            ("**", "mirror", false, "a", None),
            ("/repo1/**", "/x", false, "x/repo2/a", None),
            ("/repo1/**", "/x", true, "x", None),
        ] {
            let found = remote(prefix, destination, strip, name);
            assert_eq!(found.as_deref(), expect, "{prefix} {destination} {strip} {name}");
        }
    }
}
