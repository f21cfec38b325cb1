//! Bytes on the socket: one TCP connection, requests written and responses read exactly.
//!
//! Spec: RFC 9112. The request is written while the response is already being read, because a registry
//! may refuse a body before it has read it all; only the response decides what happened.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

use crate::wire::bulk::hash_body;
use crate::wire::dialer::{Dialer, Stream};
use crate::wire::message::{HEAD_BYTES_MAX, read_final, read_head, read_message};
use crate::wire::{Body, Bulk, Request, Response, Url};

/// Says why there is no complete response.
#[derive(Debug, Error)]
pub enum WireError {
    /// The connection could not be opened.
    #[error("cannot connect to {authority}")]
    Connect {
        /// Host and port.
        authority: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server's certificate was not accepted, or it does not speak TLS.
    #[error("no TLS with {authority}: {source}")]
    Tls {
        /// Host and port.
        authority: String,
        /// What the handshake said.
        source: io::Error,
    },
    /// Reading failed: usually a reset.
    #[error("connection broke before the response was complete ({0})")]
    Broken(io::ErrorKind),
    /// The server closed the connection without a status line.
    #[error("connection closed without a response")]
    Closed,
    /// The server closed the connection inside the body.
    #[error("body cut off: status {status}, {got} bytes of {wanted}")]
    Cut {
        /// Status of the response that was cut.
        status: u16,
        /// Body bytes that arrived.
        got: usize,
        /// What was promised.
        wanted: String,
    },
    /// What arrived is not HTTP/1.
    #[error("malformed response: {0}")]
    Malformed(String),
    /// The response is larger than the suite reads.
    #[error("response larger than {0} bytes")]
    TooLarge(usize),
    /// The deadline passed.
    #[error("no complete response within {0:?}")]
    Timeout(std::time::Duration),
}

/// An open connection; several requests may follow each other on it.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
}

/// What follows the bytes of a request that are already there.
enum After<'b> {
    Nothing,
    Send(&'b Bulk),
    HalfClose,
}

impl Connection {
    /// Opens a connection to the address's host and port.
    ///
    /// *Errors*: [`WireError::Connect`], [`WireError::Tls`].
    pub async fn open(dialer: &Dialer, url: &Url) -> Result<Self, WireError> {
        Ok(Self { stream: dialer.dial(url).await?, buffer: Vec::new() })
    }

    /// Sends a request and reads its response.
    ///
    /// *Errors*: every variant but `Connect`, `Tls` and `Timeout`. *Cancellation*: the connection is unusable.
    pub async fn exchange(&mut self, request: &Request) -> Result<Response, WireError> {
        let mut bytes = request.head().into_bytes();
        bytes.extend_from_slice(&request.payload());
        let after = match &request.body {
            Body::Bulk(bulk) => After::Send(bulk),
            Body::Short { .. } => After::HalfClose,
            _ => After::Nothing,
        };
        let mut response = self.converse(&bytes, &request.method, &request.label(), after).await?;
        if request.closes() {
            response.excess = self.drain().await;
        }
        Ok(response)
    }

    /// Sends raw bytes and reads one final response to them.
    ///
    /// *Errors*: as [`Connection::exchange`].
    pub async fn exchange_bytes(
        &mut self,
        bytes: &[u8],
        method: &str,
        label: &str,
    ) -> Result<Response, WireError> {
        self.converse(bytes, method, label, After::Nothing).await
    }

    /// Reads one more final response, to whatever the server has taken for a request.
    ///
    /// *Errors*: as [`Connection::exchange`].
    pub async fn next_answer(&mut self, method: &str, label: &str) -> Result<Response, WireError> {
        read_final(&mut self.stream, &mut self.buffer, method, label).await
    }

    async fn converse(
        &mut self,
        bytes: &[u8],
        method: &str,
        label: &str,
        after: After<'_>,
    ) -> Result<Response, WireError> {
        let (mut reader, mut writer) = split(&mut self.stream);
        let buffer = &mut self.buffer;
        let write = async {
            // A failed write is no verdict: the server may have answered and closed already.
            let written = async {
                writer.write_all(bytes).await?;
                writer.flush().await?;
                match after {
                    After::Nothing => Ok(()),
                    After::Send(bulk) => bulk.write(&mut writer).await,
                    After::HalfClose => writer.shutdown().await,
                }
            };
            let _ = written.await;
        };
        let read = read_final(&mut reader, buffer, method, label);
        tokio::pin!(write, read);
        tokio::select! {
            biased;
            response = &mut read => response,
            () = &mut write => read.await,
        }
    }

    /// Sends the head with `Expect: 100-continue`, and the body only when the server asks for it.
    ///
    /// *Errors*: as [`Connection::exchange`].
    pub async fn exchange_expecting(&mut self, request: &Request) -> Result<Response, WireError> {
        let request = request.clone().header("Expect", "100-continue");
        let label = request.label();
        let (mut reader, mut writer) = split(&mut self.stream);
        // As in `exchange_bytes`: the response, not the write, decides.
        let _ = writer.write_all(request.head().as_bytes()).await;
        let _ = writer.flush().await;
        let first = read_message(&mut reader, &mut self.buffer, &request.method, &label).await?;
        if first.status != 100 {
            return Ok(first);
        }
        let _ = writer.write_all(&request.payload()).await;
        let _ = writer.flush().await;
        let mut response = read_final(&mut reader, &mut self.buffer, &request.method, &label).await?;
        response.interim.insert(0, 100);
        Ok(response)
    }

    /// Sends a request without reading anything of its response.
    ///
    /// *Errors*: [`WireError::Broken`].
    pub async fn send_only(&mut self, request: &Request) -> Result<(), WireError> {
        let mut bytes = request.head().into_bytes();
        bytes.extend_from_slice(&request.payload());
        self.stream.write_all(&bytes).await.map_err(|e| WireError::Broken(e.kind()))?;
        self.stream.flush().await.map_err(|e| WireError::Broken(e.kind()))
    }

    /// Sends a request and hashes the body of its response instead of keeping it.
    ///
    /// Returns the head, the body's size and its `sha256:…` digest.
    ///
    /// *Errors*: as [`Connection::exchange`]; [`WireError::Malformed`] without a Content-Length.
    pub async fn exchange_hashed(&mut self, request: &Request) -> Result<(Response, u64, String), WireError> {
        self.send_only(request).await?;
        let label = request.label();
        let head = read_head(&mut self.stream, &mut self.buffer, &request.method, &label).await?;
        let (size, digest) = hash_body(&mut self.stream, &mut self.buffer, &head).await?;
        Ok((head, size, digest))
    }

    /// Reads exactly `count` bytes of whatever the server sends next, head included.
    ///
    /// *Errors*: [`WireError::Broken`] when the connection ends first.
    pub async fn read_raw(&mut self, count: usize) -> Result<Vec<u8>, WireError> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).await.map_err(|e| WireError::Broken(e.kind()))?;
        Ok(bytes)
    }

    /// Reads to the end of the connection and returns how many bytes there were.
    async fn drain(&mut self) -> usize {
        let mut excess = self.buffer.len();
        let mut scratch = [0; 4096];
        while excess < HEAD_BYTES_MAX {
            match self.stream.read(&mut scratch).await {
                Ok(count) if count > 0 => excess += count,
                _ => break,
            }
        }
        excess
    }
}
