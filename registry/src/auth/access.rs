//! The façade of the access layer: identify whoever asks, and grant what they may do.
//!
//! It decides between *log in first* and *no*; which status that is, is HTTP's to say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::oci::RepositoryName;
use crate::telemetry::WithCauses;

use super::backoff::Backoff;
use super::certificate::Certificates;
use super::challenge::{Challenge, Need};
use super::credentials::{Authorization, BearerToken, Credentials};
use super::error::{AccessError, LoginError, Refusal};
use super::grant::{Grant, Right};
use super::identity::{Account, Identity};
use super::keep::{Keep, KeepError};
use super::logins::Logins;
use super::options::{Action, Options};
use super::policy::{Accounts, Decision, Policy};
use super::scope::Resource;
use super::source::Source;
use super::token::{Issued, Issuer};
use super::verification::{Bcrypt, Check};

/// Who may do what, as configured.
#[derive(Debug)]
pub struct Access {
    policy: Policy,
    logins: Option<Logins>,
    certificates: Option<Certificates>,
    backoff: Option<Backoff>,
    fail_delay: Duration,
    issuer: Option<Issuer>,
    challenge: Challenge,
}

impl Access {
    /// Makes the access layer of its options, but for what needs a place to keep keys: it issues no tokens.
    ///
    /// It reads the htpasswd file, for which it blocks. A file that is absent or unreadable is no
    /// error: it refuses every login, until it is there.
    ///
    /// *Errors:* every variant of [`AccessError`] but for those of keys.
    pub fn new(options: &Options) -> Result<Self, AccessError> {
        Self::with_check(options, Bcrypt)
    }

    /// Makes the access layer of its options; where there are accounts, it issues tokens unless they say otherwise.
    ///
    /// *Errors:* every variant of [`AccessError`].
    pub async fn open(options: &Options, keep: Arc<dyn Keep>, clock: Clock) -> Result<Self, AccessError> {
        let mut access = Self::new(options)?;
        if access.logins.is_some() && options.token.enable {
            let issuer = Issuer::open(&options.token, &options.realm, keep, clock).await?;
            access.challenge.issues_tokens();
            access.issuer = Some(issuer);
        }
        Ok(access)
    }

    fn with_check(options: &Options, check: impl Check) -> Result<Self, AccessError> {
        let logins = Logins::new(options, check)?;
        let accounts = if logins.is_some() { Accounts::Configured } else { Accounts::Absent };
        let policy = Policy::new(options.access.as_ref(), accounts)?;
        let challenge = Challenge::new(&options.realm)?;
        let backoff = Backoff::new(options.failures_max, options.failure_window);
        let certificates = options.certificates.clone().map(Certificates::new);
        let fail_delay = options.fail_delay;
        Ok(Self { policy, logins, certificates, backoff, fail_delay, issuer: None, challenge })
    }

    /// Tells who sent a request with that value of the `Authorization` header, from where nobody knows.
    ///
    /// *Errors:* as of [`identify_from`](Self::identify_from).
    pub async fn identify(&self, authorization: Option<&[u8]>) -> Result<Identity, LoginError> {
        self.identify_from(Source::UNKNOWN, authorization).await
    }

    /// Tells who sent a request with that value of the `Authorization` header from there.
    ///
    /// Without the header it is somebody anonymous; so it is with an empty user and an empty
    /// password, which some clients send when they have none, and with any header at all when no
    /// accounts are configured: there is nothing to hold it against, and nothing that it could gain.
    ///
    /// *Errors:* [`LoginError::Refused`], after the fail delay, for a wrong user or password;
    /// [`LoginError::Token`] for a token that is not taken;
    /// [`LoginError::Malformed`] and [`LoginError::UnsupportedScheme`] for a header that cannot be
    /// read; [`LoginError::Held`] when too many have failed; [`LoginError::Overloaded`] when too many logins wait.
    ///
    /// *Cancellation:* leaves at most a verification and a look at the file, which end by themselves.
    pub async fn identify_from(
        &self,
        from: Source,
        authorization: Option<&[u8]>,
    ) -> Result<Identity, LoginError> {
        let (Some(logins), Some(value)) = (&self.logins, authorization) else {
            return Ok(Identity::ANONYMOUS);
        };
        match (Authorization::parse(value)?, &self.issuer) {
            (Authorization::Basic(credentials), _) if credentials.is_empty() => Ok(Identity::ANONYMOUS),
            (Authorization::Basic(credentials), _) => {
                self.log_in(logins, from, credentials).await.map(Identity::of)
            }
            (Authorization::Bearer(token), Some(issuer)) => {
                issuer.verify(&token).await.map_err(LoginError::Token)
            }
            (Authorization::Bearer(_), None) => Err(LoginError::UnsupportedScheme),
        }
    }

