//! Connecting: TCP, and TLS for `https` addresses.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::wire::url::Scheme;
use crate::wire::{Url, WireError};

/// Whose certificates are accepted.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// A PEM file with further authorities, beside those of the system.
    pub ca: Option<PathBuf>,
}

/// Says why the authorities cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file cannot be read, or is no PEM.
    #[error("cannot read certificates from {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds no usable certificate.
    #[error("no usable certificate in {0}")]
    Empty(PathBuf),
    /// The TLS library refused its own defaults.
    #[error("cannot set up TLS: {0}")]
    Setup(rustls::Error),
}

/// Opens connections, with what they trust.
#[derive(Clone, Debug)]
pub struct Dialer {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Dialer {
    /// Makes a dialer that accepts the system's authorities and those given.
    ///
    /// *Errors*: every variant of [`TrustError`].
    pub fn new(trust: &Trust) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        // A system without authorities, or with some that cannot be read, still has clear text.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &trust.ca {
            add_authorities(&mut roots, path)?;
        }
        let config = |protocol: &[u8]| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder = ClientConfig::builder_with_provider(provider);
            let builder = builder.with_safe_default_protocol_versions().map_err(TrustError::Setup)?;
            let mut config = builder.with_root_certificates(roots.clone()).with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            Ok(Arc::new(config))
        };
        Ok(Self { http1: config(b"http/1.1")?, http2: config(b"h2")? })
    }

    /// Connects for HTTP/1.1.
    ///
    /// *Errors*: [`WireError::Connect`], [`WireError::Tls`].
    pub(super) async fn dial(&self, url: &Url) -> Result<Stream, WireError> {
        connect(url, &self.http1).await
    }

    /// Connects for HTTP/2: over TLS by ALPN, in clear text with prior knowledge.
    ///
    /// *Errors*: [`WireError::Connect`], [`WireError::Tls`] also when the server does not offer it.
    pub(super) async fn dial_http2(&self, url: &Url) -> Result<Stream, WireError> {
        let stream = connect(url, &self.http2).await?;
        match &stream {
            Stream::Tls(tls) if tls.get_ref().1.alpn_protocol() != Some(b"h2") => {
                let source = io::Error::other("the server does not offer HTTP/2");
                Err(WireError::Tls { authority: url.authority(), source })
            }
            _ => Ok(stream),
        }
    }
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let read = |source| TrustError::Read { path: path.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(path).map_err(read)?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(read)?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 { Err(TrustError::Empty(path.to_owned())) } else { Ok(()) }
}

async fn connect(url: &Url, config: &Arc<ClientConfig>) -> Result<Stream, WireError> {
    let authority = || url.authority();
    let connected = TcpStream::connect((url.host.as_str(), url.port)).await;
    let tcp = connected.map_err(|source| WireError::Connect { authority: authority(), source })?;
    // Delayed small writes would only blur the order of head and body; failing to set it is harmless.
    let _ = tcp.set_nodelay(true);
    if url.scheme == Scheme::Http {
        return Ok(Stream::Plain(tcp));
    }
    let failed = |source| WireError::Tls { authority: authority(), source };
    let name = ServerName::try_from(url.host.clone()).map_err(|error| failed(io::Error::other(error)))?;
    let tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(failed)?;
    Ok(Stream::Tls(Box::new(tls)))
}

/// The bytes of one connection.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}
