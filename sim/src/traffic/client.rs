//! An HTTP client that hides nothing: no retries, no redirects, no decompression, no proxy.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, header};
use reqwest::redirect;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::timeout;

use super::exchange::{Ask, Exchange, Kind, Outcome, Upstream, Wanted};
use crate::{
    digest::{Digest, Hasher},
    origin::{CLIENT_NAME, CLIENT_PASSWORD, Origin},
};

/// The longest wait for a response's head, and between two pieces of its body. Longer than any proxy has
/// a reason to be silent: docker and containerd give up at about this time.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The longest time for a whole response.
const TOTAL_MAX: Duration = Duration::from_secs(180);
/// The most bytes of an error body that are kept.
const ERROR_BYTES_MAX: usize = 4096;

/// What is pushed.
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// Says why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The HTTP library cannot start: most likely no TLS roots.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
}

/// Pulls through one target.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    target: String,
    origin: Origin,
    login: Login,
}

/// Whether clients show who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// They do not.
    #[default]
    Anonymous,
    /// They show [`CLIENT_NAME`] and [`CLIENT_PASSWORD`] with every request.
    Named,
}

/// The circumstances of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) step: usize,
    pub(super) client: usize,
    pub(super) attempt: u32,
    pub(super) upstream: Upstream,
    pub(super) troubled: bool,
    pub(super) pulled_before: bool,
    /// Leave after so many body bytes.
    pub(super) leave_after: Option<u64>,
}

impl Client {
    /// Makes a client for a target, which is `http://` or `https://`, host and port.
    ///
    /// *Errors*: [`ClientError::Setup`].
    pub fn new(target: &str, origin: &Origin) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .retry(reqwest::retry::never())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self {
            http,
            target: target.trim_end_matches('/').to_owned(),
            origin: origin.clone(),
            login: Login::Anonymous,
        })
    }

    /// Returns the same client with another login.
    #[must_use]
    pub fn with(&self, login: Login) -> Self {
        Self { login, ..self.clone() }
    }

    /// Returns the target's URL without a slash at the end.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Asks for `GET /v2/`: any response at all is a target.
    ///
    /// *Errors*: what the connection said.
    pub async fn ping(&self) -> Result<u16, String> {
        let answer = timeout(SILENCE_MAX, self.http.get(format!("{}/v2/", self.target)).send()).await;
        match answer {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("no answer within {} s", SILENCE_MAX.as_secs())),
        }
    }

    /// Sends a request whose answer needs no judgement: part of a push.
    ///
    /// *Errors*: what the connection said.
    pub(super) async fn send(&self, method: http::Method, path: &str, body: Bytes) -> Result<Answer, String> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.target) };
        let media_type =
            if path.contains("/manifests/") { MANIFEST_TYPE } else { "application/octet-stream" };
        let request = self.http.request(method, url).header(header::CONTENT_TYPE, media_type).body(body);
        let answer = timeout(SILENCE_MAX, self.named(request).send()).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(chain(&error)),
            Err(_) => return Err(format!("no answer within {} s", SILENCE_MAX.as_secs())),
        };
        let location = response.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
        Ok(Answer { status: response.status().as_u16(), location: location.map(str::to_owned) })
    }

    /// Returns content that the origin holds.
    pub(super) fn content(&self, digest: &Digest) -> Bytes {
        self.origin.content(digest).unwrap_or_default()
    }

    fn named(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self.login {
            Login::Anonymous => request,
            Login::Named => request.basic_auth(CLIENT_NAME, Some(CLIENT_PASSWORD)),
        }
    }

    /// Asks for content; calls `told` with the number of bytes so far when some have come.
    ///
    /// *Cancellation*: the connection is closed.
    pub(super) async fn get(
        &self,
        wanted: &Wanted,
        now: Circumstances,
        told: impl Fn(u64) + Send,
    ) -> Exchange {
        let mut tape = Tape::new(&self.origin, wanted, now);
        let method = http::Method::from_bytes(wanted.ask.method().as_bytes()).unwrap_or_default();
        let request = self.named(self.http.request(method, format!("{}{}", self.target, wanted.path())));
        let run = tape.run(request, told);
        let outcome = timeout(TOTAL_MAX, run).await.unwrap_or(Outcome::TimedOut);
        tape.finish(outcome)
    }
}

/// The part of an answer that a push needs.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
}

impl Exchange {
    /// Describes a request to which nothing has come yet.
    pub(super) fn unanswered(wanted: &Wanted, now: Circumstances) -> Self {
        Self {
            wanted: wanted.clone(),
            step: now.step,
            client: now.client,
            attempt: now.attempt,
            upstream: now.upstream,
            troubled: now.troubled,
            pulled_before: now.pulled_before,
            status: None,
            declared_bytes: None,
            false_digest: None,
            retry_after: None,
            outcome: Outcome::TimedOut,
            bytes: 0,
            digest: wanted.content.digest.algorithm().hasher().finish(),
            exact: false,
            first_wrong_byte: None,
            error_body: None,
            first_byte: None,
            total: Duration::ZERO,
            origin_sent_at_first_byte: None,
        }
    }
}

/// An exchange while it is recorded.
struct Tape<'a> {
    origin: &'a Origin,
    content: Option<Bytes>,
    hasher: Hasher,
    error: Vec<u8>,
    start: Instant,
    leave_after: Option<u64>,
    exchange: Exchange,
}

