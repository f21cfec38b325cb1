//! Connections that stand still: writes that nobody takes in, and beginnings that do not come.
//!
//! [`Idle`] lies next to the socket, below TLS where there is TLS: only there each byte that goes out counts as
//! progress. Above TLS a write has succeeded once it is encrypted, and the flush behind it may last for as long
//! as a slow reader needs for 64 KiB. [`Opening`] lies above, where HTTP begins.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::unused::Usage;

/// What an HTTP/2 connection begins with; until it is there, or something else, nobody knows the
/// version, and so no timeout of a version runs.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose writes fail when they stand still for too long.
#[derive(Debug)]
pub(super) struct Idle<S> {
    stream: S,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// A connection whose reads fail while they have not told the version of HTTP in time: clients that say
/// nothing would hold their slots for ever.
#[derive(Debug)]
pub(super) struct Opening<S> {
    stream: S,
    unknown: Option<Unknown>,
    usage: Usage,
}

/// What is known of a connection whose version of HTTP is not.
#[derive(Debug)]
struct Unknown {
    /// How much of the preface has come.
    matched: usize,
    end: Pin<Box<Sleep>>,
}

impl<S> Idle<S> {
    /// Bounds how long a write may stand still; zero is for ever.
    pub(super) const fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() || self.limit.is_zero() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S> Opening<S> {
    /// Bounds how long the version of HTTP may stay unknown, and tells `usage` what is written.
    pub(super) fn new(stream: S, limit: Duration, usage: Usage) -> Self {
        let unknown = Some(Unknown { matched: 0, end: Box::pin(tokio::time::sleep(limit)) });
        Self { stream, unknown, usage }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            self.usage.wrote(count);
        }
        written
    }
}

impl Unknown {
    /// Takes in what was read, and says whether it is still open which version it is.
    fn goes_on(&mut self, read: &[u8]) -> bool {
        let expected = &PREFACE[self.matched..];
        self.matched += read.len();
        read.len() < expected.len() && expected.starts_with(read)
    }
}

// === impl Idle ===

impl<S: AsyncRead + Unpin> AsyncRead for Idle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Idle<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

// === impl Opening ===

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let begin = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(unknown) = &mut this.unknown else { return read };
        match read {
            Poll::Pending => unknown.end.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(Ok(())) if unknown.goes_on(&buf.filled()[begin..]) => read,
            Poll::Ready(_) => {
                this.unknown = None;
                read
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
