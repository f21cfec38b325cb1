//! Bytes on the socket: one TCP connection, requests written and responses read exactly.
//!
//! Spec: RFC 9112. The request is written while the response is already being read, because a registry
//! may refuse a body before it has read it all; only the response decides what happened.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wire::{Body, Framing, Request, Response, Url};

/// The largest response head that is read.
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// The largest response body that is kept.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Interim responses (1xx) read before the final one.
const INTERIM_MAX: usize = 16;

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
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens a connection to the address's host and port.
    ///
    /// *Errors*: [`WireError::Connect`].
    pub async fn open(url: &Url) -> Result<Self, WireError> {
        let connect = TcpStream::connect((url.host.as_str(), url.port)).await;
        let stream = connect.map_err(|source| WireError::Connect { authority: url.authority(), source })?;
        // Delayed small writes would only blur the order of head and body; failing to set it is harmless.
        let _ = stream.set_nodelay(true);
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request and reads its response.
    ///
    /// *Errors*: every variant but `Connect` and `Timeout`. *Cancellation*: the connection is unusable.
    pub async fn exchange(&mut self, request: &Request) -> Result<Response, WireError> {
        let mut bytes = request.head().into_bytes();
        bytes.extend_from_slice(&request.payload());
        let half_close = matches!(request.body, Body::Short { .. });
        let mut response = self.exchange_bytes(&bytes, &request.method, &request.label(), half_close).await?;
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
        half_close: bool,
    ) -> Result<Response, WireError> {
        let (mut reader, mut writer) = self.stream.split();
        let buffer = &mut self.buffer;
        let write = async {
            // A failed write is no verdict: the server may have answered and closed already.
            if writer.write_all(bytes).await.is_ok() && half_close {
                let _ = writer.shutdown().await;
            }
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
        let (mut reader, mut writer) = self.stream.split();
        // As in `exchange_bytes`: the response, not the write, decides.
        let _ = writer.write_all(request.head().as_bytes()).await;
        let first = read_message(&mut reader, &mut self.buffer, &request.method, &label).await?;
        if first.status != 100 {
            return Ok(first);
        }
        let _ = writer.write_all(&request.payload()).await;
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
        self.stream.write_all(&bytes).await.map_err(|e| WireError::Broken(e.kind()))
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

async fn read_final(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    method: &str,
    label: &str,
) -> Result<Response, WireError> {
    let mut interim = Vec::new();
    loop {
        let response = read_message(reader, buffer, method, label).await?;
        if !(100..200).contains(&response.status) {
            return Ok(Response { interim, ..response });
        }
        if interim.len() == INTERIM_MAX {
            return Err(WireError::Malformed(format!("more than {INTERIM_MAX} interim responses")));
        }
        interim.push(response.status);
    }
}

async fn read_message(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    method: &str,
    label: &str,
) -> Result<Response, WireError> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(WireError::TooLarge(HEAD_BYTES_MAX));
        }
        if fill(reader, buffer).await? == 0 {
            return Err(if buffer.is_empty() {
                WireError::Closed
            } else {
                WireError::Malformed("connection closed inside the response head".to_owned())
            });
        }
    };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let (status, headers) = parse_head(&head[..end])?;
    let mut response = Response {
        label: label.to_owned(),
        status,
        headers,
        body: Vec::new(),
        framing: Framing::None,
        interim: Vec::new(),
        excess: 0,
    };
    response.framing = framing_of(&response, method)?;
    response.body = match response.framing {
        Framing::None => Vec::new(),
        Framing::Length(length) => read_sized(reader, buffer, length, status).await?,
        Framing::Chunked => read_chunked(reader, buffer, status).await?,
        Framing::Close => read_to_end(reader, buffer).await?,
    };
    Ok(response)
}

/// Returns the status and the headers of a response head.
fn parse_head(head: &[u8]) -> Result<(u16, Vec<(String, String)>), WireError> {
    // Header values are opaque bytes (RFC 9110 §5.5); reading them as Latin-1 loses none.
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse::<u16>().ok())
        .filter(|code| (100..1000).contains(code))
        .ok_or_else(|| WireError::Malformed(format!("status line {first:?}")))?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty() && !name.contains(' '))
            .ok_or_else(|| WireError::Malformed(format!("header line {line:?}")))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok((status, headers))
}

/// Decides where the body ends, as RFC 9112 §6.3 does.
fn framing_of(response: &Response, method: &str) -> Result<Framing, WireError> {
    if method == "HEAD" || response.status < 200 || matches!(response.status, 204 | 304) {
        return Ok(Framing::None);
    }
    if response.header_list("transfer-encoding").last().is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        return Ok(Framing::Chunked);
    }
    let lengths = response.header_list("content-length");
    let Some(first) = lengths.first() else {
        return Ok(Framing::Close);
    };
    if lengths.iter().any(|length| length != first) {
        return Err(WireError::Malformed(format!("Content-Length {lengths:?}")));
    }
    first.parse().map(Framing::Length).map_err(|_| WireError::Malformed(format!("Content-Length {first:?}")))
}

