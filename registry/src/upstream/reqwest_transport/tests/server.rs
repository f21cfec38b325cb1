//! A server that follows a script, one for each connection, and knows nothing of HTTP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// What a server does next on a connection. After the last step it closes the connection (FIN).
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Reads a request's head.
    Read,
    /// Reads what there is, whatever it is.
    ReadAnything,
    /// Sends these bytes.
    Write(Vec<u8>),
    /// Waits until the client has bytes of the body.
    Seen,
    /// Waits.
    Pause(Duration),
    /// Closes the connection with RST.
    Reset,
    /// Keeps the connection open, silently.
    Hold,
}

/// Makes the step that sends a text.
pub(super) fn write(text: &str) -> Step {
    Step::Write(text.as_bytes().to_vec())
}

/// A server on a free port. Dropping it closes everything.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// To be told when the client has bytes of a body.
    pub(super) seen: Arc<Notify>,
    requests: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Server {
    /// Follows the scripts, one for each connection in turn, and then refuses connections.
    pub(super) async fn start(scripts: Vec<Vec<Step>>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, requests) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (gate, counter) = (Arc::clone(&seen), Arc::clone(&requests));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut listener = Some(listener);
            let mut connections = JoinSet::new();
            let mut scripts = VecDeque::from(scripts);
            while let Some(script) = scripts.pop_front() {
                let Some(open) = &listener else { break };
                let (stream, _) = open.accept().await.unwrap();
                // What waits for an acknowledgement looks like silence, and lets a paused clock jump.
                stream.set_nodelay(true).unwrap();
                if scripts.is_empty() {
                    listener = None;
                }
                let (gate, counter, tls) = (Arc::clone(&gate), Arc::clone(&counter), tls.clone());
                connections.spawn(async move { converse(stream, script, tls, &gate, &counter).await });
            }
            connections.join_all().await;
        });
        Self { address, seen, requests, _task: task }
    }

    /// Returns how many requests have come over the wire.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn converse(
    stream: TcpStream,
    script: Vec<Step>,
    tls: Option<Arc<ServerConfig>>,
    seen: &Notify,
    requests: &AtomicUsize,
) {
    match tls {
        None => {
            let mut stream = stream;
            if follow(&mut stream, script, seen, requests).await == End::Reset {
                // With a linger time of zero, closing sends RST instead of FIN.
                stream.set_zero_linger().unwrap();
            }
        }
        // A client that does not trust this server leaves in the middle of the handshake.
        Some(config) => {
            if let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await {
                follow(&mut stream, script, seen, requests).await;
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

async fn follow<S>(stream: &mut S, script: Vec<Step>, seen: &Notify, requests: &AtomicUsize) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for step in script {
        match step {
            Step::Read => {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return End::Close,
                    }
                }
                requests.fetch_add(1, Ordering::Relaxed);
            }
            Step::ReadAnything => drop(stream.read(&mut vec![0; 16 * 1024]).await),
            // A client that has left is no failure of the server's.
            Step::Write(bytes) => drop(stream.write_all(&bytes).await),
            Step::Seen => seen.notified().await,
            Step::Pause(pause) => tokio::time::sleep(pause).await,
            Step::Reset => return End::Reset,
            Step::Hold => std::future::pending().await,
        }
        let _ = stream.flush().await;
    }
    End::Close
}
