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
use super::ldap::{Directory, Next, Unreachable, after};
use super::options::Options;
use super::token::Renewal;
use super::verification::{Check, Limits, Verifier};

/// What marks the refresh token of an account of the directory, which does not tell when a password changes. No
/// account of the file has it: theirs are longer.
const DIRECTORY_MARK: &str = "directory";

/// Users of the directory of whom it is remembered whether it has them.
const HAS_MAX: u64 = 10_000;

/// For how long that is.
const HAS_TIME_MAX: Duration = Duration::from_secs(10);

/// The places that know accounts by password: a directory, which is asked first, and a file.
#[derive(Debug)]
pub(super) struct Logins {
    directory: Option<Directory>,
    accounts: Option<FileLogins>,
    /// Of whom the directory was asked lately, and whether it has him.
    has: moka::sync::Cache<String, bool>,
}

#[derive(Debug)]
struct FileLogins {
    file: Arc<AccountFile>,
    verifier: Verifier,
}

impl Logins {
    /// Makes them of the options; `None` when no place is configured. It reads files, for which it blocks.
    ///
    /// *Errors:* [`AccessError::NoVerifications`], [`AccessError::Directory`].
    pub(super) fn new(options: &Options, check: impl Check) -> Result<Option<Self>, AccessError> {
        let accounts = match options.htpasswd.clone() {
            None => None,
            Some(_) if options.verifications_max == 0 => return Err(AccessError::NoVerifications),
            Some(path) => {
                let limits = Limits {
                    at_once_max: options.verifications_max,
                    remembered_max: options.cache_entries_max,
                    remembered_for: options.cache_ttl,
                };
                let file = Arc::new(AccountFile::open(path));
                Some(FileLogins { file, verifier: Verifier::new(check, &limits) })
            }
        };
        let directory = options.ldap.clone().map(Directory::new).transpose()?;
        if accounts.is_none() && directory.is_none() {
            return Ok(None);
        }
        let has = moka::sync::Cache::builder().max_capacity(HAS_MAX).time_to_live(HAS_TIME_MAX).build();
        Ok(Some(Self { directory, accounts, has }))
    }

    /// Tells whose credentials they are.
    ///
    /// *Errors:* [`LoginError::Refused`]; [`LoginError::Unavailable`] when the directory cannot be asked and there is
    /// no file to answer instead; [`LoginError::Overloaded`].
    pub(super) async fn verify(&self, credentials: Credentials) -> Result<Account, LoginError> {
        let user = credentials.user().to_owned();
        let mut refusal = LoginError::Refused;
        if let Some(directory) = &self.directory {
            let verdict = directory.login(&user, credentials.password()).await;
            match &verdict {
                // Else whoever overruns the directory could choose that the file decides.
                Err(Unreachable::Overloaded) => return Err(LoginError::Overloaded),
                Err(_) if self.accounts.is_none() => refusal = LoginError::Unavailable,
                Err(_) | Ok(_) => {}
            }
            match after(verdict) {
                Next::Accept(groups) => return Ok(Account::new(user, groups)),
                Next::Refuse => return Err(LoginError::Refused),
                Next::AskFile => {}
            }
        }
        if let Some(accounts) = &self.accounts
            && accounts.verify(credentials).await?
        {
            return Ok(Account::new(user, Vec::new()));
        }
        Err(refusal)
    }

    /// Says whether there still is an account, of which a key says that it is its own.
    ///
    /// What the directory says is remembered for [`HAS_TIME_MAX`]. While it cannot be asked nobody can tell, and who
    /// has made a key has had an account.
    pub(super) async fn has(&self, user: &str) -> bool {
        if let Some(accounts) = &self.accounts
            && accounts.file.current(Instant::now()).await.users().hash(user).is_some()
        {
            return true;
        }
        let Some(directory) = &self.directory else { return false };
        if let Some(known) = self.has.get(user) {
            return known;
        }
        let Ok(found) = directory.find(user).await else { return true };
        self.has.insert(user.to_owned(), found.is_some());
        found.is_some()
    }

    /// Returns what a refresh token of an account has to say; `None` when there is no such account any more.
    pub(super) async fn renewal(&self, user: &str) -> Option<Renewal> {
        if let Some(directory) = &self.directory
            && let Ok(Some(_groups)) = directory.find(user).await
        {
            return Some(Renewal { user: user.to_owned(), mark: DIRECTORY_MARK.to_owned() });
        }
        self.accounts.as_ref()?.renewal(user).await
    }

    /// Returns the account of a refresh token, with the groups that it has now.
    ///
    /// *Errors:* [`LoginError::Refused`] when the password in the file has changed since, the account is gone, or
    /// the directory knows a user of that name by now; [`LoginError::Unavailable`] and [`LoginError::Overloaded`]
    /// when the directory decides and cannot be asked.
    pub(super) async fn renew(&self, renewal: &Renewal) -> Result<Account, LoginError> {
        let user = renewal.user.as_str();
        let known = match &self.directory {
            Some(directory) => directory.find(user).await,
            None => Ok(None),
        };
        let is_of_directory = renewal.mark == DIRECTORY_MARK;
        match known {
            Ok(Some(groups)) if is_of_directory => Ok(Account::new(user, groups)),
            Err(Unreachable::Overloaded) if is_of_directory => Err(LoginError::Overloaded),
            Err(_) if is_of_directory => Err(LoginError::Unavailable),
            Ok(Some(_)) => Err(LoginError::Refused),
            Ok(None) | Err(_) => {
                let Some(accounts) = &self.accounts else { return Err(LoginError::Refused) };
                match accounts.renewal(user).await {
                    Some(now) if now == *renewal => Ok(Account::new(user, Vec::new())),
                    _ => Err(LoginError::Refused),
                }
            }
        }
    }
}

impl FileLogins {
    async fn verify(&self, credentials: Credentials) -> Result<bool, LoginError> {
        let edition = self.file.current(Instant::now()).await;
        self.verifier.verify(&edition, credentials).await
    }

    async fn renewal(&self, user: &str) -> Option<Renewal> {
        let edition = self.file.current(Instant::now()).await;
        let hash = edition.users().hash(user)?;
        let mark = Sha256::new().chain_update(b"wharfinger refresh ").chain_update(hash.text()).finalize();
        Some(Renewal { user: user.to_owned(), mark: BASE64_URL_SAFE_NO_PAD.encode(&mark[..16]) })
    }
}
