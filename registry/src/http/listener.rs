//! Connections: HTTP/1.1 and HTTP/2, with TLS and without, limits, draining.
//!
//! Timeouts are on standing still, not on the whole: a large layer over a slow line is fine, a
//! client that takes nothing is not (`idle`), and nor is one that asks for nothing (`unused`).

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::{FutureExt as _, TryFutureExt as _};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt;

use super::connections::{Connections, Counted};
use super::idle::{Idle, Opening};
use super::options::Options;
use super::peer::{Channel, Peer};
use super::tls::{Greeted, Tls};
use super::unused::{Bounded, Limits, Usage};
use crate::telemetry::WithCauses;

/// How long to wait before accepting again when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;

/// What connections share.
struct Service {
    protocol: auto::Builder<TokioExecutor>,
    router: Router,
    header_timeout: Duration,
    write_idle_timeout: Duration,
    unused: Limits,
}

/// What an open connection takes.
struct Open {
    _slot: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Serves connections without TLS until `stop` is done, then lets requests under way end, for as long as the
/// options say.
///
/// Returns whether all ended in time.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: &Options,
    stop: impl Future<Output = ()>,
) -> bool {
    serve_with(listener, router, options, None, stop).await
}

/// Serves connections as [`serve`] does, and with TLS if there is any.
///
/// A handshake under way when `stop` is done is broken off: no request has come with it.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    options: &Options,
    tls: Option<Arc<Tls>>,
    stop: impl Future<Output = ()>,
) -> bool {
    let service = Arc::new(Service {
        protocol: protocol(options),
        router,
        header_timeout: options.header_timeout,
        write_idle_timeout: options.write_idle_timeout,
        unused: Limits::new(options),
    });
    let slots = Arc::new(Semaphore::new(options.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let clients = Connections::new(options);
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &slots, &clients) => accepted,
        };
        let Some((stream, address, open)) = accepted else { continue };
        let mut stopped = stopped.clone();
        let Some(tls) = &tls else {
            let stream = Idle::new(stream, service.write_idle_timeout);
            tokio::spawn(service.talk(stream, Peer::new(address, Channel::Plain), stopped, open));
            continue;
        };
        let (service, tls) = (Arc::clone(&service), Arc::clone(tls));
        tokio::spawn(async move {
            let greeted = tokio::select! {
                biased;
                _ = stopped.changed() => None,
                greeted = tls.greet(stream, service.write_idle_timeout) => greeted,
            };
            if let Some(Greeted { stream, certificate, version }) = greeted {
                // A task of its own: what a handshake takes is not kept for as long as the connection lasts.
                tokio::spawn(service.talk(
                    stream,
                    Peer::new(address, Channel::Tls { certificate, version }),
                    stopped,
                    open,
                ));
            }
        });
    }
    drop((listener, stopped));
    // It fails when nobody is left to hear it.
    let _ = stopping.send(());
    tokio::time::timeout(options.drain_timeout, stopping.closed()).await.is_ok()
}

impl Service {
    /// Speaks HTTP until the client has gone.
    ///
    /// `stopped` is held until then. It is made of combinators, since an async block would hold the connection twice,
    /// and there are many.
    fn talk<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
        peer: Peer,
        stopped: watch::Receiver<()>,
        open: Open,
    ) -> impl Future<Output = ()> + Send + use<S> {
        let usage = Usage::new();
        let io = TokioIo::new(Opening::new(stream, self.header_timeout, usage.clone()));
        let (router, using) = (self.router.clone(), usage.clone());
        let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
            let under_way = using.begin();
            request.extensions_mut().insert(peer.clone());
            let answered = router.clone().oneshot(request.map(Body::new));
            answered.map_ok(|response| response.map(|body| under_way.sending(body)))
        });
        let connection = self.protocol.serve_connection_with_upgrades(io, service).into_owned();
        let mut told = stopped.clone();
        let stop = async move { told.changed().map(drop).await };
        Bounded::new(connection, usage, self.unused, stop).map(move |ended| {
            if let Err(error) = ended {
                tracing::debug!(error = %WithCauses(error.as_ref()), "a connection ended early");
            }
            drop((open, stopped));
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("wharfinger_connections_open").decrement(1.0);
    }
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
) -> Option<(TcpStream, SocketAddr, Open)> {
    let _slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            let Some(_counted) = clients.enter(address.ip()) else {
                metrics::counter!("wharfinger_connections_refused_total").increment(1);
                return None;
            };
            metrics::gauge!("wharfinger_connections_open").increment(1.0);
            // Small answers must not wait for the acknowledgement of earlier ones.
            let _ = stream.set_nodelay(true);
            Some((stream, address, Open { _slot, _counted }))
        }
        Err(error) => {
            tracing::warn!(error = %WithCauses(&error), "a connection could not be accepted");
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

#[cfg(test)]
mod tests;
