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
//! A rule that has `conditions` grants only where all of them hold. They are about the request, so that they are
//! judged again for each; a list of repositories judges them for each repository, by the request for the list. Where
//! nothing is known of a request, no condition holds.
//!
//! A group's members are those of the configuration and those whose proof came with it: of a directory, of a
//! token's claims.
//!
//! Globs are zot's: `*`, `?` and `[…]` stay within a component, `{a,b}` are alternatives, `**` as
//! a whole component is any number of components, also none, so that `team/**` covers `team`.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::oci::RepositoryName;

use super::circumstances::Asked;
use super::condition::{self, Condition};
use super::error::{PolicyError, Refusal};
use super::grant::{Grant, Right};
use super::identity::Identity;
use super::options::{AccessControl, Action, MetricsPolicy, RepositoryPolicy, Rule};

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

/// Which part of the configuration allows something; it is shown as where it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'a> {
    /// There are neither accounts nor access control.
    Open,
    /// There are accounts and no access control, and each may do everything.
    AccountsOnly,
    /// `adminPolicy`.
    Admin,
    /// One of the `policies` of a glob, counted from 0.
    Policy {
        /// The glob.
        glob: &'a str,
        /// Its place in the list.
        index: usize,
    },
    /// The `defaultPolicy` of a glob.
    Default {
        /// The glob.
        glob: &'a str,
    },
    /// The `anonymousPolicy` of a glob.
    Anonymous {
        /// The glob.
        glob: &'a str,
    },
}

/// What keeps somebody from what a rule would grant him: the first condition of it that he does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance<'a> {
    /// The rule.
    pub rule: Reason<'a>,
    /// Which of its conditions, from 0.
    pub condition: usize,
    /// What the configuration has him told, or nothing.
    pub message: Arc<str>,
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
    Rules(Box<Rules>),
}

#[derive(Debug)]
struct Rules {
    /// The globs of all repositories, and for each of them its place in `repositories`.
    globs: GlobSet,
    places: Vec<usize>,
    /// The one that decides before the ones that it overrules.
    repositories: Vec<Repository>,
    admin: Grantees,
    metrics: Option<MetricsPolicy>,
    /// The groups of the configuration, for conditions.
    groups: BTreeMap<String, Vec<String>>,
    has_conditions: bool,
    conditions_name_groups: bool,
}

#[derive(Debug)]
struct Repository {
    glob: String,
    policies: Vec<Grantees>,
    default_policy: Vec<Action>,
    anonymous_policy: Vec<Action>,
}

/// A [`Rule`] with the groups of the configuration resolved.
#[derive(Debug)]
struct Grantees {
    users: HashSet<String>,
    groups: HashSet<String>,
    actions: Vec<Action>,
    conditions: Vec<Condition>,
}

impl Policy {
    /// Makes the policy of `http.accessControl`, or the one that holds without that section.
    ///
    /// *Errors:* [`PolicyError::Glob`] for the first malformed glob; [`PolicyError::Globs`] when
    /// they are too large together; [`PolicyError::Condition`] for the first condition that is none.
    pub fn new(access: Option<&AccessControl>, accounts: Accounts) -> Result<Self, PolicyError> {
        let regime = match (access, accounts) {
            (Some(access), _) => Regime::Rules(Box::new(Rules::new(access)?)),
            (None, Accounts::Configured) => Regime::AccountsOnly,
            (None, Accounts::Absent) => Regime::Open,
        };
        Ok(Self { regime: Arc::new(regime), accounts })
    }

    /// Decides whether somebody may do something to a repository, which need not exist.
    pub fn decide(&self, identity: &Identity, name: &RepositoryName, action: Action) -> Decision {
        let is_covered = identity.scope().is_none_or(|scope| scope.covers(name, action));
        let allowed = is_covered && self.explain(identity, name, action).is_some();
        if allowed { Decision::Allowed } else { Decision::Denied }
    }

