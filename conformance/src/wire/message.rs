//! One response message, read byte by byte: its head, and its body to the end that its framing marks.
//!
//! Spec: RFC 9112 §6.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::wire::{Framing, Response, WireError};

/// The largest response head that is read.
pub(super) const HEAD_BYTES_MAX: usize = 256 * 1024;
/// The largest response body that is kept.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Interim responses (1xx) read before the final one.
const INTERIM_MAX: usize = 16;

/// Reads messages up to the first that is not interim.
pub(super) async fn read_final(
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

/// Reads one message, interim or final.
pub(super) async fn read_message(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    method: &str,
    label: &str,
) -> Result<Response, WireError> {
    let mut response = read_head(reader, buffer, method, label).await?;
    let status = response.status;
    response.body = match response.framing {
        Framing::None => Vec::new(),
        Framing::Length(length) => read_sized(reader, buffer, length, status).await?,
        Framing::Chunked => read_chunked(reader, buffer, status).await?,
        Framing::Close => read_to_end(reader, buffer).await?,
    };
    Ok(response)
}

/// Reads the head of one message; its body is still to come.
pub(super) async fn read_head(
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
    async fn a_chunk_larger_than_the_suite_reads_is_refused() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for size in [BODY_BYTES_MAX + 1, usize::MAX] {
            let error = read("GET", format!("{head}{size:x}\r\n").as_bytes()).await.unwrap_err();
            assert!(matches!(error, WireError::TooLarge(_)), "{error}");
        }
        let error = read("GET", format!("{head}{BODY_BYTES_MAX:x}\r\n").as_bytes()).await.unwrap_err();
        assert!(matches!(error, WireError::Cut { .. }), "as large as it may be: {error}");
        let error =
            read("GET", format!("{head}1\r\na\r\n{BODY_BYTES_MAX:x}\r\n").as_bytes()).await.unwrap_err();
        assert!(matches!(error, WireError::TooLarge(_)), "together they are too large: {error}");
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
