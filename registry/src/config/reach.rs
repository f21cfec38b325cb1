//! Which upstreams are asked with an account for people who have none.
//!
//! Whether two globs have a name in common is answered by trying names: those that each glob stands for at its
//! simplest. What is found is certain; of globs with unusual classes one may be missed, so this is for warnings.

use globset::{GlobBuilder, GlobMatcher};

use super::error::Fault;
use super::options::Config;
use crate::auth::options::{AccessControl, Action};
use crate::upstream::options::{Content, Options};

/// Warns of each upstream that is asked with an account, and that anonymous users can read.
pub(super) fn warnings(config: &Config, has_account: &dyn Fn(&Options) -> bool) -> Vec<Fault> {
    let asked = |upstream: &Options| upstream.on_demand && has_account(upstream);
    let named = config.upstreams.iter().enumerate().filter(|(_, upstream)| asked(upstream));
    named
        .filter_map(|(index, upstream)| {
            let cause = open(config, upstream)?;
            let message = format!(
                "is asked with an account, and whoever comes without one may read what it has ({cause}); if that \
                 is not meant, give its names a policy without anonymousPolicy"
            );
            Some(Fault::new(format!("extensions.sync.registries[{index}]"), message))
        })
        .collect()
}

/// Returns why anonymous users may read something of an upstream, if they may.
fn open(config: &Config, upstream: &Options) -> Option<String> {
    let Some(access) = &config.auth.access else {
        let open = config.auth.htpasswd.is_none() && config.auth.ldap.is_none();
        return open.then(|| "there is no http.accessControl".to_owned());
    };
    let names = names(access, upstream);
    let glob = names.iter().find_map(|name| anonymous(access, name))?;
    Some(format!("http.accessControl.repositories[{glob:?}].anonymousPolicy"))
}

/// Returns names here that lead to the upstream, as its globs and those of the policy give them.
fn names(access: &AccessControl, upstream: &Options) -> Vec<String> {
    let mut names = Vec::new();
    let policy = || access.repositories.iter().flat_map(|(glob, _)| samples(glob));
    let spaces = namespaces(upstream);
    let in_namespace = |name: &str| {
        let space = spaces.iter().find_map(|space| name.strip_prefix(space.as_str())?.strip_prefix('/'));
        space.map(str::to_owned)
    };
    if upstream.content.is_empty() {
        names.extend(policy());
        names.extend(spaces.iter().map(|space| format!("{space}/x/x")));
    }
    for content in &upstream.content {
        let Some(prefix) = matcher(content.prefix.trim_matches('/')) else { continue };
        for remote in samples(content.prefix.trim_matches('/')).into_iter().filter(|it| prefix.is_match(it)) {
            names.push(local(content, &remote));
            names.extend(spaces.iter().map(|space| format!("{space}/{remote}")));
        }
        names.extend(policy().filter(|name| in_namespace(name).is_some_and(|rest| prefix.is_match(rest))));
        names.extend(policy().filter(|name| prefix.is_match(name)).map(|remote| local(content, &remote)));
    }
    names
}

/// Returns the registries that an upstream stands for.
fn namespaces(upstream: &Options) -> Vec<String> {
    upstream.namespaces.clone().unwrap_or_else(|| hosts(upstream).map(str::to_owned).collect())
}

/// Returns the hosts and ports of an upstream's urls.
pub(super) fn hosts(upstream: &Options) -> impl Iterator<Item = &str> {
    let hosts = upstream.urls.iter().filter_map(|url| url.split_once("://").map(|(_, host)| host));
    hosts.map(|host| host.trim_end_matches('/'))
}

/// Returns what a repository of an upstream is called here.
fn local(content: &Content, remote: &str) -> String {
    let literal = content.prefix.trim_matches('/');
    let literal = literal.find(['*', '?', '[', '{']).map_or(literal, |at| &literal[..at]);
    let rest = if content.strip_prefix { remote.strip_prefix(literal.trim_end_matches('/')) } else { None };
    let parts = [content.destination.trim_matches('/'), rest.unwrap_or(remote).trim_start_matches('/')];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// Returns the glob by which anybody may read a name, if one lets them.
///
/// As in the policy: the longest glob that matches decides alone, and `team/**` covers `team`.
fn anonymous<'a>(access: &'a AccessControl, name: &str) -> Option<&'a str> {
    let matches = |glob: &str| {
        let trunk = glob.trim_end_matches("/**");
        [glob, trunk].into_iter().filter_map(matcher).any(|glob| glob.is_match(name))
    };
    let mut deciding = None;
    for (glob, policy) in &access.repositories {
        // Of two as long the one written first.
        let is_longer = deciding.is_none_or(|(longest, _): (&String, _)| glob.len() > longest.len());
        if is_longer && matches(glob) {
            deciding = Some((glob, policy));
        }
    }
    let (glob, policy) = deciding?;
    policy.anonymous_policy.contains(&Action::Read).then_some(glob.as_str())
}

