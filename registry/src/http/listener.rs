//! Connections: HTTP/1.1 and clear-text HTTP/2, limits, idle timeouts, draining.
//!
//! Timeouts are on standing still, not on the whole: a large layer over a slow line is fine, a
//! client that takes nothing is not.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tower::ServiceExt;

use super::connections::{Connections, Counted};
use super::options::Options;
use super::peer::Peer;

/// How long to wait before accepting again when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;

/// Serves connections until `stop` is done, then lets requests under way end, for as long as the
/// options say.
///
/// Returns whether all ended in time.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: &Options,
    stop: impl Future<Output = ()>,
) -> bool {
    let builder = Arc::new(protocol(options));
    let slots = Arc::new(Semaphore::new(options.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let clients = Connections::new(options);
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &slots, &clients) => accepted,
        };
        let Some((stream, address, slot)) = accepted else { continue };
        let io = TokioIo::new(Idle::new(stream, options));
        let (router, peer) = (router.clone(), Peer::new(address));
        let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = builder.serve_connection_with_upgrades(io, service).into_owned();
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(error = error.as_ref() as &dyn std::error::Error, "a connection ended early");
            }
            metrics::gauge!("wharfinger_connections_open").decrement(1.0);
            drop(slot);
        });
    }
    drop(listener);
    tokio::time::timeout(options.drain_timeout, graceful.shutdown()).await.is_ok()
}

fn protocol(options: &Options) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(options.header_bytes_max.max(8192))
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(options.header_bytes_max).unwrap_or(u32::MAX))
        .adaptive_window(true)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(30));
    builder
}

/// Waits for a slot before a connection is taken, so that what is too much waits in the kernel.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    clients: &Connections,
) -> Option<(TcpStream, SocketAddr, (OwnedSemaphorePermit, Counted))> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            let Some(counted) = clients.enter(address.ip()) else {
                metrics::counter!("wharfinger_connections_refused_total").increment(1);
                return None;
            };
            metrics::gauge!("wharfinger_connections_open").increment(1.0);
            // Small answers must not wait for the acknowledgement of earlier ones.
            let _ = stream.set_nodelay(true);
            Some((stream, address, (slot, counted)))
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Binds the address of the options.
///
/// *Errors:* those of the system; a port in use is [`io::ErrorKind::AddrInUse`].
pub async fn bind(options: &Options) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((options.address.as_str(), options.port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What an HTTP/2 connection begins with; until it is there, or something else, nobody knows the
/// version, and so no timeout of a version runs.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose writes fail when they stand still for too long, and its reads while they
/// have not told the version of HTTP: clients that say nothing would hold their slots for ever.
struct Idle {
    stream: TcpStream,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    opening: Option<Opening>,
}

/// A connection whose version of HTTP is not known.
struct Opening {
    /// How much of the preface has come.
    matched: usize,
    end: Pin<Box<Sleep>>,
}

impl Opening {
    /// Takes in what was read, and says whether it is still open which version it is.
    fn goes_on(&mut self, read: &[u8]) -> bool {
        let expected = &PREFACE[self.matched..];
        self.matched += read.len();
        read.len() < expected.len() && expected.starts_with(read)
    }
}

impl Idle {
    fn new(stream: TcpStream, options: &Options) -> Self {
        let end = Box::pin(tokio::time::sleep(options.header_timeout));
        let opening = Some(Opening { matched: 0, end });
        Self { stream, limit: options.write_idle_timeout, waiting: None, opening }
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

impl AsyncRead for Idle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let begin = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(opening) = &mut this.opening else { return read };
        match read {
            Poll::Pending => opening.end.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(Ok(())) if opening.goes_on(&buf.filled()[begin..]) => read,
            Poll::Ready(_) => {
                this.opening = None;
                read
            }
        }
    }
}

impl AsyncWrite for Idle {
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
