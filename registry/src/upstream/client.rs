//! The questions a cache asks: a manifest, whether a tag has moved, a blob, a blob's size.
//!
//! One attempt asks the urls one after another without a pause. What an upstream claims of a
//! digest is returned as a claim: the caller hashes.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Wrong;
use super::options::Options;
use super::token::{Answer, Challenge, Tokens};
use super::transport::{Request, Response};
use super::{Error, Phase, Transport};
use crate::clock::{Clock, Timestamp};
use crate::oci::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Digest, MediaType, Reference, RepositoryName};

/// One upstream.
#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    /// What clients are told of it.
    label: Arc<str>,
    options: Options,
    transport: Arc<dyn Transport>,
    tokens: Tokens,
    clock: Clock,
    /// A manifest never queues behind a layer.
    manifest_lane: Arc<Semaphore>,
    blob_lane: Arc<Semaphore>,
}

/// A manifest as an upstream sent it.
#[derive(Debug, Clone)]
pub struct RemoteManifest {
    /// Its Content-Type, if it was one.
    pub media_type: Option<MediaType>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A blob that an upstream is sending.
pub struct RemoteBlob {
    /// The announced length.
    pub size: Option<u64>,
    /// The bytes, as they arrive.
    pub body: BoxStream<'static, Result<Bytes, Error>>,
}

/// What the urls of an upstream said that had no answer.
#[derive(Debug, Default)]
pub(super) struct Worst(Option<Error>);

impl Worst {
    /// Adds what one url said.
    pub(super) fn add(&mut self, upstream: &Upstream, error: Error) {
        tracing::debug!(upstream.name = %upstream.name, error = %error, "an upstream url did not answer");
        self.0 = Some(match self.0.take() {
            Some(worst) => worst.or_worse(error),
            None => error,
        });
    }

    /// Returns what a client is told.
    pub(super) fn into_error(self, upstream: &Upstream) -> Error {
        self.0.unwrap_or_else(|| Error::NotFound { upstream: Arc::clone(&upstream.label) })
    }
}

/// Reads as "the upstream without a name".
const UNNAMED: &str = "without a name";
/// Where Docker Hub, whose namespace is `docker.io`, answers.
const DOCKER_HUB_HOSTS: [&str; 3] = ["registry-1.docker.io", "index.docker.io", "docker.io"];
/// Redirects followed for one request.
const REDIRECTS_MAX: usize = 5;
/// The largest answer of a token service, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

impl Upstream {
    /// Makes the client of one upstream.
    pub fn new(options: Options, transport: Arc<dyn Transport>, clock: Clock) -> Self {
        let lane = || Arc::new(Semaphore::new(options.requests_max.max(1)));
        Self {
            name: Arc::from(options.name.as_str()),
            label: Arc::from(label(&options)),
            manifest_lane: lane(),
            blob_lane: lane(),
            tokens: Tokens::default(),
            transport,
            clock,
            options,
        }
    }

    /// Returns its name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns what clients are told of it: its name, unless that was made of its url (P8).
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Says whether it stands for a registry, as a client's `ns` names it: by the host and port of
    /// one of its urls, and Docker Hub by the name that containerd uses.
    pub fn claims(&self, namespace: &str) -> bool {
        let hosts = self.options.urls.iter().filter_map(|url| url.split_once("://").map(|(_, host)| host));
        hosts.map(|host| host.trim_end_matches('/')).any(|host| {
            host.eq_ignore_ascii_case(namespace)
                || (DOCKER_HUB_HOSTS.contains(&host) && namespace.eq_ignore_ascii_case("docker.io"))
        })
    }

    /// Returns its settings.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Fetches a manifest.
    ///
    /// *Errors:* [`Error`]; also [`Wrong::TooLarge`] and [`Wrong::Length`].
    pub async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<RemoteManifest, Error> {
        let lane = self.lane(&self.manifest_lane).await?;
        let path = format!("/v2/{name}/manifests/{reference}");
        let response = self.ask(Method::GET, name, &path, accept_manifests()).await?;
        let media_type = response.header(CONTENT_TYPE).and_then(MediaType::parse);
        let bytes = self.read_whole(response, self.options.manifest_bytes_max).await?;
        drop(lane);
        Ok(RemoteManifest { media_type, bytes })
    }

