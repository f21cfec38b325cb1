//! What a refused client is told: how to log in, and for what.
//!
//! *Spec:* RFC 7617 section 2, RFC 6750 section 3, RFC 9110 section 11.6.1; the Docker Registry token specification.

use std::fmt::Write as _;

use super::error::AccessError;
use super::token;

/// The path at which tokens are issued.
pub const TOKEN_PATH: &str = "/auth/token";

/// How clients are told to log in.
#[derive(Debug)]
pub(super) struct Challenge {
    /// In quotes, as the one below.
    realm: String,
    service: String,
    is_bearer: bool,
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
        if !realm.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(AccessError::Realm { realm: realm.to_owned() });
        }
        Ok(Self { realm: quoted(realm), service: quoted(token::service(realm)), is_bearer: false })
    }

    /// Tells clients from now on to ask for a token.
    pub(super) const fn issues_tokens(&mut self) {
        self.is_bearer = true;
    }

    /// Returns the value of the header.
    pub(super) fn render(&self, need: &Need<'_>) -> String {
        let Self { realm, service, is_bearer } = self;
        if !is_bearer {
            return format!("Basic realm={realm}");
        }
        let endpoint = quoted(&format!("{}{TOKEN_PATH}", need.origin));
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

/// Quotes a text as RFC 9110 section 5.6.4 has it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
