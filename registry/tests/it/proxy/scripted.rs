//! An origin that says what a test wants, byte for byte, and keeps what it was told.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What the origin does next. After the last step it closes the connection.
#[derive(Clone)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits until the gate opens.
    Wait(Gate),
}

/// A gate that is shut until it is opened, once.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn shut() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn open(&self) {
        self.0.close();
    }

    async fn passed(&self) {
        // The only way past a semaphore without permits is that it was closed.
        let _ = self.0.acquire().await;
    }
}

/// A listening origin, until it is dropped.
pub(crate) struct Scripted {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    served: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Scripted {
    /// Answers each request as `script` says of its request line, one request to a connection.
    pub(crate) async fn start(script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let served: Arc<AtomicUsize> = Arc::default();
        let (kept, count, script) = (Arc::clone(&heads), Arc::clone(&served), Arc::new(script));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, count, script) = (Arc::clone(&kept), Arc::clone(&count), Arc::clone(&script));
                connections.spawn(async move {
                    if converse(stream, script.as_ref(), &kept).await.is_ok() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { url, heads, served, _task: task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Returns how many requests were answered to the end.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Returns how many requests so far were GETs of a blob.
    pub(crate) fn blob_gets(&self) -> usize {
        self.heads().iter().filter(|head| head.starts_with("GET") && head.contains("/blobs/")).count()
    }
}

/// Answers one request; an error says that the client has left.
async fn converse(
    mut stream: TcpStream,
    script: &(dyn Fn(&str) -> Vec<Step> + Send + Sync),
    heads: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let steps = script(head.lines().next().unwrap_or_default());
    heads.lock().unwrap().push(head);
    for step in steps {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Wait(gate) => gate.passed().await,
        }
    }
    Ok(())
}

/// Makes a response of these headers and this body, as they are.
pub(crate) fn response(headers: &str, body: &[u8]) -> Vec<Step> {
    vec![Step::Send([format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), body].concat())]
}

/// Makes a response whose body stops after `first` bytes until the gate opens.
pub(crate) fn gated(body: &[u8], first: usize, gate: &Gate) -> Vec<Step> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let begin = [head.as_bytes(), &body[..first]].concat();
    vec![Step::Send(begin), Step::Wait(gate.clone()), Step::Send(body[first..].to_vec())]
}
