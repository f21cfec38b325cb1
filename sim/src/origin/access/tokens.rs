//! The tokens that were issued. They look like JSON Web Tokens, so that there is something to forge, but what
//! one is worth is remembered by its whole text, of which the signature is random. They are lost with the origin.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::scope::Scope;

/// The most tokens, and the most refresh tokens, that are remembered; the oldest are forgotten first.
const TOKENS_MAX: usize = 10_000;

/// Every token that may still be good.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    access: Memory<Token>,
    refresh: Memory<String>,
}

/// What a token stands for.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// Who asked for it; nobody, if it is anonymous.
    pub(super) account: Option<String>,
    /// The registry that it is for.
    pub(super) service: String,
    /// What it grants.
    pub(super) scopes: Vec<Scope>,
    /// When it stops to be good.
    pub(super) expires: Instant,
}

impl Tokens {
    /// Remembers a token that says this of itself, and returns its text.
    pub(super) fn issue(&mut self, token: Token, claims: &Value) -> String {
        let header = json!({"alg": "HS256", "kid": "sim", "typ": "JWT"});
        let signature: Vec<u8> =
            [Uuid::new_v4(), Uuid::new_v4()].iter().flat_map(Uuid::as_bytes).copied().collect();
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let parts = [header.to_string(), claims.to_string()].map(|part| encode(part.as_bytes()));
        let text = format!("{}.{}.{}", parts[0], parts[1], encode(&signature));
        self.access.keep(text, token)
    }

    /// Remembers a refresh token of an account and returns its text.
    pub(super) fn issue_refresh(&mut self, account: &str) -> String {
        self.refresh.keep(Uuid::new_v4().simple().to_string(), account.to_owned())
    }

    /// Returns the text of a token of which this is true.
    pub(super) fn text(&self, is_it: impl Fn(&str) -> bool) -> Option<&str> {
        self.access.known.keys().map(String::as_str).find(|text| is_it(text))
    }

    /// Returns what a token stands for, unless it is unknown or has expired.
    pub(super) fn find(&self, text: &str, now: Instant) -> Option<Token> {
        self.access.known.get(text).filter(|token| now < token.expires).cloned()
    }

    /// Returns the account of a refresh token.
    pub(super) fn refreshed(&self, text: &str) -> Option<String> {
        self.refresh.known.get(text).cloned()
    }
}

/// Values by a text, of which the oldest are forgotten.
#[derive(Debug)]
struct Memory<T> {
    known: HashMap<String, T>,
    order: VecDeque<String>,
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Memory<T> {
    fn keep(&mut self, text: String, value: T) -> String {
        if self.order.len() == TOKENS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(text.clone(), value);
        self.order.push_back(text.clone());
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_token_expires_and_the_oldest_is_forgotten() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let token = |seconds| Token {
            account: None,
            service: "s".into(),
            scopes: Vec::new(),
            expires: now + Duration::from_secs(seconds),
        };
        let claims = json!({"sub": ""});
        let text = tokens.issue(token(10), &claims);
        assert!(tokens.find(&text, now + Duration::from_secs(9)).is_some());
        assert!(tokens.find(&text, now + Duration::from_secs(10)).is_none());
        assert!(tokens.find("other", now).is_none());
        for _ in 0..TOKENS_MAX {
            tokens.issue(token(10), &claims);
        }
        assert!(tokens.find(&text, now).is_none());
        assert_eq!(tokens.access.known.len(), TOKENS_MAX);
    }
}
