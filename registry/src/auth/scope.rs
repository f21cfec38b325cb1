//! What a token or a key is good for, and how clients ask for it.
//!
//! A scope restricts; it never grants. Whoever holds a token may do what the policy lets its account do, as
//! far as the token's scope covers it: a token that was issued for one repository is worth nothing at another,
//! and what the policy takes away is gone at once, whatever a token says.
//!
//! *Spec:* the scopes of the Docker Registry token specification,
//! `resourcetype ":" resourcename ":" action *( "," action )`, several separated by spaces.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use globset::GlobMatcher;
use serde::{Deserialize, Serialize};

use super::error::PolicyError;
use super::options::Action;
use crate::oci::RepositoryName;

/// The most resources that one token is for; what a client asks beyond is not granted.
pub const SCOPE_RESOURCES_MAX: usize = 100;

/// What credentials are good for. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope(Arc<Covered>);

#[derive(Debug, PartialEq, Eq, Hash)]
enum Covered {
    /// What a token was issued for.
    Resources { repositories: BTreeMap<String, Verbs>, catalog: bool },
    /// What a key was made for.
    Globs(Vec<(Glob, Verbs)>),
}

/// Which of a repository's verbs are covered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Verbs {
    pull: bool,
    push: bool,
    delete: bool,
}

#[derive(Debug, Clone)]
struct Glob(GlobMatcher);

/// One resource of a token and what may be done to it, as it stands in the token's claim `access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// `repository`, `registry`, or a word that means nothing here.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository's name, or `catalog`.
    pub name: String,
    /// `pull`, `push`, `delete`, `*`.
    pub actions: Vec<String>,
}

impl Scope {
    /// Makes the scope of a token's claim; what it cannot read covers nothing.
    pub fn of_resources(resources: &[Resource]) -> Self {
        let mut repositories: BTreeMap<String, Verbs> = BTreeMap::new();
        let mut catalog = false;
        for resource in resources.iter().take(SCOPE_RESOURCES_MAX) {
            // A class, as in `repository(plugin)`, is not told apart.
            match resource.kind.split('(').next() {
                Some("repository") => {
                    let verbs = repositories.entry(resource.name.clone()).or_default();
                    resource.actions.iter().for_each(|action| verbs.add(action));
                }
                Some("registry") if resource.name == "catalog" => {
                    catalog |= resource.actions.iter().any(|action| action == "*");
                }
                _ => {}
            }
        }
        Self(Arc::new(Covered::Resources { repositories, catalog }))
    }

    /// Makes the scope of a key's list of globs, each with or without verbs: `team/*`, `team/*:pull,push`.
    ///
    /// *Errors:* [`PolicyError::Glob`] for the first glob that is malformed.
    pub fn of_globs<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Self, PolicyError> {
        let parse = |text: &'a str| {
            let (glob, verbs) = match text.rsplit_once(':') {
                Some((glob, actions)) => (glob, Verbs::parse(actions)),
                None => (text, Verbs::ALL),
            };
            Ok((Glob(super::policy::compile(glob, glob)?.compile_matcher()), verbs))
        };
        let globs: Result<Vec<_>, PolicyError> = globs.into_iter().map(parse).collect();
        Ok(Self(Arc::new(Covered::Globs(globs?))))
    }

    /// Says whether an action on a repository is covered.
    pub fn covers(&self, name: &RepositoryName, action: Action) -> bool {
        match self.0.as_ref() {
            Covered::Resources { repositories, .. } => {
                repositories.get(name.as_str()).is_some_and(|verbs| verbs.cover(action))
            }
            Covered::Globs(globs) => {
                globs.iter().any(|(glob, verbs)| verbs.cover(action) && glob.0.is_match(name.as_str()))
            }
        }
    }

    /// Says whether it is that of a key, whose globs say what of a list is to be seen.
    pub(super) fn names_globs(&self) -> bool {
        matches!(self.0.as_ref(), Covered::Globs(_))
    }

    /// Says whether the list of repositories is covered; what it shows is the policy's to say.
    pub fn covers_catalog(&self) -> bool {
        match self.0.as_ref() {
            Covered::Resources { catalog, .. } => *catalog,
            Covered::Globs(_) => true,
        }
    }
}

impl Verbs {
    const ALL: Self = Self { pull: true, push: true, delete: true };

