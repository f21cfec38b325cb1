//! Whose account an upstream is asked with: zot's file of accounts by host, a docker credential helper, or
//! temporary tokens ([`super::oauth2`]).
//!
//! An account belongs to a host, and a token to the urls of one upstream. It goes there, and to a token service
//! only where that is bound to it ([`super::token`]); never along a redirect, never into a log (P11).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::Instant;

use super::Transport;
use super::oauth2::{Oauth2Error, TokenEndpoint};
use super::options::{CredentialSource, Options, helper_program};
use crate::clock::Clock;

/// The largest file of accounts, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How long a helper may take.
const HELPER_DEADLINE: Duration = Duration::from_secs(30);
/// How long what a helper said is used: what it gives lives for hours, and may be revoked.
const HELPER_TTL: Duration = Duration::from_secs(300);
/// The largest answer of a helper, in bytes.
const HELPER_BYTES_MAX: usize = 64 * 1024;

/// A user and a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    username: String,
    password: String,
}

impl Account {
    /// Makes an account.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    /// Says whether this is its password.
    pub(super) fn has_password(&self, password: &str) -> bool {
        self.password == password
    }

    /// Returns the value of `Authorization`, which no log shows.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let encoded = STANDARD.encode(format!("{}:{}", self.username, self.password));
        let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account")
    }
}

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("the accounts in {} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is none of accounts. What is wrong in it is not quoted: it holds passwords.
    #[error("{} is no file of accounts by host, as {{\"host\": {{\"username\": …, \"password\": …}}}}", .path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The helper cannot be started, fails, or takes too long.
    #[error("the credential helper {program} gave no account: {reason}")]
    Helper {
        /// The program.
        program: String,
        /// What happened.
        reason: String,
    },
    /// There is no token; it has been logged.
    #[error(transparent)]
    Oauth2(#[from] Oauth2Error),
}

impl CredentialError {
    /// Says whether it may be better a little later, without anybody's doing.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self, Self::Oauth2(error) if error.is_passing())
    }
}

#[derive(Debug)]
enum Source {
    Nobody,
    File(PathBuf),
    Helper(String),
    Tokens(TokenEndpoint),
}

/// The accounts of one upstream.
#[derive(Debug)]
pub(super) struct Credentials {
    source: Source,
    file: Mutex<Option<(SystemTime, BTreeMap<String, Account>)>>,
    helper: Mutex<BTreeMap<String, (Account, Instant)>>,
}

impl Credentials {
    /// Makes the accounts that an upstream's options name; nothing is read or asked yet.
    pub(super) fn new(options: &Options, transport: &Arc<dyn Transport>, clock: &Clock) -> Self {
        let source = match options.credentials.clone() {
            CredentialSource::Nobody => Source::Nobody,
            CredentialSource::File(path) => Source::File(path),
            CredentialSource::Helper(name) => Source::Helper(name),
            CredentialSource::Oauth2(oauth2) => {
                let (transport, timeout) = (Arc::clone(transport), options.response_timeout);
                Source::Tokens(TokenEndpoint::new(&options.name, *oauth2, transport, clock.clone(), timeout))
            }
        };
        Self { source, file: Mutex::default(), helper: Mutex::default() }
    }

    /// Returns the account for a host and port, as the url of an upstream has them.
    ///
    /// *Errors:* [`CredentialError`]; none is no error.
    pub(super) async fn of(&self, host: &str) -> Result<Option<Account>, CredentialError> {
        match &self.source {
            Source::Nobody => Ok(None),
            Source::File(path) => self.of_file(path, host).await,
            Source::Helper(name) => self.of_helper(name, host).await.map(Some),
            Source::Tokens(endpoint) => Ok(Some(endpoint.account().await?)),
        }
    }

    /// Takes note that an account was refused; says whether another one may be had at once.
    pub(super) fn forget(&self, refused: &Account) -> bool {
        matches!(&self.source, Source::Tokens(endpoint) if endpoint.forget(refused))
    }

    /// Reads the file again when it has changed, as it does when a secret is renewed.
    async fn of_file(&self, path: &Path, host: &str) -> Result<Option<Account>, CredentialError> {
        let failed = |source| CredentialError::Read { path: path.to_owned(), source };
        let metadata = tokio::fs::metadata(path).await.map_err(failed)?;
        let changed_at = metadata.modified().map_err(failed)?;
        let find = |accounts: &BTreeMap<String, Account>| accounts.get(host).cloned();
        if let Some((seen, accounts)) = &*self.file.lock().unwrap_or_else(PoisonError::into_inner)
            && *seen == changed_at
        {
            return Ok(find(accounts));
        }
        let form = || CredentialError::Form { path: path.to_owned() };
        if metadata.len() > FILE_BYTES_MAX {
            return Err(form());
        }
        let bytes = tokio::fs::read(path).await.map_err(failed)?;
        let accounts: BTreeMap<String, Account> = serde_json::from_slice(&bytes).map_err(|_| form())?;
        let account = find(&accounts);
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some((changed_at, accounts));
        Ok(account)
    }

