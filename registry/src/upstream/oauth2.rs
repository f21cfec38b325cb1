//! Temporary passwords: tokens that an OAuth 2.0 token endpoint gives for an assertion.
//!
//! One token is had for all urls of an upstream, by one exchange for all that wait, and again before it ends.
//! While an endpoint is down, a token that still lives is used to its end. What is sent there, and what comes
//! back, is in no log and no error (P11); of an answer that refuses, only the error codes of the RFCs are told.
//!
//! *Spec:* RFC 6749 §5, RFC 7523 §2, RFC 8693 §2.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::assertion::{self, AssertionError};
use super::credentials::Account;
use super::exchange::retry_after;
use super::flight::Flights;
use super::options::{Grant, Oauth2};
use super::transport::{Peer, Request, Response};
use super::{Fault, Phase, Transport};
use crate::clock::{Clock, Timestamp};
use crate::telemetry::WithCauses;

/// The largest answer of a token endpoint, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// What a token lives when its endpoint does not say; as in zot.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(300);
/// How long before its end a token is exchanged for a new one, unless that is most of its life.
const MARGIN: Duration = Duration::from_secs(60);
/// How long an endpoint that failed is left alone at least, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How old a refused token must be to be exchanged again: what is new will not get better.
const REFUSED_AGE_MIN: Duration = Duration::from_secs(10);
/// RFC 7523 §2.2.
const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// RFC 6749 §5.2, RFC 8693 §2.2.2.
const ERROR_CODES: [&str; 8] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "temporarily_unavailable",
];

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Oauth2Error {
    /// There is nothing to prove who we are with.
    #[error("there is no assertion or client secret to show to the token endpoint {endpoint}")]
    Assertion {
        /// Its host.
        endpoint: String,
        /// What is missing.
        source: AssertionError,
    },
    /// It did not answer.
    #[error("the token endpoint {endpoint} did not answer: {fault}")]
    Silent {
        /// Its host.
        endpoint: String,
        /// What happened.
        fault: Fault,
    },
    /// It said that something is wrong with what it was sent.
    #[error("the token endpoint {endpoint} refused: {status} {code}")]
    Refused {
        /// Its host.
        endpoint: String,
        /// What it answered.
        status: u16,
        /// The error code, if it is one of the RFCs'.
        code: &'static str,
    },
    /// It is overloaded or broken.
    #[error("the token endpoint {endpoint} has no answer for now: {status}")]
    Busy {
        /// Its host.
        endpoint: String,
        /// What it answered.
        status: u16,
    },
    /// It wants us to go elsewhere, with all that we would show there.
    #[error("the token endpoint {endpoint} redirects, which is not followed; give its last url as tokenURL")]
    Redirect {
        /// Its host.
        endpoint: String,
    },
    /// It answered with something that is no token.
    #[error("the token endpoint {endpoint} answered with something that has no access_token")]
    Answer {
        /// Its host.
        endpoint: String,
    },
}

impl Oauth2Error {
    /// Says whether it may be better a little later, without anybody's doing.
    pub(super) const fn is_passing(&self) -> bool {
        match self {
            Self::Silent { fault, .. } => !matches!(fault, Fault::Tls),
            Self::Busy { .. } => true,
            Self::Assertion { .. } | Self::Refused { .. } | Self::Redirect { .. } | Self::Answer { .. } => {
                false
            }
        }
    }
}

/// The token endpoint of one upstream, and the token that it gave.
#[derive(Debug, Clone)]
pub(super) struct TokenEndpoint(Arc<Inner>);

struct Inner {
    upstream: String,
    options: Oauth2,
    transport: Arc<dyn Transport>,
    clock: Clock,
    timeout: Duration,
    state: Mutex<State>,
    flights: Flights<(), Result<Token, Oauth2Error>>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Until when the endpoint is left alone, and why.
    failed: Option<(Instant, Oauth2Error)>,
}

#[derive(Clone)]
struct Token {
    text: String,
    got_at: Timestamp,
    renew_at: Timestamp,
    ends_at: Timestamp,
}

