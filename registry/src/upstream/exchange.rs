//! One exchange with one url: tokens, redirects, and what a status means.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{
    AUTHORIZATION, CONTENT_RANGE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, StatusCode};
use tokio::time::Instant;

use super::client::Url;
use super::credentials::{Account, CredentialError};
use super::error::{Phase, Wrong};
use super::health::Sign;
use super::options::CredentialSource;
use super::token::{Answer, Wanted};
use super::transport::{Request, Response};
use super::{Error, Upstream};
use crate::clock::Timestamp;
use crate::mutants;
use crate::oci::RepositoryName;
use crate::telemetry::WithCauses;

/// Redirects followed for one request.
pub(super) const REDIRECTS_MAX: usize = 5;
/// The largest answer of a token service, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// What a url is asked.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// The repository that it is about, for which it is logged in.
    pub(super) name: &'a RepositoryName,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// How long the head of the answer may take.
    pub(super) timeout: Duration,
    /// Whether there is an answer already, and it is only asked whether that is still right.
    pub(super) is_check: bool,
}

impl Upstream {
    /// Returns a question that may take as long as any.
    pub(super) fn ask_for<'a>(&self, method: Method, name: &'a RepositoryName, path: String) -> Ask<'a> {
        let timeout = self.options().response_timeout;
        Ask { method, name, path, headers: HeaderMap::new(), timeout, is_check: false }
    }

    /// Asks one url, unless it is to be left alone.
    ///
    /// *Errors:* [`Error`]; every status but 200 and 206 is one.
    pub(super) async fn ask_url(self: &Arc<Self>, url: &Url, ask: &Ask<'_>) -> Result<Response, Error> {
        let paused = |retry_after| Error::Paused { upstream: Arc::clone(self.label()), retry_after };
        // What is cached is served as it is before the last request of a quota is spent on a look (P7).
        if let Some(wait) = url.health.is_spared(Instant::now()).filter(|_| ask.is_check) {
            return Err(paused(wait));
        }
        let turn = url.health.admit(Instant::now()).map_err(paused)?;
        let begun = Instant::now();
        let outcome = self.exchange(url, ask).await;
        if let Some(sign) = sign(&outcome) {
            turn.report(sign, Instant::now());
        }
        let open = self.urls().iter().filter(|url| !url.health.is_closed()).count();
        metrics::gauge!("wharfinger_upstream_breakers_open", "upstream" => self.name().to_string())
            .set(u32::try_from(open).unwrap_or(u32::MAX));
        let result = outcome.as_ref().map_or_else(Error::kind, |_| "ok");
        metrics::counter!("wharfinger_upstream_requests_total",
            "upstream" => self.name().to_string(), "method" => method_label(&ask.method), "outcome" => result)
        .increment(1);
        metrics::histogram!("wharfinger_upstream_request_seconds", "upstream" => self.name().to_string())
            .record(begun.elapsed());
        outcome
    }

    /// Asks one url, logged in as it wants it. A refusal is answered once, with what it asks for.
    async fn exchange(self: &Arc<Self>, url: &Url, ask: &Ask<'_>) -> Result<Response, Error> {
        let name = ask.name;
        let login = self.remembered_login(url, name).await?;
        self.keep_pace().await?;
        let response = self.follow(url, ask, login.as_ref()).await?;
        if response.status != StatusCode::UNAUTHORIZED {
            return self.judge(response);
        }
        let values = response.headers.get_all(WWW_AUTHENTICATE).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        let Some(wanted) = Wanted::parse(&values) else { return self.judge(response) };
        if mutants::is("MU43-a-token-that-is-refused-is-kept") && login.is_some() {
            return self.judge(response);
        }
        match &login {
            Some(Login::Token(refused)) => self.tokens.forget(&url.base, name.as_str(), refused),
            Some(Login::Account(refused)) => _ = self.credentials.forget(refused),
            None => {}
        }
        let again = self.login(url, name, &wanted).await?;
        let remembered = match wanted {
            Wanted::Bearer(challenge) => Wanted::Bearer(challenge.for_any()),
            Wanted::Basic => Wanted::Basic,
        };
        *url.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(remembered);
        if again.is_none() || again == login {
            return self.judge(response);
        }
        self.keep_pace().await?;
        let response = self.follow(url, ask, again.as_ref()).await?;
        self.judge(response)
    }

    /// Returns what a url wanted when it last refused who was not logged in. When that is not to be had, it may
    /// want something else by now, perhaps of a token service elsewhere: it is asked, and says so.
    async fn remembered_login(
        self: &Arc<Self>,
        url: &Url,
        name: &RepositoryName,
    ) -> Result<Option<Login>, Error> {
        let known = url.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(wanted) = known else { return Ok(None) };
        match self.login(url, name, &wanted).await {
            Err(error @ Error::Wrong { reason: Wrong::Credentials | Wrong::TokenEndpoint, .. }) => Err(error),
            Err(error) => {
                tracing::info!(upstream.name = %self.name(), error = %WithCauses(&error),
                    "what an upstream wanted before is not to be had; it is asked what it wants now");
                *url.wanted.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(None)
            }
            login => login,
        }
    }

    /// Waits until the upstream may be sent another request, as long as for an answer.
    async fn keep_pace(&self) -> Result<(), Error> {
        match &self.pace {
            Some(pace) if !pace.turn(self.options().response_timeout).await => {
                Err(Error::Timeout { upstream: Arc::clone(self.label()), phase: Phase::Turn })
            }
            _ => Ok(()),
        }
    }

    /// Returns what a url wants; `None` where there is nothing to show to it.
    async fn login(
        self: &Arc<Self>,
        url: &Url,
        name: &RepositoryName,
        wanted: &Wanted,
    ) -> Result<Option<Login>, Error> {
        match wanted {
            Wanted::Basic => Ok(self.account(&url.base).await?.map(Login::Account)),
            Wanted::Bearer(challenge) => {
                if let Some(token) = self.tokens.find(&url.base, name.as_str(), &self.clock) {
                    return Ok(Some(Login::Token(token)));
                }
                let realms = &self.options().auth_realms;
                let Some(realm) = challenge.url(&url.base, name.as_str(), realms) else {
                    tracing::warn!(upstream.name = %self.name(), upstream.realm = challenge.host(),
                        "a token service elsewhere is not asked; if it belongs to the upstream, name it in authRealms");
                    return Ok(None);
                };
                let account = if challenge.is_bound(&url.base, realms) {
                    self.account(&url.base).await?
                } else {
                    if self.options().credentials != CredentialSource::Nobody {
                        tracing::warn!(upstream.name = %self.name(), upstream.realm = challenge.host(),
                            "a token service elsewhere is not shown the account; if it belongs to the upstream, name it in authRealms");
                    }
                    None
                };
                // Once for all layers of an image, which are asked for at the same time.
                let key = (url.base.clone(), name.as_str().to_owned());
                let (this, base, name) = (Arc::clone(self), url.base.clone(), name.clone());
                let asking = async move { this.fetch_token_once_more(&base, &name, realm, account).await };
                let no_token = || Error::wrong(self.label(), Wrong::Token);
                let token = self.token_flights.ask(key, asking).await.ok_or_else(no_token)??;
                Ok(Some(Login::Token(token)))
            }
        }
    }

    async fn account(&self, url: &str) -> Result<Option<Account>, Error> {
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        let account = self.credentials.of(host.trim_end_matches('/')).await;
        account.map_err(|error| {
            // An exchange of tokens that many wait for is logged once, where it fails.
            if !matches!(error, CredentialError::Oauth2(_)) {
                tracing::error!(upstream.name = %self.name(), error = %WithCauses(&error),
                    "an upstream cannot be asked with its account");
            }
            let reason = if error.is_passing() { Wrong::TokenEndpoint } else { Wrong::Credentials };
            Error::wrong(self.label(), reason)
        })
    }

    /// Fetches a token; where the account is refused and can be renewed, once more with the new one.
    async fn fetch_token_once_more(
        &self,
        url: &str,
        name: &RepositoryName,
        realm: String,
        account: Option<Account>,
    ) -> Result<String, Error> {
        let fetched = self.fetch_token(url, name, realm.clone(), account.clone()).await;
        match account {
            Some(refused)
                if matches!(fetched, Err(Error::Denied { .. })) && self.credentials.forget(&refused) =>
            {
                let renewed = self.account(url).await?;
                self.fetch_token(url, name, realm, renewed).await
            }
            _ => fetched,
        }
    }

    /// Sends a request, following redirects without credentials (P11).
    async fn follow(&self, of: &Url, ask: &Ask<'_>, login: Option<&Login>) -> Result<Response, Error> {
        let mut url = format!("{}{}", of.base.trim_end_matches('/'), ask.path);
        let mut headers = with_login(&ask.headers, login);
        for _ in 0..=REDIRECTS_MAX {
            let request = Request::new(ask.method.clone(), url.clone(), headers.clone(), ask.timeout);
            let sent = self.transport.send(request).await;
            let response = sent.map_err(|fault| Error::fault(self.label(), fault))?;
            if let Some(remaining) = response.header("ratelimit-remaining").and_then(quota) {
                of.health.note_quota(remaining, Instant::now());
                metrics::gauge!("wharfinger_upstream_quota_remaining", "upstream" => self.name().to_string())
                    .set(u32::try_from(remaining).unwrap_or(u32::MAX));
            }
            if !response.status.is_redirection() {
                return Ok(response);
            }
            let target = response.header(LOCATION).and_then(|location| resolve(&url, location));
            let Some(target) = target else { break };
            let is_elsewhere = origin(&target) != origin(&url);
            if is_elsewhere && !mutants::is("MU45-a-redirect-takes-the-login-along") {
                headers.remove(AUTHORIZATION);
            }
            url = target;
        }
        Err(Error::wrong(self.label(), Wrong::Redirect))
    }

    async fn fetch_token(
        &self,
        url: &str,
        name: &RepositoryName,
        realm: String,
        account: Option<Account>,
    ) -> Result<String, Error> {
        let mut headers = HeaderMap::new();
        if let Some(basic) = account.and_then(|account| account.basic()) {
            headers.insert(AUTHORIZATION, basic);
        }
        let timeout = self.options().response_timeout;
        let request = Request::new(Method::GET, realm, headers, timeout);
        let sent = self.transport.send(request).await;
        let response = sent.map_err(|fault| Error::fault(self.label(), fault))?;
        let no_token = || Error::wrong(self.label(), Wrong::Token);
        // A token service that has nothing says nothing of the content: were this a 404, another
        // upstream would answer for a name that is private here (P10).
        let judged = self.judge(response);
        let response = judged.map_err(|error| if error.is_not_found() { no_token() } else { error })?;
        let bytes = match self.read_whole(response, TOKEN_BYTES_MAX).await {
            Err(Error::Wrong { .. }) => return Err(no_token()),
            read => read?,
        };
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| no_token())?;
        self.tokens.keep(url, name.as_str(), answer, &self.clock).ok_or_else(no_token)
    }

    /// Turns every status into an error but 200, and 206 where a range was asked for.
    fn judge(&self, response: Response) -> Result<Response, Error> {
        let upstream = Arc::clone(self.label());
        match response.status {
            StatusCode::OK => Ok(response),
            StatusCode::PARTIAL_CONTENT if response.headers.contains_key(CONTENT_RANGE) => Ok(response),
            StatusCode::NOT_FOUND => Err(Error::NotFound { upstream }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::Denied { upstream }),
            status => {
                let value = response.header(RETRY_AFTER);
                let retry_after = value.and_then(|value| retry_after(value, self.clock.now()));
                Err(match status {
                    StatusCode::TOO_MANY_REQUESTS => Error::RateLimited { upstream, retry_after },
                    status => Error::Status { upstream, status: status.as_u16(), retry_after },
                })
            }
        }
    }

    /// Reads a body that is small: what drips for longer than an answer may take is given up.
    pub(super) async fn read_whole(&self, response: Response, limit: u64) -> Result<Bytes, Error> {
        let late = || Error::Timeout { upstream: Arc::clone(self.label()), phase: Phase::Body };
        let reading = self.read_to_end(response, limit);
        tokio::time::timeout(self.options().response_timeout, reading).await.map_err(|_| late())?
    }

    async fn read_to_end(&self, response: Response, limit: u64) -> Result<Bytes, Error> {
        let announced = response.content_length();
        if announced.is_some_and(|length| length > limit) {
            return Err(Error::wrong(self.label(), Wrong::TooLarge));
        }
        let (mut bytes, mut body) = (BytesMut::new(), response.body);
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece.map_err(|fault| Error::fault(self.label(), fault))?);
            if bytes.len() as u64 > limit {
                return Err(Error::wrong(self.label(), Wrong::TooLarge));
            }
        }
        match announced {
            Some(length) if length != bytes.len() as u64 => Err(Error::wrong(self.label(), Wrong::Length)),
            _ => Ok(bytes.freeze()),
        }
    }
}