    async fn of_helper(&self, name: &str, host: &str) -> Result<Account, CredentialError> {
        let now = Instant::now();
        if let Some((account, until)) = self.helper.lock().unwrap_or_else(PoisonError::into_inner).get(host)
            && *until > now
        {
            return Ok(account.clone());
        }
        let program = helper_program(name);
        let asked = tokio::time::timeout(HELPER_DEADLINE, ask(&program, host)).await;
        let answer = asked.unwrap_or_else(|_| Err(format!("it took longer than {HELPER_DEADLINE:?}")));
        let account = answer.map_err(|reason| CredentialError::Helper { program, reason })?;
        let mut known = self.helper.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(host.to_owned(), (account.clone(), now + HELPER_TTL));
        Ok(account)
    }
}

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Asks a docker credential helper: the host on its input, an account on its output.
async fn ask(program: &str, host: &str) -> Result<Account, String> {
    let started = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| format!("it cannot be started ({error})"))?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read its input says so by its answer.
        let _ = input.write_all(host.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("it ended with {}", output.status));
    }
    if output.stdout.len() > HELPER_BYTES_MAX {
        return Err("its answer is too long".to_owned());
    }
    let answer: HelperAnswer =
        serde_json::from_slice(&output.stdout).map_err(|_| "its answer is no account".to_owned())?;
    Ok(Account { username: answer.username, password: answer.secret })
}

#[cfg(test)]
mod tests {
    //! Goal: accounts are found by host, renewed with their file, and shown to nobody. Method: real files and a
    //! script as the helper.

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::upstream::reqwest_transport::ReqwestTransport;

    #[tokio::test]
    async fn a_file_is_read_by_host_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.json");
        let options = Options { credentials: CredentialSource::File(path.clone()), ..Options::default() };
        let transport: Arc<dyn Transport> = Arc::new(ReqwestTransport::new(&options).unwrap());
        let credentials = Credentials::new(&options, &transport, &Clock::system());
        assert!(matches!(credentials.of("a").await, Err(CredentialError::Read { .. })));
        let write = |text: &str, seconds: u64| {
            std::fs::write(&path, text).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        write(r#"{"a:5000": {"username": "u", "password": "p"}}"#, 1);
        assert_eq!(credentials.of("a:5000").await.unwrap(), Some(Account::new("u", "p")));
        assert_eq!(credentials.of("a").await.unwrap(), None);
        write(r#"{"a:5000": {"username": "u", "password": "q"}}"#, 2);
        assert_eq!(credentials.of("a:5000").await.unwrap(), Some(Account::new("u", "q")));
        write(r#"{"a:5000": "hunter2"}"#, 3);
        let error = credentials.of("a:5000").await.unwrap_err();
        assert!(matches!(error, CredentialError::Form { .. }));
        assert!(!format!("{error} {error:?}").contains("hunter2"), "p11");
    }

    #[tokio::test]
    async fn p11_an_account_is_shown_to_nobody() {
        let account = Account::new("admin", "hunter2");
        assert!(!format!("{account:?} {:?}", account.basic()).contains("hunter2"));
        assert_eq!(account.basic().unwrap(), "Basic YWRtaW46aHVudGVyMg==");
    }

    #[tokio::test]
    async fn a_helper_is_asked_for_the_host_once() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread host\necho x >> \"$0.asked\"\n[ \"$host\" = a ] || exit 1\n\
                      echo '{\"ServerURL\":\"a\",\"Username\":\"u\",\"Secret\":\"s\"}'\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = program.to_str().unwrap();
        assert_eq!(ask(path, "a").await.unwrap(), Account::new("u", "s"));
        assert!(ask(path, "b").await.unwrap_err().contains("exit status: 1"));
        assert!(ask("/nonexistent/helper", "a").await.unwrap_err().contains("cannot be started"));
    }

    #[test]
    fn the_names_of_clouds() {
        for (name, expect) in [
            ("ecr", "docker-credential-ecr-login"),
            ("gcp", "docker-credential-gcloud"),
            ("pass", "docker-credential-pass"),
        ] {
            assert_eq!(helper_program(name), expect);
        }
    }
}
