//! Tokens of our own issuing: what `docker login` and its like expect of a registry.
//!
//! A client sends its password once to the endpoint of tokens and is given one that is good for a few minutes and
//! for what it asked for; somebody without an account is given one too, since docker sends nothing at all before
//! it has been told to ask for a token. A token says who its bearer is and restricts what he may do
//! ([`Scope`]); the policy decides about each request anew.
//!
//! A *refresh token* is good for nothing but another token. It ends when the password changes or the account goes.
//!
//! *Spec:* the Docker Registry token specification; RFC 7519; RFC 6749 section 6.

mod keys;

use std::fmt;
use std::time::Duration;

use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};

use super::credentials::{AUTHORIZATION_BYTES_MAX, BearerToken};
use super::error::{AccessError, TokenError};
use super::identity::{Account, Identity};
use super::keep::KeepError;
use super::options::TokenOptions;
use super::remembered::Remembered;
use super::scope::{Resource, Scope};
use crate::clock::{Clock, Timestamp};
pub(super) use keys::Kept;
use keys::Keys;
pub(super) use keys::random;

/// Who signs, in each token.
pub(super) const ISSUER: &str = "wharfinger";

/// What refresh tokens are for, so that none is taken for an access token.
const REFRESH: &str = "refresh";

/// The longest token that a header holds with its scheme.
const TOKEN_BYTES_MAX: usize = AUTHORIZATION_BYTES_MAX - "Bearer ".len();

/// How far the clocks of replicas may be apart.
const SKEW: Duration = Duration::from_secs(60);

/// Issues and verifies tokens.
pub(super) struct Issuer {
    keys: Keys,
    /// Access tokens that were verified; the signature of one does not change.
    verified: Remembered,
    clock: Clock,
    service: String,
    life: Duration,
    refresh_life: Duration,
}

/// A token as a client is given it.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The token.
    pub token: BearerToken,
    /// How long it is good for.
    pub expires_in: Duration,
    /// Since when.
    pub issued_at: Timestamp,
}

/// Whom a refresh token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Renewal {
    /// The user.
    pub(super) user: String,
    /// By what the account's password is told from an earlier one.
    pub(super) mark: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// Empty for somebody without an account.
    sub: String,
    /// In seconds since 1970, as the two below.
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    access: Vec<Resource>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
}

impl Claims {
    /// Leaves out half of what there is most of; says whether there was anything. To grant a part is no error.
    fn shorten(&mut self) -> bool {
        if !self.access.is_empty() {
            self.access.truncate(self.access.len() / 2);
            return true;
        }
        if !self.groups.is_empty() {
            self.groups.truncate(self.groups.len() / 2);
            tracing::warn!(
                auth.user = %self.sub,
                "has more groups than a token can hold: some are left out of it, and a password has them all"
            );
            return true;
        }
        false
    }
}

impl Issuer {
    /// Opens an issuer with the keys of its file, or with those that are kept.
    ///
    /// *Errors:* [`AccessError::KeyFile`].
    pub(super) async fn open(
        options: &TokenOptions,
        realm: &str,
        kept: Kept,
        clock: Clock,
    ) -> Result<Self, AccessError> {
        let life_max = options.life.max(options.refresh_life);
        let keys = match &options.key_file {
            Some(path) => Keys::of_file(path.clone(), clock.clone()).await?,
            None => Keys::kept(kept, clock.clone(), options.rotation, life_max).await,
        };
        let service = service(realm).to_owned();
        Ok(Self {
            keys,
            verified: Remembered::new(options.life),
            clock,
            service,
            life: options.life,
            refresh_life: options.refresh_life,
        })
    }

    /// Issues a token for what was granted, as far as a header can hold it.
    ///
    /// *Errors:* [`KeepError`] when no key signs.
    pub(super) async fn issue(
        &self,
        account: Option<&Account>,
        groups: Vec<String>,
        granted: Vec<Resource>,
    ) -> Result<Issued, KeepError> {
        let sub = account.map_or("", Account::name);
        let claims = self.claims(sub, &self.service, self.life);
        let issued_at = self.clock.now();
        let mut claims = Claims { access: granted, groups, ..claims };
        let mut token = self.sign(&claims).await?;
        while token.reveal().len() > TOKEN_BYTES_MAX && claims.shorten() {
            token = self.sign(&claims).await?;
        }
        Ok(Issued { token, expires_in: self.life, issued_at })
    }

