//! Goal: a connection without a request under way ends in time, whatever the client does, and no other one does.
//! Method: both sides over pipes and a paused clock, so that each end comes at its second.

use std::convert::Infallible;

use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;

/// `http.limits.headerTimeout`, by default.
const LIMIT: Duration = Duration::from_secs(75);
/// `http.writeTimeout`, by default.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// Longer than anything here takes.
const FOR_EVER: Duration = Duration::from_secs(2000);
/// What a pipe holds, in bytes.
const PIPE: usize = 64 * 1024;

/// A connection to a router, from the side of the server.
struct Stand {
    begun: Instant,
    server: JoinHandle<()>,
    stop: watch::Sender<()>,
}

impl Stand {
    /// Returns it and the client's end.
    fn start(router: Router) -> (Self, DuplexStream) {
        let options = Options::default();
        assert_eq!((options.header_timeout, options.write_idle_timeout), (LIMIT, WRITE_LIMIT));
        Self::with(router, &options)
    }

    fn with(router: Router, options: &Options) -> (Self, DuplexStream) {
        let service = Service {
            protocol: protocol(options),
            router,
            header_timeout: options.header_timeout,
            write_idle_timeout: options.write_idle_timeout,
            unused: Limits::new(options),
        };
        let slot = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let address = SocketAddr::from(([192, 0, 2, 1], 4711));
        let counted = Connections::new(options).enter(address.ip()).unwrap();
        let open = Open { _slot: slot, _counted: counted };
        let (near, far) = duplex(PIPE);
        let (stop, stopped) = watch::channel(());
        let peer = Peer::new(address, Channel::Plain);
        let server = tokio::spawn(service.talk(near, peer, stopped, open));
        (Self { begun: Instant::now(), server, stop }, far)
    }

    /// Waits until the server has ended the connection, and says after how many seconds.
    async fn ended(self) -> u64 {
        timeout(FOR_EVER, self.server).await.expect("the connection ends").unwrap();
        self.begun.elapsed().as_secs()
    }
}

type Sender = hyper::client::conn::http2::SendRequest<axum::body::Body>;

