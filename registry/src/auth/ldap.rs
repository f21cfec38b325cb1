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

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Shared;

use super::credentials::Password;
use super::options::ldap::LdapOptions;
use super::proof::{Proof, ProofKey};
use super::verification::TTL_MAX;

pub use error::{DirectoryError, Step, Trouble, Unreachable};
pub use filter::user_filter;
pub use messages::{Messages, Unfit};

/// Logins under way and waiting at once, of different users or passwords; one more is refused as
/// overload.
const PENDING_MAX: usize = 256;

/// How long a login waits for its verdict before it is refused as overload.
const WAIT_MAX: Duration = Duration::from_secs(30);

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
pub struct Directory(Arc<Inner>);

struct Inner {
    lookup: login::Lookup,
    key: ProofKey,
    /// Whoever was verified. A failure is not remembered: the directory may change to
    /// make it right.
    verified: moka::sync::Cache<Proof, Arc<Person>>,
    /// What is being verified, so that as many as ask for the same wait for one verdict.
    flights: Mutex<HashMap<Proof, Flight>>,
}

/// A verdict to come; `None` when the runtime shut down before there was one, or the directory's answer
/// could not be read at all.
type Flight = Shared<Pin<Box<dyn Future<Output = Option<Result<Verdict, Unreachable>>> + Send>>>;

impl Directory {
    /// Makes a directory of its options; it is not asked for anything yet.
    ///
    /// It reads the authorities and the bind account, for which it blocks.
    ///
    /// *Errors:* every variant of [`DirectoryError`].
    pub fn new(options: LdapOptions) -> Result<Self, DirectoryError> {
        let verified = moka::sync::Cache::builder()
            .max_capacity(options.cache_entries_max)
            .time_to_live(options.cache_ttl.min(TTL_MAX))
            .build();
        Ok(Self(Arc::new(Inner {
            lookup: login::Lookup::new(options)?,
            key: ProofKey::random(),
            verified,
            flights: Mutex::default(),
        })))
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
        let proof = self.0.key.proof(0, user.as_bytes(), password.reveal());
        let flight = match self.board(proof, user, password)? {
            Boarding::Known(person) => return Ok(Verdict::Right(Person::clone(&person))),
            Boarding::Flight(flight) => flight,
        };
        match tokio::time::timeout(WAIT_MAX, flight).await {
            Ok(Some(verdict)) => verdict,
            Ok(None) | Err(_) => Err(Unreachable::Overloaded),
        }
    }

    /// Returns a user, whose password is not asked for; `None` for one whom the directory
    /// does not know.
    ///
    /// *Errors:* [`Unreachable`].
    ///
    /// *Cancellation:* leaves a search that goes on to its end.
    pub async fn find(&self, user: &str) -> Result<Option<Person>, Unreachable> {
        let (inner, user) = (Arc::clone(&self.0), user.to_owned());
        // A task of its own, so that an answer which the client library cannot read ends no request.
        let found = tokio::spawn(async move { inner.lookup.find(&user).await });
        let found = found.await.map_err(|_| Unreachable::Overloaded)??;
        Ok(found.map(|entry| entry.person))
    }

    /// Joins the flight of a proof or starts it, unless it has been verified.
    fn board(&self, proof: Proof, user: &str, password: &Password) -> Result<Boarding, Unreachable> {
        let mut flights = self.0.flights();
        if let Some(flight) = flights.get(&proof) {
            return Ok(Boarding::Flight(flight.clone()));
        }
        // A flight is remembered before it is struck off, so whoever finds no flight while holding the
        // lock finds the verdict here.
        if let Some(person) = self.0.verified.get(&proof) {
            return Ok(Boarding::Known(person));
        }
        if flights.len() >= PENDING_MAX {
            return Err(Unreachable::Overloaded);
        }
        let landing = Landing { inner: Arc::clone(&self.0), proof };
        let task = tokio::spawn(fly(landing, user.to_owned(), password.clone()));
        let flight: Flight = task.map(Result::ok).boxed().shared();
        flights.insert(proof, flight.clone());
        Ok(Boarding::Flight(flight))
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("pending", &self.0.flights().len()).finish_non_exhaustive()
    }
}

enum Boarding {
    Known(Arc<Person>),
    Flight(Flight),
}

impl Inner {
    fn flights(&self) -> MutexGuard<'_, HashMap<Proof, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Strikes a flight off, however it ends: by a panic of the client library's too.
struct Landing {
    inner: Arc<Inner>,
    proof: Proof,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.inner.flights().remove(&self.proof);
    }
}

/// Logs in once, and remembers it.
async fn fly(landing: Landing, user: String, password: Password) -> Result<Verdict, Unreachable> {
    let verdict = landing.inner.lookup.login(&user, &password).await;
    if let Ok(Verdict::Right(person)) = &verdict {
        landing.inner.verified.insert(landing.proof, Arc::new(person.clone()));
    }
    verdict
}

#[cfg(test)]
mod tests;
