//! Goal: each way in which an exchange fails is sorted as the retry rules need it, exactly when it
//! should be, and without an attempt of the HTTP client's own; a change of that client that moves a
//! row shows here.
//!
//! Method: a table against servers that follow a script, in the same current-thread runtime, where a
//! paused clock is exact. A mock on another thread would answer after the clock has jumped.

mod http2;
mod server;
mod tls;

use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use self::server::{Server, Step, write};
use super::*;

/// What came of an exchange.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// No head came.
    NoHead(Fault),
    /// This much of a body came, then a fault.
    Cut(&'static str, Fault),
    /// This came, and the end was clean.
    Whole(&'static str),
}

use Outcome::{Cut, NoHead, Whole};

const NO_TIME: Duration = Duration::ZERO;

fn transport() -> ReqwestTransport {
    ReqwestTransport::new(&Options::default()).unwrap()
}

fn get(url: String, timeout: Duration) -> Request {
    Request::new(http::Method::GET, url, http::HeaderMap::new(), timeout)
}

/// Sends a GET; returns what came of it and the virtual time it took.
async fn exchange(transport: &ReqwestTransport, url: String, server: Option<&Server>) -> (Outcome, Duration) {
    let begun = Instant::now();
    let timeout = Options::default().response_timeout;
    let request = get(url, timeout);
    let mut response = match transport.send(request).await {
        Ok(response) => response,
        Err(fault) => return (NoHead(fault), begun.elapsed()),
    };
    let mut body = Vec::new();
    let end = loop {
        match response.body.next().await {
            Some(Ok(bytes)) => body.extend_from_slice(&bytes),
            Some(Err(fault)) => break Some(fault),
            None => break None,
        }
        if let Some(server) = server {
            server.seen.notify_one();
        }
    };
    let body: &'static str = String::from_utf8(body).unwrap().leak();
    (end.map_or(Whole(body), |fault| Cut(body, fault)), begun.elapsed())
}

/// Runs one script on a connection of its own, and holds the outcome, the virtual time and the
/// number of requests on the wire against what is expected.
async fn check(name: &str, script: Vec<Step>, expect: Outcome, took: Duration) {
    let reads = script.iter().filter(|step| matches!(step, Step::Read)).count();
    let server = Server::start(vec![script], None).await;
    let url = format!("http://{}/v2/", server.address);
    let outcome = exchange(&transport(), url, Some(&server)).await;
    assert_eq!((outcome, server.requests()), ((expect, took), reads), "{name}");
}

const HEAD_10: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
const HEAD_CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const HEAD_CLOSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

/// Reads the request, and answers with this.
fn answer(text: &str) -> Vec<Step> {
    vec![Step::Read, write(text)]
}

#[tokio::test(start_paused = true)]
async fn faults_before_the_head() {
    let connections = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx";
    for (name, script, fault) in [
        ("FIN at once", vec![], Fault::Incomplete),
        ("RST at once", vec![Step::Reset], Fault::Reset),
        ("FIN after the request", vec![Step::Read], Fault::Incomplete),
        ("RST after the request", vec![Step::Read, Step::Reset], Fault::Reset),
        ("FIN in the status line", answer("HTTP/1.1 20"), Fault::Incomplete),
        ("FIN in the headers", answer("HTTP/1.1 200 OK\r\ncontent-le"), Fault::Incomplete),
        ("another protocol", answer("220 mail.example ESMTP\r\n\r\n"), Fault::Protocol),
        ("noise", answer("\u{0}\u{1}\u{2}\r\n\r\n"), Fault::Protocol),
        ("two lengths", answer(connections), Fault::Protocol),
        ("no length", answer("HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n"), Fault::Protocol),
    ] {
        check(name, script, NoHead(fault), NO_TIME).await;
    }
    let endless = format!("HTTP/1.1 200 OK\r\nx-long: {}", "x".repeat(1 << 20));
    check("a head without end", answer(&endless), NoHead(Fault::Protocol), NO_TIME).await;
}

#[tokio::test(start_paused = true)]
async fn faults_in_the_body() {
    let after = |head: &str, steps: &[Step]| [answer(head), steps.to_vec()].concat();
    for (name, script, expect) in [
        ("whole", answer(&format!("{HEAD_10}0123456789")), Whole("0123456789")),
        ("short", answer(&format!("{HEAD_10}01234")), Cut("01234", Fault::Incomplete)),
        ("nothing", answer(HEAD_10), Cut("", Fault::Incomplete)),
        ("RST", after(&format!("{HEAD_10}01234"), &[Step::Seen, Step::Reset]), Cut("01234", Fault::Reset)),
        ("chunks", answer(&format!("{HEAD_CHUNKED}3\r\nabc\r\n0\r\n\r\n")), Whole("abc")),
        ("no last chunk", answer(&format!("{HEAD_CHUNKED}3\r\nabc\r\n")), Cut("abc", Fault::Incomplete)),
        ("a chunk cut", answer(&format!("{HEAD_CHUNKED}5\r\nabc")), Cut("abc", Fault::Incomplete)),
        (
            "a chunk without size",
            answer(&format!("{HEAD_CHUNKED}3\r\nabc\r\nxyz\r\n")),
            Cut("abc", Fault::Protocol),
        ),
        // From here on, wrong bodies that the HTTP client calls whole: only length and digest tell.
        ("cut, without a length", answer(&format!("{HEAD_CLOSE}01234")), Whole("01234")),
        ("longer than its length", answer(&format!("{HEAD_10}0123456789and more")), Whole("0123456789")),
        (
            "both a length and chunks",
            answer(
                "HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            ),
            Whole("a"),
        ),
        (
            "said to be gzip",
            answer("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc"),
            Whole("abc"),
        ),
    ] {
        check(name, script, expect, NO_TIME).await;
    }
}

#[tokio::test(start_paused = true)]
async fn time_runs_out_exactly_when_it_should() {
    let Options { connect_timeout, response_timeout, .. } = Options::default();
    let head = Fault::Timeout(Phase::Head);
    let body = Fault::Timeout(Phase::Body);
    let second = Duration::from_secs(1);
    check("silence", vec![Step::Read, Step::Hold], NoHead(head), response_timeout).await;
    let slow: Vec<Step> = "HTTP/1.1 200 OK\r\n"
        .chars()
        .flat_map(|letter| [write(&letter.to_string()), Step::Pause(second * 10)])
        .collect();
    check("a slow head", [vec![Step::Read], slow].concat(), NoHead(head), response_timeout).await;
    let stall = [answer(&format!("{HEAD_10}01234")), vec![Step::Hold]].concat();
    check("a stall", stall, Cut("01234", body), response_timeout).await;
    let late = [answer(HEAD_10), vec![Step::Pause(response_timeout - second), write("0123456789")]].concat();
    check("just in time", late, Whole("0123456789"), response_timeout - second).await;
    // Each piece has the whole time: a drip never runs out of it.
    let pause = response_timeout - second;
    let drip = "0123456789".chars().flat_map(|letter| [Step::Pause(pause), write(&letter.to_string())]);
    let drip = [answer(HEAD_10), drip.collect()].concat();
    check("a drip", drip, Whole("0123456789"), pause * 10).await;

    let (_full, address) = deaf().await;
    let outcome = exchange(&transport(), format!("http://{address}/v2/"), None).await;
    assert_eq!(outcome, (NoHead(Fault::Timeout(Phase::Connect)), connect_timeout), "nobody accepts");
}

/// Returns an address at which connections neither succeed nor fail, and what keeps it so: the
/// kernel drops what does not fit into a queue for one.
async fn deaf() -> (impl Drop, SocketAddr) {
    struct Full {
        _listener: tokio::net::TcpListener,
        _first: TcpStream,
    }
    impl Drop for Full {
        fn drop(&mut self) {}
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let first = TcpStream::connect(address).await.unwrap();
    (Full { _listener: listener, _first: first }, address)
}

#[tokio::test(start_paused = true)]
async fn nobody_there() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = exchange(&transport(), format!("http://{address}/v2/"), None).await;
    assert_eq!(refused, (NoHead(Fault::Connect), NO_TIME));
    // RFC 6761 §6.4: a name under `invalid` never resolves.
    let (unknown, _) = exchange(&transport(), "http://registry.invalid/v2/".to_owned(), None).await;
    assert_eq!(unknown, NoHead(Fault::Dns));
}

#[tokio::test(start_paused = true)]
async fn the_client_makes_no_attempts_of_its_own() {
    let ok = format!("{HEAD_10}0123456789");
    // The second request goes out over the first connection, which the server closes unanswered.
    let reused = [answer(&ok), vec![Step::Read]].concat();
    let server = Server::start(vec![reused, answer(&ok)], None).await;
    let (transport, url) = (transport(), format!("http://{}/v2/", server.address));
    assert_eq!(exchange(&transport, url.clone(), None).await, (Whole("0123456789"), NO_TIME));
    assert_eq!(exchange(&transport, url.clone(), None).await, (NoHead(Fault::Incomplete), NO_TIME));
    assert_eq!(server.requests(), 2, "a request that was sent is not sent again");
    assert_eq!(exchange(&transport, url, None).await, (Whole("0123456789"), NO_TIME));
    assert_eq!(server.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_an_answer() {
    let script =
        answer("HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 2\r\n\r\nno");
    let server = Server::start(vec![script], None).await;
    let url = format!("http://{}/v2/", server.address);
    let request = get(url, Options::default().response_timeout);
    let response = transport().send(request).await.unwrap();
    assert_eq!((response.status.as_u16(), response.header("location")), (307, Some("/elsewhere")));
    assert_eq!(server.requests(), 1);
}

/// Fails on a tokio whose paused clock jumps when I/O wakes a task, as that of 1.50 to 1.53.2 does:
/// with it, every time in this file would be wrong.
#[tokio::test(start_paused = true)]
async fn the_paused_clock_stands_still_while_bytes_flow() {
    let body = "x".repeat(32 << 20);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let server = Server::start(vec![answer(&format!("{head}{body}"))], None).await;
    let begun = Instant::now();
    let request = get(format!("http://{}/v2/", server.address), Duration::from_millis(5));
    let mut response = transport().send(request).await.unwrap();
    let mut read = 0;
    while let Some(piece) = response.body.next().await {
        read += piece.unwrap().len();
    }
    assert_eq!((read, begun.elapsed()), (body.len(), NO_TIME));
}
