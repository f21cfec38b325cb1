//! What each identity may do to each repository.
//!
//! Pure decisions: no I/O, no clock, no log. Everything that mints a [`Grant`] is here.
//!
//! *Shape:* the longest glob that matches the repository's name decides, alone; its length is in
//! bytes as written, and of two as long the one written first decides. An identity may do what any
//! of these grants: `adminPolicy` (whatever glob matches), the glob's `policies` that name the
//! user or a group of it, its `defaultPolicy` to any account, its `anonymousPolicy` to anybody.
//!
//! An account has what `anonymousPolicy` grants too, which it has not in zot: there, logging in
//! takes away the right to pull from a public repository. It opens nothing: the account could
//! send no credentials instead.
//!
//! Globs are zot's: `*`, `?` and `[…]` stay within a component, `{a,b}` are alternatives, `**` as
//! a whole component is any number of components, also none, so that `team/**` covers `team`.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::oci::RepositoryName;

use super::error::{PolicyError, Refusal};
use super::grant::{Grant, Right};
use super::identity::Identity;
use super::options::{AccessControl, Action, RepositoryPolicy, Rule};

/// Decides who may do what to which repository. Clones share it.
#[derive(Debug, Clone)]
pub struct Policy {
    regime: Arc<Regime>,
    accounts: Accounts,
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.regime, &other.regime)
    }
}

impl Eq for Policy {}

/// An answer of a [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may be done.
    Allowed,
    /// It may not.
    Denied,
}

/// Whether there is a way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounts {
    /// There is.
    Configured,
    /// There is none, so that everybody is anonymous.
    Absent,
}

#[derive(Debug)]
enum Regime {
    /// Neither accounts nor access control: everybody may do everything.
    Open,
    /// Accounts without access control: each may do everything, nobody else anything.
    AccountsOnly,
    Rules(Rules),
}

#[derive(Debug)]
struct Rules {
    /// The globs of all repositories, and for each of them its place in `repositories`.
    globs: GlobSet,
    places: Vec<usize>,
    /// The one that decides before the ones that it overrules.
    repositories: Vec<Repository>,
    admin: Grantees,
}

#[derive(Debug)]
struct Repository {
    policies: Vec<Grantees>,
    default_policy: Vec<Action>,
    anonymous_policy: Vec<Action>,
}

/// A [`Rule`] with its groups resolved.
#[derive(Debug)]
struct Grantees {
    users: HashSet<String>,
    actions: Vec<Action>,
}

impl Policy {
    /// Makes the policy of `http.accessControl`, or the one that holds without that section.
    ///
    /// *Errors:* [`PolicyError::Glob`] for the first malformed glob; [`PolicyError::Globs`] when
    /// they are too large together.
    pub fn new(access: Option<&AccessControl>, accounts: Accounts) -> Result<Self, PolicyError> {
        let regime = match (access, accounts) {
            (Some(access), _) => Regime::Rules(Rules::new(access)?),
            (None, Accounts::Configured) => Regime::AccountsOnly,
            (None, Accounts::Absent) => Regime::Open,
        };
        Ok(Self { regime: Arc::new(regime), accounts })
    }

    /// Decides whether somebody may do something to a repository, which need not exist.
    pub fn decide(&self, identity: &Identity, name: &RepositoryName, action: Action) -> Decision {
        let allowed = match self.regime.as_ref() {
            Regime::Open => true,
            Regime::AccountsOnly => identity.account().is_some(),
            Regime::Rules(rules) => rules.allow(identity.account(), name, action),
        };
        if allowed { Decision::Allowed } else { Decision::Denied }
    }

    /// Mints the grant of a right, where the policy gives it.
    pub fn grant<R: Right>(&self, identity: &Identity, name: &RepositoryName) -> Option<Grant<R>> {
        let extent = R::extent(|action| self.decide(identity, name, action) == Decision::Allowed)?;
        Some(Grant::mint(name.clone(), identity.clone(), extent, self.clone()))
    }

