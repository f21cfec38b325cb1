//! What is known of who sent a request, for those who write it down.

use std::sync::OnceLock;

use http::HeaderValue;

use super::client::Client;
use crate::auth::{Authorization, Identity, Source};

/// The longest name of somebody who could not log in that is written down, in characters.
const NAME_CHARS_MAX: usize = 256;

/// Who sent a request. It is noted as it is found out, also when answering is broken off.
#[derive(Debug, Default)]
pub(super) struct Asker {
    pub(super) client: Client,
    identified: OnceLock<Who>,
    claimed: OnceLock<Who>,
    /// The header by which somebody is being identified.
    tried: OnceLock<HeaderValue>,
    concerned: OnceLock<Key>,
}

/// A key that a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Its name, where one is known.
    pub(super) id: Option<String>,
    /// Whose it is.
    pub(super) owner: String,
}

/// A name, and how it was proved or claimed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) user: Option<String>,
    pub(super) auth: &'static str,
}

impl Asker {
    pub(super) fn new(client: Client) -> Self {
        Self { client, ..Self::default() }
    }

    /// Returns what limits count it by.
    pub(super) fn source(&self) -> Source {
        Source::of(self.client.address)
    }

    /// Notes who it is: from now on, what is done is done for him.
    pub(super) fn is(&self, identity: &Identity, authorization: Option<&HeaderValue>) {
        let is_nobody = identity.account().is_none() && identity.scope().is_none();
        let auth = match authorization {
            _ if is_nobody => "none",
            Some(value) => scheme(value),
            None => "certificate",
        };
        let _ = self.identified.set(Who { user: identity.account().map(str::to_owned), auth });
    }

    /// Notes by what he is going to be identified, in case that nobody waits for it.
    pub(super) fn tries(&self, authorization: Option<&HeaderValue>) {
        if let Some(value) = authorization {
            let _ = self.tried.set(value.clone());
        }
    }

    /// Notes for whom a token was issued, by what was not a header or is none of a repository.
    pub(super) fn is_given_a_token(&self, account: Option<&str>, auth: &'static str) {
        let _ = self.identified.set(Who { user: account.map(str::to_owned), auth });
    }

    /// Notes whose key is meant, and which.
    pub(super) fn concerns(&self, id: Option<&str>, owner: &str) {
        let _ = self.concerned.set(Key { id: id.map(str::to_owned), owner: owner.to_owned() });
    }

    /// Returns the key that is meant.
    pub(super) fn concerned(&self) -> Option<&Key> {
        self.concerned.get()
    }

    /// Notes who it says it is, and is not.
    pub(super) fn claims(&self, authorization: Option<&HeaderValue>) {
        let Some(value) = authorization else { return };
        match Authorization::parse(value.as_bytes()) {
            Ok(Authorization::Basic(credentials)) => self.claims_user(credentials.user()),
            Ok(Authorization::Bearer(_)) | Err(_) => {
                let _ = self.claimed.set(Who { user: None, auth: scheme(value) });
            }
        }
    }

    /// The same, of a user with a password.
    pub(super) fn claims_user(&self, user: &str) {
        let user = user.chars().take(NAME_CHARS_MAX).collect();
        let _ = self.claimed.set(Who { user: Some(user), auth: "password" });
    }

    /// Notes that it shows a token in a form.
    pub(super) fn claims_by_token(&self) {
        let _ = self.claimed.set(Who { user: None, auth: "token" });
    }

    /// Returns who it said it is, if it has said anything, and nobody has found out whether that is so.
    pub(super) fn undecided(&self) -> Option<Who> {
        if self.identified.get().is_some() {
            return None;
        }
        self.claims(self.tried.get());
        self.claimed.get().filter(|who| who.auth != "none").cloned()
    }

    /// Returns who it is, once that is known.
    pub(super) fn identified(&self) -> Option<&Who> {
        self.identified.get()
    }

    /// Returns who it said it is.
    pub(super) fn claimed(&self) -> Who {
        self.claimed.get().cloned().unwrap_or(Who { user: None, auth: "none" })
    }
}

/// Returns the kind of an `Authorization` header.
fn scheme(value: &HeaderValue) -> &'static str {
    let is_bearer = value.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    if is_bearer { "token" } else { "password" }
}
