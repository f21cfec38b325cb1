//! The seam between the engine and the model: a transport that does what a world's reply says, in virtual
//! time, within the time that a request has.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sim::trial::{End, Outcome, Piece, Reply, World};
use tokio::time::{Instant, sleep, timeout};
use wharfinger::upstream::transport::{Request, Response};
use wharfinger::upstream::{Fault, Phase, Transport};

/// A world as an upstream.
pub(crate) struct Model {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) begun: Instant,
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
        let (url, path) = parse(&request.url);
        let from = request.headers.get("range").and_then(|it| it.to_str().ok());
        let from = from.and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let at_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap();
        let reply = self.world.lock().unwrap().answer(url, request.method.as_str(), &path, from, at_ms);
        perform(reply, request.timeout).boxed()
    }
}

fn parse(url: &str) -> (usize, String) {
    let rest = url.strip_prefix("http://u").unwrap();
    let (number, rest) = rest.split_once('.').unwrap();
    let path = &rest[rest.find('/').unwrap()..];
    (number.parse().unwrap(), path.split('?').next().unwrap().to_owned())
}

async fn perform(reply: Reply, limit: Duration) -> Result<Response, Fault> {
    let head = timeout(limit, async {
        sleep(Duration::from_millis(reply.after_ms)).await;
        match reply.outcome {
            Outcome::Refused => Err(Fault::Connect),
            Outcome::Reset => Err(Fault::Reset),
            Outcome::Silence => std::future::pending().await,
            Outcome::Response { status, headers, body, end } => Ok((status, headers, body, end)),
        }
    });
    let (status, headers, body, end) = head.await.unwrap_or(Err(Fault::Timeout(Phase::Head)))?;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    let pieces = stream::iter(body).then(move |piece| take(piece, limit));
    let rest = stream::once(ended(end, limit)).filter_map(|end| async { end });
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
