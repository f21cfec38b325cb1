//! Tokens of others' issuing: of a token service that stands beside this registry, and of workloads (`oidc`).
//!
//! A token service decides who somebody is and what he is given; its tokens say so in the claims `sub` and `access`,
//! as Docker's token specification has it. Without `http.accessControl` that is all there is to it. With it, the
//! policy decides too, about the account that `sub` names, and a token restricts, as one of ours does.
//!
//! *Spec:* the Docker Registry token specification; RFC 7519; RFC 8725.

mod claims;
mod fetch;
mod jws;
mod keyring;
mod keys;
mod oidc;
#[cfg(test)]
pub(in crate::auth) mod testing;

use std::sync::Arc;
use std::time::Duration;

use super::credentials::BearerToken;
use super::error::{AccessError, TokenError};
use super::identity::{Account, Identity};
use super::options::{BearerOptions, KeySetPlace, MappingOptions, Options};
use super::remembered::Remembered;
use super::scope::{Resource, SCOPE_RESOURCES_MAX, Scope};
use crate::clock::Clock;
use claims::Claims;
use fetch::Fetcher;
pub(super) use jws::Signed;
use keyring::{Keyring, Source};
use keys::KeySet;
use oidc::Provider;
use oidc::mapping::Mapping;

/// How long a token is remembered, at most: then a key that its issuer has withdrawn verifies it no more.
const REMEMBERED_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// Verifies tokens of others.
#[derive(Debug)]
pub(super) struct Bearer {
    service: Option<Service>,
    providers: Vec<Provider>,
    /// Tokens of the service, and of workloads: neither is taken in the place of the other.
    remembered: Remembered,
    workloads: Remembered,
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
        let provider = |options| Provider::new(options, bearer.refresh, clock);
        let providers = bearer.oidc.iter().map(provider).collect::<Result<_, _>>()?;
        let remembered = || Remembered::new(REMEMBERED_TIME_MAX);
        let (remembered, workloads) = (remembered(), remembered());
        Ok(Some(Self { service, providers, remembered, workloads, clock: clock.clone() }))
    }

    /// Takes over the keys that a former one knows, which was made of the same options: an issuer may be away.
    pub(super) fn goes_on_from(&self, former: &Self) {
        let rings = |of: &Self| -> Vec<Arc<Keyring>> {
            let services = of.service.iter().flat_map(|service| &service.keys);
            services.chain(of.providers.iter().flat_map(Provider::keys)).map(Arc::clone).collect()
        };
        for (ring, former) in rings(self).iter().zip(rings(former)) {
            ring.goes_on_from(&former);
        }
    }

    /// Says whether tokens of workloads are taken.
    pub(super) const fn takes_workloads(&self) -> bool {
        !self.providers.is_empty()
    }

    /// Tells whose a token is, and for what.
    ///
    /// *Errors:* every variant of [`TokenError`].
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<Identity, TokenError> {
        let now = self.clock.now();
        if let Some(identity) = self.remembered.find(token, now) {
            return Ok(identity);
        }
        let refused = match self.verify_workload(token).await {
            Ok(identity) => return Ok(identity),
            Err(error) => error,
        };
        // That no issuer of workloads is meant says nothing of the service.
        let service = self.service.as_ref().ok_or(refused)?;
        let claims = service.open_token(&Signed::parse(token.reveal())?).await?;
        let expires = claims.check_times(now)?;
        let identity = service.identity(&claims)?;
        self.remembered.insert(token, identity.clone(), 0..expires, now);
        Ok(identity)
    }

    /// Tells which workload's a token is.
    ///
    /// *Errors:* every variant of [`TokenError`]; [`TokenError::Issuer`] when it is of none of the issuers.
    pub(super) async fn verify_workload(&self, token: &BearerToken) -> Result<Identity, TokenError> {
        let now = self.clock.now();
        if let Some(identity) = self.workloads.find(token, now) {
            return Ok(identity);
        }
        let signed = Signed::parse(token.reveal())?;
        let issuer = signed.claimed_issuer();
        let mut refused = TokenError::Issuer;
        for provider in self.providers.iter().filter(|it| it.is_meant(issuer.as_deref())) {
            match provider.verify(&signed, now).await {
                Ok((account, expires)) => {
                    let identity = Identity::of(account);
                    self.workloads.insert(token, identity.clone(), 0..expires, now);
                    return Ok(identity);
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
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

impl MappingOptions {
    /// Returns what is wrong with them: the key of the expression, below `claimMapping`, and what it is.
    pub(crate) fn fault(&self) -> Option<(String, String)> {
        Mapping::parse(self).err().map(|(key, error)| (key, error.to_string()))
    }
}

/// Says whether a token is signed by a key of a file of PEM, or of a key set; for the fuzz targets.
pub fn is_signed_by(token: &str, keys: &[u8]) -> bool {
    let Ok(keys) = KeySet::of_pem(keys).or_else(|_| KeySet::of_set(keys)) else { return false };
    Signed::parse(token).is_ok_and(|signed| {
        let _claimed = signed.claimed_issuer();
        signed.open(&keys).is_ok()
    })
}

/// Says whether an expression makes an account's name of claims in JSON; for the fuzz targets.
pub fn maps_to_a_name(expression: &str, claims: &[u8]) -> bool {
    let options = MappingOptions { username: expression.to_owned(), ..MappingOptions::default() };
    let Ok(mapping) = Mapping::parse(&options) else { return false };
    Claims::parse(claims).is_ok_and(|claims| mapping.account(&claims).is_ok())
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
