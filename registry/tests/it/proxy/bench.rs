//! An origin, the registry in front of it, and the listener in front of that.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use sim::digest::Algorithm;
use sim::origin::{Entry, ImageSpec, Origin, Running, SeededBlob, SeededImage};
use sim::rng::Rng;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use wharfinger::clock::Clock;
use wharfinger::http::listener;
use wharfinger::upstream::options::Options;
use wharfinger::upstream::reqwest_transport::ReqwestTransport;
use wharfinger::upstream::{Routes, Upstream};

use crate::support::{Answer, Client, Registry};

/// The repository that most tests pull from.
pub(crate) const REPO: &str = "team/app";
/// What the configuration calls the upstream.
pub(crate) const NAME: &str = "hub";
/// Within this every condition must hold; far above what it takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// A registry in front of one origin.
pub(crate) struct Bench {
    pub(crate) origin: Origin,
    pub(crate) running: Running,
    pub(crate) client: Client,
}

impl Bench {
    /// Starts both.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts both, with settings of the upstream changed.
    pub(crate) async fn with(configure: impl FnOnce(&mut Options)) -> Self {
        let running = serve(&Origin::new()).await;
        let mut options = upstream(NAME, &[&running.url()]);
        configure(&mut options);
        let client = registry(vec![options], &Clock::system()).await;
        Self { origin: running.origin().clone(), running, client }
    }

    /// Makes an image at the origin.
    pub(crate) fn image(&self, tag: &str, layers: &[usize], seed: u64) -> SeededImage {
        image(&self.origin, REPO, tag, layers, seed)
    }

    /// Makes a blob at the origin.
    pub(crate) fn blob(&self, len: usize, seed: u64) -> (SeededBlob, Vec<u8>) {
        let bytes = content(len, seed);
        (self.origin.seed_blob(REPO, bytes.clone(), Algorithm::Sha256), bytes)
    }

    /// Returns what the origin was asked since a mark, as `METHOD path`.
    pub(crate) fn asked_since(&self, mark: u64) -> Vec<String> {
        asked(&self.origin.journal().entries_since(mark))
    }

    /// Returns what the origin was asked, as `METHOD path`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked_since(0)
    }
}

/// Starts an origin on a free port.
pub(crate) async fn serve(origin: &Origin) -> Running {
    origin.serve("127.0.0.1:0").await.unwrap()
}

/// Renders what an origin was asked.
pub(crate) fn asked(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|it| format!("{} {}", it.method, it.path)).collect()
}

/// Makes an image at an origin.
pub(crate) fn image(origin: &Origin, name: &str, tag: &str, layers: &[usize], seed: u64) -> SeededImage {
    origin.seed_image(name, tag, &ImageSpec { layers: layers.to_vec(), seed, ..ImageSpec::default() })
}

/// Makes bytes.
pub(crate) fn content(len: usize, seed: u64) -> Vec<u8> {
    Rng::labelled(seed, "blob").bytes(len)
}

/// Makes the settings of an upstream that a miss may ask. It is asked once for everything: what is tried
/// again, remembered or left alone is for the tests that are about it.
pub(crate) fn upstream(name: &str, urls: &[&str]) -> Options {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    Options {
        name: name.to_owned(),
        urls,
        on_demand: true,
        retries_max: 0,
        negative_ttl: Duration::ZERO,
        breaker_failures: 0,
        cool_down_max: Duration::ZERO,
        ..Options::default()
    }
}

/// Opens a registry in memory in front of upstreams.
pub(crate) async fn registry(upstreams: Vec<Options>, clock: &Clock) -> Client {
    Registry { routes: routes(upstreams, clock), clock: clock.clone(), ..Registry::default() }.open().await
}

/// Makes the routes to upstreams.
pub(crate) fn routes(upstreams: Vec<Options>, clock: &Clock) -> Routes {
    let mut routes = Routes::default();
    for options in upstreams {
        let transport = Arc::new(ReqwestTransport::new(&options).unwrap());
        let upstream = Arc::new(Upstream::new(options.clone(), transport, clock.clone()));
        routes.add(upstream, &options).unwrap();
    }
    routes
}

/// Returns the path of a blob of [`REPO`].
pub(crate) fn blob_path(digest: impl std::fmt::Display) -> String {
    format!("/v2/{REPO}/blobs/{digest}")
}

/// Returns the path of a manifest of [`REPO`].
pub(crate) fn manifest_path(reference: impl std::fmt::Display) -> String {
    format!("/v2/{REPO}/manifests/{reference}")
}

/// Sends a HEAD to a registry in this process.
pub(crate) async fn head(client: &Client, path: &str) -> Answer {
    client.call("HEAD", path, &[], Body::empty()).await
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// A protocol to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Http1,
    Http2,
}

/// The real listener in front of a registry, until it is dropped.
pub(crate) struct Listening {
    url: String,
    http1: reqwest::Client,
    http2: reqwest::Client,
    _task: JoinSet<()>,
}

impl Listening {
    pub(crate) async fn start(client: &Client) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let router = client.0.router(Router::new());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let options = wharfinger::http::options::Options::default();
            listener::serve(socket, router, &options, std::future::pending()).await;
        });
        let builder = || reqwest::Client::builder().retry(reqwest::retry::never()).no_proxy();
        let http1 = builder().http1_only().build().unwrap();
        let http2 = builder().http2_prior_knowledge().build().unwrap();
        Self { url, http1, http2, _task: task }
    }

    /// Sends a GET, and returns the response with its body to come.
    pub(crate) async fn open(&self, wire: Wire, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        self.ask(wire, path, headers).await.unwrap()
    }

    /// Sends a GET, and reads as far as the response comes; `None` when not even its head does.
    pub(crate) async fn pull(&self, wire: Wire, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        Some(read(self.ask(wire, path, headers).await.ok()?).await)
    }

    async fn ask(
        &self,
        wire: Wire,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<reqwest::Response, reqwest::Error> {
        let client = if wire == Wire::Http1 { &self.http1 } else { &self.http2 };
        let mut request = client.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        tokio::time::timeout(DEADLINE, request.send()).await.unwrap()
    }

    /// Sends a GET over HTTP/1.1, and reads the whole response.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        read(self.open(Wire::Http1, path, &[]).await).await
    }
}

/// Reads a response as far as it comes.
pub(crate) async fn read(mut response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    let cut = loop {
        match tokio::time::timeout(DEADLINE, response.chunk()).await.unwrap() {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    Answer { status, headers, body: body.into(), cut }
}

/// Reads at least `len` bytes of a body.
pub(crate) async fn read_at_least(response: &mut reqwest::Response, len: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < len {
        let piece = tokio::time::timeout(DEADLINE, response.chunk()).await.unwrap().unwrap();
        body.extend_from_slice(&piece.expect("the body goes on"));
    }
    body
}
