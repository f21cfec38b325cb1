//! Whom the origin of a scenario asks who he is, and how.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    origin::{Access, Account, Action, Right, Scheme, TokenOptions},
    stand::{ACCOUNT_NAME, ACCOUNT_PASSWORD},
};

/// How long a token is good when nothing is meant to be wrong with it, in milliseconds.
const LIFETIME_MS: u64 = 300_000;

/// How an origin asks who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarded {
    /// How callers show it.
    pub by: By,
    /// For how many milliseconds a token is good, until a `heal` step; 0 makes tokens that have expired.
    #[serde(default = "long")]
    pub lifetime_ms: u64,
    /// Whether callers without a name may pull.
    #[serde(default)]
    pub anonymous: bool,
    /// Whether the token service has another address from a `heal` step on.
    #[serde(default)]
    pub moves: bool,
}

/// How callers of an origin show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// With name and password.
    Basic,
    /// With a token that they fetch.
    Bearer,
}

fn long() -> u64 {
    LIFETIME_MS
}

impl Guarded {
    /// Returns who may do what: the account everything, others what the scenario says.
    #[must_use]
    pub fn access(self) -> Access {
        self.access_at(None)
    }

    /// Returns the same after a `heal` step: tokens are good for long, and the token service may have moved.
    #[must_use]
    pub fn healed(self) -> Access {
        let healed = Self { lifetime_ms: LIFETIME_MS, ..self };
        healed.access_at(self.moves.then(|| "moved=1".to_owned()))
    }

    fn access_at(self, realm_query: Option<String>) -> Access {
        let lifetime = Duration::from_millis(self.lifetime_ms);
        let account = Account {
            name: ACCOUNT_NAME.to_owned(),
            password: ACCOUNT_PASSWORD.to_owned(),
            rights: vec![Right::to_everything()],
        };
        Access {
            scheme: match self.by {
                By::Basic => Scheme::Basic,
                By::Bearer => {
                    Scheme::Bearer(TokenOptions { lifetime, realm_query, ..TokenOptions::default() })
                }
            },
            accounts: vec![account],
            anonymous: if self.anonymous { vec![Right::of("*", [Action::Pull])] } else { Vec::new() },
        }
    }
}
