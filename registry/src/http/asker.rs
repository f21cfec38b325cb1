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
