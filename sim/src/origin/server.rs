//! Listening: HTTP/1.1 in clear text, one task per connection, with the fault pipe before each.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::Either;
use http::Request;
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{lie::Wire, loose::Loose, payload::Payload, registry::Origin};
use crate::fault::pipe::{self, Script, Scripts};

/// The most connections at once; further ones are closed unread.
const CONNECTIONS_MAX: usize = 4096;
/// Room between the service and the pipe. Small, so that a stalled pipe soon stalls the service.
const PIPE_BYTES: usize = 64 * 1024;
const BACKLOG: u32 = 1024;
/// How long, and how often, a port that is not free yet is asked for again.
const REBIND_PAUSE: Duration = Duration::from_millis(10);
const REBINDS_MAX: u32 = 500;

/// Says why an origin cannot listen.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address does not name anything.
    #[error("cannot resolve the address to listen on")]
    Resolve(#[source] io::Error),
    /// The address cannot be bound.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// An origin that listens. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    origin: Origin,
    door: watch::Receiver<Door>,
    task: JoinHandle<()>,
}

/// Whether connections are accepted at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Shut,
}

impl Origin {
    /// Listens on `addr`; port 0 takes a free one.
    ///
    /// *Errors*: [`ServeError::Resolve`], [`ServeError::Bind`].
    pub async fn serve(&self, addr: impl ToSocketAddrs) -> Result<Running, ServeError> {
        let mut addrs = lookup_host(addr).await.map_err(ServeError::Resolve)?;
        let addr = addrs.next().ok_or_else(|| ServeError::Resolve(io::ErrorKind::NotFound.into()))?;
        let bound = |source| ServeError::Bind { addr, source };
        let listener = reserve(addr).and_then(|socket| socket.listen(BACKLOG)).map_err(bound)?;
        let addr = listener.local_addr().map_err(bound)?;
        let (shown, door) = watch::channel(Door::Open);
        let task = tokio::spawn(accept(self.clone(), addr, listener, shown));
        Ok(Running { addr, origin: self.clone(), door, task })
    }
}

impl Running {
    /// Returns the bound address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns `http://` and the bound address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the origin that is served.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Closes the listener and every connection. When this returns, the port is free.
    pub async fn close(mut self) {
        self.task.abort();
        // The only error is the cancellation that was just asked for.
        let _ = (&mut self.task).await;
    }

    /// Refuses connections and cuts the open ones, until [`Running::start`]. Returns when that is so.
    /// Every listener of the same origin does so.
    pub async fn stop(&self) {
        self.origin.faults().refuse();
        self.settle().await;
    }

    /// Accepts connections again after [`Running::stop`]. Returns when that is so.
    pub async fn start(&self) {
        self.origin.faults().accept();
        self.settle().await;
    }

    /// Waits until an installed or removed [`crate::fault::Fault::Refuse`] is in effect.
    pub async fn settle(&self) {
        let wanted = if *self.origin.faults().refusals().borrow() > 0 { Door::Shut } else { Door::Open };
        // An error means that the accepting task is gone, which cannot change any more.
        let _ = self.door.clone().wait_for(|door| *door == wanted).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections while nothing asks to refuse them. Dropping the task closes all of them.
async fn accept(origin: Origin, addr: SocketAddr, listener: TcpListener, shown: watch::Sender<Door>) {
    let mut refusals = origin.faults().refusals();
    let mut listener = listener;
    let mut connections = JoinSet::new();
    loop {
        if *refusals.borrow_and_update() > 0 {
            drop(listener);
            // A bound socket that does not listen refuses connections, and keeps the port from others.
            let reserved = reserve_again(addr).await;
            connections.shutdown().await;
            shown.send_replace(Door::Shut);
            if refusals.wait_for(|count| *count == 0).await.is_err() {
                return;
            }
            let Some(reopened) = reserved.and_then(|socket| socket.listen(BACKLOG).ok()) else { return };
            listener = reopened;
            shown.send_replace(Door::Open);
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(converse(origin.clone(), stream));
                }
                Ok(_) => {}
                // Out of file descriptors, most likely: give the open connections time to end.
                Err(_) => tokio::time::sleep(REBIND_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            _ = refusals.changed() => {}
        }
    }
}

fn reserve(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

async fn reserve_again(addr: SocketAddr) -> Option<TcpSocket> {
    for _ in 0..REBINDS_MAX {
        if let Ok(socket) = reserve(addr) {
            return Some(socket);
        }
        tokio::time::sleep(REBIND_PAUSE).await;
    }
    None
}

async fn converse(origin: Origin, client: TcpStream) {
    if origin.is_unsized() {
        return converse_in_chunks(origin, client).await;
    }
    let scripts = Arc::new(Scripts::default());
    let (service_end, pipe_end) = tokio::io::duplex(PIPE_BYTES);
    let service = {
        let scripts = Arc::clone(&scripts);
        let origin = origin.clone();
        service_fn(move |request| answer(origin.clone(), Arc::clone(&scripts), request))
    };
    let protocol = {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new());
        builder
    };
    let connection = if origin.is_careless_of(Wire::Lengths) {
        Either::Left(protocol.serve_connection(TokioIo::new(Loose::new(service_end)), service))
    } else {
        Either::Right(protocol.serve_connection(TokioIo::new(service_end), service))
    };
    let serve = async move {
        // An error here is the client's leaving or a malformed request, which hyper has answered.
        let _ = connection.await;
        // The pipe decides when the conversation is over: it may still hold bytes to be sent slowly.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = pipe::run(client, pipe_end, &scripts) => {}
        () = serve => {}
    }
}

async fn answer(
    origin: Origin,
    scripts: Arc<Scripts>,
    request: Request<Incoming>,
) -> Result<http::Response<Payload>, Infallible> {
    let is_head = request.method() == http::Method::HEAD;
    let (exchange, hits) = origin.begin(&request);
    let response = origin.respond(request, &hits).await;
    exchange.answered(response.status().as_u16());
    scripts.push(Script { exchange, is_head, hits });
    Ok(response.map(|body| Payload::Sized(Full::new(body))))
}

/// Serves a connection without the pipe, which follows lengths: an origin that tells none suffers faults of
/// the head only, and its journal counts no bytes.
async fn converse_in_chunks(origin: Origin, client: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let origin = origin.clone();
        async move {
            let is_get = request.method() == http::Method::GET;
            let (exchange, hits) = origin.begin(&request);
            let response = origin.respond(request, &hits).await;
            exchange.answered(response.status().as_u16());
            // HEAD must tell the length, and nothing else has content.
            let payload = if is_get { Payload::Unsized } else { Payload::Sized };
            Ok::<_, Infallible>(response.map(|body| payload(Full::new(body))))
        }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(client), service);
    // An error here is the client's leaving or a malformed request, which hyper has answered.
    let _ = connection.await;
}
