//! Goal: what an HTTP/2 upstream does to a stream, or to a connection with all its streams, is sorted as the
//! retry rules need it, and costs one request.
//! Method: a real HTTP/2 server over TLS that resets streams and says goodbye, before the head and in the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::server::{Connection, SendResponse};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::tls::{Authority, FAR};
use super::*;

/// What the server does with every request.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Resets its stream.
    Reset(Reason),
    /// Sends a head and half of the body, and resets the stream when the client has it.
    ResetLater(Reason),
    /// Gives up the connection.
    GoAway(Reason),
    /// Sends a head and half of the body, and gives up the connection when the client has it.
    GoAwayLater(Reason),
    /// Answers.
    Whole,
}

struct Http2 {
    address: SocketAddr,
    /// To be told when the client has bytes of a body.
    seen: Arc<Notify>,
    requests: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

fn speaking_http2(authority: &Authority) -> Arc<ServerConfig> {
    let mut config = (*authority.server("127.0.0.1", FAR)).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

impl Http2 {
    async fn start(authority: &Authority, act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(speaking_http2(authority));
        let (seen, requests) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (gate, counter) = (Arc::clone(&seen), Arc::clone(&requests));
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A frame that waits for an acknowledgement looks like silence, and lets the clock jump.
                stream.set_nodelay(true).unwrap();
                let stream = acceptor.accept(stream).await.unwrap();
                serve(h2::server::handshake(stream).await.unwrap(), act, &gate, &counter).await;
            }
        });
        Self { address, seen, requests, _task: task }
    }
}

async fn serve(
    mut connection: Connection<TlsStream<TcpStream>, Bytes>,
    act: Act,
    seen: &Notify,
    requests: &AtomicUsize,
) {
    // The connection moves only while it is asked for requests.
    let mut waiting = Vec::new();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = seen.notified(), if !waiting.is_empty() => {
                for mut stream in waiting.drain(..) {
                    later(act, &mut stream, &mut connection);
                }
                continue;
            }
        };
        let Some(Ok((_, mut respond))) = accepted else { return };
        requests.fetch_add(1, Ordering::Relaxed);
        match act {
            Act::Reset(reason) => respond.send_reset(reason),
            Act::GoAway(reason) => connection.abrupt_shutdown(reason),
            Act::Whole => begin(&mut respond).send_data(Bytes::from_static(b"56789"), true).unwrap(),
            Act::ResetLater(_) | Act::GoAwayLater(_) => waiting.push(begin(&mut respond)),
        }
    }
}

/// Sends a head and half of the body.
fn begin(respond: &mut SendResponse<Bytes>) -> h2::SendStream<Bytes> {
    let head = http::Response::builder().header("content-length", 10).body(()).unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    stream.send_data(Bytes::from_static(b"01234"), false).unwrap();
    stream
}

fn later(
    act: Act,
    stream: &mut h2::SendStream<Bytes>,
    connection: &mut Connection<TlsStream<TcpStream>, Bytes>,
) {
    match act {
        Act::ResetLater(reason) => stream.send_reset(reason),
        Act::GoAwayLater(reason) => connection.abrupt_shutdown(reason),
        Act::Reset(_) | Act::GoAway(_) | Act::Whole => unreachable!("nothing is left to do"),
    }
}

/// Sends a GET, telling the server as soon as there are bytes of the body.
async fn ask(transport: &ReqwestTransport, server: &Http2) -> Outcome {
    let url = format!("https://{}/v2/", server.address);
    let mut response = match transport.send(get(url, Options::default().response_timeout)).await {
        Ok(response) => response,
        Err(fault) => return NoHead(fault),
    };
    let mut body = String::new();
    loop {
        match response.body.next().await {
            Some(Ok(bytes)) => body.push_str(std::str::from_utf8(&bytes).unwrap()),
            Some(Err(fault)) => return Cut(body.leak(), fault),
            None => return Whole(body.leak()),
        }
        server.seen.notify_one();
    }
}

#[tokio::test(start_paused = true)]
async fn streams_and_connections_that_the_server_gives_up() {
    let authority = Authority::new();
    for (act, expect) in [
        (Act::Whole, Whole("0123456789")),
        (Act::Reset(Reason::INTERNAL_ERROR), NoHead(Fault::Reset)),
        (Act::Reset(Reason::CANCEL), NoHead(Fault::Reset)),
        (Act::Reset(Reason::REFUSED_STREAM), NoHead(Fault::Reset)),
        (Act::Reset(Reason::ENHANCE_YOUR_CALM), NoHead(Fault::Reset)),
        (Act::Reset(Reason::PROTOCOL_ERROR), NoHead(Fault::Reset)),
        (Act::ResetLater(Reason::INTERNAL_ERROR), Cut("01234", Fault::Reset)),
        (Act::ResetLater(Reason::REFUSED_STREAM), Cut("01234", Fault::Reset)),
        (Act::ResetLater(Reason::CANCEL), Cut("01234", Fault::Reset)),
        (Act::GoAway(Reason::ENHANCE_YOUR_CALM), NoHead(Fault::Reset)),
        (Act::GoAway(Reason::INTERNAL_ERROR), NoHead(Fault::Reset)),
        (Act::GoAwayLater(Reason::INTERNAL_ERROR), Cut("01234", Fault::Reset)),
        (Act::GoAwayLater(Reason::ENHANCE_YOUR_CALM), Cut("01234", Fault::Reset)),
    ] {
        let server = Http2::start(&authority, act).await;
        let transport = ReqwestTransport::new(&authority.trusted()).unwrap();
        let outcome = ask(&transport, &server).await;
        assert_eq!(outcome, expect, "{act:?}");
        assert_eq!(server.requests.load(Ordering::Relaxed), 1, "{act:?}: no attempt of the client's own");
    }
}

/// What the other side breaks by itself is no reset that another attempt might be spared.
#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_the_protocol() {
    let authority = Authority::new();
    // A SETTINGS frame of five bytes, where each setting has six (RFC 9113 §6.5).
    let broken = vec![0, 0, 5, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5];
    let script = vec![Step::ReadAnything, Step::Write(broken), Step::Hold];
    let server = Server::start(vec![script], Some(speaking_http2(&authority))).await;
    let transport = ReqwestTransport::new(&authority.trusted()).unwrap();
    let url = format!("https://{}/v2/", server.address);
    assert_eq!(exchange(&transport, url, None).await, (NoHead(Fault::Protocol), NO_TIME));
}