    /// Says how somebody is refused.
    pub(super) fn refusal(&self, identity: &Identity) -> Refusal {
        match (identity, self.accounts) {
            (Identity::Anonymous, Accounts::Configured) => Refusal::Unauthenticated,
            (Identity::Anonymous, Accounts::Absent) | (Identity::Account(_), _) => Refusal::Denied,
        }
    }

    /// Tells whether any glob lets anybody read without an account.
    pub fn anonymous_reads_somewhere(&self) -> bool {
        match self.regime.as_ref() {
            Regime::Open => true,
            Regime::AccountsOnly => false,
            Regime::Rules(rules) => {
                rules.repositories.iter().any(|each| each.anonymous_policy.contains(&Action::Read))
            }
        }
    }
}

impl Rules {
    fn new(access: &AccessControl) -> Result<Self, PolicyError> {
        let mut sections: Vec<_> = access.repositories.iter().collect();
        // The sort is stable: of two globs as long, the one written first stays first.
        sections.sort_by_key(|(glob, _)| Reverse(glob.len()));
        let mut globs = GlobSetBuilder::new();
        let mut places = Vec::new();
        for (place, (glob, _)) in sections.iter().enumerate() {
            for variant in variants(glob) {
                globs.add(compile(glob, variant)?);
                places.push(place);
            }
        }
        Ok(Self {
            globs: globs.build().map_err(PolicyError::Globs)?,
            places,
            repositories: sections.iter().map(|(_, policy)| Repository::new(policy, access)).collect(),
            admin: Grantees::new(&access.admin, access),
        })
    }

    fn allow(&self, account: Option<&str>, name: &RepositoryName, action: Action) -> bool {
        account.is_some_and(|user| self.admin.may(user, action))
            || self.deciding(name).is_some_and(|repository| repository.allow(account, action))
    }

    /// Returns the section that decides about a name.
    fn deciding(&self, name: &RepositoryName) -> Option<&Repository> {
        let place = self.globs.matches(name.as_str()).into_iter().map(|glob| self.places[glob]).min()?;
        Some(&self.repositories[place])
    }
}

/// Returns the globs that stand for one as written.
///
/// `**` matches no component at all too, except that globset takes a trailing one for at least
/// one. Without the second variant `team` would escape what is said about `team/**`, and a shorter
/// glob, perhaps a more generous one, would decide about it.
fn variants(glob: &str) -> impl Iterator<Item = &str> {
    let trunk = glob.trim_end_matches("/**");
    [glob].into_iter().chain((trunk.len() < glob.len()).then_some(trunk))
}

fn compile(written: &str, variant: &str) -> Result<globset::Glob, PolicyError> {
    GlobBuilder::new(variant)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()
        .map_err(|source| PolicyError::Glob { glob: written.to_owned(), source })
}

impl Repository {
    fn new(policy: &RepositoryPolicy, access: &AccessControl) -> Self {
        Self {
            policies: policy.policies.iter().map(|rule| Grantees::new(rule, access)).collect(),
            default_policy: policy.default_policy.clone(),
            anonymous_policy: policy.anonymous_policy.clone(),
        }
    }

    fn allow(&self, account: Option<&str>, action: Action) -> bool {
        self.anonymous_policy.contains(&action)
            || account.is_some_and(|user| {
                self.default_policy.contains(&action)
                    || self.policies.iter().any(|each| each.may(user, action))
            })
    }
}

impl Grantees {
    fn new(rule: &Rule, access: &AccessControl) -> Self {
        let members = rule.groups.iter().filter_map(|group| access.groups.get(group)).flatten();
        Self { users: rule.users.iter().chain(members).cloned().collect(), actions: rule.actions.clone() }
    }

    fn may(&self, user: &str, action: Action) -> bool {
        self.actions.contains(&action) && self.users.contains(user)
    }
}

#[cfg(test)]
mod tests;
