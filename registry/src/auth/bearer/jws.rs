//! The outside of a signed token: three parts, a head that says by what it was signed, and the check of that.
//!
//! The key decides by which algorithm it verifies; of the head only the algorithm's and the key's names are read,
//! to choose among the keys that are known. Whatever a head says of where a key is to be had (`jku`, `jwk`,
//! `x5u`, `x5c`) is not read at all.
//!
//! *Spec:* RFC 7515 sections 3 and 4, RFC 8725 sections 2 and 3.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::claims::Claims;
use super::keys::KeySet;
use crate::auth::error::TokenError;

/// A token cut into its parts; nothing of it is verified.
#[derive(Debug)]
pub(in crate::auth) struct Signed<'a> {
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
    head: Head,
}

/// What is read of a head. One that says a name twice is none.
#[derive(Debug, Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    /// What must be understood, of which nothing is.
    crit: Option<IgnoredAny>,
}

/// What chooses the verifier.
#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

impl<'a> Signed<'a> {
    /// Cuts a token.
    ///
    /// *Errors:* [`TokenError::Malformed`].
    pub(in crate::auth) fn parse(token: &'a str) -> Result<Self, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (head, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let head = BASE64_URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenError::Malformed)?;
        let head: Head = serde_json::from_slice(&head).map_err(|_| TokenError::Malformed)?;
        if head.crit.is_some() || payload.contains('.') {
            return Err(TokenError::Malformed);
        }
        Ok(Self { message, payload, signature, head })
    }

    /// Returns who the token says to have issued it, which is not verified.
    pub(in crate::auth) fn claimed_issuer(&self) -> Option<String> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(self.payload).ok()?;
        Some(serde_json::from_slice::<Issuer>(&json).ok()?.iss)
    }

    /// Returns the name of the key that the token says to be signed with.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.head.kid.as_deref()
    }

    /// Returns the claims, once one of the keys has verified them.
    ///
    /// *Errors:* [`TokenError::KeyUnknown`] when no key is meant; [`TokenError::Signature`] when none of them has
    /// made the signature by an algorithm that it is for; [`TokenError::Claims`].
    pub(super) fn open(&self, keys: &KeySet) -> Result<Claims, TokenError> {
        let mut meant = keys.meant(self.key_id()).peekable();
        meant.peek().ok_or(TokenError::KeyUnknown)?;
        let algorithm = Algorithm::from_str(&self.head.alg).map_err(|_| TokenError::Signature)?;
        let made_it = |key: &jsonwebtoken::DecodingKey| {
            jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), key, algorithm)
        };
        // A token that does not name its key has all tried that fit, of which a set has few enough.
        let mut fit = meant.filter_map(|key| key.verifying(algorithm));
        if !fit.any(|key| made_it(key) == Ok(true)) {
            return Err(TokenError::Signature);
        }
        let json = BASE64_URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| TokenError::Malformed)?;
        Claims::parse(&json)
    }
}
