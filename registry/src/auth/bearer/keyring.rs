//! The keys of one issuer as they are now: read once, and again when it is time.
//!
//! *Shape:* keys are used for `refresh` as they are; after that they are read again beside the requests that use
//! them, and after twice that before such a request is answered. A key that is not known has them read again at
//! once, though not more than once per [`LOOK_INTERVAL`]: issuers change their keys when they like. The keys of the
//! last reading stay while they cannot be read, and nobody waits for an issuer that was away the last time.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;

use super::fetch::{DOCUMENT_BYTES_MAX, FetchError, Fetcher};
use super::keys::{KeySet, KeysError};
use crate::auth::error::TokenError;
use crate::clock::{Clock, Timestamp};

/// How often keys are read because one is unknown, at most.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// How often keys are read while there are none, at most.
pub(super) const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// Where an issuer says what it is.
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// Where keys are had from.
#[derive(Debug)]
pub(super) enum Source {
    /// A file of certificates and public keys.
    Pem(PathBuf),
    /// A file of a JSON Web Key Set.
    SetFile(PathBuf),
    /// The url of one.
    Set(Fetcher, String),
    /// An issuer that says where its keys are.
    Issuer {
        /// What fetches.
        fetcher: Fetcher,
        /// The issuer's url.
        issuer: String,
        /// Whether it has to call itself what it is called here.
        naming: Naming,
    },
}

/// Whether an issuer has to call itself what it is called in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum Naming {
    /// It has.
    Strict,
    /// It may call itself anything.
    Any,
}

/// Why keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyringError {
    /// A file cannot be read.
    #[error("the file {} cannot be read", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file holds no keys.
    #[error("the file {} cannot be used: {source}", .path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeysError,
    },
    /// A document cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A document holds no keys.
    #[error("{url} cannot be used: {source}")]
    Document {
        /// Its url.
        url: String,
        /// What is wrong.
        source: KeysError,
    },
    /// What an issuer says of itself cannot be read.
    #[error("{url} does not say where keys are")]
    Discovery {
        /// The url.
        url: String,
    },
    /// An issuer calls itself something else, so that its tokens would be another's.
    #[error("{url} is of another issuer")]
    OtherIssuer {
        /// The url.
        url: String,
    },
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keyring {
    source: Source,
    refresh: Duration,
    clock: Clock,
    state: RwLock<State>,
    /// Held while keys are read, so that one does it.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<(Arc<KeySet>, Timestamp)>,
    tried_at: Option<Timestamp>,
    /// Whether the last reading failed, of which one warning is enough.
    is_failing: bool,
}

