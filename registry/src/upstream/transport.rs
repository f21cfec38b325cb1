//! The seam: one HTTP exchange, without retries, redirects or decompression.
//!
//! reqwest stands behind it in production; a test or a simulation puts a model there.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode};

use super::Fault;

/// One exchange with an upstream.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request, and returns the answer's head with its body to come.
    ///
    /// *Errors:* a [`Fault`]; also as an item of the body. A status is no error.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, Fault>>;
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who is asked.
    pub peer: Peer,
    /// `GET` or `HEAD`; `POST` at a token endpoint.
    pub method: Method,
    /// The whole url.
    pub url: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// How long the head may take, and then every further piece of the body.
    pub timeout: Duration,
}

/// Who is asked: the settings of TLS differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The upstream, where it redirects to, and the token services that it names.
    Registry,
    /// The token endpoint of the configuration, which is sent what proves who we are.
    TokenEndpoint,
}

/// An answer.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, as it arrives.
    pub body: BoxStream<'static, Result<Bytes, Fault>>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Request {
    /// Makes a request without a body to the upstream, or to whom it names.
    pub fn new(method: Method, url: String, headers: HeaderMap, timeout: Duration) -> Self {
        Self { peer: Peer::Registry, method, url, headers, body: Bytes::new(), timeout }
    }
}

impl Response {
    /// Returns a header as text.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the announced length of the body.
    pub fn content_length(&self) -> Option<u64> {
        self.header(http::header::CONTENT_LENGTH)?.parse().ok()
    }
}