    /// Says what lets somebody do something to a repository, whatever a token restricts; `None` when nothing does.
    pub fn explain(&self, identity: &Identity, name: &RepositoryName, action: Action) -> Option<Reason<'_>> {
        match self.regime.as_ref() {
            Regime::Open => Some(Reason::Open),
            Regime::AccountsOnly => identity.account().map(|_| Reason::AccountsOnly),
            Regime::Rules(rules) => rules
                .explain(identity, name, action, &|rule| rules.unmet(rule, identity, name, action).is_none()),
        }
    }

    /// Decides whether somebody may do something to a repository if all conditions hold, which is to be known before
    /// there is a request that they could be judged by.
    pub(super) fn may_come_to(&self, identity: &Identity, name: &RepositoryName, action: Action) -> Decision {
        let Regime::Rules(rules) = self.regime.as_ref() else { return self.decide(identity, name, action) };
        let is_covered = identity.scope().is_none_or(|scope| scope.covers(name, action));
        let allowed = is_covered && rules.explain(identity, name, action, &|_| true).is_some();
        if allowed { Decision::Allowed } else { Decision::Denied }
    }

    /// Tells what keeps somebody from what a rule would let him do; `None` when no condition does, or he may.
    pub fn hindrance(
        &self,
        identity: &Identity,
        name: &RepositoryName,
        action: Action,
    ) -> Option<Hindrance<'_>> {
        let Regime::Rules(rules) = self.regime.as_ref() else { return None };
        if self.explain(identity, name, action).is_some() {
            return None;
        }
        let rule = rules.explain(identity, name, action, &|_| true)?;
        let grantees = match rule {
            Reason::Admin => &rules.admin,
            Reason::Policy { index, .. } => rules.deciding(name)?.policies.get(index)?,
            Reason::Open | Reason::AccountsOnly | Reason::Default { .. } | Reason::Anonymous { .. } => {
                return None;
            }
        };
        let (condition, message) = rules.unmet(grantees, identity, name, action)?;
        Some(Hindrance { rule, condition, message })
    }

    /// Says whether any rule has conditions, so that they need to know of requests.
    pub fn has_conditions(&self) -> bool {
        match self.regime.as_ref() {
            Regime::Open | Regime::AccountsOnly => false,
            Regime::Rules(rules) => rules.has_conditions,
        }
    }

    /// Returns the glob that decides about a repository, alone; `None` when none matches or none is needed.
    pub fn deciding(&self, name: &RepositoryName) -> Option<&str> {
        match self.regime.as_ref() {
            Regime::Open | Regime::AccountsOnly => None,
            Regime::Rules(rules) => rules.deciding(name).map(|repository| repository.glob.as_str()),
        }
    }

    /// Returns those groups of an identity that rules may be about, which are all that a token needs to say.
    pub(super) fn named_groups(&self, identity: &Identity) -> Vec<String> {
        let Regime::Rules(rules) = self.regime.as_ref() else { return Vec::new() };
        if rules.conditions_name_groups {
            // Which of them an expression is about is not known before it is judged.
            return identity.groups().to_vec();
        }
        let named: HashSet<&str> = rules.all().flat_map(|each| &each.groups).map(String::as_str).collect();
        identity.groups().iter().filter(|group| named.contains(group.as_str())).cloned().collect()
    }

    /// Decides whether somebody may read the metrics.
    ///
    /// *Shape:* as in zot, any account may unless `metrics.users` names some, and nobody else unless
    /// `metrics.anonymousPolicy` lets everybody read. Where nobody can log in and nothing is said, everybody may.
    pub fn metrics(&self, identity: &Identity) -> Decision {
        let metrics = match self.regime.as_ref() {
            Regime::Open | Regime::AccountsOnly => None,
            Regime::Rules(rules) => rules.metrics.as_ref(),
        };
        let allowed = match (metrics, self.accounts) {
            (None, Accounts::Absent) => true,
            (None, Accounts::Configured) => identity.account().is_some(),
            (Some(metrics), _) => {
                let is_named =
                    |user: &str| metrics.users.is_empty() || metrics.users.iter().any(|it| it == user);
                metrics.anonymous_policy.contains(&Action::Read) || identity.account().is_some_and(is_named)
            }
        };
        if allowed { Decision::Allowed } else { Decision::Denied }
    }

    /// Decides whether `adminPolicy` lets somebody do something, to whatever there is.
    ///
    /// Conditions are about repositories; with any, it is refused. Without `http.accessControl` every account may.
    pub(super) fn administers(&self, identity: &Identity, action: Action) -> bool {
        match self.regime.as_ref() {
            Regime::Open => false,
            Regime::AccountsOnly => identity.account().is_some(),
            Regime::Rules(rules) => rules.admin.conditions.is_empty() && rules.admin.may(identity, action),
        }
    }

    /// Says whether a rule makes somebody careful with manifests that several tags name, whatever a token is for.
    pub(super) fn is_to_detect_collisions(&self, identity: &Identity, name: &RepositoryName) -> bool {
        let is_ruled = matches!(self.regime.as_ref(), Regime::Rules(_));
        is_ruled && self.explain(identity, name, Action::DetectManifestCollision).is_some()
    }

    /// Mints the grant of a right, where the policy gives it.
    pub fn grant<R: Right>(&self, identity: &Identity, name: &RepositoryName) -> Option<Grant<R>> {
        let extent = R::extent(|action| self.decide(identity, name, action) == Decision::Allowed)?;
        Some(Grant::mint(name.clone(), identity.clone(), extent, self.clone()))
    }

    /// Says how somebody is refused a right.
    pub(super) fn refuse<R: Right>(&self, identity: &Identity, name: &RepositoryName) -> Refusal {
        let denied = Cell::new(None);
        let _ = R::extent(|action| {
            let allowed = self.decide(identity, name, action) == Decision::Allowed;
            if !allowed {
                denied.set(denied.get().or(Some(action)));
            }
            allowed
        });
        match denied.get() {
            Some(action) => self.refuse_action(identity, name, action),
            None => self.refusal(identity),
        }
    }

    /// Says how somebody is refused an action.
    pub(super) fn refuse_action(
        &self,
        identity: &Identity,
        name: &RepositoryName,
        action: Action,
    ) -> Refusal {
        match self.hindrance(identity, name, action) {
            Some(Hindrance { message, .. }) if !message.is_empty() => Refusal::Condition { message },
            _ => self.refusal(identity),
        }
    }

    /// Says how somebody is refused, whatever the policy is about.
    pub(super) fn refusal(&self, identity: &Identity) -> Refusal {
        match (identity.account(), self.accounts) {
            (None, Accounts::Configured) => Refusal::Unauthenticated,
            (None, Accounts::Absent) | (Some(_), _) => Refusal::Denied,
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
        let mut rules = Self {
            globs: globs.build().map_err(PolicyError::Globs)?,
            places,
            repositories: sections
                .iter()
                .map(|(glob, policy)| Repository::new(glob, policy, access))
                .collect::<Result<_, _>>()?,
            admin: Grantees::new(&access.admin, access, || Reason::Admin.to_string())?,
            metrics: access.metrics.clone(),
            groups: access.groups.clone(),
            has_conditions: false,
            conditions_name_groups: false,
        };
        let has_conditions = rules.all().any(|rule| !rule.conditions.is_empty());
        let names_groups = rules.all().flat_map(|rule| &rule.conditions).any(|it| it.names_groups);
        (rules.has_conditions, rules.conditions_name_groups) = (has_conditions, names_groups);
        Ok(rules)
    }

    /// Returns what lets somebody do something, of the rules that hold.
    fn explain(
        &self,
        identity: &Identity,
        name: &RepositoryName,
        action: Action,
        holds: &dyn Fn(&Grantees) -> bool,
    ) -> Option<Reason<'_>> {
        if self.admin.may(identity, action) && holds(&self.admin) {
            return Some(Reason::Admin);
        }
        self.deciding(name)?.explain(identity, action, holds)
    }

    /// Returns the first condition of a rule that is not met, and its message.
    fn unmet(
        &self,
        rule: &Grantees,
        identity: &Identity,
        name: &RepositoryName,
        action: Action,
    ) -> Option<(usize, Arc<str>)> {
        let first = rule.conditions.first()?;
        let Some(circumstances) = identity.circumstances() else {
            return Some((0, Arc::clone(&first.message)));
        };
        let asked = Asked { name, action, is_admin: self.admin.names(identity) };
        let own = self
            .groups
            .iter()
            .filter(|(_, users)| users.iter().any(|it| Some(it.as_str()) == identity.account()));
        let groups: Vec<&str> =
            identity.groups().iter().chain(own.map(|(group, _)| group)).map(String::as_str).collect();
        let subject = circumstances.subject(identity, &groups, asked);
        condition::unmet(&rule.conditions, subject).map(|(index, it)| (index, Arc::clone(&it.message)))
    }

    fn all(&self) -> impl Iterator<Item = &Grantees> {
        self.repositories.iter().flat_map(|each| &each.policies).chain([&self.admin])
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

pub(super) fn compile(written: &str, variant: &str) -> Result<globset::Glob, PolicyError> {
    GlobBuilder::new(variant)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()
        .map_err(|source| PolicyError::Glob { glob: written.to_owned(), source })
}

impl Repository {
    fn new(glob: &str, policy: &RepositoryPolicy, access: &AccessControl) -> Result<Self, PolicyError> {
        let grantees =
            |(index, rule)| Grantees::new(rule, access, || Reason::Policy { glob, index }.to_string());
        Ok(Self {
            glob: glob.to_owned(),
            policies: policy.policies.iter().enumerate().map(grantees).collect::<Result<_, _>>()?,
            default_policy: policy.default_policy.clone(),
            anonymous_policy: policy.anonymous_policy.clone(),
        })
    }

    fn explain(
        &self,
        identity: &Identity,
        action: Action,
        holds: &dyn Fn(&Grantees) -> bool,
    ) -> Option<Reason<'_>> {
        let glob = self.glob.as_str();
        if self.anonymous_policy.contains(&action) {
            return Some(Reason::Anonymous { glob });
        }
        identity.account()?;
        if self.default_policy.contains(&action) {
            return Some(Reason::Default { glob });
        }
        let index = self.policies.iter().position(|each| each.may(identity, action) && holds(each))?;
        Some(Reason::Policy { glob, index })
    }
}

