//! The tokens that were issued: random texts that mean something here only. They are lost with the origin.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

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
    /// Remembers a token and returns its text.
    pub(super) fn issue(&mut self, token: Token) -> String {
        self.access.keep(token)
    }

    /// Remembers a refresh token of an account and returns its text.
    pub(super) fn issue_refresh(&mut self, account: &str) -> String {
        self.refresh.keep(account.to_owned())
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

/// Values by a random name, of which the oldest are forgotten.
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
    fn keep(&mut self, value: T) -> String {
        if self.order.len() == TOKENS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let text = Uuid::new_v4().simple().to_string();
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
        let text = tokens.issue(token(10));
        assert!(tokens.find(&text, now + Duration::from_secs(9)).is_some());
        assert!(tokens.find(&text, now + Duration::from_secs(10)).is_none());
        assert!(tokens.find("other", now).is_none());
        for _ in 0..TOKENS_MAX {
            tokens.issue(token(10));
        }
        assert!(tokens.find(&text, now).is_none());
        assert_eq!(tokens.access.known.len(), TOKENS_MAX);
    }
}
