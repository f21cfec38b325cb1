//! The seam between the engine and the model: a transport that does what a world's reply says, in virtual
//! time, within the time that a request has.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sim::trial::{End, Host, Outcome, Piece, Question, Reply, World};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use wharfinger::upstream::transport::{Request, Response};
use wharfinger::upstream::{Fault, Phase, Transport};

/// A world as an upstream, as one process sees it.
pub(crate) struct Model {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) begun: Instant,
    /// Whether the process lives; tasks of one that ended get no further.
    pub(crate) alive: watch::Receiver<bool>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Model")
    }
}

/// Returns the address of a url of the model.
pub(crate) fn address(url: usize) -> String {
    format!("http://u{url}.example")
}

impl Transport for Model {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, Fault>> {
        let (world, begun, alive) = (Arc::clone(&self.world), self.begun, self.alive.clone());
        if !*alive.borrow() {
            return std::future::pending().boxed();
        }
        let sending = async move {
            let (host, url, path, query) = parse(&request.url);
            let header = |name: &str| request.headers.get(name).and_then(|it| it.to_str().ok());
            let (method, range) = (request.method.as_str(), header("range").and_then(range));
            let transit = world.lock().unwrap().transit_ms(method, path, range);
            if transit > 0 {
                while_alive(&alive, sleep(Duration::from_millis(transit))).await;
            }
            let at_ms = u64::try_from(begun.elapsed().as_millis()).unwrap();
            let login = header("authorization");
            let question = Question { url, host, method, path, query, range, login, at_ms };
            let reply = world.lock().unwrap().answer(&question);
            perform(reply, request.timeout, alive).await
        };
        sending.boxed()
    }
}

/// Takes a url of the model apart: which host of which url, the path and the query.
fn parse(url: &str) -> (Host, usize, &str, &str) {
    let rest = url.strip_prefix("http://").unwrap();
    let host = if rest.starts_with('s') { Host::Storage } else { Host::Registry };
    let (number, rest) = rest[1..].split_once('.').unwrap();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (host, number.parse().unwrap(), &path[path.find('/').unwrap()..], query)
}

/// Reads a `Range` of one part.
fn range(value: &str) -> Option<(u64, Option<u64>)> {
    let (from, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    Some((from.parse().ok()?, last.parse().ok()))
}

/// Waits for something for as long as the process lives, and then for ever.
async fn while_alive<T>(alive: &watch::Receiver<bool>, something: impl Future<Output = T>) -> T {
    let mut alive = alive.clone();
    let ended = async move { drop(alive.wait_for(|alive| !alive).await) };
    tokio::select! {
        biased;
        () = ended => std::future::pending().await,
        done = something => done,
    }
}

async fn perform(reply: Reply, limit: Duration, alive: watch::Receiver<bool>) -> Result<Response, Fault> {
    let head = timeout(limit, async {
        sleep(Duration::from_millis(reply.after_ms)).await;
        match reply.outcome {
            Outcome::Refused => Err(Fault::Connect),
            Outcome::Reset => Err(Fault::Reset),
            Outcome::Silence => std::future::pending().await,
            Outcome::Response { status, headers, body, end } => Ok((status, headers, body, end)),
        }
    });
    let head = while_alive(&alive, head).await;
    let (status, headers, body, end) = head.unwrap_or(Err(Fault::Timeout(Phase::Head)))?;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    let held = alive.clone();
    let pieces = stream::iter(body).then(move |piece| {
        let held = held.clone();
        async move { while_alive(&held, take(piece, limit)).await }
    });
    let rest = stream::once(async move { while_alive(&alive, ended(end, limit)).await });
    let rest = rest.filter_map(|end| async { end });
    Ok(Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: map,
        body: pieces.chain(rest).boxed(),
    })
}

async fn take(piece: Piece, limit: Duration) -> Result<Bytes, Fault> {
    let pause = sleep(Duration::from_millis(piece.after_ms));
    match timeout(limit, pause).await {
        Ok(()) => Ok(piece.bytes.into()),
        Err(_) => Err(Fault::Timeout(Phase::Body)),
    }
}

async fn ended(end: End, limit: Duration) -> Option<Result<Bytes, Fault>> {
    match end {
        End::Clean => None,
        End::Reset => Some(Err(Fault::Reset)),
        End::Cut => Some(Err(Fault::Incomplete)),
        End::Stall => {
            sleep(limit).await;
            Some(Err(Fault::Timeout(Phase::Body)))
        }
    }
}