impl Grantees {
    fn new(rule: &Rule, access: &AccessControl, place: impl Fn() -> String) -> Result<Self, PolicyError> {
        let members = rule.groups.iter().filter_map(|group| access.groups.get(group)).flatten();
        Ok(Self {
            users: rule.users.iter().chain(members).cloned().collect(),
            groups: rule.groups.iter().cloned().collect(),
            actions: rule.actions.clone(),
            conditions: condition::read(rule, place)?,
        })
    }

    fn may(&self, identity: &Identity, action: Action) -> bool {
        self.actions.contains(&action) && self.names(identity)
    }

    fn names(&self, identity: &Identity) -> bool {
        let is_named = |user: &str| {
            self.users.contains(user) || identity.groups().iter().any(|group| self.groups.contains(group))
        };
        identity.account().is_some_and(is_named)
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("there are neither accounts nor http.accessControl"),
            Self::AccountsOnly => f.write_str("there is no http.accessControl, so every account may"),
            Self::Admin => f.write_str("http.accessControl.adminPolicy"),
            Self::Policy { glob, index } => {
                write!(f, "http.accessControl.repositories[{glob:?}].policies[{index}]")
            }
            Self::Default { glob } => write!(f, "http.accessControl.repositories[{glob:?}].defaultPolicy"),
            Self::Anonymous { glob } => {
                write!(f, "http.accessControl.repositories[{glob:?}].anonymousPolicy")
            }
        }
    }
}

#[cfg(test)]
mod tests;
