//! Tokens of others' issuing: of a token service that stands beside this registry.
//!
//! The service decides who somebody is and what he is given; its tokens say so in the claims `sub` and `access`,
//! as Docker's token specification has it. Without `http.accessControl` that is all there is to it. With it, the
//! policy decides too, about the account that `sub` names, and a token restricts, as one of ours does.
//!
//! *Spec:* the Docker Registry token specification; RFC 7519; RFC 8725.

mod claims;
mod fetch;
mod jws;
mod keyring;
mod keys;
mod remembered;
#[cfg(test)]
pub(in crate::auth) mod testing;

use std::sync::Arc;

use super::credentials::BearerToken;
use super::error::{AccessError, TokenError};
use super::identity::{Account, Identity};
use super::options::{BearerOptions, KeySetPlace, Options};
use super::scope::{Resource, SCOPE_RESOURCES_MAX, Scope};
use crate::clock::Clock;
use claims::Claims;
use fetch::Fetcher;
pub(super) use jws::Signed;
use keyring::{Keyring, Source};
use keys::KeySet;
use remembered::Remembered;

/// Verifies tokens of others.
#[derive(Debug)]
pub(super) struct Bearer {
    service: Option<Service>,
    remembered: Remembered,
    clock: Clock,
}

/// A token service.
#[derive(Debug)]
struct Service {
    keys: Vec<Arc<Keyring>>,
    audience: [String; 1],
    issuer: Option<String>,
    nameless: Nameless,
}

/// What a token is that names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nameless {
    /// One of somebody anonymous, for whom the policy says what he may do.
    Anonymous,
    /// One that grants what it says, as no policy says otherwise.
    Granted,
}

impl Bearer {
    /// Opens what the options say; `None` when they say nothing. Files are read now, urls soon.
    ///
    /// *Errors:* [`AccessError::IssuerKeys`] for a file that cannot be used; [`AccessError::Client`].
    pub(super) async fn open(options: &Options, clock: &Clock) -> Result<Option<Self>, AccessError> {
        let Some(bearer) = &options.bearer else { return Ok(None) };
        let nameless = if options.access.is_some() { Nameless::Anonymous } else { Nameless::Granted };
        let service = Service::open(bearer, nameless, clock).await?;
        Ok(Some(Self { service, remembered: Remembered::new(), clock: clock.clone() }))
    }

    /// Tells whose a token is, and for what.
    ///
    /// *Errors:* every variant of [`TokenError`].
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<Identity, TokenError> {
        if let Some(identity) = self.remembered.find(token, self.clock.now()) {
            return Ok(identity);
        }
        let signed = Signed::parse(token.reveal())?;
        let service = self.service.as_ref().ok_or(TokenError::Issuer)?;
        let claims = service.open_token(&signed).await?;
        let now = self.clock.now();
        let expires = claims.check_times(now)?;
        let identity = service.identity(&claims)?;
        self.remembered.insert(token, identity.clone(), now, expires);
        Ok(identity)
    }
}

impl Service {
    async fn open(
        options: &BearerOptions,
        nameless: Nameless,
        clock: &Clock,
    ) -> Result<Option<Self>, AccessError> {
        let ring = |source| Keyring::new(source, options.refresh, clock.clone());
        let mut keys = Vec::new();
        if let Some(path) = &options.certificates {
            keys.push(ring(Source::Pem(path.clone())));
        }
        if let Some(KeySetPlace::File(path)) = &options.key_set {
            keys.push(ring(Source::SetFile(path.clone())));
        }
        for ring in &keys {
            ring.read_now().await.map_err(|error| AccessError::IssuerKeys(Box::new(error)))?;
        }
        if let Some(KeySetPlace::Url(url)) = &options.key_set {
            let ring = ring(Source::Set(Fetcher::new(None)?, url.clone()));
            ring.read_soon();
            keys.push(ring);
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let audience = [options.service.clone()];
        Ok(Some(Self { keys, audience, issuer: options.issuer.clone(), nameless }))
    }

    /// Returns the claims of a token that is this service's, for us.
    async fn open_token(&self, signed: &Signed<'_>) -> Result<Claims, TokenError> {
        let claims = open_with(&self.keys, signed).await?;
        if let Some(issuer) = &self.issuer {
            claims.check_issuer(issuer)?;
        }
        claims.check_audience(&self.audience)?;
        Ok(claims)
    }

    fn identity(&self, claims: &Claims) -> Result<Identity, TokenError> {
        let scope = Scope::of_resources(&resources(claims)?);
        let account = match (claims.text("sub").filter(|name| !name.is_empty()), self.nameless) {
            (Some(name), _) => {
                claims::check_name(name)?;
                Some(Account::new(name, Vec::new()))
            }
            (None, Nameless::Granted) => Some(Account::new("", Vec::new())),
            (None, Nameless::Anonymous) => None,
        };
        Ok(account.map_or(Identity::ANONYMOUS, Identity::of).within(scope))
    }
}

/// Returns the claims of a token that a key of one of these rings has signed.
async fn open_with(rings: &[Arc<Keyring>], signed: &Signed<'_>) -> Result<Claims, TokenError> {
    let mut failed = TokenError::KeyUnknown;
    for ring in rings {
        let opened = match ring.keys(signed.key_id()).await {
            Ok(keys) => signed.open(&keys),
            Err(error) => Err(error),
        };
        match opened {
            Ok(claims) => return Ok(claims),
            // That a key is unknown says the least of all.
            Err(TokenError::KeyUnknown) => {}
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Reads the claim `access`; a token without one is for nothing.
fn resources(claims: &Claims) -> Result<Vec<Resource>, TokenError> {
    let items = match claims.get("access") {
        None | Some(serde_json::Value::Null) => return Ok(Vec::new()),
        Some(serde_json::Value::Array(items)) => items,
        Some(_) => return Err(TokenError::Claims),
    };
    let read =
        |item: &serde_json::Value| serde_json::from_value(item.clone()).map_err(|_| TokenError::Claims);
    items.iter().take(SCOPE_RESOURCES_MAX).map(read).collect()
}

impl BearerOptions {
    /// Says what is wrong with the files of keys that they name, each with the key that names it.
    pub(crate) fn faults_of_files(&self) -> Vec<(&'static str, String)> {
        let certificates =
            self.certificates.iter().map(|path| ("cert", path, KeySet::of_pem as fn(&[u8]) -> _));
        let key_set = match &self.key_set {
            Some(KeySetPlace::File(path)) => Some(("jwks", path, KeySet::of_set as fn(&[u8]) -> _)),
            Some(KeySetPlace::Url(_)) | None => None,
        };
        let fault = |path: &std::path::Path, parse: fn(&[u8]) -> Result<KeySet, keys::KeysError>| {
            match std::fs::read(path) {
                Ok(bytes) => parse(&bytes).err().map(|error| format!("the file cannot be used: {error}")),
                Err(error) => Some(format!("the file cannot be read: {error}")),
            }
        };
        certificates
            .chain(key_set)
            .filter_map(|(key, path, parse)| Some((key, fault(path, parse)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
