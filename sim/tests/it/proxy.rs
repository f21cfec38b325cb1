//! A tiny pull-through proxy, honest or with one planted lie.
//!
//! Honest, it streams a cold blob to everybody who waits for it, fetches once, holds the last byte back
//! until the digest is right, and keeps what it verified. Each [`Lie`] breaks one of these.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use sim::digest::Digest;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// Up to this size a blob is verified before its status line.
const SMALL: u64 = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// None: an honest proxy.
    None,
    /// A body is completed whatever its digest.
    CompletesWrongBytes,
    /// An error text is written into a body that breaks off.
    SplicesErrors,
    /// The upstream's `Docker-Content-Digest` is repeated.
    EchoesDigest,
    /// Waiting requests do not share a fetch.
    FetchesTwice,
    /// A blob is sent when all of it is there.
    BuffersWhole,
    /// Nothing is kept.
    ForgetsCache,
    /// Every upstream failure is a 404.
    SaysNotFound,
    /// Errors name the upstream.
    NamesUpstream,
    /// Errors are not OCI JSON.
    SpeaksHtml,
    /// A failure is remembered for ever.
    NeverHeals,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A proxy that listens until it is dropped.
pub(crate) struct Proxy {
    addr: SocketAddr,
    _task: JoinSet<()>,
}

struct Shared {
    upstream: String,
    lie: Lie,
    http: reqwest::Client,
    manifests: Mutex<HashMap<String, Manifest>>,
    flights: Mutex<HashMap<String, Arc<Flight>>>,
}

#[derive(Clone)]
struct Manifest {
    bytes: Bytes,
    media_type: String,
    digest: String,
}

/// A fetch that is under way or done; its bytes grow as they arrive.
struct Flight {
    bytes: Mutex<Vec<u8>>,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    length: Option<u64>,
    arrived: usize,
    digest: Option<String>,
    done: Option<Result<(), Failure>>,
}

#[derive(Debug, Clone)]
struct Failure {
    status: u16,
    retry_after: Option<String>,
}

const BAD_GATEWAY: Failure = Failure { status: 502, retry_after: None };

impl Proxy {
    pub(crate) async fn start(upstream: SocketAddr, lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: format!("http://{upstream}"),
            lie,
            http: reqwest::Client::builder().retry(reqwest::retry::never()).no_proxy().build().unwrap(),
            manifests: Mutex::default(),
            flights: Mutex::default(),
        });
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                connections.spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { addr, _task: task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let Some((noun_and_name, reference)) = path.rsplit_once('/') else {
        return Ok(shared.refuse(&BAD_GATEWAY));
    };
    let answered = if path == "/v2/" {
        Ok(Response::new(whole(Bytes::from_static(b"{}"))))
    } else if noun_and_name.ends_with("/manifests") {
        shared.manifest(&path).await
    } else {
        shared.blob(&path, reference).await
    };
    Ok(answered.unwrap_or_else(|failure| shared.refuse(&failure)))
}

impl Shared {
    async fn manifest(&self, path: &str) -> Result<Response<Body>, Failure> {
        let cached =
            self.manifests.lock().unwrap().get(path).filter(|_| self.lie != Lie::ForgetsCache).cloned();
        let manifest = match (cached, self.fetch_manifest(path).await) {
            (_, Ok(fresh)) => fresh,
            (Some(stale), Err(_)) => stale,
            (None, Err(failure)) => return Err(failure),
        };
        self.manifests.lock().unwrap().insert(path.to_owned(), manifest.clone());
        Ok(Response::builder()
            .header(header::CONTENT_TYPE, manifest.media_type)
            .header("docker-content-digest", manifest.digest)
            .body(whole(manifest.bytes))
            .unwrap())
    }

    async fn fetch_manifest(&self, path: &str) -> Result<Manifest, Failure> {
        let response = self.ask(path).await?;
        let media_type = text(&response, "content-type").ok_or(BAD_GATEWAY)?;
        let claimed = text(&response, "docker-content-digest");
        let bytes = response.bytes().await.map_err(|_| BAD_GATEWAY)?;
        let value: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let is_manifest = value.is_some_and(|it| it["mediaType"] == media_type.as_str());
        if !is_manifest && self.lie != Lie::CompletesWrongBytes {
            return Err(BAD_GATEWAY);
        }
        let own = Digest::sha256_of(&bytes).to_string();
        let digest = if self.lie == Lie::EchoesDigest { claimed.unwrap_or(own) } else { own };
        Ok(Manifest { bytes, media_type, digest })
    }

    async fn blob(self: &Arc<Self>, path: &str, digest: &str) -> Result<Response<Body>, Failure> {
        let flight = self.join(path, digest);
        let mut state = flight.state.subscribe();
        let patient = |it: &State| match it.length {
            _ if it.done.is_some() => true,
            Some(length) => length > SMALL && self.lie != Lie::BuffersWhole,
            None => false,
        };
        let begun = state.wait_for(patient).await.map_err(|_| BAD_GATEWAY)?.clone();
        if let Some(Err(failure)) = begun.done {
            return Err(failure);
        }
        let length = begun.length.unwrap_or(begun.arrived as u64);
        let mut response = Response::builder().header(header::CONTENT_LENGTH, length);
        if let Some(digest) = begun.digest {
            response = response.header("docker-content-digest", digest);
        }
        Ok(response.body(follow(flight, length, self.lie)).unwrap())
    }

