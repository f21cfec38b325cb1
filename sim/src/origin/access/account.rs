//! Accounts, their rights, and how they show who they are.

use std::{fmt, time::Duration};

/// Makes an origin ask who is calling.
///
/// What no right allows is refused alike whether it is there or not: a caller cannot learn what exists.
/// The catalog shows only what the caller may pull, and a mount from a repository that the caller may not
/// pull is answered as if the blob were missing.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use sim::origin::{Access, Account, Action, ImageSpec, Origin, Right, Scheme, TokenOptions};
///
/// let access = Access {
///     scheme: Scheme::Bearer(TokenOptions::default()),
///     accounts: vec![Account {
///         name: "alice".into(),
///         password: "secret".into(),
///         rights: vec![Right::of("team/", [Action::Pull, Action::Push])],
///     }],
///     anonymous: vec![Right::of("library/", [Action::Pull])],
/// };
/// let origin = Origin::guarded(access);
/// origin.seed_image("team/app", "v1", &ImageSpec::default());
/// let running = origin.serve("127.0.0.1:0").await?;
///
/// let url = format!("{}/v2/team/app/manifests/v1", running.url());
/// let client = reqwest::Client::new();
/// assert_eq!(client.get(&url).send().await?.status(), 401);
/// let realm = format!("{}/token?service=sim&scope=repository:team/app:pull", running.url());
/// let issued = client.get(realm).basic_auth("alice", Some("secret")).send().await?.bytes().await?;
/// let issued: serde_json::Value = serde_json::from_slice(&issued)?;
/// let token = issued["token"].as_str().unwrap_or_default();
/// assert_eq!(client.get(&url).bearer_auth(token).send().await?.status(), 200);
/// # Ok(()) }) }
/// ```
#[derive(Debug, Clone)]
pub struct Access {
    /// How callers show who they are.
    pub scheme: Scheme,
    /// Who may call by name.
    pub accounts: Vec<Account>,
    /// What callers without a name may do; nothing, if empty.
    pub anonymous: Vec<Right>,
}

/// How callers show who they are.
#[derive(Debug, Clone)]
pub enum Scheme {
    /// By name and password with every request.
    Basic,
    /// By a token that `/token`, on the same listener, gives for name and password.
    ///
    /// Every request needs one, that of an anonymous caller too. Basic works at `/token` only.
    Bearer(TokenOptions),
}

/// How tokens are issued.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// How long a token is good for; zero makes tokens that have expired when they arrive.
    pub lifetime: Duration,
    /// A query that the realm's address has of its own, without the question mark. The endpoint answers
    /// 404 without it: a client that overwrites it asks the wrong place.
    pub realm_query: Option<String>,
    /// The name of the registry as tokens have it. A token for another service is no good.
    pub service: String,
}

/// A name, its password and what it may do.
#[derive(Clone)]
pub struct Account {
    /// The name, without a colon.
    pub name: String,
    /// The password.
    pub password: String,
    /// What the account may do: whatever any of these allows.
    pub rights: Vec<Right>,
}

/// Some actions on some repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// What the names of the repositories begin with, or `*` for all.
    pub repositories: String,
    /// What may be done to them.
    pub actions: Vec<Action>,
}

/// Something that is done to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Reading content and lists.
    Pull,
    /// Uploading blobs, pushing manifests, moving tags.
    Push,
    /// Deleting content.
    Delete,
}

impl Access {
    /// Makes the accounts that a suite of checks logs in with: `alice` may do everything, `bob` pull everything,
    /// `carol` do what she likes in repositories whose names begin with `outside`, and nothing else; nor may
    /// callers without a name. The password of `alice` is `of alice`, and so on.
    #[must_use]
    pub fn of_three(scheme: Scheme, outside: &str) -> Self {
        let account = |name: &str, right| Account {
            name: name.to_owned(),
            password: format!("of {name}"),
            rights: vec![right],
        };
        let accounts = vec![
            account("alice", Right::to_everything()),
            account("bob", Right::of("*", [Action::Pull])),
            account("carol", Right::of(outside, Action::ALL)),
        ];
        Self { scheme, accounts, anonymous: Vec::new() }
    }
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(300), realm_query: None, service: "sim".to_owned() }
    }
}

impl fmt::Debug for Account {
    /// Leaves the password out: plans and reports print accounts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("rights", &self.rights).finish()
    }
}

impl Right {
    /// Makes a right on the repositories whose names begin with a prefix, or on all for `*`.
    #[must_use]
    pub fn of(repositories: impl Into<String>, actions: impl IntoIterator<Item = Action>) -> Self {
        Self { repositories: repositories.into(), actions: actions.into_iter().collect() }
    }

    /// Makes the right to everything.
    #[must_use]
    pub fn to_everything() -> Self {
        Self::of("*", Action::ALL)
    }

    fn allows(&self, repository: &str, action: Action) -> bool {
        (self.repositories == "*" || repository.starts_with(&self.repositories))
            && self.actions.contains(&action)
    }
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// Returns the word that scopes have for the action.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// Says whether any of the rights allows the action.
pub(super) fn allow(rights: &[Right], repository: &str, action: Action) -> bool {
    rights.iter().any(|right| right.allows(repository, action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_covers_its_prefix_and_its_actions() {
        let rights = [Right::of("team/", [Action::Pull]), Right::of("*", [Action::Delete])];
        let check = |repository, action, expect| assert_eq!(allow(&rights, repository, action), expect);
        check("team/app", Action::Pull, true);
        check("team/app", Action::Push, false);
        check("teams/app", Action::Pull, false);
        check("other", Action::Delete, true);
    }

    #[test]
    fn a_password_is_not_printed() {
        let account = Account { name: "a".into(), password: "hunter2".into(), rights: Vec::new() };
        assert!(!format!("{account:?}").contains("hunter2"));
    }
}
