//! Reading content in chunks, one ahead.
//!
//! A chunk that is in the page cache is read on the spot; any other by the blocking pool while
//! the chunk before it is being sent. So one reader holds at most two chunks, and a thread only
//! while it reads.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream};

use super::Error;

/// Bytes that can be read at any offset.
pub trait ReadAt: fmt::Debug + Send + Sync + 'static {
    /// Reads up to `len` bytes at an offset; fewer only at the end.
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, Error>>;

    /// Returns the bytes from `start` up to, not including, `end` as one stream, where that costs less than
    /// reading chunks.
    fn stream(&self, _start: u64, _end: u64) -> Option<BoxStream<'static, Result<Bytes, Error>>> {
        None
    }

    /// Returns a url that anybody can read it by for a while, where there is one.
    fn link(&self, _valid_for: Duration) -> BoxFuture<'static, Result<Option<String>, Error>> {
        std::future::ready(Ok(None)).boxed()
    }
}

/// Content that was opened.
#[derive(Debug, Clone)]
pub struct Content {
    size: u64,
    source: Arc<dyn ReadAt>,
}

/// One chunk, in bytes, when few read.
const CHUNK_BYTES: usize = 256 * 1024;
/// One chunk, in bytes, when many read at once: 1,000 readers then hold at most 128 MiB.
const CHUNK_BYTES_CROWDED: usize = 64 * 1024;
/// How many readers are many.
const CROWD: usize = 64;

static READERS: AtomicUsize = AtomicUsize::new(0);

impl Content {
    /// Makes content of a source that has `size` bytes.
    pub fn new(size: u64, source: Arc<dyn ReadAt>) -> Self {
        Self { size, source }
    }

    /// Returns the size, in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns what it is read from.
    pub fn source(&self) -> Arc<dyn ReadAt> {
        Arc::clone(&self.source)
    }

    /// Reads the whole of small content.
    ///
    /// *Errors:* those of the backend; content that is shorter than its size is returned short.
    pub async fn bytes(&self) -> Result<Bytes, Error> {
        self.source.read_at(0, usize::try_from(self.size).unwrap_or(usize::MAX)).await
    }

    /// Returns the bytes from `start` up to, not including, `end`.
    ///
    /// *Errors:* an item of the stream; a file that was cut short ends the stream early, so who
    /// sends it counts the bytes.
    pub fn stream(&self, start: u64, end: u64) -> ContentStream {
        READERS.fetch_add(1, Ordering::Relaxed);
        let end = end.min(self.size);
        let whole = self.source.stream(start, end);
        ContentStream { source: Arc::clone(&self.source), at: start, end, ahead: None, whole }
    }

    /// Returns a url that anybody can read it by for a while, where there is one.
    pub async fn link(&self, valid_for: Duration) -> Result<Option<String>, Error> {
        self.source.link(valid_for).await
    }
}

/// A stream of chunks.
pub struct ContentStream {
    source: Arc<dyn ReadAt>,
    /// The offset after the chunk that is being read ahead.
    at: u64,
    end: u64,
    ahead: Option<BoxFuture<'static, Result<Bytes, Error>>>,
    /// The source's own stream, if it has one.
    whole: Option<BoxStream<'static, Result<Bytes, Error>>>,
}

impl ContentStream {
    fn read_ahead(&mut self) {
        let chunk = if READERS.load(Ordering::Relaxed) > CROWD { CHUNK_BYTES_CROWDED } else { CHUNK_BYTES };
        let len = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(chunk);
        if len > 0 {
            self.ahead = Some(self.source.read_at(self.at, len));
            self.at += len as u64;
        }
    }
}

impl Stream for ContentStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(whole) = &mut self.whole {
            return whole.as_mut().poll_next(cx);
        }
        if self.ahead.is_none() {
            self.read_ahead();
        }
        let Some(ahead) = &mut self.ahead else { return Poll::Ready(None) };
        let chunk = std::task::ready!(ahead.poll_unpin(cx));
        self.ahead = None;
        match chunk {
            Ok(bytes) if bytes.is_empty() => {
                self.at = self.end;
                Poll::Ready(None)
            }
            Ok(bytes) => {
                self.read_ahead();
                Poll::Ready(Some(Ok(bytes)))
            }
            Err(error) => {
                self.at = self.end;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl Drop for ContentStream {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for ContentStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentStream({}..{})", self.at, self.end)
    }
}
