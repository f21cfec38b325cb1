//! Accounts in a directory, over LDAP: the user is searched, and the password is tried by a bind as
//! the entry that was found.
//!
//! A directory is somebody else's server, so it is held at arm's length: each step has a timeout, so
//! many searches and so many binds happen at once, a failure opens a breaker, and no lock is held while
//! it is waited for. Verified logins are remembered as those of the htpasswd file are; failures are not.
//!
//! | file | says |
//! |---|---|
//! | `filter` | the filter that finds a user |
//! | `names` | what a user is called |
//! | `groups` | groups from the values of an attribute |
//! | `tls` | whom the directory is taken for |
//! | `messages` | what of a directory's bytes is read at all |
//! | `wire` | the way to it |
//! | `connection` | one connection, and what is asked over it |
//! | `pool` | connections that are open |
//! | `breaker` | whether the directory is asked at all |
//! | `login` | the steps of a login |
//! | `error` | what can go wrong |
//!
//! *Spec:* RFC 4511, 4513.

mod breaker;
mod connection;
mod error;
mod filter;
mod groups;
mod login;
mod messages;
mod names;
mod pool;
mod tls;
mod wire;

use std::fmt;
use std::sync::Arc;

use super::credentials::Password;
use super::options::ldap::LdapOptions;
use super::proof::ProofKey;
use super::verdicts::Verdicts;

pub use error::{DirectoryError, Step, Trouble, Unreachable};
pub use filter::user_filter;
pub use messages::{Messages, Unfit};

/// What a directory says of a user and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They belong together.
    Right(Person),
    /// The directory knows the user, and the password is another.
    Wrong,
    /// The directory knows no such user, or several.
    Unknown,
}

/// A user of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// What the directory calls him, however his name was typed.
    pub name: String,
    /// His groups, in order.
    pub groups: Vec<String>,
}

/// What follows from a verdict where there is an htpasswd file beside the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The user is in, with this name and these groups.
    Accept(Person),
    /// The user is not in, whatever the file says.
    Refuse,
    /// The file decides.
    AskFile,
}

/// Decides what follows from a verdict.
///
/// A wrong password of a user whom the directory knows is final: otherwise an old password in the file
/// would go on to open what the directory has closed. A directory that cannot be asked leaves the
/// operator's way in by the file open, which is what one wants when a directory is down. Overload is our own
/// bound, and had better be told to the client before this is asked.
pub fn after(verdict: Result<Verdict, Unreachable>) -> Next {
    match verdict {
        Ok(Verdict::Right(person)) => Next::Accept(person),
        Ok(Verdict::Wrong) => Next::Refuse,
        Ok(Verdict::Unknown) | Err(_) => Next::AskFile,
    }
}

/// A directory of accounts.
pub struct Directory {
    lookup: Arc<login::Lookup>,
    key: ProofKey,
    verdicts: Verdicts<Result<Verdict, Unreachable>>,
}

impl Directory {
    /// Makes a directory of its options; it is not asked for anything yet.
    ///
    /// It reads the authorities and the bind account, for which it blocks.
    ///
    /// *Errors:* every variant of [`DirectoryError`].
    pub fn new(options: LdapOptions) -> Result<Self, DirectoryError> {
        let is_right = |verdict: &_| matches!(verdict, Ok(Verdict::Right(_)));
        let verdicts = Verdicts::new(options.cache_entries_max, options.cache_ttl, is_right);
        Ok(Self { lookup: Arc::new(login::Lookup::new(options)?), key: ProofKey::random(), verdicts })
    }

    /// Tells whether a password is a user's, and which groups the user has.
    ///
    /// An empty password is wrong, without the directory being asked: it would take the bind for an
    /// anonymous one, and say that it succeeded.
    ///
    /// *Errors:* [`Unreachable`]: nothing is known then, and a retry may help.
    ///
    /// *Cancellation:* leaves a login that goes on to its end, within the same bounds.
    pub async fn login(&self, user: &str, password: &Password) -> Result<Verdict, Unreachable> {
        if password.reveal().is_empty() {
            return Ok(Verdict::Wrong);
        }
        let proof = self.key.proof(0, user.as_bytes(), password.reveal());
        let question = || {
            let (lookup, user, password) = (Arc::clone(&self.lookup), user.to_owned(), password.clone());
            async move { lookup.login(&user, &password).await }
        };
        self.verdicts.ask(proof, question).await.unwrap_or(Err(Unreachable::Overloaded))
    }

    /// Returns a user, whose password is not asked for; `None` for one whom the directory
    /// does not know.
    ///
    /// *Errors:* [`Unreachable`].
    ///
    /// *Cancellation:* leaves a search that goes on to its end.
    pub async fn find(&self, user: &str) -> Result<Option<Person>, Unreachable> {
        let (lookup, user) = (Arc::clone(&self.lookup), user.to_owned());
        // A task of its own, so that an answer which the client library cannot read ends no request.
        let found = tokio::spawn(async move { lookup.find(&user).await });
        let found = found.await.map_err(|_| Unreachable::Overloaded)??;
        Ok(found.map(|entry| entry.person))
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("verdicts", &self.verdicts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
