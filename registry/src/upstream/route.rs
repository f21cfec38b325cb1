//! Which upstreams answer for a name.
//!
//! The meaning of `content[].prefix` is zot's: a glob over the repository's name, in which `*`
//! stands for one component and `**` for any number.

use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::Upstream;
use super::options::Options;
use crate::oci::RepositoryName;

/// The upstreams in their order, with what each answers for.
#[derive(Debug, Default)]
pub struct Routes(Vec<(Arc<Upstream>, Option<GlobSet>)>);

impl Routes {
    /// Adds an upstream after those that are there.
    ///
    /// *Errors:* a prefix that is no glob.
    pub fn add(&mut self, upstream: Arc<Upstream>, options: &Options) -> Result<(), globset::Error> {
        let globs = match options.content.is_empty() {
            true => None,
            false => Some(compile(options.content.iter().map(|content| content.prefix.as_str()))?),
        };
        self.0.push((upstream, globs));
        Ok(())
    }

    /// Returns the upstreams that answer for a name, in order.
    pub fn of<'a>(&'a self, name: &'a RepositoryName) -> impl Iterator<Item = &'a Arc<Upstream>> {
        let answers_for =
            |globs: &Option<GlobSet>| globs.as_ref().is_none_or(|globs| globs.is_match(name.as_str()));
        self.0.iter().filter(move |(_, globs)| answers_for(globs)).map(|(upstream, _)| upstream)
    }

    /// Returns those of [`Routes::of`] that stand for a registry.
    ///
    /// *Spec:* `spec.md#proxying`.
    pub fn claimers<'a>(&'a self, namespace: &str, name: &'a RepositoryName) -> Vec<Arc<Upstream>> {
        self.of(name).filter(|upstream| upstream.claims(namespace)).cloned().collect()
    }

    /// Returns all upstreams, in order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.iter().map(|(upstream, _)| upstream)
    }
}

fn compile<'a>(prefixes: impl Iterator<Item = &'a str>) -> Result<GlobSet, globset::Error> {
    let mut globs = GlobSetBuilder::new();
    for prefix in prefixes {
        let glob = prefix.strip_prefix('/').unwrap_or(prefix);
        globs.add(GlobBuilder::new(glob).literal_separator(true).build()?);
    }
    globs.build()
}

#[cfg(test)]
mod tests {
    //! Goal: zot's meaning of `prefix`. Method: a table.

    use super::*;

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
            assert_eq!(compile([prefix].into_iter()).unwrap().is_match(name), expect, "{prefix} {name}");
        }
    }
}
