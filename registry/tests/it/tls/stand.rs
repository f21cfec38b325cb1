//! A registry behind TLS in this process, and clients that speak it by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wharfinger::http::listener;
use wharfinger::http::options::Options;
use wharfinger::http::tls::Tls;

use super::authority::{Authority, Files, Pair};
use crate::support::{Client, Registry};

/// Within this every condition must hold; far above what it takes.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// A registry that listens.
pub(super) struct Stand {
    pub(super) address: SocketAddr,
    pub(super) files: Files,
    pub(super) tls: Arc<Tls>,
    /// Past the listener.
    pub(super) client: Client,
    stop: oneshot::Sender<()>,
    server: JoinHandle<bool>,
}

impl Stand {
    pub(super) async fn start() -> Self {
        Self::with(Files::new(), Registry::default()).await
    }

    /// Starts a registry, whose settings of TLS are those of the files unless it has some.
    pub(super) async fn with(files: Files, mut registry: Registry) -> Self {
        let tls_options = registry.http.tls.get_or_insert_with(|| files.options()).clone();
        let options = Options { port: 0, drain_timeout: DEADLINE, ..registry.http.clone() };
        let client = registry.open().await;
        let router = client.0.router(Router::new());
        Self::of(files, client, router, &Options { tls: Some(tls_options), ..options }).await
    }

    /// Starts a router.
    pub(super) async fn of(files: Files, client: Client, router: Router, options: &Options) -> Self {
        let tls = Arc::new(Tls::open(options.tls.as_ref().unwrap()).unwrap());
        let (socket, address) = listener::bind(options).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let (options, shared) = (options.clone(), Arc::clone(&tls));
        let server = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            listener::serve_with(socket, router, &options, Some(shared), stopped).await
        });
        Self { address, files, tls, client, stop, server }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Stops it as a signal does, and returns whether it drained.
    pub(super) async fn stop(self) -> bool {
        let _ = self.stop.send(());
        tokio::time::timeout(DEADLINE, self.server).await.unwrap().unwrap()
    }

    /// Says that it is to stop, and returns what says whether it drained.
    pub(super) fn stopping(self) -> (JoinHandle<bool>, Files) {
        let _ = self.stop.send(());
        (self.server, self.files)
    }

    /// Returns how a client trusts it.
    pub(super) fn trusting(&self) -> ClientConfig {
        trusting(&self.files.authority, None, rustls::ALL_VERSIONS)
    }

    /// Connects and makes a handshake.
    pub(super) async fn connect(&self) -> TlsStream<TcpStream> {
        connect(self.address, &Arc::new(self.trusting())).await.unwrap()
    }

    /// Returns a client that follows nothing and tries nothing again.
    pub(super) fn http(&self, identity: Option<&Pair>) -> reqwest::ClientBuilder {
        http(&self.files.authority, identity)
    }
}

/// Returns a client that trusts an authority, and shows a certificate if it has one.
pub(super) fn http(authority: &Authority, identity: Option<&Pair>) -> reqwest::ClientBuilder {
    let root = reqwest::Certificate::from_der(&authority.der()).unwrap();
    let builder = reqwest::Client::builder().retry(reqwest::retry::never()).no_proxy().timeout(DEADLINE);
    let builder = builder.add_root_certificate(root);
    match identity {
        Some(pair) => builder.identity(reqwest::Identity::from_pem(pair.pem().as_bytes()).unwrap()),
        None => builder,
    }
}

/// Returns how a client trusts an authority, shows a certificate if it has one, and speaks these versions.
pub(super) fn trusting(
    authority: &Authority,
    identity: Option<&Pair>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        Some(pair) => builder.with_client_auth_cert(vec![pair.der()], pair.key_der()).unwrap(),
        None => builder.with_no_client_auth(),
    }
}

/// Connects and makes a handshake.
pub(super) async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::from(address.ip());
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    tokio::time::timeout(DEADLINE, handshake).await.unwrap()
}

/// Returns the certificate that a server has shown.
pub(super) fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// Sends a GET over HTTP/1.1.
pub(super) async fn ask(stream: &mut TlsStream<TcpStream>, path: &str, headers: &str) -> std::io::Result<()> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: registry\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

/// Reads the head of an answer, without a byte of its body.
pub(super) async fn head(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(DEADLINE, stream.read_u8()).await.unwrap()?);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// Reads until the server closes, in which way whatever, and returns what came.
pub(super) async fn rest(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
    rest
}

/// A connection with TLS or without.
pub(super) trait Wire: AsyncWrite + Unpin {
    /// Returns what it goes over.
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Sends a request, waits until the server has said its last, and sends the body nevertheless: who reads only
/// after that.
pub(super) async fn sends_on(stream: &mut impl Wire) -> std::io::Result<()> {
    let pieces = 40;
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", pieces * 1000);
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    let ended = async {
        while !stream.socket().ready(Interest::READABLE).await?.is_read_closed() {
            tokio::task::yield_now().await;
        }
        Ok::<_, std::io::Error>(())
    };
    tokio::time::timeout(DEADLINE, ended).await.unwrap()?;
    for _ in 0..pieces {
        stream.write_all(&[b'x'; 1000]).await?;
        stream.flush().await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
