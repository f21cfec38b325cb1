//! Identity tokens of workloads: a pod's service account, a build's job.
//!
//! Their issuer knows nothing of this registry: it says who somebody is, and for whom he had the token made. What
//! of that is a user and which are his groups, the configuration says; what he may do, the policy.
//!
//! *Spec:* OpenID Connect Core section 3.1.3.7, Discovery section 4.

pub(super) mod mapping;

use std::sync::Arc;

use super::claims::Claims;
use super::fetch::Fetcher;
use super::jws::Signed;
use super::keyring::{Keyring, KeyringError, Naming, Source};
use crate::auth::error::{AccessError, TokenError};
use crate::auth::identity::Account;
use crate::auth::options::{Authority, IssuerCheck, OidcOptions};
use crate::clock::{Clock, Timestamp};
use mapping::Mapping;

/// An issuer of identity tokens.
#[derive(Debug)]
pub(super) struct Provider {
    keys: [Arc<Keyring>; 1],
    issuer: String,
    audiences: Vec<String>,
    check: IssuerCheck,
    mapping: Mapping,
}

impl Provider {
    /// Makes it; it is asked for its keys when the first token of it comes.
    ///
    /// *Errors:* [`AccessError::IssuerKeys`] for a file of authorities that cannot be read;
    /// [`AccessError::Authority`], [`AccessError::Client`]; [`AccessError::Mapping`].
    pub(super) fn new(
        options: &OidcOptions,
        refresh: std::time::Duration,
        clock: &Clock,
    ) -> Result<Self, AccessError> {
        let read = |path: &std::path::PathBuf| {
            let failed = |source| KeyringError::File { path: path.clone(), source };
            std::fs::read(path).map_err(|error| AccessError::IssuerKeys(Box::new(failed(error))))
        };
        let authority = match &options.authority {
            Some(Authority::File(path)) => Some(read(path)?),
            Some(Authority::Text(pem)) => Some(pem.clone().into_bytes()),
            None => None,
        };
        let naming = match options.check {
            IssuerCheck::Exact => Naming::Strict,
            IssuerCheck::Skipped => Naming::Any,
        };
        let fetcher = Fetcher::new(authority.as_deref())?;
        let source = Source::Issuer { fetcher, issuer: options.issuer.clone(), naming };
        Ok(Self {
            keys: [Keyring::new(source, refresh, clock.clone())],
            issuer: options.issuer.clone(),
            audiences: options.audiences.clone(),
            check: options.check,
            mapping: Mapping::parse(&options.mapping)
                .map_err(|(_, error)| AccessError::Mapping(Box::new(error)))?,
        })
    }

    /// Returns the keys of it.
    pub(super) const fn keys(&self) -> &[Arc<Keyring>] {
        &self.keys
    }

    /// Says whether a token that claims to be of an issuer may be of this one.
    pub(super) fn is_meant(&self, issuer: Option<&str>) -> bool {
        self.check == IssuerCheck::Skipped || issuer == Some(self.issuer.as_str())
    }

    /// Tells whose a token is, and when it ends, in seconds since 1970.
    ///
    /// *Errors:* every variant of [`TokenError`].
    pub(super) async fn verify(
        &self,
        signed: &Signed<'_>,
        now: Timestamp,
    ) -> Result<(Account, u64), TokenError> {
        let claims: Claims = super::open_with(&self.keys, signed).await?;
        if self.check == IssuerCheck::Exact {
            claims.check_issuer(&self.issuer)?;
        }
        claims.check_audience(&self.audiences)?;
        let expires = claims.check_times(now)?;
        Ok((self.mapping.account(&claims)?, expires))
    }
}

#[cfg(test)]
mod tests;
