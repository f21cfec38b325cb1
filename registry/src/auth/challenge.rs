//! What a refused client is told: how to log in, and for what.
//!
//! *Spec:* RFC 7617 section 2, RFC 6750 section 3, RFC 9110 section 11.6.1; the Docker Registry token specification.

use std::fmt::Write as _;

use super::error::AccessError;
use super::token;

/// The path at which tokens are issued.
pub const TOKEN_PATH: &str = "/auth/token";

/// The path at which users see to their keys.
pub const API_KEYS_PATH: &str = "/auth/apikey";

/// How clients are told to log in.
#[derive(Debug)]
pub(super) struct Challenge {
    /// In quotes, as the one below.
    realm: String,
    service: String,
    is_bearer: bool,
    /// Where tokens are had that are not ours.
    endpoint: Option<String>,
}

/// What a refused request would have needed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Need<'a> {
    /// Where clients reach this registry: scheme and authority, such as `https://registry.example:5000`.
    pub origin: &'a str,
    /// The resources and actions, as clients ask for them; empty where there is nothing to name.
    pub scope: &'a str,
    /// What was wrong with the token that came: a word of RFC 6750 section 3.1.
    pub error: Option<&'static str>,
}

impl Challenge {
    /// Makes the challenge of a realm.
    ///
    /// *Errors:* [`AccessError::Realm`].
    pub(super) fn new(realm: &str) -> Result<Self, AccessError> {
        check(realm)?;
        Ok(Self {
            realm: quoted(realm),
            service: quoted(token::service(realm)),
            is_bearer: false,
            endpoint: None,
        })
    }

    /// Tells clients from now on to ask for a token.
    pub(super) const fn issues_tokens(&mut self) {
        self.is_bearer = true;
    }

    /// Tells clients from now on to ask for a token elsewhere, for the service that this registry is there.
    ///
    /// *Errors:* [`AccessError::Realm`].
    pub(super) fn names(&mut self, endpoint: &str, service: &str) -> Result<(), AccessError> {
        for text in [endpoint, service] {
            check(text)?;
        }
        (self.is_bearer, self.endpoint, self.service) = (true, Some(quoted(endpoint)), quoted(service));
        Ok(())
    }

    /// Says whether clients are told to ask for a token.
    pub(super) const fn is_bearer(&self) -> bool {
        self.is_bearer
    }

    /// Returns the value of the header.
    pub(super) fn render(&self, need: &Need<'_>) -> String {
        let Self { realm, service, is_bearer, endpoint } = self;
        if !is_bearer {
            return format!("Basic realm={realm}");
        }
        let ours = || quoted(&format!("{}{TOKEN_PATH}", need.origin));
        let endpoint = endpoint.clone().unwrap_or_else(ours);
        let mut text = format!("Bearer realm={endpoint},service={service}");
        if !need.scope.is_empty() {
            let _ = write!(text, ",scope={}", quoted(need.scope));
        }
        if let Some(error) = need.error {
            let _ = write!(text, ",error=\"{error}\"");
        }
        text
    }
}

/// Checks that a text may stand in a challenge.
fn check(text: &str) -> Result<(), AccessError> {
    let is_fit = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if is_fit { Ok(()) } else { Err(AccessError::Realm { realm: text.to_owned() }) }
}

/// Quotes a text as RFC 9110 section 5.6.4 has it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
