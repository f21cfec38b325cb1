//! Users and passwords: which of the places that know accounts is asked, and in which order.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::account_file::AccountFile;
use super::credentials::Credentials;
use super::error::{AccessError, LoginError};
use super::identity::Account;
use super::options::Options;
use super::token::Renewal;
use super::verification::{Check, Limits, Verifier};

/// The places that know accounts by password.
#[derive(Debug)]
pub(super) struct Logins {
    file: Arc<AccountFile>,
    verifier: Verifier,
    fail_delay: Duration,
}

impl Logins {
    /// Makes them of the options; `None` when no place is configured.
    ///
    /// *Errors:* [`AccessError::NoVerifications`].
    pub(super) fn new(options: &Options, check: impl Check) -> Result<Option<Self>, AccessError> {
        let Some(path) = options.htpasswd.clone() else { return Ok(None) };
        if options.verifications_max == 0 {
            return Err(AccessError::NoVerifications);
        }
        let limits = Limits {
            at_once_max: options.verifications_max,
            remembered_max: options.cache_entries_max,
            remembered_for: options.cache_ttl,
        };
        let file = Arc::new(AccountFile::open(path));
        Ok(Some(Self { file, verifier: Verifier::new(check, &limits), fail_delay: options.fail_delay }))
    }

    /// Tells whose credentials they are.
    ///
    /// *Errors:* [`LoginError::Refused`], after the fail delay; [`LoginError::Overloaded`].
    pub(super) async fn verify(&self, credentials: Credentials) -> Result<Account, LoginError> {
        let user = credentials.user().to_owned();
        let edition = self.file.current(Instant::now()).await;
        if self.verifier.verify(&edition, credentials).await? {
            return Ok(Account::new(user, Vec::new()));
        }
        tokio::time::sleep(self.fail_delay).await;
        Err(LoginError::Refused)
    }

    /// Says whether there still is an account, of which a key says that it is its own.
    pub(super) async fn has(&self, user: &str) -> bool {
        self.file.current(Instant::now()).await.users().hash(user).is_some()
    }

    /// Returns what a refresh token of an account has to say; `None` when there is no such account any more.
    pub(super) async fn renewal(&self, user: &str) -> Option<Renewal> {
        let edition = self.file.current(Instant::now()).await;
        let hash = edition.users().hash(user)?;
        let mark = Sha256::new().chain_update(b"wharfinger refresh ").chain_update(hash.text()).finalize();
        Some(Renewal { user: user.to_owned(), mark: BASE64_URL_SAFE_NO_PAD.encode(&mark[..16]) })
    }

    /// Returns the account of a refresh token.
    ///
    /// *Errors:* [`LoginError::Refused`] when the password has changed since, or the account is gone.
    pub(super) async fn renew(&self, renewal: &Renewal) -> Result<Account, LoginError> {
        match self.renewal(&renewal.user).await {
            Some(now) if now == *renewal => Ok(Account::new(renewal.user.as_str(), Vec::new())),
            _ => Err(LoginError::Refused),
        }
    }
}