/// A token endpoint's answer.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// A number; some write it as text.
    expires_in: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl TokenEndpoint {
    /// Makes the endpoint of an upstream, which is not asked anything yet; an exchange may take as long as
    /// `timeout`.
    pub(super) fn new(
        upstream: &str,
        options: Oauth2,
        transport: Arc<dyn Transport>,
        clock: Clock,
        timeout: Duration,
    ) -> Self {
        let upstream = upstream.to_owned();
        let (state, flights) = (Mutex::default(), Flights::default());
        Self(Arc::new(Inner { upstream, options, transport, clock, timeout, state, flights }))
    }

    /// Returns the account whose password is the present token.
    ///
    /// *Errors:* [`Oauth2Error`]. It has been logged.
    ///
    /// *Cancellation:* the exchange goes on, and its token is kept.
    pub(super) async fn account(&self) -> Result<Account, Oauth2Error> {
        let token = self.token().await?;
        Ok(Account::new(self.0.options.username.clone(), token.text))
    }

    /// Forgets a token that the registry refused, unless it is new or there is another one; says whether
    /// asking again may help.
    pub(super) fn forget(&self, refused: &Account) -> bool {
        let mut state = self.0.state();
        let now = self.0.clock.now();
        match &state.token {
            Some(token) if !refused.has_password(&token.text) => true,
            // A clock that went back tells no age.
            Some(token) if token.got_at > now || now.since(token.got_at) >= REFUSED_AGE_MIN => {
                state.token = None;
                true
            }
            _ => false,
        }
    }

    async fn token(&self) -> Result<Token, Oauth2Error> {
        if let Some(known) = self.0.known() {
            return known;
        }
        let inner = Arc::clone(&self.0);
        let asked = self.0.flights.ask((), async move { inner.renew().await }).await;
        asked.unwrap_or_else(|| Err(Oauth2Error::Answer { endpoint: self.0.host() }))
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what holds without asking: a token that is not to be renewed yet, or why there is none for now.
    fn known(&self) -> Option<Result<Token, Oauth2Error>> {
        let (state, now) = (self.state(), self.clock.now());
        if let Some(token) = state.token.as_ref().filter(|token| now < token.renew_at) {
            return Some(Ok(token.clone()));
        }
        let (_, error) = state.failed.as_ref().filter(|(until, _)| Instant::now() < *until)?;
        Some(state.living(now).ok_or_else(|| error.clone()))
    }

    /// Asks for a new token; the old one does as long as it lives.
    async fn renew(&self) -> Result<Token, Oauth2Error> {
        // Whoever came a moment too late for another exchange finds what it brought.
        if let Some(known) = self.known() {
            return known;
        }
        let error = match self.exchange().await {
            Ok(token) => {
                *self.state() = State { token: Some(token.clone()), failed: None };
                tracing::debug!(upstream.name = %self.upstream, "an upstream's token was renewed");
                return Ok(token);
            }
            Err((error, pause)) => {
                let mut state = self.state();
                // A file that was mended is to be seen at once.
                if !matches!(error, Oauth2Error::Assertion { .. }) {
                    let pause = pause.unwrap_or(PAUSE_MIN).clamp(PAUSE_MIN, PAUSE_MAX);
                    state.failed = Some((Instant::now() + pause, error.clone()));
                }
                error
            }
        };
        let living = self.state().living(self.clock.now());
        let causes = WithCauses(&error);
        if living.is_some() || error.is_passing() {
            tracing::warn!(upstream.name = %self.upstream, error = %causes, "an upstream's token was not renewed");
        } else {
            tracing::error!(upstream.name = %self.upstream, error = %causes, "there is no token for an upstream");
        }
        living.ok_or(error)
    }

    async fn exchange(&self) -> Result<Token, (Oauth2Error, Option<Duration>)> {
        let body = self.body().await.map_err(|error| (error, None))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let request = Request {
            peer: Peer::TokenEndpoint,
            method: Method::POST,
            url: self.options.token_url.clone(),
            headers,
            body,
            timeout: self.timeout,
        };
        let asking = async {
            let response = self.transport.send(request).await?;
            let (status, headers) = (response.status, response.headers.clone());
            Ok((status, headers, read(response).await?))
        };
        // A body that drips must not hold everybody who waits for the token.
        let asked = tokio::time::timeout(self.timeout, asking).await;
        let asked = asked.unwrap_or(Err(Fault::Timeout(Phase::Body)));
        let silent = |fault| (Oauth2Error::Silent { endpoint: self.host(), fault }, None);
        let (status, headers, body) = asked.map_err(silent)?;
        self.judge(status, &body).map_err(|error| {
            let pause = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            (error, pause.and_then(|value| retry_after(value, self.clock.now())))
        })
    }

    /// Returns the form that is sent.
    async fn body(&self) -> Result<Bytes, Oauth2Error> {
        let (options, now) = (self.options.clone(), self.clock.now());
        // Files are read, and an RSA signature takes a millisecond.
        let made = tokio::task::spawn_blocking(move || {
            let secret = options.client_secret_file.as_deref().map(assertion::read_secret).transpose()?;
            Ok(form(&options, &assertion::make(&options, now)?, secret.as_deref()))
        });
        match made.await {
            Ok(made) => made.map_err(|source| Oauth2Error::Assertion { endpoint: self.host(), source }),
            Err(_) => Err(Oauth2Error::Answer { endpoint: self.host() }),
        }
    }

    fn judge(&self, status: StatusCode, body: &[u8]) -> Result<Token, Oauth2Error> {
        let endpoint = self.host();
        if status.is_redirection() {
            return Err(Oauth2Error::Redirect { endpoint });
        }
        if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
            return Err(Oauth2Error::Busy { endpoint, status: status.as_u16() });
        }
        if status != StatusCode::OK {
            return Err(Oauth2Error::Refused { endpoint, status: status.as_u16(), code: code(body) });
        }
        let no_token = || Oauth2Error::Answer { endpoint };
        let Ok(answer) = serde_json::from_slice::<Answer>(body) else { return Err(no_token()) };
        if answer.access_token.is_empty() {
            return Err(no_token());
        }
        let lifetime = answer.lifetime();
        let (margin, got_at) = (MARGIN.min(lifetime / 4), self.clock.now());
        Ok(Token {
            text: answer.access_token,
            got_at,
            renew_at: got_at.after(lifetime.saturating_sub(margin)),
            ends_at: got_at.after(lifetime),
        })
    }

    /// Returns the endpoint's host, for an operator: a url may have more in it.
    fn host(&self) -> String {
        let url = reqwest::Url::parse(&self.options.token_url).ok();
        url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl State {
    /// Returns a token that is not over, whether it is to be renewed or not.
    fn living(&self, now: Timestamp) -> Option<Token> {
        self.token.clone().filter(|token| now < token.ends_at)
    }
}

impl Answer {
    fn lifetime(&self) -> Duration {
        let seconds = self.expires_in.as_ref().and_then(|value| match value {
            serde_json::Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        });
        seconds.filter(|seconds| *seconds > 0).map_or(LIFETIME_DEFAULT, Duration::from_secs)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Returns the code of a refusal, if it is one that an RFC names: anything else might repeat what was sent.
fn code(body: &[u8]) -> &'static str {
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    let known = refusal.and_then(|it| ERROR_CODES.into_iter().find(|code| *code == it.error));
    known.unwrap_or("without a known error code")
}

/// Returns the parameters of an exchange, as a form.
fn form(options: &Oauth2, assertion: &str, secret: Option<&str>) -> Bytes {
    let mut form = reqwest::Url::parse("form:/").expect("it is a url");
    {
        let mut pairs = form.query_pairs_mut();
        pairs.append_pair("grant_type", options.grant.name());
        match options.grant {
            Grant::ClientCredentials => {
                pairs.append_pair("client_assertion_type", CLIENT_ASSERTION_TYPE);
                pairs.append_pair("client_assertion", assertion);
            }
            Grant::JwtBearer => {
                pairs.append_pair("assertion", assertion);
            }
            Grant::TokenExchange => {
                pairs.append_pair("subject_token", assertion);
                pairs.append_pair("subject_token_type", &options.subject_token_type);
                if let Some(wanted) = &options.requested_token_type {
                    pairs.append_pair("requested_token_type", wanted);
                }
            }
        }
        let scope = (!options.scopes.is_empty()).then(|| options.scopes.join(" "));
        for (name, value) in [
            ("audience", options.audience.as_deref()),
            ("scope", scope.as_deref()),
            ("client_id", options.client_id.as_deref()),
            ("client_secret", secret),
        ] {
            if let Some(value) = value {
                pairs.append_pair(name, value);
            }
        }
    }
    Bytes::from(form.query().unwrap_or_default().to_owned())
}

/// Reads a body; of a longer one than an answer may be, nothing.
async fn read(response: Response) -> Result<Bytes, Fault> {
    let (announced, mut body) = (response.content_length(), response.body);
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            return Ok(Bytes::new());
        }
    }
    match announced {
        Some(length) if length != bytes.len() as u64 => Err(Fault::Incomplete),
        _ => Ok(bytes.freeze()),
    }
}

#[cfg(test)]
mod tests;
