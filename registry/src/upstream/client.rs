//! The questions a cache asks: a manifest, whether a tag has moved, a blob, a blob's size.
//!
//! One attempt asks the urls one after another without a pause; when an attempt is repeated is its
//! caller's matter. What an upstream claims of a digest is returned as a claim: the caller hashes, and asks
//! the next url when the bytes are wrong.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use http::{Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::credentials::Credentials;
use super::error::Wrong;
use super::exchange::Ask;
use super::flight::Flights;
use super::health::{Health, Limits};
use super::options::Options;
use super::pace::Pace;
use super::token::{TokenKey, Tokens, Wanted};
use super::transport::Response;
use super::{Error, Phase, Transport};
use crate::clock::Clock;
use crate::oci::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Digest, MediaType, Reference, RepositoryName};
use crate::telemetry::WithCauses;

/// Tells the clients of upstreams apart, in this process: of two that are made for one name, the younger does not
/// repeat what the elder was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(u64);

impl Id {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One upstream.
#[derive(Debug)]
pub struct Upstream {
    id: Id,
    name: Arc<str>,
    /// What clients are told of it.
    label: Arc<str>,
    options: Options,
    urls: Vec<Url>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) tokens: Tokens,
    pub(super) token_flights: Flights<TokenKey, Result<String, Error>>,
    pub(super) credentials: Credentials,
    pub(super) clock: Clock,
    /// A manifest never queues behind a layer.
    manifest_lane: Arc<Semaphore>,
    blob_lane: Arc<Semaphore>,
    pub(super) pace: Option<Arc<Pace>>,
    is_retired: AtomicBool,
}

/// One of the urls of an upstream, which all have the same content.
#[derive(Debug)]
pub struct Url {
    pub(super) base: String,
    pub(super) health: Arc<Health>,
    /// What it wanted when it last refused who was not logged in: asked for at once from then on.
    pub(super) wanted: Mutex<Option<Wanted>>,
}

/// A manifest as an upstream sent it.
#[derive(Debug, Clone)]
pub struct RemoteManifest {
    /// Its Content-Type, if it was one.
    pub media_type: Option<MediaType>,
    /// The digest that the upstream says it has, if it says one.
    pub claimed: Option<Digest>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// The bytes of a blob, as they arrive.
pub type BlobBody = BoxStream<'static, Result<Bytes, Error>>;

/// A blob that an upstream is sending.
pub struct RemoteBlob {
    /// Where in the blob the body begins.
    pub start: u64,
    /// The blob's announced size.
    pub size: Option<u64>,
    /// The bytes, as they arrive.
    pub body: BlobBody,
}

/// What the urls of an upstream said that had no answer.
#[derive(Debug, Default)]
pub struct Worst(Option<Error>);

impl Worst {
    /// Adds what one url said.
    pub fn add(&mut self, upstream: &Upstream, error: Error) {
        tracing::debug!(upstream.name = %upstream.name, error = %WithCauses(&error), "an upstream url did not answer");
        self.0 = Some(match self.0.take() {
            Some(worst) => worst.or_worse(error),
            None => error,
        });
    }

    /// Returns what a client is told.
    pub fn into_error(self, upstream: &Upstream) -> Error {
        self.0.unwrap_or_else(|| Error::NotFound { upstream: Arc::clone(&upstream.label) })
    }
}

/// Reads as "the upstream without a name".
const UNNAMED: &str = "without a name";
/// Where Docker Hub, whose namespace is `docker.io`, answers.
const DOCKER_HUB_HOSTS: [&str; 3] = ["registry-1.docker.io", "index.docker.io", "docker.io"];
impl Upstream {
    /// Makes the client of one upstream.
    pub fn new(options: Options, transport: Arc<dyn Transport>, clock: Clock) -> Self {
        let lane = || Arc::new(Semaphore::new(options.requests_max.max(1)));
        let limits = Limits {
            failures_max: options.breaker_failures,
            open_for: options.breaker_delay,
            cool_down_max: options.cool_down_max,
        };
        let url = |base: &String| Url {
            base: base.clone(),
            health: Arc::new(Health::new(limits)),
            wanted: Mutex::default(),
        };
        Self {
            id: Id::next(),
            name: Arc::from(options.name.as_str()),
            label: Arc::from(label(&options)),
            manifest_lane: lane(),
            blob_lane: lane(),
            pace: options.rate_max.map(|rate| Arc::new(Pace::new(rate))),
            is_retired: AtomicBool::new(false),
            urls: options.urls.iter().map(url).collect(),
            tokens: Tokens::default(),
            token_flights: Flights::default(),
            credentials: Credentials::new(&options, &transport, &clock),
            transport,
            clock,
            options,
        }
    }