    fn parse(actions: &str) -> Self {
        let mut verbs = Self::default();
        actions.split(',').for_each(|action| verbs.add(action.trim()));
        verbs
    }

    fn add(&mut self, action: &str) {
        match action {
            "pull" => self.pull = true,
            "push" => self.push = true,
            "delete" => self.delete = true,
            "*" => *self = Self::ALL,
            _ => {}
        }
    }

    const fn cover(self, action: Action) -> bool {
        match action {
            Action::Read | Action::Fetch => self.pull,
            Action::Create | Action::Update => self.push,
            // What makes careful does so whatever a token is for.
            Action::Delete | Action::DetectManifestCollision => self.delete,
        }
    }
}

impl FromStr for Resource {
    type Err = ();

    /// Reads one resource of a client's `scope`. The name may have colons, as a host with its port has.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (kind, rest) = text.split_once(':').ok_or(())?;
        let (name, actions) = rest.rsplit_once(':').ok_or(())?;
        if kind.is_empty() || name.is_empty() {
            return Err(());
        }
        let actions = actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned).collect();
        Ok(Self { kind: kind.to_owned(), name: name.to_owned(), actions })
    }
}

/// Reads what a client asks for: scopes separated by spaces; those that cannot be read are left out, since
/// granting a part is no error.
pub fn asked(scopes: &str) -> Vec<Resource> {
    scopes.split(' ').filter_map(|scope| scope.parse().ok()).take(SCOPE_RESOURCES_MAX).collect()
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.0.glob() == other.0.glob()
    }
}

impl Eq for Glob {}

impl Hash for Glob {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.glob().glob().hash(state);
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a scope covers what it names and nothing else. Method: tables, and properties over any text.

    use proptest::prelude::*;

    use super::*;

    const ACTIONS: [Action; 5] =
        [Action::Read, Action::Fetch, Action::Create, Action::Update, Action::Delete];

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    fn covered(scope: &Scope, repository: &str) -> Vec<Action> {
        ACTIONS.into_iter().filter(|action| scope.covers(&name(repository), *action)).collect()
    }

    #[test]
    fn p10_a_token_for_one_repository_is_worth_nothing_at_another() {
        let scope = Scope::of_resources(&asked("repository:team/app:pull,push repository:team/b:delete"));
        assert_eq!(
            covered(&scope, "team/app"),
            [Action::Read, Action::Fetch, Action::Create, Action::Update]
        );
        assert_eq!(covered(&scope, "team/b"), [Action::Delete]);
        for other in ["team", "team/app/x", "team/ap", "app"] {
            assert_eq!(covered(&scope, other), [], "{other}");
        }
        assert!(!scope.covers_catalog());
    }

    #[test]
    fn words_that_mean_nothing_cover_nothing() {
        for text in [
            "repository:a:",
            "repository:a:read",
            "repositories:a:pull",
            "registry:a:*",
            "registry:catalog:pull",
            "repository:*:*",
            "repository:**:pull",
            ":a:pull",
            "repository::pull",
            "repository:pull",
            "",
        ] {
            let scope = Scope::of_resources(&asked(text));
            assert_eq!((covered(&scope, "a"), scope.covers_catalog()), (Vec::new(), false), "{text:?}");
        }
    }

    #[test]
    fn the_catalog_has_a_scope_of_its_own() {
        let scope = Scope::of_resources(&asked("registry:catalog:* repository(plugin):a:*"));
        assert!(scope.covers_catalog());
        assert_eq!(covered(&scope, "a"), ACTIONS);
    }

    #[test]
    fn the_globs_of_a_key() {
        let scope = Scope::of_globs(["team/*:pull", "ops/**"]).unwrap();
        assert_eq!(covered(&scope, "team/app"), [Action::Read, Action::Fetch]);
        assert_eq!(covered(&scope, "team/app/x"), []);
        assert_eq!(covered(&scope, "ops/a/b"), ACTIONS);
        assert!(Scope::of_globs(["team/["]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            let found = asked(&text);
            prop_assert!(found.iter().all(|it| !it.kind.is_empty() && !it.name.is_empty()));
        }

        #[test]
        fn reading_undoes_writing(name in "[a-z]{1,9}(:[0-9]{1,4}/[a-z]{1,5})?", actions in "(pull|push|delete)(,pull)?") {
            let text = format!("repository:{name}:{actions}");
            let found = asked(&text);
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].to_string(), text);
        }
    }
}
