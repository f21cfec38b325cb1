//! The way to a directory: TCP, TLS, and a guard between them and the client library.
//!
//! The library would speak TCP and TLS by itself, and then read whatever comes. It is given one end of a pair of
//! sockets instead; a task passes bytes between the other end and the directory, and of what comes from there only
//! what [`Messages`] returns. StartTLS is asked for here, since its answer comes before there is TLS, from anybody
//! who is on the way.

use std::error::Error;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::error::{DirectoryError, Step, Trouble};
use super::messages::{Messages, Unfit, element};
use super::tls;
use crate::auth::options::ldap::{LdapOptions, Security};

/// How many bytes are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Asks for TLS: message 1, an extended request with the name 1.3.6.1.4.1.1466.20037.
///
/// *Spec:* RFC 4511 section 4.14.1.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

const MESSAGE_NUMBER: &[u8] = &[0x01];
const EXTENDED_RESPONSE: u8 = 0x78;
const ENUMERATED: u8 = 0x0a;
const SUCCESS: u32 = 0;

/// Where a directory is, and how it is spoken to.
pub(super) struct Wire {
    host: String,
    port: u16,
    security: Security,
    tls: Option<TlsConnector>,
}

/// What passes bytes, and goes on until one of the ends is closed or it is aborted.
pub(super) type Passing = AbortHandle;

impl Wire {
    /// Makes it of options; it reads the authorities, for which it blocks.
    pub(super) fn new(options: &LdapOptions) -> Result<Self, DirectoryError> {
        let config: Option<ClientConfig> = match options.security {
            Security::Plain => None,
            Security::Ldaps | Security::StartTls => Some(tls::config(options)?),
        };
        Ok(Self {
            host: options.host.clone(),
            port: options.port,
            security: options.security,
            tls: config.map(|config| TlsConnector::from(Arc::new(config))),
        })
    }

    /// Connects to the directory, and returns the end that the client library is given.
    pub(super) async fn connect(&self) -> Result<(StdUnixStream, Passing), Trouble> {
        let mut tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| no_connection(&error))?;
        if self.security == Security::StartTls {
            self.start_tls(&mut tcp).await?;
        }
        let (ours, theirs) = UnixStream::pair().map_err(|error| no_connection(&error))?;
        let theirs = theirs.into_std().map_err(|error| no_connection(&error))?;
        let passing = match &self.tls {
            None => tokio::spawn(pass(tcp, ours, self.host.clone())),
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone());
                let name = name.map_err(|error| Trouble::Tls { reason: error.to_string() })?;
                let session = tls.connect(name, tcp).await.map_err(|error| no_session(&error))?;
                tokio::spawn(pass(session, ours, self.host.clone()))
            }
        };
        Ok((theirs, passing.abort_handle()))
    }

    async fn start_tls(&self, tcp: &mut TcpStream) -> Result<(), Trouble> {
        let lost = |_| Trouble::Lost { step: Step::Connection };
        tcp.write_all(START_TLS).await.map_err(lost)?;
        let mut messages = Messages::default();
        let mut read = BytesMut::new();
        let answer = loop {
            match messages.take() {
                Ok(Some(answer)) => break answer,
                Ok(None) => {}
                Err(unfit) => {
                    warn_of(&self.host, &unfit);
                    return Err(Trouble::Lost { step: Step::Connection });
                }
            }
            match more(tcp, &mut read).await {
                Ok(0) | Err(_) => return Err(Trouble::Lost { step: Step::Connection }),
                Ok(_) => messages.push(&read),
            }
        };
        // It came without TLS, and would be taken for what came with it.
        if !messages.is_empty() {
            let reason = "the directory sent more than its answer to StartTLS".to_owned();
            return Err(Trouble::Tls { reason });
        }
        match result(&answer) {
            Some(SUCCESS) => Ok(()),
            Some(code) => Err(Trouble::Tls { reason: format!("StartTLS is refused with result {code}") }),
            None => Err(Trouble::Lost { step: Step::Connection }),
        }
    }
}

/// Returns the result of the answer to [`START_TLS`]; `None` when it is something else.
fn result(message: &[u8]) -> Option<u32> {
    let (_, parts, _) = element(message)?;
    let (_, number, rest) = element(parts)?;
    let (operation, content, _) = element(rest)?;
    let (tag, code, _) = element(content)?;
    let is_answer = number == MESSAGE_NUMBER && operation == EXTENDED_RESPONSE && tag == ENUMERATED;
    let is_code = is_answer && (1..=4).contains(&code.len());
    is_code.then(|| code.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte)))
}

/// Passes bytes between a directory and the client library, until one of them is gone or the directory sends what
/// is not passed on. Both ends are closed then.
async fn pass(directory: impl AsyncRead + AsyncWrite, client: UnixStream, host: String) {
    let (mut from_directory, mut to_directory) = split(directory);
    let (mut from_client, mut to_client) = client.into_split();
    tokio::select! {
        // How it ends is seen by whoever asks over it.
        _ = copy(&mut from_client, &mut to_directory) => {}
        end = answers(&mut from_directory, &mut to_client) => {
            if let Some(Halt::Unfit(unfit)) = end.err() {
                warn_of(&host, &unfit);
            }
        }
    }
}

/// Why no more is passed.
enum Halt {
    Io,
    Unfit(Unfit),
}

async fn answers(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Halt> {
    let (mut messages, mut read) = (Messages::default(), BytesMut::new());
    while more(from, &mut read).await.map_err(|_| Halt::Io)? > 0 {
        messages.push(&read);
        while let Some(message) = messages.take().map_err(Halt::Unfit)? {
            to.write_all(&message).await.map_err(|_| Halt::Io)?;
        }
    }
    Ok(())
}

/// Reads what is there, instead of what was read before; returns how much it is, which is nothing at the end.
async fn more(from: &mut (impl AsyncRead + Unpin), into: &mut BytesMut) -> io::Result<usize> {
    into.clear();
    into.reserve(READ_BYTES);
    from.read_buf(into).await
}

fn warn_of(host: &str, unfit: &Unfit) {
    tracing::warn!(ldap.host = %host, "what the directory sends is not read further: {unfit}");
}

fn no_connection(error: &io::Error) -> Trouble {
    Trouble::Connect { reason: error.to_string() }
}

fn no_session(error: &io::Error) -> Trouble {
    if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) {
        return Trouble::Tls { reason: error.to_string() };
    }
    no_connection(error)
}
