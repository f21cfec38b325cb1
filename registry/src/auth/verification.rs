//! Passwords against hashes.
//!
//! Three things at once, in this order of care. *It tells nothing*: a login that fails takes the
//! same work whether the user exists or not, and whatever the cost of the user's hash is. *It is
//! bounded*: so many verifications at once, so many waiting, each for so long. *It is quick for
//! those who are right*: a pull of a hundred layers with one password costs one bcrypt.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use tokio::sync::Semaphore;

use super::account_file::Edition;
use super::credentials::Credentials;
use super::error::LoginError;
use super::htpasswd::{PasswordHash, Users};
use super::proof::{Proof, ProofKey};

/// Verifications under way and waiting at once, of different users or passwords; one more login
/// is refused as overload.
pub(super) const PENDING_MAX: usize = 256;

/// How long a login waits for its verdict before it is refused as overload.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

/// The longest time that the cache can be told to remember, beyond which its crate panics.
pub(super) const TTL_MAX: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The seam behind which passwords are hashed.
pub(super) trait Check: Send + Sync + 'static {
    /// Tells whether a password is the one hashed; it may block.
    fn check(&self, password: &[u8], hash: &PasswordHash) -> bool;
}

/// The [`Check`] that really hashes.
#[derive(Debug)]
pub(super) struct Bcrypt;

/// What bounds and remembers verifications.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) at_once_max: usize,
    pub(super) remembered_max: u64,
    pub(super) remembered_for: Duration,
}

/// Verifies passwords.
pub(super) struct Verifier(Arc<Inner>);

struct Inner {
    check: Box<dyn Check>,
    key: ProofKey,
    /// The number of the newest edition of the file that was asked about.
    edition: AtomicU64,
    /// What was verified. A failure is not remembered: the file may change to make it right.
    verified: moka::sync::Cache<Proof, ()>,
    /// What is being verified, so that as many as ask for the same wait for one verdict.
    flights: Mutex<HashMap<Proof, Flight>>,
    permits: Arc<Semaphore>,
}

/// A verdict to come; `None` when the runtime shut down before there was one.
type Flight = Shared<Pin<Box<dyn Future<Output = Option<bool>> + Send>>>;

impl Verifier {
    /// Makes a verifier with the [`Check`] given.
    pub(super) fn new(check: impl Check, limits: &Limits) -> Self {
        let verified = moka::sync::Cache::builder()
            .max_capacity(limits.remembered_max)
            .time_to_live(limits.remembered_for.min(TTL_MAX))
            .build();
        Self(Arc::new(Inner {
            check: Box::new(check),
            key: ProofKey::random(),
            edition: AtomicU64::new(0),
            verified,
            flights: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.at_once_max.min(Semaphore::MAX_PERMITS))),
        }))
    }

    /// Tells whether the credentials are those of a user of this edition of the file.
    ///
    /// *Errors:* [`LoginError::Overloaded`] when [`PENDING_MAX`] verifications are pending, the
    /// verdict takes longer than [`WAIT_MAX`], or the runtime shuts down.
    ///
    /// *Cancellation:* leaves a verification that goes on to its end, within the same bounds.
    pub(super) async fn verify(
        &self,
        edition: &Arc<Edition>,
        credentials: Credentials,
    ) -> Result<bool, LoginError> {
        if self.0.edition.fetch_max(edition.number(), Ordering::Relaxed) < edition.number() {
            // Nothing asks for the proofs of an older edition again; they would only take up room.
            self.0.verified.invalidate_all();
        }
        let (user, password) = (credentials.user().as_bytes(), credentials.password().reveal());
        let proof = self.0.key.proof(edition.number(), user, password);
        if self.0.verified.contains_key(&proof) {
            return Ok(true);
        }
        let Some(flight) = self.board(proof, edition, credentials)? else { return Ok(true) };
        match tokio::time::timeout(WAIT_MAX, flight).await {
            Ok(Some(verdict)) => Ok(verdict),
            Ok(None) | Err(_) => Err(LoginError::Overloaded),
        }
    }

    /// Joins the flight of a proof or starts it; `None` when it has just been verified.
    fn board(
        &self,
        proof: Proof,
        edition: &Arc<Edition>,
        credentials: Credentials,
    ) -> Result<Option<Flight>, LoginError> {
        let mut flights = self.0.flights();
        if let Some(flight) = flights.get(&proof) {
            return Ok(Some(flight.clone()));
        }
        // A flight is remembered before it is struck off, so whoever finds no flight while holding
        // the lock finds the verdict here.
        if self.0.verified.contains_key(&proof) {
            return Ok(None);
        }
        if flights.len() >= PENDING_MAX {
            return Err(LoginError::Overloaded);
        }
        let task = tokio::spawn(fly(Arc::clone(&self.0), proof, Arc::clone(edition), credentials));
        let flight: Flight = task.map(|landed| landed.ok().flatten()).boxed().shared();
        flights.insert(proof, flight.clone());
        Ok(Some(flight))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("pending", &self.0.flights().len()).finish_non_exhaustive()
    }
}

impl Inner {
    fn flights(&self) -> MutexGuard<'_, HashMap<Proof, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Verifies once, off the executor, and strikes itself off.
async fn fly(
    inner: Arc<Inner>,
    proof: Proof,
    edition: Arc<Edition>,
    credentials: Credentials,
) -> Option<bool> {
    let permits = Arc::clone(&inner.permits);
    let verdict = match permits.acquire_owned().await {
        Ok(permit) => {
            let inner = Arc::clone(&inner);
            let work = move || {
                let verdict = verify(&*inner.check, edition.users(), &credentials);
                drop(permit);
                verdict
            };
            tokio::task::spawn_blocking(work).await.ok()
        }
        // Nobody closes the semaphore.
        Err(_) => None,
    };
    if verdict == Some(true) {
        inner.verified.insert(proof, ());
    }
    inner.flights().remove(&proof);
    verdict
}

/// Verifies a password, with work that does not depend on who exists.
///
/// Verifying at a cost `c` takes 2^c rounds. An unknown user is given a dummy of the highest cost
/// `m` in the file. A wrong password of a known user is made up for: 2^c of its own, and 2^c +
/// 2^(c+1) + … + 2^(m-1) of dummies, are 2^m too.
fn verify(check: &dyn Check, users: &Users, credentials: &Credentials) -> bool {
    let password = credentials.password().reveal();
    let Some(hash) = users.hash(credentials.user()) else {
        if let Some(dummy) = users.dummy() {
            check.check(password, dummy);
        }
        return false;
    };
    if check.check(password, hash) {
        return true;
    }
    for cost in hash.cost()..users.cost_max() {
        check.check(password, &PasswordHash::dummy(cost));
    }
    false
}

impl Check for Bcrypt {
    fn check(&self, password: &[u8], hash: &PasswordHash) -> bool {
        hash.verify(password)
    }
}

#[cfg(test)]
mod tests;