    /// Issues a refresh token.
    ///
    /// *Errors:* [`KeepError`] when no key signs.
    pub(super) async fn issue_refresh(&self, renewal: &Renewal) -> Result<BearerToken, KeepError> {
        let claims = self.claims(&renewal.user, &self.refresh_service(), self.refresh_life);
        self.sign(&Claims { mark: Some(renewal.mark.clone()), ..claims }).await
    }

    /// Tells whose a token is, and restricts him to what it was issued for.
    ///
    /// *Errors:* every variant of [`TokenError`].
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<Identity, TokenError> {
        let now = self.clock.now();
        if let Some(identity) = self.verified.find(token, now) {
            return Ok(identity);
        }
        let claims = self.open_token(token, &self.service).await?;
        let scope = Scope::of_resources(&claims.access);
        let identity = match claims.sub.as_str() {
            "" => Identity::ANONYMOUS,
            user => Identity::of(Account::new(user, claims.groups)),
        };
        let identity = identity.within(scope);
        let good = claims.nbf.saturating_sub(SKEW.as_secs())..claims.exp;
        self.verified.insert(token, identity.clone(), good, now);
        Ok(identity)
    }

    /// Tells whom a refresh token is for.
    ///
    /// *Errors:* every variant of [`TokenError`].
    pub(super) async fn verify_refresh(&self, token: &BearerToken) -> Result<Renewal, TokenError> {
        let claims = self.open_token(token, &self.refresh_service()).await?;
        let mark = claims.mark.ok_or(TokenError::Malformed)?;
        Ok(Renewal { user: claims.sub, mark })
    }

    fn refresh_service(&self) -> String {
        format!("{} {REFRESH}", self.service)
    }

    fn claims(&self, sub: &str, aud: &str, life: Duration) -> Claims {
        let now = seconds(self.clock.now());
        Claims {
            iss: ISSUER.to_owned(),
            aud: aud.to_owned(),
            sub: sub.to_owned(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(life.as_secs()),
            jti: uuid::Uuid::new_v4().simple().to_string(),
            access: Vec::new(),
            groups: Vec::new(),
            mark: None,
        }
    }

    async fn sign(&self, claims: &Claims) -> Result<BearerToken, KeepError> {
        let key = self.keys.signing().await?;
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
        let text = jsonwebtoken::encode(&header, claims, &key.signing).map_err(KeepError::new)?;
        Ok(BearerToken::of(text))
    }

    async fn open_token(&self, token: &BearerToken, audience: &str) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token.reveal()).map_err(|_| TokenError::Malformed)?;
        // The key says by what it is verified, never the token.
        let id = header.kid.ok_or(TokenError::KeyUnknown)?;
        let key = self.keys.verifying(&id).await.ok_or(TokenError::KeyUnknown)?;
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are held against our own clock below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience]);
        let decoded = jsonwebtoken::decode::<Claims>(token.reveal(), &key.verifying, &validation);
        let claims = decoded.map_err(|error| TokenError::of(&error))?.claims;
        check_times(self.clock.now(), claims.nbf, claims.exp)?;
        Ok(claims)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("keys", &self.keys)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// Holds a token's times against the clock.
pub(super) fn check_times(now: Timestamp, not_before: u64, expires: u64) -> Result<(), TokenError> {
    let now = seconds(now);
    if now >= expires {
        return Err(TokenError::Expired);
    }
    if not_before > now.saturating_add(SKEW.as_secs()) {
        return Err(TokenError::TooEarly);
    }
    Ok(())
}

/// Returns what tokens are for and challenges name as the service: the realm, which may be empty in zot.
pub(super) fn service(realm: &str) -> &str {
    if realm.is_empty() { ISSUER } else { realm }
}

/// Returns the seconds since 1970.
fn seconds(moment: Timestamp) -> u64 {
    moment.since(Timestamp::from_millis(0)).as_secs()
}

#[cfg(test)]
mod tests;