/// Speaks HTTP/2 at the client's end, which answers pings and goes when it is told to.
async fn speak(pipe: DuplexStream) -> Sender {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(pipe)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get() -> Request<Body> {
    Request::get("http://registry/").body(Body::empty()).unwrap()
}

/// Answers whatever is asked at once.
fn prompt() -> Router {
    Router::new().fallback(async || "well\n")
}

#[tokio::test(start_paused = true)]
async fn p6_an_unused_http2_connection_ends_in_time() {
    let (stand, pipe) = Stand::start(prompt());
    let _sender = speak(pipe).await;
    assert_eq!(stand.ended().await, 75, "without any request");

    let (stand, pipe) = Stand::start(prompt());
    let mut sender = speak(pipe).await;
    for _ in 0..5 {
        sleep(Duration::from_secs(50)).await;
        let answer = sender.send_request(get()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "well\n");
    }
    assert_eq!(stand.ended().await, 250 + 75, "after the last");
}

/// Of HTTP/1.1 hyper takes care by itself; of both it is the same time.
#[tokio::test(start_paused = true)]
async fn p6_an_unused_http1_connection_ends_in_time() {
    let (stand, mut pipe) = Stand::start(prompt());
    for _ in 0..5 {
        sleep(Duration::from_secs(50)).await;
        pipe.write_all(b"GET / HTTP/1.1\r\nhost: registry\r\n\r\n").await.unwrap();
        let mut came = Vec::new();
        while !came.ends_with(b"well\n") {
            came.push(pipe.read_u8().await.unwrap());
        }
    }
    assert_eq!(stand.ended().await, 250 + 75);
}

/// A client without a library, which answers the pings that ask whether it is there, and not the one that asks
/// whether it has heard that it is to go.
#[tokio::test(start_paused = true)]
async fn p6_who_does_not_go_is_cut() {
    /// What the server's library asks the latter with.
    const GOES: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];
    const PING: u8 = 6;
    const GO_AWAY: u8 = 7;
    let (stand, mut pipe) = Stand::start(prompt());
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    pipe.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    pipe.write_all(&settings).await.unwrap();
    let mut told_at = None;
    let mut pings = 0;
    loop {
        let mut head = [0; 9];
        let read = timeout(FOR_EVER, pipe.read_exact(&mut head)).await.expect("the connection ends");
        if stand.begun.elapsed() > FOR_EVER || read.is_err() {
            break;
        }
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        pipe.read_exact(&mut payload).await.unwrap();
        match head[3] {
            GO_AWAY => told_at = told_at.or(Some(stand.begun.elapsed().as_secs())),
            PING if head[4] == 0 && payload != GOES => {
                pings += 1;
                let answer = [&[0, 0, 8, PING, 1, 0, 0, 0, 0][..], &payload].concat();
                pipe.write_all(&answer).await.unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(told_at, Some(75));
    assert!(pings > 0, "it was asked whether it is there");
    // The library's own pings, which wait behind that one, may have cut it before.
    assert!(stand.ended().await <= 150);
}

/// What a stream sends comes when somebody says so.
fn slow_body() -> (mpsc::Sender<Bytes>, Body) {
    let (send, receive) = mpsc::channel(1);
    let stream = futures_util::stream::unfold(receive, async |mut receive: mpsc::Receiver<Bytes>| {
        let bytes = receive.recv().await?;
        Some((Ok::<_, Infallible>(bytes), receive))
    });
    (send, Body::from_stream(stream.boxed()))
}

#[tokio::test(start_paused = true)]
async fn p6_a_long_pull_and_a_long_push_are_not_cut() {
    // A pull that comes slowly from an upstream.
    let (bytes, body) = slow_body();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let router = Router::new().fallback(move || {
        let body = body.lock().unwrap().take().unwrap();
        async { Response::new(body) }
    });
    let (stand, pipe) = Stand::start(router);
    let mut sender = speak(pipe).await;
    let answer = sender.send_request(get()).await.unwrap();
    let send = tokio::spawn(async move {
        for _ in 0..5 {
            sleep(Duration::from_secs(100)).await;
            bytes.send(Bytes::from_static(b"layer ")).await.unwrap();
        }
    });
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "layer ".repeat(5));
    send.await.unwrap();
    assert_eq!(stand.ended().await, 500 + 75);

    // A push of which something comes every now and then.
    let router = Router::new().fallback(async |body: Body| match body.collect().await {
        Ok(all) => all.to_bytes().len().to_string(),
        Err(error) => error.to_string(),
    });
    let (stand, pipe) = Stand::start(router);
    let (bytes, body) = slow_body();
    let push = Request::builder().method(Method::PUT).uri("http://registry/").body(body).unwrap();
    let mut sender = speak(pipe).await;
    let answer = tokio::spawn(async move { (sender.send_request(push).await, sender) });
    for _ in 0..5 {
        sleep(Duration::from_secs(100)).await;
        bytes.send(Bytes::from_static(b"layer ")).await.unwrap();
    }
    drop(bytes);
    let (answer, _sender) = answer.await.unwrap();
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "30");
    assert_eq!(stand.ended().await, 500 + 75);
}

/// Sends a request over HTTP/2 by hand, and takes in of the answer 1,000 bytes at each pace, or nothing; returns how
/// many came, and what keeps the connection open.
async fn sip(pipe: DuplexStream, window: u32, pace: Option<Duration>) -> (usize, impl Sized) {
    let (sender, connection) =
        h2::client::Builder::new().initial_window_size(window).handshake::<_, Bytes>(pipe).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let request = Request::get("http://registry/").body(()).unwrap();
    let mut body = sender.send_request(request, true).unwrap().0.await.unwrap().into_body();
    let mut came = 0;
    while let Some(Ok(bytes)) = body.data().await {
        came += bytes.len();
        let mut left = bytes.len();
        while let Some(pace) = pace.filter(|_| left > 0) {
            sleep(pace).await;
            let taken = left.min(1000);
            // The answer may have ended meanwhile.
            let _ = body.flow_control().release_capacity(taken);
            left -= taken;
        }
    }
    (came, sender)
}

/// What the server has handed over of an answer, a slow reader has not got yet; one that takes nothing more gets no
/// more, be the answer ever so small.
#[tokio::test(start_paused = true)]
async fn p6_a_reader_is_cut_for_taking_nothing_and_not_for_being_slow() {
    const SENT: usize = 400_000;
    let pieces = || {
        let piece = Ok::<_, Infallible>(Bytes::from(vec![7; SENT / 10]));
        futures_util::stream::iter(std::iter::repeat_n(piece, 10))
    };
    let at_once = Router::new().fallback(async || vec![7; SENT]);
    let in_pieces = Router::new().fallback(async move || Body::from_stream(pieces()));
    // What comes at its pace is in use all the time: its client is not told to go.
    let (stand, pipe) = Stand::start(in_pieces.clone());
    let ((came, _open), ended) =
        tokio::join!(sip(pipe, 65_535, Some(Duration::from_millis(250))), stand.ended());
    assert_eq!(came, SENT);
    assert!(ended > 75 + 75, "it ended after {ended} s");
    for router in [at_once, in_pieces] {
        let (stand, pipe) = Stand::start(router.clone());
        let ((came, _open), ended) =
            tokio::join!(sip(pipe, 65_535, Some(Duration::from_secs(2))), stand.ended());
        assert_eq!(came, SENT, "it is whole");
        assert!(ended > 600, "it took {ended} s");

        let (stand, pipe) = Stand::start(router);
        let ((came, _open), ended) = tokio::join!(sip(pipe, 65_535, None), stand.ended());
        assert_eq!((came, ended), (65_535, 150), "what the client lets come, and no more");
    }
    // `http.writeTimeout` may be longer, or for ever.
    for (limit, expect) in [(60, Some(150)), (300, Some(600)), (0, None)] {
        let write_idle_timeout = Duration::from_secs(limit);
        let (stand, pipe) = Stand::with(prompt(), &Options { write_idle_timeout, ..Options::default() });
        let both = async {
            let ((came, _open), ended) = tokio::join!(sip(pipe, 0, None), stand.ended());
            (came, ended)
        };
        let ended = timeout(FOR_EVER / 2, both).await.ok();
        assert_eq!(ended, expect.map(|expect| (0, expect)), "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_what_is_unused_at_once_and_waits_for_the_rest() {
    let (stand, pipe) = Stand::start(prompt());
    let _sender = speak(pipe).await;
    stand.stop.send(()).unwrap();
    assert_eq!(stand.ended().await, 0);

    let router = Router::new().fallback(async || sleep(Duration::from_secs(200)).await);
    let (stand, pipe) = Stand::start(router);
    let mut sender = speak(pipe).await;
    let answer = tokio::spawn(async move { sender.send_request(get()).await });
    sleep(Duration::from_secs(1)).await;
    stand.stop.send(()).unwrap();
    assert!(!stand.stop.is_closed(), "it waits");
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
    let stop = stand.stop.clone();
    assert_eq!(stand.ended().await, 200);
    assert!(stop.is_closed(), "nobody is waited for");
}
