//! The façade of the access layer: identify whoever asks, and grant what they may do.
//!
//! It decides between *log in first* and *no*; which status that is, is HTTP's to say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::oci::RepositoryName;

use super::account_file::AccountFile;
use super::certificate::Certificates;
use super::credentials::Credentials;
use super::error::{AccessError, LoginError, Refusal};
use super::grant::{Grant, Right};
use super::identity::Identity;
use super::options::{Action, Options};
use super::policy::{Accounts, Decision, Policy};
use super::verification::{Bcrypt, Check, Limits, Verifier};

/// Who may do what, as configured.
#[derive(Debug)]
pub struct Access {
    policy: Policy,
    logins: Option<Logins>,
    certificates: Option<Certificates>,
}

/// What there is when there are accounts.
#[derive(Debug)]
struct Logins {
    file: Arc<AccountFile>,
    verifier: Verifier,
    challenge: String,
    fail_delay: Duration,
}

impl Access {
    /// Makes the access layer of its options.
    ///
    /// It reads the htpasswd file, for which it blocks. A file that is absent or unreadable is no
    /// error: it refuses every login, until it is there.
    ///
    /// *Errors:* every variant of [`AccessError`].
    pub fn new(options: Options) -> Result<Self, AccessError> {
        Self::with_check(options, Bcrypt)
    }

    fn with_check(options: Options, check: impl Check) -> Result<Self, AccessError> {
        let certificates = options.certificates.map(Certificates::new);
        let has_accounts = options.htpasswd.is_some() || certificates.is_some();
        let accounts = if has_accounts { Accounts::Configured } else { Accounts::Absent };
        let policy = Policy::new(options.access.as_ref(), accounts)?;
        let logins = match options.htpasswd {
            None => None,
            Some(_) if options.verifications_max == 0 => return Err(AccessError::NoVerifications),
            Some(path) => {
                let limits = Limits {
                    at_once_max: options.verifications_max,
                    remembered_max: options.cache_entries_max,
                    remembered_for: options.cache_ttl,
                };
                Some(Logins {
                    challenge: challenge(options.realm)?,
                    file: Arc::new(AccountFile::open(path)),
                    verifier: Verifier::new(check, &limits),
                    fail_delay: options.fail_delay,
                })
            }
        };
        Ok(Self { policy, logins, certificates })
    }

    /// Tells who sent a request with that value of the `Authorization` header.
    ///
    /// Without the header it is [`Identity::Anonymous`]; so it is with an empty user and an empty
    /// password, which some clients send when they have none, and with any header at all when no
    /// accounts are configured: there is nothing to hold it against, and nothing that it could gain.
    ///
    /// *Errors:* [`LoginError::Refused`], after the fail delay, for a wrong user or password;
    /// [`LoginError::Malformed`] and [`LoginError::UnsupportedScheme`] for a header that cannot be
    /// read; [`LoginError::Overloaded`] when too many logins wait.
    ///
    /// *Cancellation:* leaves at most a verification and a look at the file, which end by themselves.
    pub async fn identify(&self, authorization: Option<&[u8]>) -> Result<Identity, LoginError> {
        let (Some(logins), Some(value)) = (&self.logins, authorization) else {
            return Ok(Identity::Anonymous);
        };
        let credentials = Credentials::parse(value)?;
        if credentials.is_empty() {
            return Ok(Identity::Anonymous);
        }
        let user = Arc::from(credentials.user());
        let edition = logins.file.current(Instant::now()).await;
        if logins.verifier.verify(&edition, credentials).await? {
            return Ok(Identity::Account(user));
        }
        tokio::time::sleep(logins.fail_delay).await;
        Err(LoginError::Refused)
    }

    /// Returns how client certificates name accounts, if they do. A name of theirs is an account without a
    /// further proof: the listener has verified the certificate.
    pub const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Grants a right to a repository, which need not exist.
    ///
    /// *Errors:* [`Refusal::Unauthenticated`] to somebody anonymous who could log in, else
    /// [`Refusal::Denied`].
    pub fn grant<R: Right>(&self, identity: &Identity, name: &RepositoryName) -> Result<Grant<R>, Refusal> {
        self.policy.grant(identity, name).ok_or_else(|| self.refusal(identity))
    }

    /// Tells whether somebody may read a repository, so that a list shows no other.
    pub fn may_read(&self, identity: &Identity, name: &RepositoryName) -> bool {
        self.policy.decide(identity, name, Action::Read) == Decision::Allowed
    }

    /// Answers for `GET /v2/`, by which clients find out whether to log in.
    ///
    /// Where accounts and anonymous reading meet, it lets the anonymous in: after a Basic challenge
    /// here docker refuses every anonymous pull. The price is that docker then never sends its
    /// password; only a challenge for a token of our own could please both.
    ///
    /// *Errors:* [`Refusal::Unauthenticated`] to somebody anonymous where nothing can be read
    /// without an account.
    pub fn base(&self, identity: &Identity) -> Result<(), Refusal> {
        if identity.account().is_some() || self.logins.is_none() || self.policy.anonymous_reads_somewhere() {
            return Ok(());
        }
        Err(self.refusal(identity))
    }

    /// Returns the challenge that goes with [`Refusal::Unauthenticated`] and with a failed login,
    /// as the value of a `WWW-Authenticate` header; `None` when there are no accounts.
    ///
    /// *Spec:* RFC 7617 section 2.
    pub fn challenge(&self) -> Option<String> {
        self.logins.as_ref().map(|logins| logins.challenge.clone())
    }

    fn refusal(&self, identity: &Identity) -> Refusal {
        self.policy.refusal(identity)
    }
}

/// Quotes the realm as RFC 9110 section 5.6.4 has it.
fn challenge(realm: String) -> Result<String, AccessError> {
    if !realm.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(AccessError::Realm { realm });
    }
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("Basic realm=\"{realm}\""))
}

#[cfg(test)]
mod tests;
