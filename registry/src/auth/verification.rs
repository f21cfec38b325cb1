//! Passwords against hashes.
//!
//! Three things at once, in this order of care. *It tells nothing*: a login that fails takes the
//! same work whether the user exists or not, and whatever the cost of the user's hash is. *It is
//! bounded*: so many verifications at once, so many waiting, each for so long. *It is quick for
//! those who are right*: a pull of a hundred layers with one password costs one bcrypt.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::account_file::Edition;
use super::credentials::Credentials;
use super::error::LoginError;
use super::htpasswd::{PasswordHash, Users};
use super::proof::ProofKey;
use super::verdicts::Verdicts;

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
pub(super) struct Verifier {
    check: Arc<dyn Check>,
    permits: Arc<Semaphore>,
    key: ProofKey,
    /// The number of the newest edition of the file that was asked about.
    edition: AtomicU64,
    verdicts: Verdicts<Result<bool, LoginError>>,
}

impl Verifier {
    /// Makes a verifier with the [`Check`] given.
    pub(super) fn new(check: impl Check, limits: &Limits) -> Self {
        Self {
            check: Arc::new(check),
            permits: Arc::new(Semaphore::new(limits.at_once_max.min(Semaphore::MAX_PERMITS))),
            key: ProofKey::random(),
            edition: AtomicU64::new(0),
            verdicts: Verdicts::new(limits.remembered_max, limits.remembered_for, |it| *it == Ok(true)),
        }
    }

    /// Tells whether the credentials are those of a user of this edition of the file.
    ///
    /// *Errors:* [`LoginError::Overloaded`] as [`Verdicts::ask`] says, and when hashing panics.
    ///
    /// *Cancellation:* leaves a verification that goes on to its end, within the same bounds.
    pub(super) async fn verify(
        &self,
        edition: &Arc<Edition>,
        credentials: Credentials,
    ) -> Result<bool, LoginError> {
        if self.edition.fetch_max(edition.number(), Ordering::Relaxed) < edition.number() {
            // Nothing asks for the proofs of an older edition again; they would only take up room.
            self.verdicts.forget();
        }
        let (user, password) = (credentials.user().as_bytes(), credentials.password().reveal());
        let proof = self.key.proof(edition.number(), user, password);
        let (check, permits, edition) =
            (Arc::clone(&self.check), Arc::clone(&self.permits), Arc::clone(edition));
        let verdict = self.verdicts.ask(proof, || verify_once(check, permits, edition, credentials)).await;
        verdict.unwrap_or(Err(LoginError::Overloaded))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("verdicts", &self.verdicts).finish_non_exhaustive()
    }
}

/// Verifies once, off the executor, when it is its turn.
async fn verify_once(
    check: Arc<dyn Check>,
    permits: Arc<Semaphore>,
    edition: Arc<Edition>,
    credentials: Credentials,
) -> Result<bool, LoginError> {
    // Nobody closes the semaphore.
    let permit = permits.acquire_owned().await.map_err(|_| LoginError::Overloaded)?;
    let work = move || {
        let verdict = verify(&*check, edition.users(), &credentials);
        drop(permit);
        verdict
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| LoginError::Overloaded)
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