fn matcher(glob: &str) -> Option<GlobMatcher> {
    // The table of keys has refused what is too large to compile.
    let glob = GlobBuilder::new(glob).literal_separator(true).empty_alternates(true).build().ok()?;
    Some(glob.compile_matcher())
}

/// Returns the simplest names that a glob stands for, one for each alternative at its first braces.
fn samples(glob: &str) -> Vec<String> {
    if let Some((before, rest)) = glob.split_once('{')
        && let Some((inside, after)) = rest.split_once('}')
    {
        return inside.split(',').flat_map(|one| samples(&format!("{before}{one}{after}"))).collect();
    }
    let mut sample = String::new();
    let mut rest = glob.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '*' => {
                while rest.next_if_eq(&'*').is_some() {}
                sample.push('x');
            }
            '?' => sample.push('x'),
            '[' => {
                let class: String = rest.by_ref().take_while(|letter| *letter != ']').collect();
                sample.push(class.chars().find(|letter| !matches!(letter, '!' | '^')).unwrap_or('x'));
            }
            letter => sample.push(letter),
        }
    }
    vec![sample]
}

#[cfg(test)]
mod tests {
    //! Goal: an upstream with an account is named when, and only when, anonymous users reach it. Method: a table.

    use std::path::PathBuf;

    use super::*;
    use crate::auth::options::RepositoryPolicy;

    use crate::upstream::options::Tags;

    fn policy(globs: &[(&str, bool)]) -> AccessControl {
        let entry = |(glob, is_open): &(&str, bool)| {
            let anonymous_policy = if *is_open { vec![Action::Read] } else { Vec::new() };
            ((*glob).to_owned(), RepositoryPolicy { anonymous_policy, ..RepositoryPolicy::default() })
        };
        AccessControl { repositories: globs.iter().map(entry).collect(), ..AccessControl::default() }
    }

    fn content(prefix: &str, destination: &str, strip_prefix: bool) -> Content {
        let (prefix, destination) = (prefix.to_owned(), destination.to_owned());
        Content { prefix, destination, strip_prefix, tags: Tags::default() }
    }

    #[test]
    fn who_reaches_an_account() {
        let team = || vec![content("team/**", "", false)];
        for (globs, content, expect) in [
            (&[("**", true)][..], vec![], Some("**")),
            (&[("**", true)], team(), Some("**")),
            (&[("**", false)], team(), None),
            (&[], team(), None),
            (&[("public/**", true)], vec![], Some("public/**")),
            (&[("public/**", true)], team(), None),
            (
                &[("public/**", true), ("**", false)],
                vec![content("team/*", "public", true)],
                Some("public/**"),
            ),
            (
                &[("public/**", true), ("**", false)],
                vec![content("team/*", "public", false)],
                Some("public/**"),
            ),
            (&[("**", true), ("team/**", false)], team(), Some("**")),
            (&[("**", true), ("team/**", false), ("r.example/**", false)], team(), None),
            (&[("**", true), ("{team,r.example}/**", false)], team(), None),
            (&[("r.example/team/**", true)], team(), Some("r.example/team/**")),
            (&[("r.example/other/**", true)], team(), None),
            (&[("team/app", true)], team(), Some("team/app")),
            (&[("team/[ab]?", true)], team(), Some("team/[ab]?")),
            (&[("other", true)], vec![content("{other,team}", "", false)], Some("other")),
        ] {
            let upstream =
                Options { urls: vec!["https://r.example".to_owned()], content, ..Options::default() };
            let mut config = Config::default();
            config.auth.access = Some(policy(globs));
            let told = open(&config, &upstream);
            let expect =
                expect.map(|glob| format!("http.accessControl.repositories[{glob:?}].anonymousPolicy"));
            assert_eq!(told, expect, "{globs:?} {:?}", upstream.content);
        }
    }

    #[test]
    fn without_access_control_it_is_everybody_or_every_account() {
        let mut config = Config::default();
        let upstream =
            |name: &str, on_demand| Options { name: name.to_owned(), on_demand, ..Options::default() };
        config.upstreams =
            vec![upstream("none", true), upstream("account", true), upstream("account", false)];
        let has_account = |upstream: &Options| upstream.name == "account";
        let told = warnings(&config, &has_account).into_iter().map(|warning| warning.path);
        assert_eq!(told.collect::<Vec<_>>(), ["extensions.sync.registries[1]"]);
        config.auth.htpasswd = Some(PathBuf::from("htpasswd"));
        assert_eq!(warnings(&config, &has_account), []);
    }
}