/// Returns what an exchange showed of the url; nothing when it was not asked.
fn sign(outcome: &Result<Response, Error>) -> Option<Sign> {
    Some(match outcome {
        Err(
            Error::Timeout { phase: Phase::Turn, .. }
            | Error::Wrong { reason: Wrong::Credentials | Wrong::TokenEndpoint, .. },
        ) => return None,
        Err(Error::RateLimited { retry_after, .. }) => {
            Sign::Busy { wait: retry_after.unwrap_or_default(), is_failing: false }
        }
        Err(error @ Error::Status { retry_after: Some(wait), .. }) => {
            Sign::Busy { wait: *wait, is_failing: error.is_trouble() }
        }
        Err(error) if error.is_trouble() => Sign::Failing,
        _ => Sign::Alive,
    })
}

/// Reads a `Retry-After`: seconds, or the date at which to come again.
///
/// *Spec:* RFC 9110 §10.2.3.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if mutants::is("MU39-retry-after-is-not-read") {
        return None;
    }
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    if mutants::is("MU40-a-date-is-taken-for-seconds") {
        let number = value.split(|it: char| !it.is_ascii_digit()).find_map(|it| it.parse().ok());
        return number.map(Duration::from_secs);
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).ok()?).since(now))
}

/// Reads how many requests are left, as `76;w=21600` or `76`.
///
/// *Spec:* draft-ietf-httpapi-ratelimit-headers, as Docker Hub sends it.
fn quota(value: &str) -> Option<u64> {
    value.split(';').next()?.trim().parse().ok()
}