    /// Goes on from another one in whose place it comes, as far as both ask the same urls with the same account:
    /// a url is left alone as long as it has asked for, whoever is to ask it (P6).
    #[must_use]
    pub fn going_on_from(mut self, old: &Self) -> Self {
        let (ours, theirs) = (&self.options, &old.options);
        if ours.credentials != theirs.credentials {
            return self;
        }
        if (ours.breaker_failures, ours.breaker_delay, ours.cool_down_max)
            == (theirs.breaker_failures, theirs.breaker_delay, theirs.cool_down_max)
        {
            for url in &mut self.urls {
                if let Some(same) = old.urls.iter().find(|it| it.base == url.base) {
                    url.health = Arc::clone(&same.health);
                }
            }
        }
        if self.options.urls == old.options.urls {
            if self.options.rate_max == old.options.rate_max {
                self.pace.clone_from(&old.pace);
            }
            if self.options.requests_max == old.options.requests_max {
                self.manifest_lane = Arc::clone(&old.manifest_lane);
                self.blob_lane = Arc::clone(&old.blob_lane);
            }
        }
        self
    }

    /// Notes that it is no longer configured: nothing begins to ask it any more that nobody waits for.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
        metrics::gauge!("wharfinger_upstream_breakers_open", "upstream" => self.name().to_string()).set(0.0);
    }

    /// Notes that it is configured (again).
    pub fn reinstate(&self) {
        self.is_retired.store(false, Ordering::SeqCst);
    }