    /// Returns how client certificates name accounts, if they do. A name of theirs is an account without a
    /// further proof: the listener has verified the certificate.
    pub const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Verifies a user and a password, if too many have not failed before.
    ///
    /// A failure counts before it is held back: who leaves meanwhile has failed all the same.
    async fn log_in(
        &self,
        logins: &Logins,
        from: Source,
        credentials: Credentials,
    ) -> Result<Account, LoginError> {
        let admitted = self.backoff.as_ref().map(|backoff| {
            let attempt = backoff.admit(from, &credentials, Instant::now()).map_err(|wait| {
                metrics::counter!("wharfinger_logins_held_total").increment(1);
                LoginError::Held { wait }
            });
            attempt.map(|attempt| (backoff, attempt))
        });
        let admitted = admitted.transpose()?;
        let verdict = logins.verify(credentials).await;
        if let Some((backoff, attempt)) = &admitted {
            match &verdict {
                Ok(_) => backoff.succeeded(attempt, Instant::now()),
                Err(LoginError::Refused) => backoff.failed(attempt, Instant::now()),
                Err(_) => {}
            }
        }
        if verdict == Err(LoginError::Refused) {
            metrics::counter!("wharfinger_logins_failed_total").increment(1);
            tokio::time::sleep(self.fail_delay).await;
        }
        verdict
    }

    /// Grants a right to a repository, which need not exist.
    ///
    /// *Errors:* [`Refusal::Unauthenticated`] to somebody anonymous who could log in;
    /// [`Refusal::InsufficientScope`] to an account whose token was not issued for it; else
    /// [`Refusal::Denied`].
    pub fn grant<R: Right>(&self, identity: &Identity, name: &RepositoryName) -> Result<Grant<R>, Refusal> {
        self.policy.grant(identity, name).ok_or_else(|| self.refusal::<R>(identity, name))
    }

    /// Tells whether somebody may read a repository, so that a list shows no other.
    ///
    /// A token that is for the list need not name each repository in it.
    pub fn may_read(&self, identity: &Identity, name: &RepositoryName) -> bool {
        self.policy.decide(identity, name, Action::Read) == Decision::Allowed
    }

    /// Answers for the list of repositories: returns as whom it is to be read.
    ///
    /// *Errors:* [`Refusal::InsufficientScope`] for a token that is not for it; [`Refusal::Unauthenticated`] to
    /// somebody anonymous who could log in, where nothing can be read without an account.
    pub fn catalog(&self, identity: &Identity) -> Result<Identity, Refusal> {
        let sees_something = identity.account().is_some() || self.policy.anonymous_reads_somewhere();
        if self.logins.is_some() && !sees_something {
            return Err(self.policy.refusal(identity));
        }
        match identity.scope() {
            None => Ok(identity.clone()),
            Some(scope) if scope.names_globs() => Ok(identity.clone()),
            Some(scope) if scope.covers_catalog() => Ok(identity.unrestricted()),
            Some(_) => Err(Refusal::InsufficientScope),
        }
    }

    /// Answers for the metrics.
    ///
    /// *Errors:* [`Refusal`], as of a repository.
    pub fn metrics(&self, identity: &Identity) -> Result<(), Refusal> {
        match self.policy.metrics(identity) {
            Decision::Allowed => Ok(()),
            Decision::Denied => Err(self.policy.refusal(identity)),
        }
    }

    /// Answers for `GET /v2/`, by which clients find out how to log in.
    ///
    /// Where tokens are issued, everybody has to come with one or with a password: docker takes the challenge from
    /// here alone, and a token of somebody anonymous costs one request. Where none are and anonymous reading and
    /// accounts meet, it lets the anonymous in: after a Basic challenge here docker refuses every anonymous pull.
    /// The price is that docker then never sends its password.
    ///
    /// *Errors:* [`Refusal::Unauthenticated`].
    pub fn base(&self, identity: &Identity) -> Result<(), Refusal> {
        let is_known = identity.account().is_some() || identity.scope().is_some() || self.logins.is_none();
        if is_known || (self.issuer.is_none() && self.policy.anonymous_reads_somewhere()) {
            return Ok(());
        }
        Err(self.policy.refusal(identity))
    }

