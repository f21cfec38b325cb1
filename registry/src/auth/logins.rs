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
use super::identity::{Account, Origin};
use super::ldap::{Directory, Next, Unreachable, after};
use super::options::Options;
use super::token::Renewal;
use super::verification::{Check, Limits, Verifier};

/// What marks the refresh token of an account of the directory, which does not tell when a password changes. No
/// account of the file has it: theirs are longer.
const DIRECTORY_MARK: &str = "directory";

/// Users whom the directory was asked about lately for a key of theirs.
const FOUND_MAX: u64 = 10_000;

/// For how long its answer is used without asking again.
const FOUND_FRESH_MAX: Duration = Duration::from_secs(10);

/// For how long its answer goes on being used while it cannot be asked.
const FOUND_STALE_MAX: Duration = Duration::from_secs(5 * 60);

/// The places that know accounts by password: a directory, which is asked first, and a file.
#[derive(Debug)]
pub(super) struct Logins {
    directory: Option<Directory>,
    accounts: Option<FileLogins>,
    /// Whom the directory was asked about lately.
    found: moka::sync::Cache<String, Found>,
}

/// When the directory was asked about somebody, and his groups, if it has him.
type Found = (Instant, Option<Arc<[String]>>);

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
        let found =
            moka::sync::Cache::builder().max_capacity(FOUND_MAX).time_to_live(FOUND_STALE_MAX).build();
        Ok(Some(Self { directory, accounts, found }))
    }

    /// Tells whose credentials they are, and which place says so.
    ///
    /// Where both places are asked, a wrong password takes the work of both, whichever of them knows the user.
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
                Next::Accept(person) => {
                    return Ok(Account::of(Origin::Directory, person.name, person.groups));
                }
                Next::Refuse => {
                    if let Some(accounts) = &self.accounts {
                        // Whatever comes of it: that the file is busy makes no wrong password less wrong.
                        let _spent = accounts.verify(credentials.of_nobody()).await;
                    }
                    return Err(LoginError::Refused);
                }
                Next::AskFile => {}
            }
        }
        if let Some(accounts) = &self.accounts
            && accounts.verify(credentials).await?
        {
            return Ok(Account::of(Origin::File, user, Vec::new()));
        }
        Err(refusal)
    }

    /// Returns an account as it is now, without asking for its password; `None` when there is none in that place any
    /// more, or another place decides about the name by now.
    ///
    /// What the directory says is used for [`FOUND_FRESH_MAX`], and for [`FOUND_STALE_MAX`] while it cannot be asked.
    ///
    /// *Errors:* [`LoginError::Unavailable`] and [`LoginError::Overloaded`] when the directory decides, and has not
    /// been asked lately.
    pub(super) async fn account(&self, user: &str, origin: Origin) -> Result<Option<Account>, LoginError> {
        match origin {
            Origin::Directory => {
                let groups = self.find(user).await?;
                Ok(groups.map(|groups| Account::of(Origin::Directory, user, groups.to_vec())))
            }
            Origin::File => {
                let Some(accounts) = &self.accounts else { return Ok(None) };
                let is_there = accounts.file.current(Instant::now()).await.users().hash(user).is_some();
                if !is_there {
                    return Ok(None);
                }
                // As at a login: a directory that cannot be asked leaves the word to the file, and overload, which
                // anybody can bring about, does not.
                let is_taken = match self.find(user).await {
                    Ok(groups) => groups.is_some(),
                    Err(LoginError::Overloaded) => return Err(LoginError::Overloaded),
                    Err(_) => false,
                };
                Ok((!is_taken).then(|| Account::of(Origin::File, user, Vec::new())))
            }
            Origin::Certificate => Ok(None),
        }
    }

    /// Returns the groups of a user of the directory, as it said lately; `None` when it does not have him.
    async fn find(&self, user: &str) -> Result<Option<Arc<[String]>>, LoginError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let known = self.found.get(user);
        if let Some((at, groups)) = &known
            && at.elapsed() < FOUND_FRESH_MAX
        {
            return Ok(groups.clone());
        }
        match (directory.find(user).await, known) {
            (Ok(person), _) => {
                let groups: Option<Arc<[String]>> = person.map(|it| Arc::from(it.groups));
                self.found.insert(user.to_owned(), (Instant::now(), groups.clone()));
                Ok(groups)
            }
            (Err(_), Some((at, groups))) if at.elapsed() < FOUND_STALE_MAX => Ok(groups),
            (Err(Unreachable::Overloaded), _) => Err(LoginError::Overloaded),
            (Err(_), _) => Err(LoginError::Unavailable),
        }
    }

    /// Returns what a refresh token of an account has to say, whom one of the places has just vouched for; `None`
    /// where there is no such account any more.
    pub(super) async fn renewal(&self, account: &Account) -> Option<Renewal> {
        let user = account.name();
        match account.origin()? {
            Origin::Directory => Some(Renewal { user: user.to_owned(), mark: DIRECTORY_MARK.to_owned() }),
            Origin::File => self.accounts.as_ref()?.renewal(user).await,
            Origin::Certificate => None,
        }
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
            Ok(Some(person)) if is_of_directory => Ok(Account::of(Origin::Directory, user, person.groups)),
            Err(Unreachable::Overloaded) if is_of_directory => Err(LoginError::Overloaded),
            Err(_) if is_of_directory => Err(LoginError::Unavailable),
            Ok(Some(_)) => Err(LoginError::Refused),
            Ok(None) | Err(_) => {
                let Some(accounts) = &self.accounts else { return Err(LoginError::Refused) };
                match accounts.renewal(user).await {
                    Some(now) if now == *renewal => Ok(Account::of(Origin::File, user, Vec::new())),
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

#[cfg(test)]
mod tests {
    //! Goal: what the file has no time for changes no verdict of the directory. Method: the file's queue, full of
    //! verifications that do not end, and a password that the directory refuses by itself.

    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::auth::htpasswd::PasswordHash;
    use crate::auth::options::ldap::{LdapOptions, Security};
    use crate::auth::verdicts::PENDING_MAX;

    /// Looks at no password until it is opened; it opens when the test ends, however it ends.
    #[derive(Clone, Default)]
    struct Gate(Arc<AtomicBool>);

    impl Check for Gate {
        fn check(&self, _: &[u8], _: &PasswordHash) -> bool {
            while !self.0.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            false
        }
    }

    struct Opens(Gate);

    impl Drop for Opens {
        fn drop(&mut self) {
            self.0.0.store(true, Ordering::SeqCst);
        }
    }

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials::of_form(user, password).unwrap()
    }

    #[tokio::test]
    async fn a_wrong_password_of_the_directory_is_wrong_while_the_file_is_busy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        std::fs::write(&path, format!("eve:{}\n", bcrypt::hash("eveeve", 4).unwrap())).unwrap();
        let ldap = LdapOptions {
            host: "127.0.0.1".to_owned(),
            port: 1,
            security: Security::Plain,
            base_dn: "dc=example".to_owned(),
            user_attribute: "uid".to_owned(),
            ..LdapOptions::default()
        };
        let (gate, options) =
            (Gate::default(), Options { ldap: Some(ldap), htpasswd: Some(path), ..Options::default() });
        let logins = Arc::new(Logins::new(&options, gate.clone()).unwrap().unwrap());
        let _opens = Opens(gate);
        for number in 0..PENDING_MAX {
            let logins = Arc::clone(&logins);
            tokio::spawn(async move {
                let file = logins.accounts.as_ref().unwrap();
                let _later = file.verify(credentials(&format!("u{number}"), "x")).await;
            });
        }
        let (file, full) = (logins.accounts.as_ref().unwrap(), format!("pending: {PENDING_MAX}"));
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !format!("{:?}", file.verifier).contains(&full) {
            assert!(std::time::Instant::now() < deadline, "the queue is full");
            tokio::task::yield_now().await;
        }
        assert_eq!(logins.verify(credentials("eve", "")).await, Err(LoginError::Refused));
    }
}
