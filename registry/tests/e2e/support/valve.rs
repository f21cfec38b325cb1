//! A TCP pipe that counts what an upstream has sent, and holds it back at a mark.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How much is passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// A pipe in front of an upstream. Dropping it cuts its connections.
#[derive(Debug)]
pub(crate) struct Valve {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
    mark: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

impl Valve {
    /// Listens on a free port before `upstream`, and lets through what it is asked, and `mark` bytes of
    /// answers in all.
    pub(crate) async fn before(upstream: &str, mark: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sent, (mark, marks)) = (Arc::new(AtomicU64::new(0)), watch::channel(mark));
        let (upstream, count) = (upstream.to_owned(), Arc::clone(&sent));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut pipes = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // An upstream that is down refuses: the client's connection is closed.
                let Ok(server) = TcpStream::connect(&upstream).await else { continue };
                pipes.spawn(pass(client, server, Arc::clone(&count), marks.clone()));
            }
        });
        Self { address, sent, mark, _tasks: tasks }
    }

    /// Returns the url of the pipe.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many bytes of answers went through.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.mark.send_replace(u64::MAX);
    }
}

async fn pass(client: TcpStream, server: TcpStream, sent: Arc<AtomicU64>, marks: watch::Receiver<u64>) {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let requests = async {
        // Either side may leave at any time; the other one sees the end.
        let _ = copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    tokio::join!(requests, answers(from_server, to_client, sent, marks));
}

async fn answers(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    sent: Arc<AtomicU64>,
    mut marks: watch::Receiver<u64>,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(len) = from.read(&mut chunk).await {
        // Counted before it goes, so that nothing arrives uncounted; waits if it would pass the mark.
        let after = sent.fetch_add(len as u64, Ordering::SeqCst) + len as u64;
        if len == 0 || marks.wait_for(|mark| after <= *mark).await.is_err() {
            break;
        }
        if to.write_all(&chunk[..len]).await.is_err() {
            break;
        }
    }
    // The client may have left already.
    let _ = to.shutdown().await;
}
