//! Registries with accounts, and requests of those who have one: what the tests of access share.

use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;
use wharfinger::auth::options::{Action, Rule};
use wharfinger::clock::{Clock, Timestamp};

use super::exchange::ask;
use crate::support::{Answer, Client, Registry};

pub(super) const ALL: [Action; 4] = [Action::Read, Action::Create, Action::Update, Action::Delete];

/// What clients call the registry.
pub(super) const HOST: &str = "registry.example:5000";

/// When it is for most tests, in seconds since 1970: 2023-11-14T22:13:20Z.
pub(super) const NOW: u64 = 1_700_000_000;

/// A registry with an htpasswd file.
pub(super) struct Harbour {
    pub(super) client: Client,
    pub(super) clock: Clock,
    folder: TempDir,
}

impl Harbour {
    /// Opens a registry with users and their passwords.
    pub(super) async fn open(accounts: &[(&str, &str)], mut registry: Registry) -> Self {
        let folder = tempfile::tempdir().unwrap();
        registry.auth.htpasswd = Some(write_accounts(&folder, accounts));
        let clock = registry.clock.clone();
        Self { client: registry.open().await, clock, folder }
    }

    /// Has other users from when the file is next looked at.
    pub(super) fn change_accounts(&self, accounts: &[(&str, &str)]) {
        write_accounts(&self.folder, accounts);
    }

    /// Sends a request.
    pub(super) async fn send(
        &self,
        authorization: &str,
        method: &str,
        path: &str,
        body: impl Into<Body>,
    ) -> Answer {
        send(&self.client, authorization, method, path, body).await
    }

    /// Sends a request without a body.
    pub(super) async fn ask(&self, authorization: &str, method: &str, path: &str) -> Answer {
        self.send(authorization, method, path, Body::empty()).await
    }

    /// Sends a request without a body, of whose answer nothing but the status matters.
    pub(super) async fn status(&self, authorization: &str, method: &str, path: &str) -> u16 {
        self.ask(authorization, method, path).await.status.as_u16()
    }
}

fn write_accounts(folder: &TempDir, accounts: &[(&str, &str)]) -> std::path::PathBuf {
    let line = |(user, password): &(&str, &str)| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, accounts.iter().map(line).collect::<String>()).unwrap();
    path
}

/// Makes a registry whose clock stands still at so many seconds since 1970.
pub(super) fn at(seconds: u64) -> Registry {
    Registry { clock: Clock::manual(Timestamp::from_millis(seconds * 1000)), ..Registry::default() }
}

/// Sends a request; without a header that says who asks, where that is empty.
pub(super) async fn send(
    client: &Client,
    authorization: &str,
    method: &str,
    path: &str,
    body: impl Into<Body>,
) -> Answer {
    let mut headers = vec![("host", HOST)];
    if !authorization.is_empty() {
        headers.push(("authorization", authorization));
    }
    ask(client, method, path, &headers, body).await
}

/// Makes the header of somebody with a password.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Makes a rule for users.
pub(super) fn rule(users: &[&str], actions: &[Action]) -> Rule {
    let users = users.iter().map(ToString::to_string).collect();
    Rule { users, actions: actions.to_vec(), ..Rule::default() }
}