    /// Returns the flight of a blob, a new one if there is none that can still succeed.
    fn join(self: &Arc<Self>, path: &str, digest: &str) -> Arc<Flight> {
        let mut flights = self.flights.lock().unwrap();
        let usable = |it: &Flight| {
            let state = it.state.borrow();
            match &state.done {
                Some(Ok(())) => self.lie != Lie::ForgetsCache,
                Some(Err(_)) => self.lie == Lie::NeverHeals,
                None => self.lie != Lie::FetchesTwice,
            }
        };
        if let Some(flight) = flights.get(digest).filter(|it| usable(it)) {
            return Arc::clone(flight);
        }
        let flight =
            Arc::new(Flight { bytes: Mutex::default(), state: watch::Sender::new(State::default()) });
        flights.insert(digest.to_owned(), Arc::clone(&flight));
        let (shared, path, digest, ours) =
            (Arc::clone(self), path.to_owned(), digest.to_owned(), Arc::clone(&flight));
        tokio::spawn(async move {
            let done = shared.fill(&ours, &path, &digest).await;
            ours.state.send_modify(|it| it.done = Some(done));
        });
        flight
    }

    async fn fill(&self, flight: &Flight, path: &str, digest: &str) -> Result<(), Failure> {
        let response = self.ask(path).await?;
        let claimed = text(&response, "docker-content-digest").filter(|_| self.lie == Lie::EchoesDigest);
        let length = response.content_length();
        flight.state.send_modify(|it| (it.length, it.digest) = (length, claimed.clone()));
        let mut body = response.bytes_stream();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| BAD_GATEWAY)?;
            flight.bytes.lock().unwrap().extend_from_slice(&piece);
            flight.state.send_modify(|it| it.arrived += piece.len());
        }
        let wanted: Digest = digest.parse().map_err(|_| BAD_GATEWAY)?;
        let right = wanted.names(&flight.bytes.lock().unwrap());
        if right || self.lie == Lie::CompletesWrongBytes { Ok(()) } else { Err(BAD_GATEWAY) }
    }

    async fn ask(&self, path: &str) -> Result<reqwest::Response, Failure> {
        let response =
            self.http.get(format!("{}{path}", self.upstream)).send().await.map_err(|_| BAD_GATEWAY)?;
        match response.status().as_u16() {
            200 => Ok(response),
            status @ (404 | 429) => Err(Failure { status, retry_after: text(&response, "retry-after") }),
            _ => Err(BAD_GATEWAY),
        }
    }

    fn refuse(&self, failure: &Failure) -> Response<Body> {
        let status = if self.lie == Lie::SaysNotFound { 404 } else { failure.status };
        let message = if self.lie == Lie::NamesUpstream { self.upstream.as_str() } else { "upstream failed" };
        let body = if self.lie == Lie::SpeaksHtml {
            format!("<html>{status}</html>")
        } else {
            json!({ "errors": [{ "code": "UNKNOWN", "message": message }] }).to_string()
        };
        let mut response = Response::builder().status(status);
        if let Some(after) = &failure.retry_after {
            response = response.header(header::RETRY_AFTER, after);
        }
        response.body(whole(body.into())).unwrap()
    }
}

/// Sends a flight's bytes as they arrive, the last one only after the verdict.
fn follow(flight: Arc<Flight>, length: u64, lie: Lie) -> Body {
    let state = flight.state.subscribe();
    let pieces = stream::try_unfold((flight, state, 0), move |(flight, mut state, sent)| async move {
        let more = |it: &State| it.done.is_some() || it.arrived > sent + 1;
        let now = state.wait_for(more).await.map_err(std::io::Error::other)?.clone();
        let end = match now.done {
            Some(Ok(())) => now.arrived,
            Some(Err(_)) if lie == Lie::SplicesErrors && sent < now.arrived + 20 => {
                let spliced = Bytes::from_static(br#"{"errors":[{"code":"UNKNOWN"}]}"#);
                let rest = flight.bytes.lock().unwrap()[sent..now.arrived].to_vec();
                let room = usize::try_from(length).unwrap() - sent - 1;
                let piece: Vec<u8> = rest.into_iter().chain(spliced).take(room).collect();
                return Ok(Some((Frame::data(Bytes::from(piece)), (flight, state, usize::MAX - 100))));
            }
            Some(Err(_)) => {
                // A body that waits once lets hyper send what it has before the error ends the connection.
                tokio::task::yield_now().await;
                return Err(std::io::Error::other("cut off"));
            }
            None => now.arrived - 1,
        };
        let piece = Bytes::copy_from_slice(&flight.bytes.lock().unwrap()[sent..end]);
        Ok((!piece.is_empty()).then(|| (Frame::data(piece), (flight, state, end))))
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn text(response: &reqwest::Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}
