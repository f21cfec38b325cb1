//! The real transport, and what the HTTP client's errors mean.
//!
//! The client's own retries, redirects and decompression are off: an attempt here is an attempt on
//! the wire. How it reports each fault is pinned by a table test, since the same truncation comes
//! as a decode error or, without a length, as a clean end; only length and digest decide.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};

use super::options::{CredentialSource, Options, Proxies};
use super::transport::{Peer, Request, Response};
use super::{Fault, Phase, Transport};

/// reqwest, as a [`Transport`].
#[derive(Debug, Clone)]
pub struct ReqwestTransport {
    registry: reqwest::Client,
    /// Always verifies who answers, whatever `tlsVerify` says of the upstream, and shows no certificate.
    token_endpoint: Option<reqwest::Client>,
}

/// How long an idle connection is kept: shorter than most servers keep theirs, so that a request seldom meets
/// one that is being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file of certificates cannot be read.
    #[error("the upstream {upstream}: cannot read {}", .path.display())]
    AuthorityFile {
        /// The upstream's name.
        upstream: String,
        /// The file.
        path: std::path::PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The client refused its settings.
    #[error(
        "the upstream {upstream}: no client can be made (is there a bundle of trusted authorities? are certificate and key in PEM form? is the proxy a url?)"
    )]
    Client {
        /// The upstream's name.
        upstream: String,
        /// The client's answer.
        source: reqwest::Error,
    },
}

impl ReqwestTransport {
    /// Makes the transport of one upstream.
    ///
    /// *Errors:* [`BuildError`].
    pub fn new(options: &Options) -> Result<Self, BuildError> {
        let token_endpoint = match options.credentials {
            CredentialSource::Oauth2(_) => Some(client(options, Peer::TokenEndpoint)?),
            _ => None,
        };
        Ok(Self { registry: client(options, Peer::Registry)?, token_endpoint })
    }
}

fn client(options: &Options, peer: Peer) -> Result<reqwest::Client, BuildError> {
    let upstream = || options.name.clone();
    let failed = |source| BuildError::Client { upstream: upstream(), source };
    let careless = peer == Peer::Registry && !options.tls_verify;
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("wharfinger/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(options.connect_timeout)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(options.idle_connections_max)
        .tls_danger_accept_invalid_certs(careless);
    if options.http1_only {
        builder = builder.http1_only();
    }
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|source| BuildError::AuthorityFile {
            upstream: upstream(),
            path: path.to_owned(),
            source,
        })
    };
    if let Some(path) = &options.ca_file {
        for certificate in reqwest::Certificate::from_pem_bundle(&read(path)?).map_err(failed)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let Some((certificate, key)) = options.client_certificate.as_ref().filter(|_| peer == Peer::Registry) {
        let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(failed)?);
    }
    for proxy in proxies(&options.proxies).map_err(failed)? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(failed)
}

fn proxies(options: &Proxies) -> Result<Vec<reqwest::Proxy>, reqwest::Error> {
    let without = options.none.as_deref().and_then(reqwest::NoProxy::from_string);
    let http = options.http.as_deref().map(reqwest::Proxy::http);
    let https = options.https.as_deref().map(reqwest::Proxy::https);
    let all = http.into_iter().chain(https);
    all.map(|proxy| proxy.map(|proxy| proxy.no_proxy(without.clone()))).collect()
}

impl Transport for ReqwestTransport {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, Fault>> {
        let timeout = request.timeout;
        let client = match request.peer {
            Peer::Registry => &self.registry,
            Peer::TokenEndpoint => self.token_endpoint.as_ref().unwrap_or(&self.registry),
        };
        let mut sent = client.request(request.method, request.url).headers(request.headers);
        if !request.body.is_empty() {
            sent = sent.body(request.body);
        }
        let sent = sent.send();
        async move {
            let answer = match tokio::time::timeout(timeout, sent).await {
                Ok(answer) => answer.map_err(|error| classify(&error, Phase::Head))?,
                Err(_) => return Err(Fault::Timeout(Phase::Head)),
            };
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = futures_util::stream::unfold(Some(answer), move |answer| async move {
                let mut answer = answer?;
                match tokio::time::timeout(timeout, answer.chunk()).await {
                    Ok(Ok(Some(bytes))) => Some((Ok(bytes), Some(answer))),
                    Ok(Ok(None)) => None,
                    Ok(Err(error)) => Some((Err(classify(&error, Phase::Body)), None)),
                    Err(_) => Some((Err(Fault::Timeout(Phase::Body)), None)),
                }
            });
            Ok(Response { status, headers, body: body.boxed() })
        }
        .boxed()
    }
}

/// Sorts an error by what is at the bottom of its chain; `is_body` and `is_decode` tell nothing.
fn classify(error: &reqwest::Error, phase: Phase) -> Fault {
    if error.is_timeout() {
        return Fault::Timeout(if error.is_connect() { Phase::Connect } else { phase });
    }
    let mut next = error.source();
    let mut found = None;
    while let Some(cause) = next {
        match sort(cause) {
            Some(fault @ (Fault::Dns | Fault::Tls)) => return fault,
            // What is wrapped says more, unless it says nothing.
            Some(fault) if found.is_none() || fault != Fault::Protocol => found = Some(fault),
            _ => {}
        }
        next = below(cause);
    }
    match found {
        Some(fault) if !(error.is_connect() && fault == Fault::Protocol) => fault,
        _ if error.is_connect() => Fault::Connect,
        _ => Fault::Protocol,
    }
}

/// Sorts one error of a chain by itself.
fn sort(cause: &(dyn std::error::Error + 'static)) -> Option<Fault> {
    if cause.is::<rustls::Error>() {
        return Some(Fault::Tls);
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        let fault = error.is_incomplete_message().then_some(Fault::Incomplete);
        return fault.or(error.is_parse().then_some(Fault::Protocol));
    }
    if let Some(error) = cause.downcast_ref::<h2::Error>() {
        return match error.get_io() {
            Some(error) => sort(error),
            // A stream or a connection that the other side gave up: another attempt may fare better.
            None => Some(if error.is_remote() { Fault::Reset } else { Fault::Protocol }),
        };
    }
    let Some(error) = cause.downcast_ref::<io::Error>() else {
        return cause.to_string().contains("dns error").then_some(Fault::Dns);
    };
    Some(match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            Fault::Reset
        }
        io::ErrorKind::UnexpectedEof => Fault::Incomplete,
        _ if error_is_connect(error) => Fault::Connect,
        _ => Fault::Protocol,
    })
}

/// Returns the error below one. The `source` of an I/O error passes over the error that it wraps,
/// and TLS comes wrapped so twice.
fn below<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => cause.source(),
    }
}

fn error_is_connect(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable
    )
}

#[cfg(test)]
mod tests;