impl<'a> Tape<'a> {
    fn new(origin: &'a Origin, wanted: &Wanted, now: Circumstances) -> Self {
        let algorithm = wanted.content.digest.algorithm();
        let exchange = Exchange::unanswered(wanted, now);
        Self {
            origin,
            content: origin.content(&wanted.content.digest),
            hasher: algorithm.hasher(),
            error: Vec::new(),
            start: Instant::now(),
            leave_after: now.leave_after.or(wanted.ask.takes()),
            exchange,
        }
    }

    async fn run(&mut self, request: reqwest::RequestBuilder, told: impl Fn(u64)) -> Outcome {
        let mut request = request;
        if let Some(range) = self.exchange.wanted.ask.range() {
            request = request.header(header::RANGE, range);
        }
        if self.exchange.wanted.kind == Kind::Manifest {
            request = request.header(header::ACCEPT, ACCEPT);
        }
        let response = match timeout(SILENCE_MAX, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Outcome::NoResponse(chain(&error)),
            Err(_) => return Outcome::TimedOut,
        };
        self.head(response.status().as_u16(), response.headers());
        let mut body = response.bytes_stream();
        loop {
            match timeout(SILENCE_MAX, body.next()).await {
                Ok(None) => return Outcome::Complete,
                Ok(Some(Ok(piece))) => {
                    self.piece(&piece);
                    told(self.exchange.bytes);
                }
                Ok(Some(Err(error))) => return Outcome::Cut(chain(&error)),
                Err(_) => return Outcome::TimedOut,
            }
            if self.leave_after.is_some_and(|limit| self.exchange.bytes >= limit) {
                return Outcome::Left;
            }
        }
    }

    fn head(&mut self, status: u16, headers: &HeaderMap) {
        let text = |name: HeaderName| headers.get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
        self.exchange.status = Some(status);
        self.exchange.declared_bytes = text(header::CONTENT_LENGTH).and_then(|it| it.parse().ok());
        let claimed = text(HeaderName::from_static("docker-content-digest"));
        self.exchange.false_digest = claimed.filter(|it| !self.is_named_by(it));
        self.exchange.retry_after = text(header::RETRY_AFTER);
    }

    /// Says whether a claimed digest names the content. Another algorithm than the one asked for is allowed.
    fn is_named_by(&self, claimed: &str) -> bool {
        let Ok(claimed) = claimed.parse::<Digest>() else { return false };
        self.exchange.wanted.former.contains(&claimed)
            || claimed == self.exchange.wanted.content.digest
            || self.content.as_ref().is_some_and(|content| claimed.names(content))
    }

    fn piece(&mut self, piece: &[u8]) {
        if self.exchange.first_byte.is_none() && !piece.is_empty() {
            self.exchange.first_byte = Some(self.start.elapsed());
            let sent = self.origin.journal().blob_bytes_sent(&self.exchange.wanted.content.digest);
            self.exchange.origin_sent_at_first_byte = Some(sent);
        }
        self.hasher.update(piece);
        let offset = self.exchange.bytes;
        self.exchange.bytes += piece.len() as u64;
        if !matches!(self.exchange.status, Some(200 | 206)) {
            let room = ERROR_BYTES_MAX.saturating_sub(self.error.len());
            self.error.extend_from_slice(&piece[..piece.len().min(room)]);
            return;
        }
        if self.exchange.first_wrong_byte.is_none()
            && let Some(content) = &self.content
        {
            let from = part(&self.exchange).0 + offset;
            let start = usize::try_from(from).unwrap_or(usize::MAX).min(content.len());
            let rest = &content[start..];
            let right = piece.iter().zip(rest).take_while(|(a, b)| a == b).count();
            self.exchange.first_wrong_byte = (right < piece.len()).then_some(offset + right as u64);
        }
    }

    fn finish(self, outcome: Outcome) -> Exchange {
        let digest = self.hasher.finish();
        let exact = is_exact(&self.exchange, self.content.as_ref(), &digest);
        let is_error = self.exchange.status.is_some_and(|status| status >= 300);
        Exchange {
            outcome,
            exact,
            digest,
            error_body: is_error.then(|| String::from_utf8_lossy(&self.error).into_owned()),
            total: self.start.elapsed(),
            ..self.exchange
        }
    }
}

/// Returns the part of the content that the answer is about, as its first byte and the one after its last:
/// a 200 to a range is about everything.
fn part(exchange: &Exchange) -> (u64, u64) {
    let size = exchange.wanted.content.size;
    match exchange.wanted.ask {
        Ask::Range { first, last, .. } if exchange.status == Some(206) => {
            (first, last.map_or(size, |last| size.min(last + 1)))
        }
        _ => (0, size),
    }
}

/// Says whether what came is exactly what was asked for; of a HEAD, whether the length is right if told.
fn is_exact(exchange: &Exchange, content: Option<&Bytes>, digest: &Digest) -> bool {
    let wanted = &exchange.wanted.content;
    let (first, end) = part(exchange);
    match exchange.wanted.ask {
        Ask::Head => exchange.bytes == 0 && exchange.declared_bytes.is_none_or(|it| it == wanted.size),
        _ if (first, end) == (0, wanted.size) => *digest == wanted.digest,
        _ => {
            let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let part = content.and_then(|it| it.get(index(first)..index(end)));
            part.is_some_and(|it| digest.names(it))
        }
    }
}

/// Joins an error with its sources: the outermost text alone never says what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
