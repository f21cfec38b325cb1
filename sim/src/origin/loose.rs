//! A lie about the connection: the head of its first request is read as a careless server reads it.
//!
//! Of a request that has a length and chunks, it reads the chunks and forgets the length; of two lengths it reads
//! the first. What follows is then the next request, though another server, in front of this one, has taken it
//! for the body of the first.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that are waited for before they are taken for no head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A stream whose first head is rewritten before anybody reads it.
#[derive(Debug)]
pub(super) struct Loose<S> {
    inner: S,
    head: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The head is not complete.
    Gathering,
    /// It is being handed on; or all of it was.
    Passing,
}

impl<S> Loose<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, head: Vec::new(), state: State::Gathering }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Loose<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.state == State::Gathering {
            let mut piece = [0; 4096];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
            this.head.extend_from_slice(piece.filled());
            let end = this.head.windows(4).position(|window| window == b"\r\n\r\n");
            if end.is_some() || piece.filled().is_empty() || this.head.len() > HEAD_BYTES_MAX {
                this.state = State::Passing;
                this.head = end.map_or_else(|| this.head.clone(), |end| rewritten(&this.head, end));
            }
        }
        if this.head.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, out);
        }
        let count = this.head.len().min(out.remaining());
        out.put_slice(&this.head.drain(..count).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Loose<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Returns the bytes with a head that has one length at most.
fn rewritten(bytes: &[u8], end: usize) -> Vec<u8> {
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let is = |line: &str, name: &str| line.to_ascii_lowercase().starts_with(name);
    let is_chunked = head.lines().any(|line| is(line, "transfer-encoding:"));
    let mut has_length = false;
    let kept = head.split("\r\n").filter(|line| {
        if !is(line, "content-length:") {
            return true;
        }
        !(is_chunked || std::mem::replace(&mut has_length, true))
    });
    let mut out = kept.collect::<Vec<_>>().join("\r\n").into_bytes();
    out.extend_from_slice(&bytes[end..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_length_is_left() {
        let check = |head: &str, expect: &str| {
            let wire = format!("{head}\r\n\r\nrest");
            let got = rewritten(wire.as_bytes(), head.len());
            assert_eq!(String::from_utf8(got).unwrap(), format!("{expect}\r\n\r\nrest"));
        };
        check("POST / HTTP/1.1\r\nContent-Length: 4", "POST / HTTP/1.1\r\nContent-Length: 4");
        check(
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 9",
            "POST / HTTP/1.1\r\nContent-Length: 4",
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked",
        );
    }
}
