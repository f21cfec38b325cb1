//! Who somebody is.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::circumstances::Circumstances;
use super::scope::Scope;

/// Whoever sent a request, once the credentials have been verified, what the credentials are good for, and under
/// which circumstances he asks, where conditions of the policy are about them.
///
/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    account: Option<Account>,
    /// What a token or a key restricts its bearer to; it never adds a right.
    scope: Option<Scope>,
    circumstances: Option<Circumstances>,
}

/// A user who proved to be the one of that name, and the groups that the proof came with.
///
/// Cheap to clone. Two are equal when their names are: a group more is no other user.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

struct Inner {
    name: String,
    groups: Vec<String>,
    origin: Option<Origin>,
}

/// What vouched for an account, and is asked again whether there is one, where somebody goes on without proving it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    /// The directory took its password.
    Directory,
    /// The htpasswd file has its password.
    File,
    /// A client certificate names it.
    Certificate,
}

impl Identity {
    /// Somebody who sent no credentials.
    pub const ANONYMOUS: Self = Self { account: None, scope: None, circumstances: None };

    /// Makes the identity of an account.
    pub const fn of(account: Account) -> Self {
        Self { account: Some(account), scope: None, circumstances: None }
    }

    /// Restricts it to a scope, instead of to the one that it had.
    #[must_use]
    pub fn within(self, scope: Scope) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// Returns it as it would be without the restriction of a token or a key.
    #[must_use]
    pub fn unrestricted(&self) -> Self {
        Self { scope: None, ..self.clone() }
    }

    /// Says under which circumstances he asks; without, no condition of the policy holds.
    #[must_use]
    pub fn under(self, circumstances: Circumstances) -> Self {
        Self { circumstances: Some(circumstances), ..self }
    }

    /// Returns the circumstances, if they are known.
    pub const fn circumstances(&self) -> Option<&Circumstances> {
        self.circumstances.as_ref()
    }

    /// Returns the account, if there is one.
    pub(super) const fn who(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Returns the name of the account, if there is one.
    pub fn account(&self) -> Option<&str> {
        self.account.as_ref().map(Account::name)
    }

    /// Returns the groups that the account's proof came with; those of the configuration are beside them.
    pub fn groups(&self) -> &[String] {
        self.account.as_ref().map_or(&[], Account::groups)
    }

    /// Returns what it is restricted to.
    pub const fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }
}

impl Account {
    /// Makes an account of a name and of the groups that came with its proof.
    pub fn new(name: impl Into<String>, groups: Vec<String>) -> Self {
        Self::make(name.into(), groups, None)
    }

    /// Makes an account that a client certificate names, which the listener has verified.
    pub fn certified(name: impl Into<String>) -> Self {
        Self::make(name.into(), Vec::new(), Some(Origin::Certificate))
    }

    /// Makes an account that a place vouched for.
    pub(super) fn of(origin: Origin, name: impl Into<String>, groups: Vec<String>) -> Self {
        Self::make(name.into(), groups, Some(origin))
    }

    fn make(name: String, mut groups: Vec<String>, origin: Option<Origin>) -> Self {
        groups.sort_unstable();
        groups.dedup();
        Self(Arc::new(Inner { name, groups, origin }))
    }

    /// Returns what vouched for it with its own word; a token of ours does not say.
    pub(super) fn origin(&self) -> Option<Origin> {
        self.0.origin
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the groups that came with its proof, in order.
    pub fn groups(&self) -> &[String] {
        &self.0.groups
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Account {}

impl Hash for Account {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.0.name).field("groups", &self.0.groups).finish()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.account().unwrap_or("anonymous"))
    }
}