    /// Returns the challenge that goes with a refusal or a failed login, as the value of a `WWW-Authenticate`
    /// header; `None` when there are no accounts.
    ///
    /// *Spec:* RFC 7617 section 2; RFC 6750 section 3.
    pub fn challenge(&self, need: &Need<'_>) -> Option<String> {
        self.logins.as_ref().map(|_| self.challenge.render(need))
    }

    /// Says whether tokens are issued.
    pub const fn issues_tokens(&self) -> bool {
        self.issuer.is_some()
    }

    /// Issues a token for what is asked, as far as the policy grants it; a part is no error, and nothing is a part.
    ///
    /// *Errors:* [`LoginError`] as of [`identify`](Self::identify); [`LoginError::Unavailable`] when no key signs.
    pub async fn issue(&self, asking: Asking, resources: Vec<Resource>) -> Result<Grants, LoginError> {
        let (Some(issuer), Some(logins)) = (&self.issuer, &self.logins) else {
            return Err(LoginError::UnsupportedScheme);
        };
        let (account, offline) = match asking {
            Asking::Anonymous => (None, false),
            Asking::Password { from, credentials, offline } => {
                (Some(self.log_in(logins, from, credentials).await?), offline)
            }
            Asking::Refresh(token) => {
                let renewal = issuer.verify_refresh(&token).await.map_err(LoginError::Token)?;
                (Some(logins.renew(&renewal).await?), false)
            }
        };
        let identity = account.clone().map_or(Identity::ANONYMOUS, Identity::of);
        let granted = resources.into_iter().filter_map(|it| self.granted(&identity, it)).collect();
        let groups = self.policy.named_groups(&identity);
        let token =
            issuer.issue(account.as_ref(), groups, granted).await.map_err(|error| unavailable(&error))?;
        let refresh = match &account {
            Some(account) if offline => self.refresh(issuer, logins, account).await?,
            _ => None,
        };
        Ok(Grants { token, refresh, account })
    }

    async fn refresh(
        &self,
        issuer: &Issuer,
        logins: &Logins,
        account: &Account,
    ) -> Result<Option<BearerToken>, LoginError> {
        match logins.renewal(account.name()).await {
            Some(renewal) => {
                issuer.issue_refresh(&renewal).await.map(Some).map_err(|error| unavailable(&error))
            }
            None => Ok(None),
        }
    }

    /// Returns what of a resource the policy lets somebody have now; `None` when that is nothing.
    fn granted(&self, identity: &Identity, resource: Resource) -> Option<Resource> {
        if resource.kind == "registry" {
            return (resource.name == "catalog").then_some(resource);
        }
        let name = RepositoryName::parse(&resource.name).ok()?;
        let may = |action| self.policy.decide(identity, &name, action) == Decision::Allowed;
        let rights = [("pull", Action::Read), ("push", Action::Create), ("delete", Action::Delete)];
        let is_asked = |word: &str| resource.actions.iter().any(|it| it == word || it == "*");
        let words = rights.iter().filter(|(word, action)| is_asked(word) && may(*action));
        let actions: Vec<String> = words.map(|(word, _)| (*word).to_owned()).collect();
        (!actions.is_empty()).then_some(Resource { actions, ..resource })
    }

    fn refusal<R: Right>(&self, identity: &Identity, name: &RepositoryName) -> Refusal {
        let would = || self.policy.grant::<R>(&identity.unrestricted(), name).is_some();
        if identity.scope().is_some() && would() {
            return Refusal::InsufficientScope;
        }
        self.policy.refusal(identity)
    }
}

/// Who asks for a token.
#[derive(Debug)]
pub enum Asking {
    /// Somebody who says nothing about himself.
    Anonymous,
    /// Somebody with a password.
    Password {
        /// Where he is.
        from: Source,
        /// What he claims.
        credentials: Credentials,
        /// Whether he wants a refresh token too.
        offline: bool,
    },
    /// Somebody with a refresh token.
    Refresh(BearerToken),
}

/// What somebody who asked for a token is given.
#[derive(Debug)]
pub struct Grants {
    /// The token.
    pub token: Issued,
    /// The refresh token, where one was asked for.
    pub refresh: Option<BearerToken>,
    /// Whose they are.
    pub account: Option<Account>,
}

fn unavailable(error: &KeepError) -> LoginError {
    tracing::error!(error = %WithCauses(error), "no token can be issued");
    LoginError::Unavailable
}

#[cfg(test)]
mod tests;