/// What an issuer says of itself, as far as it is needed.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Keyring {
    /// Makes one that has read nothing yet.
    pub(super) fn new(source: Source, refresh: Duration, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            source,
            refresh,
            clock,
            state: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
        })
    }

    /// Takes over the keys of a former one of the same source, which are used until others have been read.
    pub(super) fn goes_on_from(self: &Arc<Self>, former: &Self) {
        let known = former.state.read().unwrap_or_else(PoisonError::into_inner).keys.clone();
        self.state_mut(|state, _| state.keys = state.keys.take().or(known));
        self.look_beside();
    }

    /// Reads the keys for the first time.
    ///
    /// *Errors:* every variant of [`KeyringError`].
    pub(super) async fn read_now(&self) -> Result<(), KeyringError> {
        let keys = self.source.read().await?;
        self.state_mut(|state, now| state.keys = Some((Arc::new(keys), now)));
        Ok(())
    }

    /// Reads the keys for the first time, beside whatever else happens.
    pub(super) fn read_soon(self: &Arc<Self>) {
        let ring = Arc::clone(self);
        tokio::spawn(async move { ring.look(FIRST_INTERVAL).await });
    }

    /// Returns the keys for a token that names that one, or none.
    ///
    /// *Errors:* [`TokenError::Unavailable`] when no keys could be read yet.
    ///
    /// *Cancellation:* a reading that has begun goes on to its end.
    pub(super) async fn keys(self: &Arc<Self>, id: Option<&str>) -> Result<Arc<KeySet>, TokenError> {
        let interval = match self.known() {
            Some((keys, age)) if keys.meant(id).next().is_some() => {
                if age < self.refresh {
                    return Ok(keys);
                }
                if age < self.refresh * 2 || self.is_failing() {
                    self.look_beside();
                    return Ok(keys);
                }
                LOOK_INTERVAL
            }
            Some(_) => LOOK_INTERVAL,
            None => FIRST_INTERVAL,
        };
        if self.is_due(interval) {
            let ring = Arc::clone(self);
            // It ends by itself: every document has its time.
            let _ended = tokio::spawn(async move { ring.look(interval).await }).await;
        }
        self.known().map(|(keys, _)| keys).ok_or(TokenError::Unavailable)
    }

    /// Reads the keys beside whatever needs them, unless that is under way.
    fn look_beside(self: &Arc<Self>) {
        if self.is_due(LOOK_INTERVAL) && self.reading.try_lock().is_ok() {
            let ring = Arc::clone(self);
            tokio::spawn(async move { ring.look(LOOK_INTERVAL).await });
        }
    }

    fn is_failing(&self) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).is_failing
    }

    /// Returns the keys of the last reading, and how old they are.
    fn known(&self) -> Option<(Arc<KeySet>, Duration)> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.keys.as_ref().map(|(keys, at)| (Arc::clone(keys), self.clock.now().since(*at)))
    }

    fn is_due(&self, interval: Duration) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        state.tried_at.is_none_or(|at| now.since(at) >= interval || at > now)
    }

    /// Reads the keys, unless somebody else did within an interval.
    async fn look(&self, interval: Duration) {
        let _reading = self.reading.lock().await;
        if !self.is_due(interval) {
            return;
        }
        let read = self.source.read().await;
        // At the end, so that those who waited for it do not each try again what takes long to fail.
        self.state_mut(|state, now| {
            state.tried_at = Some(now);
            let was_failing = std::mem::replace(&mut state.is_failing, read.is_err());
            match read {
                Ok(keys) => {
                    state.keys = Some((Arc::new(keys), now));
                    if was_failing {
                        tracing::info!("the keys of an issuer of tokens can be read again");
                    }
                }
                Err(error) if !was_failing => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        "the keys of an issuer of tokens cannot be read: those that are known stay"
                    );
                }
                Err(_) => {}
            }
        });
    }

    fn state_mut(&self, change: impl FnOnce(&mut State, Timestamp)) {
        let now = self.clock.now();
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner), now);
    }
}

impl Source {
    async fn read(&self) -> Result<KeySet, KeyringError> {
        match self {
            Self::Pem(path) => of_file(path, KeySet::of_pem).await,
            Self::SetFile(path) => of_file(path, KeySet::of_set).await,
            Self::Set(fetcher, url) => of_url(fetcher, url).await,
            Self::Issuer { fetcher, issuer, naming } => {
                let url = format!("{}{DISCOVERY_PATH}", issuer.trim_end_matches('/'));
                let document = fetcher.get(&url).await?;
                let Ok(said) = serde_json::from_slice::<Discovery>(&document) else {
                    return Err(KeyringError::Discovery { url });
                };
                if *naming == Naming::Strict && said.issuer != *issuer {
                    return Err(KeyringError::OtherIssuer { url });
                }
                // Only an issuer on this host may send us to a service of this host.
                if issuer.starts_with("https:") && !said.jwks_uri.starts_with("https:") {
                    return Err(KeyringError::Discovery { url });
                }
                of_url(fetcher, &said.jwks_uri).await
            }
        }
    }
}

async fn of_url(fetcher: &Fetcher, url: &str) -> Result<KeySet, KeyringError> {
    let document = fetcher.get(url).await?;
    KeySet::of_set(&document).map_err(|source| KeyringError::Document {
        url: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        source,
    })
}

async fn of_file(
    path: &std::path::Path,
    parse: fn(&[u8]) -> Result<KeySet, KeysError>,
) -> Result<KeySet, KeyringError> {
    let failed = |source| KeyringError::File { path: path.to_owned(), source };
    let size = tokio::fs::metadata(path).await.map_err(failed)?.len();
    if size > DOCUMENT_BYTES_MAX as u64 {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    let bytes = tokio::fs::read(path).await.map_err(failed)?;
    parse(&bytes).map_err(|source| KeyringError::Keys { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
