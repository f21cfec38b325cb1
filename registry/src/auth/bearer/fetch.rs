//! Small documents of an issuer, over https: bounded in bytes and time, without redirects.
//!
//! What comes back is never in an error: only where it was to come from, and in which way it did not.

use std::time::Duration;

use http::StatusCode;

use crate::auth::error::AccessError;
use crate::auth::options::may_be_fetched;

/// The largest document of an issuer, in bytes.
pub(super) const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// How long a document may take, from the connection to its last byte.
const FETCH_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The url is not one that can be trusted.
    #[error("{url} is neither https nor on this host")]
    Url {
        /// The url.
        url: String,
    },
    /// There was no answer, or it broke off.
    #[error("{url} did not answer")]
    Silent {
        /// The url.
        url: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// It answered with something else.
    #[error("{url} answered {status}")]
    Status {
        /// The url.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
    /// The document is too large.
    #[error("{url} answered with more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge {
        /// The url.
        url: String,
    },
}

/// Fetches documents. Clones share its connections.
#[derive(Debug, Clone)]
pub(super) struct Fetcher(reqwest::Client);

impl Fetcher {
    /// Makes one that trusts the system's authorities, and those of a PEM text beside them.
    ///
    /// *Errors:* [`AccessError::Authority`], [`AccessError::Client`].
    pub(super) fn new(authorities: Option<&[u8]>) -> Result<Self, AccessError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("wharfinger/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(FETCH_TIME_MAX)
            .pool_max_idle_per_host(1);
        if let Some(pem) = authorities {
            let bundle = reqwest::Certificate::from_pem_bundle(pem).map_err(AccessError::Authority)?;
            for authority in bundle {
                builder = builder.add_root_certificate(authority);
            }
        }
        builder.build().map(Self).map_err(AccessError::Client)
    }

    /// Fetches a document.
    ///
    /// *Errors:* every variant of [`FetchError`].
    pub(super) async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        // What stands behind it may be a secret.
        let at = || url.split(['?', '#']).next().unwrap_or_default().to_owned();
        if !may_be_fetched(url) {
            return Err(FetchError::Url { url: at() });
        }
        let silent = |error: reqwest::Error| FetchError::Silent { url: at(), source: error.without_url() };
        let mut answer = self.0.get(url).send().await.map_err(silent)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status { url: at(), status: answer.status() });
        }
        let mut document = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(silent)? {
            if document.len() + part.len() > DOCUMENT_BYTES_MAX {
                return Err(FetchError::TooLarge { url: at() });
            }
            document.extend_from_slice(&part);
        }
        Ok(document)
    }
}
