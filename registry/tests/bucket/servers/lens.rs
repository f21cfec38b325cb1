//! A server before another one: it passes requests on, and changes some of them or of their answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bend {
    /// It passes as it is.
    Clear,
    /// It passes without `If-None-Match` and `If-Match`.
    NoConditions,
    /// It does not pass: the server has too many.
    SlowDown,
    /// It does not pass: two writes of the same object met.
    Conflict,
    /// It does not pass: the credentials have expired.
    Expired,
    /// It passes, and half of the answer's body comes back.
    Half,
    /// It passes, and no answer comes back.
    NoAnswer,
}

type Decide = Box<dyn FnMut(&Method, &str) -> Bend + Send>;

#[derive(Clone)]
struct Shared {
    target: String,
    decide: Arc<Mutex<Decide>>,
    client: reqwest::Client,
}

/// A running lens.
pub(crate) struct Lens {
    /// `http://IP:PORT`.
    pub(crate) url: String,
    address: SocketAddr,
    shared: Shared,
    task: JoinSet<()>,
}

impl Lens {
    /// Listens before a server, and lets everything pass.
    pub(crate) async fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let decide: Arc<Mutex<Decide>> = Arc::new(Mutex::new(Box::new(|_, _| Bend::Clear)));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let shared = Shared { target: target.to_owned(), decide, client };
        let task = serve(listener, &shared);
        Self { url: format!("http://{address}"), address, shared, task }
    }

    /// Goes away: refuses connections, and cuts those that are open.
    pub(crate) async fn stop(&mut self) {
        self.task.shutdown().await;
    }

    /// Comes back on the same port.
    pub(crate) async fn resume(&mut self) {
        self.task = serve(TcpListener::bind(self.address).await.unwrap(), &self.shared);
    }

    /// Lets a function of the method and of the path with its query decide.
    pub(crate) fn bend(&self, decide: impl FnMut(&Method, &str) -> Bend + Send + 'static) {
        *self.shared.decide.lock().unwrap() = Box::new(decide);
    }
}

fn serve(listener: TcpListener, shared: &Shared) -> JoinSet<()> {
    let service = TowerToHyperService::new(Router::new().fallback(pass).with_state(shared.clone()));
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            connections.spawn(async move {
                let server = Builder::new(TokioExecutor::new());
                // A client that leaves in the middle is no matter of the server's.
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    task
}

async fn pass(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let bend = (shared.decide.lock().unwrap())(&parts.method, &path);
    match bend {
        Bend::SlowDown => return refused(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        Bend::Conflict => return refused(StatusCode::CONFLICT, "ConditionalRequestConflict"),
        Bend::Expired => return refused(StatusCode::FORBIDDEN, "ExpiredToken"),
        Bend::Clear | Bend::NoConditions | Bend::Half | Bend::NoAnswer => {}
    }
    let mut headers = parts.headers;
    headers.remove("host");
    if bend == Bend::NoConditions {
        headers.remove("if-none-match");
        headers.remove("if-match");
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let url = format!("{}{path}", shared.target);
    let answered = shared.client.request(parts.method, url).headers(headers).body(body).send().await;
    let Ok(answer) = answered else { return refused(StatusCode::BAD_GATEWAY, "InternalError") };
    let (status, headers) = (answer.status(), answer.headers().clone());
    let bytes = answer.bytes().await.unwrap_or_default();
    answer_of(status, headers, bytes, bend)
}

fn answer_of(status: StatusCode, headers: HeaderMap, bytes: Bytes, bend: Bend) -> Response {
    let mut response = Response::new(Body::empty());
    let broken = || Err(std::io::Error::other("the lens breaks off"));
    *response.body_mut() = match bend {
        // The length stays what it was, so the connection is cut.
        Bend::Half => Body::from_stream(stream::iter([Ok(bytes.slice(..bytes.len() / 2)), broken()])),
        Bend::NoAnswer => Body::from_stream(stream::iter([broken() as Result<Bytes, _>]).boxed()),
        _ => Body::from(bytes),
    };
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().remove("transfer-encoding");
    if bend == Bend::NoAnswer {
        // Nothing of it can be used: the head says nothing, and its body breaks off.
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
    response
}

fn refused(status: StatusCode, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    Response::builder().status(status).header("content-type", "application/xml").body(body.into()).unwrap()
}