    /// Asks what digest a tag has, as far as the upstream says.
    ///
    /// *Errors:* [`Error`].
    pub async fn manifest_digest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Digest>, Error> {
        let _lane = self.lane(&self.manifest_lane).await?;
        let path = format!("/v2/{name}/manifests/{reference}");
        let response = self.ask(Method::HEAD, name, &path, accept_manifests()).await?;
        Ok(response.header("docker-content-digest").and_then(|digest| Digest::parse(digest).ok()))
    }

    /// Begins to fetch a blob.
    ///
    /// *Errors:* [`Error`]; also as an item of the body, after which it ends.
    pub async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<RemoteBlob, Error> {
        let lane = self.lane(&self.blob_lane).await?;
        let path = format!("/v2/{name}/blobs/{digest}");
        let response = self.ask(Method::GET, name, &path, HeaderMap::new()).await?;
        let size = response.content_length();
        let upstream = Arc::clone(&self.label);
        let body = response.body.map(move |item| {
            let _held_to_the_end = &lane;
            item.map_err(|fault| Error::fault(&upstream, fault))
        });
        Ok(RemoteBlob { size, body: body.boxed() })
    }

    /// Asks for a blob's size.
    ///
    /// *Errors:* [`Error`]; [`Wrong::Length`] when the upstream does not say.
    pub async fn blob_size(&self, name: &RepositoryName, digest: &Digest) -> Result<u64, Error> {
        let _lane = self.lane(&self.manifest_lane).await?;
        let path = format!("/v2/{name}/blobs/{digest}");
        let response = self.ask(Method::HEAD, name, &path, HeaderMap::new()).await?;
        response.content_length().ok_or_else(|| Error::wrong(&self.label, Wrong::Length))
    }

    /// Waits for a turn, as long as for an answer: a client that opens many must not make the
    /// others wait for ever (P6).
    async fn lane(&self, lane: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
        let turn = tokio::time::timeout(self.timeout(), Arc::clone(lane).acquire_owned()).await;
        let late = || Error::Timeout { upstream: Arc::clone(&self.label), phase: Phase::Turn };
        Ok(turn.map_err(|_| late())?.expect("a lane is never closed"))
    }

