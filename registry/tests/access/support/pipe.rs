//! A pipe before a server: it passes bytes, and delays, stalls, counts or keeps them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A running pipe. Dropping it cuts its connections.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _task: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    /// How long the first answer of a connection is held back.
    delay: Duration,
    open: AtomicUsize,
    open_max: AtomicUsize,
    opened: AtomicUsize,
    /// What clients sent.
    sent: Mutex<Vec<u8>>,
}

/// Counts a connection while it is open.
struct Open(Arc<State>);

impl Pipe {
    /// Listens on a free port, and passes everything at once.
    pub(crate) async fn before(port: u16) -> Self {
        Self::delaying(port, Duration::ZERO).await
    }

    /// Listens on a free port, and holds the first answer of every connection back for a while.
    pub(crate) async fn delaying(port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { delay, ..State::default() });
        let (mut task, shared) = (JoinSet::new(), Arc::clone(&state));
        task.spawn(async move {
            let mut pipes = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                pipes.spawn(pass(client, port, Open::count(&shared)));
            }
        });
        Self { address, state, _task: task }
    }

    /// Returns how many connections were open at once, at most.
    pub(crate) fn open_max(&self) -> usize {
        self.state.open_max.load(Ordering::SeqCst)
    }

    /// Returns how many connections there have been.
    pub(crate) fn opened(&self) -> usize {
        self.state.opened.load(Ordering::SeqCst)
    }

    /// Returns what clients sent.
    pub(crate) fn sent(&self) -> Vec<u8> {
        self.state.sent.lock().unwrap().clone()
    }
}

impl Open {
    fn count(state: &Arc<State>) -> Self {
        state.opened.fetch_add(1, Ordering::SeqCst);
        let open = state.open.fetch_add(1, Ordering::SeqCst) + 1;
        state.open_max.fetch_max(open, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Passes bytes until either side ends.
async fn pass(client: TcpStream, port: u16, open: Open) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let mut buffer = vec![0; 4096];
        while let Ok(len @ 1..) = from_client.read(&mut buffer).await {
            open.0.sent.lock().unwrap().extend_from_slice(&buffer[..len]);
            if to_server.write_all(&buffer[..len]).await.is_err() {
                break;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 4096];
        if let Ok(len @ 1..) = from_server.read(&mut buffer).await {
            tokio::time::sleep(open.0.delay).await;
            if to_client.write_all(&buffer[..len]).await.is_ok() {
                // Either side may leave at any time.
                let _ = copy(&mut from_server, &mut to_client).await;
            }
        }
    };
    tokio::select! { () = there => {}, () = back => {} }
}

/// A pipe whose connections can be made to stall: what has been open then passes nothing any more, and says
/// nothing of it, as after a firewall has forgotten it; what is opened later passes everything.
#[derive(Debug)]
pub(crate) struct Forgetful {
    pub(crate) address: SocketAddr,
    edition: Arc<Mutex<Arc<AtomicBool>>>,
    _task: JoinSet<()>,
}

impl Forgetful {
    /// Listens on a free port.
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let edition = Arc::<Mutex<Arc<AtomicBool>>>::default();
        let (mut task, shared) = (JoinSet::new(), Arc::clone(&edition));
        task.spawn(async move {
            let mut pipes = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let stalled = Arc::clone(&shared.lock().unwrap());
                pipes.spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass_unless(&stalled, from_client, to_server) => {}
                        () = pass_unless(&stalled, from_server, to_client) => {}
                    }
                });
            }
        });
        Self { address, edition, _task: task }
    }

    /// Forgets every connection that is open.
    pub(crate) fn forget(&self) {
        std::mem::take(&mut *self.edition.lock().unwrap()).store(true, Ordering::SeqCst);
    }
}

async fn pass_unless(
    stalled: &AtomicBool,
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if !stalled.load(Ordering::SeqCst) && to.write_all(&buffer[..len]).await.is_err() {
            break;
        }
    }
}
