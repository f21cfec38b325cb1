//! The façade of the access layer: identify whoever asks, and grant what they may do.
//!
//! It decides between *log in first* and *no*; which status that is, is HTTP's to say.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::oci::RepositoryName;
use crate::telemetry::WithCauses;

use super::api_keys::{ApiKeys, Presented};
use super::backoff::Backoff;
use super::bearer::{Bearer, Signed};
use super::certificate::Certificates;
use super::challenge::{Challenge, Need};
use super::circumstances::{Circumstances, Request};
use super::credentials::{Authorization, BearerToken, Credentials};
use super::error::{AccessError, LoginError, Refusal, TokenError};
use super::grant::{Grant, Right};
use super::identity::{Account, Identity};
use super::keep::{Keep, KeepError};
use super::logins::Logins;
use super::options::{Action, Options};
use super::policy::{Accounts, Decision, Policy};
use super::recent::Recent;
use super::scope::Resource;
use super::source::Source;
use super::token::{ISSUER, Issued, Issuer, service};
use super::verification::{Bcrypt, Check};
pub use keys::KeyOwner;

/// Who may do what, as configured.
#[derive(Debug)]
pub struct Access {
    policy: Policy,
    logins: Option<Arc<Logins>>,
    certificates: Option<Certificates>,
    backoff: Option<Arc<Backoff>>,
    fail_delay: Duration,
    issuer: Option<Issuer>,
    bearer: Option<Arc<Bearer>>,
    api_keys: Option<ApiKeys>,
    recent: Option<Recent>,
    /// Whether there is any way to log in.
    accounts: Accounts,
    challenge: Challenge,
    clock: Clock,
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
        Self::open_over(None, options, keep, clock).await
    }

    /// Makes the access layer of other options, in the place of this one.
    ///
    /// Whose logins have failed stays known, and so do the keys of issuers, which may be away at this moment. With
    /// [`Anew::WhatDiffers`], what has the same options goes on as it is, passwords that were verified among it.
    ///
    /// *Errors:* every variant of [`AccessError`].
    pub async fn open_again(
        &self,
        old: &Options,
        new: &Options,
        anew: Anew,
        keep: Arc<dyn Keep>,
        clock: Clock,
    ) -> Result<Self, AccessError> {
        Self::open_over(Some((self, old, anew)), new, keep, clock).await
    }

    async fn open_over(
        previous: Option<(&Self, &Options, Anew)>,
        options: &Options,
        keep: Arc<dyn Keep>,
        clock: Clock,
    ) -> Result<Self, AccessError> {
        let own = options.clone();
        // It reads files.
        let made = tokio::task::spawn_blocking(move || Self::new(&own)).await;
        let mut access = made.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        access.clock = clock.clone();
        if let Some((old, of, anew)) = previous {
            access.goes_on_from(old, of, options, anew);
        }
        if access.bearer.is_none() {
            access.bearer = Bearer::open(options, &clock).await?.map(Arc::new);
            if let (Some((old, of, _)), Some(bearer)) = (previous, &access.bearer)
                && let Some(former) = old.bearer.as_ref().filter(|_| is_same_bearer(of, options))
            {
                bearer.goes_on_from(former);
            }
        }
        if options.api_keys {
            access.api_keys = Some(ApiKeys::new(Arc::clone(&keep), clock.clone()));
        }
        let takes_workloads = access.bearer.as_ref().is_some_and(|bearer| bearer.takes_workloads());
        if (access.logins.is_some() || takes_workloads) && options.token.enable {
            let issuer = Issuer::open(&options.token, &options.realm, keep, clock).await?;
            access.challenge.issues_tokens();
            access.issuer = Some(issuer);
        }
        if let Some((realm, bearer)) = options.bearer.as_ref().and_then(|it| Some((it.realm.as_ref()?, it))) {
            let service = if bearer.service.is_empty() { service(&options.realm) } else { &bearer.service };
            access.challenge.names(realm, service)?;
        }
        Ok(access)
    }

    /// Takes over from a former one what was made of the same options.
    fn goes_on_from(&mut self, old: &Self, of: &Options, options: &Options, anew: Anew) {
        if (of.failures_max, of.failure_window) == (options.failures_max, options.failure_window) {
            self.backoff.clone_from(&old.backoff);
        }
        let is_same = of.htpasswd == options.htpasswd
            && of.ldap == options.ldap
            && (of.cache_ttl, of.cache_entries_max) == (options.cache_ttl, options.cache_entries_max)
            && of.verifications_max == options.verifications_max;
        if is_same && anew == Anew::WhatDiffers {
            self.logins.clone_from(&old.logins);
        }
        if is_same_bearer(of, options) && anew == Anew::WhatDiffers {
            self.bearer.clone_from(&old.bearer);
        }
    }

    fn with_check(options: &Options, check: impl Check) -> Result<Self, AccessError> {
        let logins = Logins::new(options, check)?.map(Arc::new);
        let accounts = if options.knows_accounts() { Accounts::Configured } else { Accounts::Absent };
        let policy = Policy::new(options.access.as_ref(), accounts)?;
        let challenge = Challenge::new(&options.realm)?;
        let backoff = Backoff::new(options.failures_max, options.failure_window).map(Arc::new);
        let certificates = options.certificates.clone().map(Certificates::new);
        Ok(Self {
            policy,
            logins,
            certificates,
            backoff,
            fail_delay: options.fail_delay,
            issuer: None,
            bearer: None,
            api_keys: None,
            recent: Recent::new(options),
            accounts,
            challenge,
            clock: Clock::system(),
        })
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
        let (Accounts::Configured, Some(value)) = (self.accounts, authorization) else {
            return Ok(Identity::ANONYMOUS);
        };
        let recent = self.recent.as_ref().map(|recent| (recent, recent.header(from, value)));
        if let Some(identity) = recent.and_then(|(recent, header)| recent.find(header, Instant::now())) {
            return Ok(identity);
        }
        match Authorization::parse(value)? {
            Authorization::Basic(credentials) if credentials.is_empty() => Ok(Identity::ANONYMOUS),
            Authorization::Basic(credentials) => {
                let login = self.login(from, credentials).await?;
                if let (Some((recent, header)), Proof::Password) = (recent, login.proof) {
                    recent.remember(header, login.identity.clone(), Instant::now());
                }
                Ok(login.identity)
            }
            Authorization::Bearer(token) => self.bearer(&token).await,
        }
    }

    /// Tells whose credentials they are: what has the form of a key or of a workload's token is one, and everything
    /// else a password.
    async fn login(&self, from: Source, credentials: Credentials) -> Result<Login, LoginError> {
        if let Some(keys) = &self.api_keys
            && let Some(key) = Presented::parse(credentials.password())
        {
            return self.login_by_key(keys, credentials.user(), &key).await;
        }
        if let Some(token) = self.workload(&credentials) {
            return self.login_by_workload(&token).await;
        }
        match &self.logins {
            Some(logins) => {
                let account = self.log_in(logins, from, credentials).await?;
                Ok(Login { identity: Identity::of(account), proof: Proof::Password })
            }
            None => self.refuse().await,
        }
    }

    /// Returns the token of a workload that stands in the place of a password.
    fn workload(&self, credentials: &Credentials) -> Option<BearerToken> {
        let takes_them = self.bearer.as_ref().is_some_and(|bearer| bearer.takes_workloads());
        let token = takes_them.then(|| BearerToken::parse(credentials.password().reveal()).ok()).flatten()?;
        Signed::parse(token.reveal()).is_ok().then_some(token)
    }

    async fn login_by_workload(&self, token: &BearerToken) -> Result<Login, LoginError> {
        let bearer = self.bearer.as_ref().ok_or(LoginError::UnsupportedScheme)?;
        let identity = bearer.verify_workload(token).await.map_err(of_token)?;
        Ok(Login { identity, proof: Proof::Workload })
    }

    async fn refuse(&self) -> Result<Login, LoginError> {
        tokio::time::sleep(self.fail_delay).await;
        Err(LoginError::Refused)
    }

    /// Tells whose a token is: one of ours, or of another issuer. Who issued it is taken from the token unverified,
    /// and only chooses who verifies it.
    async fn bearer(&self, token: &BearerToken) -> Result<Identity, LoginError> {
        let is_ours =
            || Signed::parse(token.reveal()).is_ok_and(|it| it.claimed_issuer().as_deref() == Some(ISSUER));
        let verified = match (&self.issuer, &self.bearer) {
            (Some(issuer), Some(_)) if is_ours() => issuer.verify(token).await,
            (_, Some(bearer)) => bearer.verify(token).await,
            (Some(issuer), None) => issuer.verify(token).await,
            (None, None) => return Err(LoginError::UnsupportedScheme),
        };
        verified.map_err(of_token)
    }

    /// Returns how client certificates name accounts, if they do. A name of theirs is an account without a
    /// further proof: the listener has verified the certificate.
    pub const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Returns the present moment, by which a certificate is still valid or not.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Verifies a user and a password, if too many have not failed before.
    ///
    /// What is admitted is judged and counted in a task of its own: who leaves meanwhile, or sends the same again, has
    /// failed all the same.
    async fn log_in(
        &self,
        logins: &Arc<Logins>,
        from: Source,
        credentials: Credentials,
    ) -> Result<Account, LoginError> {
        let admit = |backoff: &Arc<Backoff>| {
            let attempt = backoff.admit(from, &credentials, Instant::now()).map_err(|wait| {
                metrics::counter!("wharfinger_logins_held_total").increment(1);
                LoginError::Held { wait }
            });
            attempt.map(|attempt| (Arc::clone(backoff), attempt))
        };
        let admitted = self.backoff.as_ref().map(admit).transpose()?;
        let logins = Arc::clone(logins);
        let judged = tokio::spawn(async move {
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
            }
            verdict
        });
        // It ends otherwise when the runtime does.
        let verdict = judged.await.unwrap_or(Err(LoginError::Overloaded));
        if verdict == Err(LoginError::Refused) {
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

    /// Has conditions of the policy judged by a request; where there are none, nothing is made of it.
    pub fn judged_by(&self, identity: Identity, request: impl FnOnce(Timestamp) -> Request) -> Identity {
        if !self.policy.has_conditions() {
            return identity;
        }
        identity.under(Circumstances::new(request(self.clock.now())))
    }

    /// Says whether rights depend on more than who asks for which repository.
    pub fn has_conditions(&self) -> bool {
        self.policy.has_conditions()
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
        if self.accounts == Accounts::Configured && !sees_something {
            return Err(self.policy.refusal(identity));
        }
        match identity.scope() {
            None => Ok(identity.clone()),
            Some(scope) if scope.names_globs() => Ok(identity.clone()),
            Some(scope) if scope.covers_catalog() => Ok(identity.unrestricted()),
            Some(_) => Err(Refusal::InsufficientScope),
        }
    }

    /// Answers for the metrics, for which no token and no scope of a key can be.
    ///
    /// *Errors:* [`Refusal`], as of a repository.
    pub fn metrics(&self, identity: &Identity) -> Result<(), Refusal> {
        match self.policy.metrics(identity) {
            Decision::Allowed if identity.account().is_some() && identity.scope().is_some() => {
                Err(Refusal::InsufficientScope)
            }
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
        let is_known =
            identity.account().is_some() || identity.scope().is_some() || self.accounts == Accounts::Absent;
        if is_known || (!self.challenge.is_bearer() && self.policy.anonymous_reads_somewhere()) {
            return Ok(());
        }
        Err(self.policy.refusal(identity))
    }

    /// Returns the challenge that goes with a refusal or a failed login, as the value of a `WWW-Authenticate`
    /// header; `None` when there are no accounts.
    ///
    /// *Spec:* RFC 7617 section 2; RFC 6750 section 3.
    pub fn challenge(&self, need: &Need<'_>) -> Option<String> {
        (self.accounts == Accounts::Configured).then(|| self.challenge.render(need))
    }

    /// Says whether tokens are issued.
    pub const fn issues_tokens(&self) -> bool {
        self.issuer.is_some()
    }

    /// Issues a token for what is asked, as far as the policy grants it; a part is no error, and nothing is a part.
    ///
    /// *Errors:* [`LoginError`] as of [`identify`](Self::identify); [`LoginError::Unavailable`] when no key signs.
    pub async fn issue(&self, asking: Asking, resources: Vec<Resource>) -> Result<Grants, LoginError> {
        let Some(issuer) = &self.issuer else { return Err(LoginError::UnsupportedScheme) };
        let (identity, renewable) = match asking {
            Asking::Anonymous => (Identity::ANONYMOUS, false),
            Asking::Password { from, credentials, offline } => {
                let login = self.login(from, credentials).await?;
                // A refresh token is worth what a password is.
                (login.identity, offline && login.proof == Proof::Password)
            }
            Asking::Exchange(token) => (self.login_by_workload(&token).await?.identity, false),
            Asking::Refresh(token) => {
                let renewal = issuer.verify_refresh(&token).await.map_err(LoginError::Token)?;
                let logins = self.logins.as_ref().ok_or(LoginError::Refused)?;
                (Identity::of(logins.renew(&renewal).await?), false)
            }
        };
        let granted = resources.into_iter().filter_map(|it| self.granted(&identity, it)).collect();
        let groups = self.policy.named_groups(&identity);
        let token =
            issuer.issue(identity.who(), groups, granted).await.map_err(|error| unavailable(&error))?;
        let refresh = match (identity.who(), &self.logins) {
            (Some(account), Some(logins)) if renewable => self.refresh(issuer, logins, account).await?,
            _ => None,
        };
        Ok(Grants { token, refresh, account: identity.who().cloned() })
    }

    async fn refresh(
        &self,
        issuer: &Issuer,
        logins: &Logins,
        account: &Account,
    ) -> Result<Option<BearerToken>, LoginError> {
        match logins.renewal(account).await {
            Some(renewal) => {
                issuer.issue_refresh(&renewal).await.map(Some).map_err(|error| unavailable(&error))
            }
            None => Ok(None),
        }
    }

    /// Returns what of a resource the policy lets somebody have now; `None` when that is nothing.
    fn granted(&self, identity: &Identity, resource: Resource) -> Option<Resource> {
        if resource.kind == "registry" {
            // The list that a token shows is as long as the policy has it, which a key's globs may not be.
            let is_whole = identity.scope().is_none_or(|scope| !scope.names_globs());
            return (resource.name == "catalog" && is_whole).then_some(resource);
        }
        let name = RepositoryName::parse(&resource.name).ok()?;
        // A condition is judged when the token comes with a request; it may be about that.
        let may = |action| self.policy.may_come_to(identity, &name, action) == Decision::Allowed;
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
        self.policy.refuse::<R>(identity, name)
    }
}

/// What is made anew when options are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anew {
    /// What has other options.
    WhatDiffers,
    /// Everything, as the files that the options name may have others under the same name.
    Everything,
}

/// Somebody who logged in.
struct Login {
    identity: Identity,
    proof: Proof,
}

/// How somebody proved who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Password,
    Key,
    Workload,
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
    /// A workload with its identity token.
    Exchange(BearerToken),
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

/// Says whether tokens of others are taken by the same options, and mean the same.
fn is_same_bearer(one: &Options, other: &Options) -> bool {
    one.bearer == other.bearer && one.access.is_some() == other.access.is_some()
}

fn of_token(error: TokenError) -> LoginError {
    match error {
        TokenError::Unavailable => LoginError::Unavailable,
        error => LoginError::Token(error),
    }
}

fn unavailable(error: &KeepError) -> LoginError {
    tracing::error!(error = %WithCauses(error), "no token can be issued");
    LoginError::Unavailable
}

#[cfg(test)]
mod tests;