    /// Says whether it is no longer configured.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
    }

    /// Returns what tells it from others, also of its name.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// Returns its name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns what clients are told of it: its name, unless that was made of its url (P8).
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Says whether it stands for a registry, as a client's `ns` names it: one of `namespaces`; without
    /// these, by the host and port of one of its urls, and Docker Hub by the name that containerd uses.
    pub fn claims(&self, namespace: &str) -> bool {
        if let Some(stated) = &self.options.namespaces {
            return stated.iter().any(|it| it.eq_ignore_ascii_case(namespace));
        }
        self.hosts().any(|host| {
            host.eq_ignore_ascii_case(namespace)
                || (DOCKER_HUB_HOSTS.contains(&host) && namespace.eq_ignore_ascii_case("docker.io"))
        })
    }

    /// Returns what a repository of it is called by everybody: the registry that it stands for, and the name
    /// there. One whose registry is no component of a name, because it has a port, is called by the name alone.
    pub fn canonical_name(&self, name: &RepositoryName) -> RepositoryName {
        let hub = self.hosts().any(|host| DOCKER_HUB_HOSTS.contains(&host));
        let namespace = match &self.options.namespaces {
            Some(stated) => stated.first().map(String::as_str),
            None if hub => Some("docker.io"),
            None => self.hosts().next(),
        };
        let full = namespace.map(|namespace| format!("{}/{name}", namespace.to_ascii_lowercase()));
        full.and_then(|full| RepositoryName::parse(&full).ok()).unwrap_or_else(|| name.clone())
    }

    /// Returns a repository's whole name there: Docker Hub's official images stand in `library/`, which
    /// people leave out.
    pub(super) fn full_name(&self, name: &RepositoryName) -> RepositoryName {
        if name.as_str().contains('/') || !self.claims("docker.io") {
            return name.clone();
        }
        // The longest names have no room for it, and are nowhere else either.
        RepositoryName::parse(&format!("library/{name}")).unwrap_or_else(|_| name.clone())
    }

    fn hosts(&self) -> impl Iterator<Item = &str> {
        let hosts = self.urls.iter().filter_map(|url| url.base.split_once("://").map(|(_, host)| host));
        hosts.map(|host| host.trim_end_matches('/'))
    }

    /// Returns its urls, in the order in which one attempt asks them.
    pub fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// Returns what an attempt failed with when every url has said what is in `worst`.
    pub fn failed(&self, worst: Worst) -> Error {
        worst.into_error(self)
    }

    /// Returns its settings.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Fetches a manifest from one url.
    ///
    /// *Errors:* [`Error`]; also [`Wrong::TooLarge`] and [`Wrong::Length`].
    pub async fn manifest(
        self: &Arc<Self>,
        url: &Url,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<RemoteManifest, Error> {
        let lane = self.manifest_turn().await?;
        let ask = self.ask_for(Method::GET, name, format!("/v2/{name}/manifests/{reference}"));
        let response = self.ask_url(url, &Ask { headers: accept_manifests(), ..ask }).await?;
        let media_type = response.header(CONTENT_TYPE).and_then(MediaType::parse);
        let claimed = claimed_digest(&response);
        let bytes = self.read_whole(response, self.options.manifest_bytes_max).await?;
        drop(lane);
        Ok(RemoteManifest { media_type, claimed, bytes })
    }

    /// Asks what digest a tag has, as far as the upstream says.
    ///
    /// *Errors:* [`Error`].
    pub async fn manifest_digest(
        self: &Arc<Self>,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Digest>, Error> {
        let _lane = self.manifest_turn().await?;
        let ask = self.ask_for(Method::HEAD, name, format!("/v2/{name}/manifests/{reference}"));
        // Nobody waits longer for it, and a url that takes longer is in trouble.
        let timeout = self.options.check_timeout.min(ask.timeout);
        let response = self.ask(&Ask { headers: accept_manifests(), timeout, is_check: true, ..ask }).await?;
        Ok(claimed_digest(&response))
    }

    /// Begins to fetch a blob from one url, from byte `from` on; a url that cannot do that sends it from the
    /// start, and says so.
    ///
    /// *Errors:* [`Error`], [`Wrong::Range`] for a range of its own choice; also as an item of the body, after
    /// which it ends.
    pub async fn blob(
        self: &Arc<Self>,
        url: &Url,
        name: &RepositoryName,
        digest: &Digest,
        from: u64,
    ) -> Result<RemoteBlob, Error> {
        let lane = self.lane(&self.blob_lane).await?;
        let mut ask = self.ask_for(Method::GET, name, format!("/v2/{name}/blobs/{digest}"));
        if from > 0 {
            let range = HeaderValue::from_str(&format!("bytes={from}-"));
            ask.headers.insert(RANGE, range.expect("digits are visible ASCII"));
        }
        let response = self.ask_url(url, &ask).await?;
        let (start, size) = self.extent(&response, from)?;
        Ok(RemoteBlob { start, size, body: self.body(response, lane) })
    }

    /// Begins to fetch the bytes of a blob from `start` to `last`, and returns the blob's size with them.
    ///
    /// *Errors:* [`Error`]; [`Wrong::Range`] for another range, the whole, or one of a blob of unknown size.
    pub async fn blob_part(
        self: &Arc<Self>,
        url: &Url,
        name: &RepositoryName,
        digest: &Digest,
        start: u64,
        last: u64,
    ) -> Result<(u64, BlobBody), Error> {
        let lane = self.lane(&self.blob_lane).await?;
        let mut ask = self.ask_for(Method::GET, name, format!("/v2/{name}/blobs/{digest}"));
        let range = HeaderValue::from_str(&format!("bytes={start}-{last}"));
        ask.headers.insert(RANGE, range.expect("digits are visible ASCII"));
        let response = self.ask_url(url, &ask).await?;
        let wrong = || Error::wrong(&self.label, Wrong::Range);
        let sent = response.header(CONTENT_RANGE).and_then(content_range).ok_or_else(wrong)?;
        let size = sent.size.ok_or_else(wrong)?;
        if response.status != StatusCode::PARTIAL_CONTENT
            || sent.start != start
            || sent.last != last.min(size.saturating_sub(1))
        {
            return Err(wrong());
        }
        Ok((size, self.body(response, lane)))
    }

    /// Returns the body of a blob's answer, which holds its place in the lane to its end.
    fn body(&self, response: Response, lane: OwnedSemaphorePermit) -> BlobBody {
        let upstream = Arc::clone(&self.label);
        let body = response.body.map(move |item| {
            let _held_to_the_end = &lane;
            item.map_err(|fault| Error::fault(&upstream, fault))
        });
        body.boxed()
    }

    /// Returns where the body of an answer begins, and how large the blob is said to be.
    fn extent(&self, response: &Response, from: u64) -> Result<(u64, Option<u64>), Error> {
        if response.status != StatusCode::PARTIAL_CONTENT {
            return Ok((0, response.content_length()));
        }
        let wrong = || Error::wrong(&self.label, Wrong::Range);
        let sent = response.header(CONTENT_RANGE).and_then(content_range).ok_or_else(wrong)?;
        if from == 0 || sent.start != from {
            return Err(wrong());
        }
        Ok((sent.start, sent.size))
    }

    /// Asks for a blob's size.
    ///
    /// *Errors:* [`Error`]; [`Wrong::Length`] when the upstream does not say.
    pub async fn blob_size(self: &Arc<Self>, name: &RepositoryName, digest: &Digest) -> Result<u64, Error> {
        let _lane = self.manifest_turn().await?;
        let response =
            self.ask(&self.ask_for(Method::HEAD, name, format!("/v2/{name}/blobs/{digest}"))).await?;
        // Nothing checks a length; but a page that says something else to everybody is known by its type.
        if claimed_digest(&response).is_some_and(|claimed| claimed != *digest) {
            return Err(Error::wrong(&self.label, Wrong::Digest));
        }
        if response.header(CONTENT_TYPE).is_some_and(|it| it.to_ascii_lowercase().starts_with("text/html")) {
            return Err(Error::wrong(&self.label, Wrong::Page));
        }
        response.content_length().ok_or_else(|| Error::wrong(&self.label, Wrong::Length))
    }

    /// Waits for a turn, as long as for an answer: a client that opens many must not make the
    /// others wait for ever (P6).
    async fn lane(&self, lane: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
        let turn =
            tokio::time::timeout(self.options.response_timeout, Arc::clone(lane).acquire_owned()).await;
        let late = || Error::Timeout { upstream: Arc::clone(&self.label), phase: Phase::Turn };
        Ok(turn.map_err(|_| late())?.expect("a lane is never closed"))
    }

    /// Waits for a turn to ask for something small.
    pub(super) async fn manifest_turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.lane(&self.manifest_lane).await
    }

    /// Asks every url until one has an answer.
    async fn ask(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Response, Error> {
        let mut worst = Worst::default();
        for url in &self.urls {
            match self.ask_url(url, ask).await {
                Ok(response) => return Ok(response),
                Err(error) => worst.add(self, error),
            }
        }
        Err(worst.into_error(self))
    }
}

fn claimed_digest(response: &Response) -> Option<Digest> {
    response.header("docker-content-digest").and_then(|digest| Digest::parse(digest).ok())
}

/// What a `Content-Range` says.
struct Sent {
    start: u64,
    last: u64,
    /// The size of the whole, if that is known.
    size: Option<u64>,
}

/// Reads a `Content-Range`.
///
/// *Spec:* RFC 9110 §14.4.
fn content_range(value: &str) -> Option<Sent> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, last): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    let size = if size == "*" { None } else { Some(size.parse().ok()?) };
    (start <= last && size.is_none_or(|size| last < size)).then_some(Sent { start, last, size })
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

impl fmt::Debug for RemoteBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteBlob").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