/// What a request is logged in with.
#[derive(Clone, PartialEq, Eq)]
enum Login {
    Account(Account),
    Token(String),
}

fn with_login(headers: &HeaderMap, login: Option<&Login>) -> HeaderMap {
    let mut headers = headers.clone();
    let value = match login {
        Some(Login::Account(account)) => account.basic(),
        Some(Login::Token(token)) => HeaderValue::from_str(&format!("Bearer {token}")).ok(),
        None => None,
    };
    if let Some(mut value) = value {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

fn method_label(method: &Method) -> &'static str {
    if *method == Method::HEAD { "HEAD" } else { "GET" }
}

/// Returns where a redirect leads, or `None` when it may not be followed: away from TLS, or from
/// a public place to an address of this network or this machine (P10).
pub(super) fn resolve(base: &str, location: &str) -> Option<String> {
    let base = reqwest::Url::parse(base).ok()?;
    let target = base.join(location).ok()?;
    let keeps_secrecy = target.scheme() == "https" || (target.scheme() == "http" && base.scheme() == "http");
    let stays_outside = !is_inside(&target) || is_inside(&base);
    (keeps_secrecy && stays_outside).then(|| target.into())
}

/// Says whether a url names an address that only this machine or its network has.
fn is_inside(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        Ok(IpAddr::V4(v4)) => {
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
        }
        Ok(IpAddr::V6(v6)) => {
            let mapped = v6.to_ipv4_mapped().is_some();
            mapped
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn origin(url: &str) -> Option<(String, Option<String>, Option<u16>)> {
    let url = reqwest::Url::parse(url).ok()?;
    Some((url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default()))
}
