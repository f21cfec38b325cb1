//! TLS of the listener: handshakes, and certificates that are read again when their files change.
//!
//! A connection keeps the settings that its handshake was made with; new ones hold for new connections, so a
//! renewed certificate breaks nothing off. Settings that cannot be used leave the old ones in place.

mod certificates;

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::error::SPEAKS_TLS;
use super::idle::Idle;
use super::options::TlsOptions;
use super::watched::Watched;
use crate::telemetry::WithCauses;

use certificates::Loaded;
pub use certificates::TlsError;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What is read, at most, of who is refused, so that it hears why.
const PARTING_BYTES_MAX: usize = 64 * 1024;

/// The first byte of a TLS record that holds a handshake (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// The listener's side of TLS.
#[derive(Debug)]
pub struct Tls {
    options: TlsOptions,
    current: RwLock<Arc<ServerConfig>>,
    /// Held while looking, so that two do not.
    watch: Mutex<Watch>,
}

#[derive(Debug)]
struct Watch {
    files: Watched,
    /// Whether what the files hold is not what is in use.
    failed: bool,
}

/// A client as its handshake has shown it.
pub(super) struct Greeted {
    pub(super) stream: TlsStream<Idle<TcpStream>>,
    /// The certificate that it showed, verified.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// The version of TLS.
    pub(super) version: &'static str,
}

/// What came about in a handshake's place.
struct Missed {
    /// What the metric calls it.
    outcome: &'static str,
    error: Option<io::Error>,
    /// What is still open, and what is yet to be said there.
    parting: Option<(Idle<TcpStream>, &'static [u8])>,
}

impl Tls {
    /// Reads the files for the first time.
    ///
    /// It blocks for as long as that takes.
    ///
    /// *Errors:* [`TlsError`].
    pub fn open(options: &TlsOptions) -> Result<Self, TlsError> {
        let files = [&options.certificate, &options.key].into_iter().chain(&options.client_authorities);
        // Before they are read: what changes meanwhile is then seen to have changed.
        let files = Watched::new(files.cloned());
        let loaded = certificates::load(options)?;
        tell_expiry(&loaded);
        Ok(Self {
            options: options.clone(),
            current: RwLock::new(loaded.config),
            watch: Mutex::new(Watch { files, failed: false }),
        })
    }

    /// Reads the files again whenever they change, until it is dropped.
    pub async fn keep_current(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let tls = Arc::clone(&self);
            // A file system that hangs holds up one thread and no connection.
            let _finished = tokio::task::spawn_blocking(move || tls.look()).await;
        }
    }

    /// Reads the files again if they have changed, or could not be used the last time.
    ///
    /// It blocks for as long as that takes. What is wrong with them is logged and counted once a change.
    pub fn look(&self) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = watch.files.changed();
        if !changed && !watch.failed {
            return;
        }
        match certificates::load(&self.options) {
            Ok(loaded) => {
                tell_expiry(&loaded);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded.config;
                watch.failed = false;
                tracing::info!(
                    tls.cert = %self.options.certificate.display(),
                    "read the certificate again: new connections get it"
                );
            }
            Err(error) => {
                if changed {
                    metrics::counter!("wharfinger_tls_reload_failures_total").increment(1);
                    tracing::error!(
                        error = %WithCauses(&error),
                        "the files of http.tls have changed and cannot be used: what they held before stays"
                    );
                }
                watch.failed = true;
            }
        }
    }

    /// Makes a handshake, within the time that the options give it; `None` when there is nobody to talk to.
    ///
    /// *Cancellation:* closes the connection.
    pub(super) async fn greet(&self, stream: TcpStream, write_limit: Duration) -> Option<Greeted> {
        let until = Instant::now() + self.options.handshake_timeout;
        let missed = match timeout_at(until, self.shake(stream, write_limit)).await {
            Ok(Ok(greeted)) => {
                count("done");
                return Some(greeted);
            }
            Ok(Err(missed)) => missed,
            Err(_) => Missed { outcome: "timeout", error: None, parting: None },
        };
        count(missed.outcome);
        if let Some(error) = &missed.error {
            tracing::debug!(error = %WithCauses(error), "a TLS handshake failed");
        }
        if let Some((stream, words)) = missed.parting {
            let _heard = timeout_at(until, part(stream, words)).await;
        }
        None
    }

    async fn shake(&self, stream: TcpStream, write_limit: Duration) -> Result<Greeted, Missed> {
        let failed = |error, parting| Missed { outcome: "failed", error: Some(error), parting };
        let mut first = [0];
        let peeked = stream.peek(&mut first).await.map_err(|error| failed(error, None))?;
        if peeked == 0 {
            // As probes of a port do.
            return Err(Missed { outcome: "left", error: None, parting: None });
        }
        let stream = Idle::new(stream, write_limit);
        // What begins with a letter is the method of a request.
        if first[0] != HANDSHAKE_RECORD && first[0].is_ascii_alphabetic() {
            return Err(Missed { outcome: "plain", error: None, parting: Some((stream, SPEAKS_TLS)) });
        }
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let accepted = TlsAcceptor::from(config).accept(stream).into_fallible().await;
        // The alert has been sent.
        let stream = accepted.map_err(|(error, stream)| failed(error, Some((stream, &[]))))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(|certificate| certificate.clone().into_owned());
        let version = match stream.get_ref().1.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "",
        };
        Ok(Greeted { stream, certificate, version })
    }
}

/// Says the last words, and lets the client hear them. With TLS 1.3 a client sends its request before it knows
/// that its certificate is refused, and without TLS it may be sending a body: to close on what is still coming
/// would take the words back.
async fn part(mut stream: Idle<TcpStream>, words: &[u8]) {
    if stream.write_all(words).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut buffer = [0; 4096];
    let mut read = 0;
    while read < PARTING_BYTES_MAX {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read += count,
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("wharfinger_tls_handshakes_total", "outcome" => outcome).increment(1);
}

fn tell_expiry(loaded: &Loaded) {
    if let Some(expiry) = loaded.expiry {
        metrics::gauge!("wharfinger_tls_certificate_expiry_timestamp_seconds").set(expiry);
    }
}