    /// Asks every url until one has an answer.
    async fn ask(
        &self,
        method: Method,
        name: &RepositoryName,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response, Error> {
        let mut worst = Worst::default();
        for url in &self.options.urls {
            match self.ask_url(&method, url, name, path, &headers).await {
                Ok(response) => return Ok(response),
                Err(error) => worst.add(self, error),
            }
        }
        Err(worst.into_error(self))
    }

    pub(super) async fn ask_url(
        &self,
        method: &Method,
        url: &str,
        name: &RepositoryName,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Error> {
        let begun = std::time::Instant::now();
        let mut headers = headers.clone();
        if let Some(token) = self.tokens.find(url, name.as_str(), &self.clock) {
            authorize(&mut headers, &token);
        }
        let target = format!("{}{path}", url.trim_end_matches('/'));
        let mut response = self.follow(method, &target, headers.clone()).await?;
        let challenge = response.header(WWW_AUTHENTICATE).and_then(Challenge::parse);
        if response.status == StatusCode::UNAUTHORIZED
            && let Some(challenge) = challenge
            && let Some(token) = self.fetch_token(url, name, &challenge).await?
        {
            authorize(&mut headers, &token);
            response = self.follow(method, &target, headers).await?;
        }
        let outcome = self.judge(response);
        let result = if outcome.is_ok() { "ok" } else { "error" };
        metrics::counter!("wharfinger_upstream_requests_total",
            "upstream" => self.name.to_string(), "method" => method_label(method), "outcome" => result)
        .increment(1);
        metrics::histogram!("wharfinger_upstream_request_seconds", "upstream" => self.name.to_string())
            .record(begun.elapsed());
        outcome
    }

    /// Sends a request, following redirects without credentials (P11).
    async fn follow(&self, method: &Method, url: &str, headers: HeaderMap) -> Result<Response, Error> {
        let (mut url, mut headers) = (url.to_owned(), headers);
        for _ in 0..=REDIRECTS_MAX {
            let request = Request {
                method: method.clone(),
                url: url.clone(),
                headers: headers.clone(),
                timeout: self.timeout(),
            };
            let sent = self.transport.send(request).await;
            let response = sent.map_err(|fault| Error::fault(&self.label, fault))?;
            if !response.status.is_redirection() {
                return Ok(response);
            }
            let target = response.header(LOCATION).and_then(|location| resolve(&url, location));
            let Some(target) = target else { break };
            if origin(&target) != origin(&url) {
                headers.remove(AUTHORIZATION);
            }
            url = target;
        }
        Err(Error::wrong(&self.label, Wrong::Redirect))
    }

    async fn fetch_token(
        &self,
        url: &str,
        name: &RepositoryName,
        challenge: &Challenge,
    ) -> Result<Option<String>, Error> {
        let Some(realm) = challenge.url(url, name.as_str()) else { return Ok(None) };
        let request =
            Request { method: Method::GET, url: realm, headers: HeaderMap::new(), timeout: self.timeout() };
        let sent = self.transport.send(request).await;
        let response = sent.map_err(|fault| Error::fault(&self.label, fault))?;
        let no_token = || Error::wrong(&self.label, Wrong::Token);
        // A token service that has nothing says nothing of the content: were this a 404, another
        // upstream would answer for a name that is private here (P10).
        let judged = self.judge(response);
        let response = judged.map_err(|error| if error.is_not_found() { no_token() } else { error })?;
        let bytes = match self.read_whole(response, TOKEN_BYTES_MAX).await {
            Err(Error::Wrong { .. }) => return Err(no_token()),
            read => read?,
        };
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| no_token())?;
        self.tokens.keep(url, name.as_str(), answer, &self.clock).map(Some).ok_or_else(no_token)
    }

    const fn timeout(&self) -> Duration {
        self.options.response_timeout
    }

    /// Turns every status but 200 into an error.
    fn judge(&self, response: Response) -> Result<Response, Error> {
        let upstream = Arc::clone(&self.label);
        match response.status {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => Err(Error::NotFound { upstream }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::Denied { upstream }),
            StatusCode::TOO_MANY_REQUESTS => {
                let value = response.header(RETRY_AFTER);
                let retry_after = value.and_then(|value| retry_after(value, self.clock.now()));
                Err(Error::RateLimited { upstream, retry_after })
            }
            status => Err(Error::Status { upstream, status: status.as_u16() }),
        }
    }

    pub(super) async fn read_whole(&self, response: Response, limit: u64) -> Result<Bytes, Error> {
        let announced = response.content_length();
        if announced.is_some_and(|length| length > limit) {
            return Err(Error::wrong(&self.label, Wrong::TooLarge));
        }
        let (mut bytes, mut body) = (BytesMut::new(), response.body);
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece.map_err(|fault| Error::fault(&self.label, fault))?);
            if bytes.len() as u64 > limit {
                return Err(Error::wrong(&self.label, Wrong::TooLarge));
            }
        }
        match announced {
            Some(length) if length != bytes.len() as u64 => Err(Error::wrong(&self.label, Wrong::Length)),
            _ => Ok(bytes.freeze()),
        }
    }
}

/// Reads a `Retry-After`: seconds, or the date at which to come again.
///
/// *Spec:* RFC 9110 §10.2.3.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).ok()?).since(now))
}

fn label(options: &Options) -> &str {
    let host = |url: &str| url.split_once("://").map(|(_, host)| host.trim_end_matches('/').to_owned());
    let is_made_of_url = options.urls.iter().any(|url| host(url).as_ref() == Some(&options.name));
    if is_made_of_url { UNNAMED } else { &options.name }
}

fn accept_manifests() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for media_type in [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST] {
        headers.append(ACCEPT, HeaderValue::from_static(media_type));
    }
    headers
}

fn authorize(headers: &mut HeaderMap, token: &str) {
    if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
}

fn method_label(method: &Method) -> &'static str {
    if *method == Method::HEAD { "HEAD" } else { "GET" }
}

/// Returns where a redirect leads, or `None` when it may not be followed: away from TLS, or from
/// a public place to an address of this network or this machine (P10).
fn resolve(base: &str, location: &str) -> Option<String> {
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

impl fmt::Debug for RemoteBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteBlob").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