async fn fill(reader: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<usize, WireError> {
    buffer.reserve(16 * 1024);
    reader.read_buf(buffer).await.map_err(|error| WireError::Broken(error.kind()))
}

async fn read_sized(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    length: u64,
    status: u16,
) -> Result<Vec<u8>, WireError> {
    let wanted = usize::try_from(length).ok().filter(|n| *n <= BODY_BYTES_MAX);
    let wanted = wanted.ok_or(WireError::TooLarge(BODY_BYTES_MAX))?;
    while buffer.len() < wanted {
        match fill(reader, buffer).await {
            Ok(0) | Err(_) => {
                return Err(WireError::Cut { status, got: buffer.len(), wanted: wanted.to_string() });
            }
            Ok(_) => {}
        }
    }
    Ok(buffer.drain(..wanted).collect())
}

async fn read_chunked(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    status: u16,
) -> Result<Vec<u8>, WireError> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader, buffer, &body, status).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16)
            .map_err(|_| WireError::Malformed(format!("chunk size {line:?}")))?;
        if size == 0 {
            while !read_line(reader, buffer, &body, status).await?.is_empty() {}
            return Ok(body);
        }
        if size > BODY_BYTES_MAX || body.len() + size > BODY_BYTES_MAX {
            return Err(WireError::TooLarge(BODY_BYTES_MAX));
        }
        while buffer.len() < size + 2 {
            if !matches!(fill(reader, buffer).await, Ok(count) if count > 0) {
                return Err(cut_chunked(&body, status));
            }
        }
        body.extend(buffer.drain(..size));
        if buffer.drain(..2).as_slice() != b"\r\n" {
            return Err(WireError::Malformed("chunk without its line end".to_owned()));
        }
    }
}

async fn read_line(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    body: &[u8],
    status: u16,
) -> Result<String, WireError> {
    loop {
        if let Some(at) = buffer.windows(2).position(|window| window == b"\r\n") {
            let line: Vec<u8> = buffer.drain(..at + 2).collect();
            return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(WireError::TooLarge(HEAD_BYTES_MAX));
        }
        if !matches!(fill(reader, buffer).await, Ok(count) if count > 0) {
            return Err(cut_chunked(body, status));
        }
    }
}

fn cut_chunked(body: &[u8], status: u16) -> WireError {
    WireError::Cut { status, got: body.len(), wanted: "a last chunk".to_owned() }
}

async fn read_to_end(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<Vec<u8>, WireError> {
    while fill(reader, buffer).await? != 0 {
        if buffer.len() > BODY_BYTES_MAX {
            return Err(WireError::TooLarge(BODY_BYTES_MAX));
        }
    }
    Ok(std::mem::take(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(method: &str, wire: &[u8]) -> Result<Response, WireError> {
        let mut reader = wire;
        read_final(&mut reader, &mut Vec::new(), method, "test").await
    }

    #[tokio::test]
    async fn bodies_end_where_their_framing_says() {
        let cases: [(&str, &str, Framing, &str); 8] = [
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", Framing::Length(3), "abc"),
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", Framing::Length(3), "abc"),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: r\r\n\r\n",
                Framing::Chunked,
                "abc",
            ),
            ("GET", "HTTP/1.1 200 OK\r\n\r\nabc", Framing::Close, "abc"),
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Framing::None, ""),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\n", Framing::None, ""),
            ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Framing::None, ""),
            (
                "GET",
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 201 Created\r\nContent-Length: 0\r\n\r\n",
                Framing::Length(0),
                "",
            ),
        ];
        for (method, wire, framing, body) in cases {
            let response = read(method, wire.as_bytes()).await.unwrap();
            assert_eq!(response.framing, framing, "{wire}");
            assert_eq!(response.body, body.as_bytes(), "{wire}");
        }
    }

    #[tokio::test]
    async fn interim_statuses_are_kept_apart() {
        let wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nL: x\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
        let response = read("PUT", wire).await.unwrap();
        assert_eq!((response.status, response.interim), (404, vec![100, 103]));
    }

    #[tokio::test]
    async fn what_is_incomplete_or_malformed_is_an_error() {
        let check = async |wire: &str, expect: &str| {
            let error = read("GET", wire.as_bytes()).await.unwrap_err().to_string();
            assert!(error.contains(expect), "{wire:?}: {error}");
        };
        check("", "without a response").await;
        check("HTTP/1.1 200", "inside the response head").await;
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "3 bytes of 5").await;
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "2 bytes of a last chunk")
            .await;
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk size").await;
        check("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "Content-Length").await;
        check("HTTP/1.1 2x0 OK\r\n\r\n", "status line").await;
        check("HTTP/1.1 200 OK\r\nbroken\r\n\r\n", "header line").await;
    }
}
