//! One line and some metrics per request, and the edge of panics.
//!
//! The line is written when the response's body has ended, so that it can say how much was sent
//! and whether it was cut. It never has a query string or a header: they may carry secrets (P11).

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::middleware::Next;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::HeaderValue;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use tracing::Level;

use super::asker::Asker;
use super::audit::Trail;
use super::client::{client, tell_unbelieved};
use super::dispatch::dispatch;
use super::error::{self, Error};
use super::headers::{DOCKER_DISTRIBUTION_API_VERSION, X_REQUEST_ID};
use super::origin::Asked;
use super::peer::Peer;
use super::route::Route;
use super::{App, guard, headers, route};
use crate::telemetry::WithCauses;

/// Answers a request of the API and observes it.
pub(super) async fn observed(app: &App, request: Request<Body>) -> Response<Body> {
    let routed = route::parse(request.method(), request.uri().path());
    let label = routed.as_ref().map_or("none", |route| route.target.label());
    let observation = Observation::begin(app, &request, routed.as_ref().ok(), label);
    let asker = Arc::clone(&observation.line.asker);
    let answered = AssertUnwindSafe(dispatch(app, &asker, routed, request)).catch_unwind().await;
    observation.end(app, answered.unwrap_or(Err(Error::Panic))).await
}

/// The same of a request for a page beside it, whichever it is.
pub(super) async fn observed_page(app: &App, request: Request<Body>, page: Next) -> Response<Body> {
    let observation = Observation::begin(app, &request, None, "metrics");
    let asker = Arc::clone(&observation.line.asker);
    let answered = AssertUnwindSafe(guard::answer(app, &asker, request, page)).catch_unwind().await;
    observation.end(app, answered.unwrap_or(Err(Error::Panic))).await
}

/// What is noted of a request before it is answered.
struct Observation {
    line: Line,
    asked: Asked,
    trail: Option<Trail>,
    is_head: bool,
    is_api: bool,
}

impl Observation {
    fn begin(app: &App, request: &Request<Body>, route: Option<&Route>, label: &'static str) -> Self {
        let peer = request.extensions().get().map(|peer: &Peer| peer.address().ip());
        let client = client(peer, request.headers(), &app.0.options.trusted_proxies);
        tell_unbelieved(peer, request.headers(), &app.0.options.trusted_proxies);
        let asker = Arc::new(Asker::new(client));
        let line = Line::begin(request, route, label, &asker);
        let asked = Asked::of(request, route, line.repository.as_deref(), &asker.client);
        let trail = app.0.audit.as_ref().map(|audit| Trail::begin(audit, &asker, &line.id, request, route));
        let is_head = request.method() == Method::HEAD;
        Self { line, asked, trail, is_head, is_api: route::is_api(request.uri().path()) }
    }

    async fn end(self, app: &App, answered: Result<Response<Body>, Error>) -> Response<Body> {
        let Self { mut line, asked, trail, is_head, is_api } = self;
        if let Some(trail) = trail {
            let failure = answered.as_ref().err();
            let status = answered.as_ref().map_or_else(Error::status, Response::status);
            let headers = answered.as_ref().ok().map(Response::headers);
            trail.end(status, failure, headers).await;
        }
        let mut response = match answered {
            Ok(response) => response,
            Err(error) => {
                log_failure(&error, &line);
                line.code = Some(error.code().as_str());
                let (status, map, body) = error::render(&error, asked.challenge(app, &error).as_deref());
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = status;
                *response.headers_mut() = map;
                response
            }
        };
        let map = response.headers_mut();
        map.insert(X_REQUEST_ID, headers::value(&line.id));
        if is_api {
            map.insert(DOCKER_DISTRIBUTION_API_VERSION, HeaderValue::from_static("registry/2.0"));
        }
        line.status = response.status();
        // hyper sends no body to a HEAD, and would count a stream that nobody reads as cut.
        response.map(|body| {
            let size = body.size_hint().exact();
            if is_head || size == Some(0) {
                drop(line);
                return if is_head { headless(body) } else { body };
            }
            Body::new(Observed { body, line })
        })
    }
}

/// Keeps the length of what a GET would have sent, where the body knows it.
fn headless(body: Body) -> Body {
    match body.size_hint().exact() {
        Some(0) => Body::empty(),
        _ => body,
    }
}

/// One request, until its line is written.
struct Line {
    id: String,
    asker: Arc<Asker>,
    method: Method,
    path: String,
    route: &'static str,
    repository: Option<String>,
    status: StatusCode,
    code: Option<&'static str>,
    begun: Instant,
    sent: u64,
    cut: bool,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Numbers requests within the process, behind what tells processes apart.
fn next_id() -> String {
    static PREFIX: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| uuid::Uuid::new_v4().simple().to_string()[..8].to_owned());
    format!("{}-{}", *PREFIX, NEXT_ID.fetch_add(1, Ordering::Relaxed))
}

impl Line {
    fn begin(
        request: &Request<Body>,
        route: Option<&Route>,
        label: &'static str,
        asker: &Arc<Asker>,
    ) -> Self {
        metrics::gauge!("wharfinger_http_requests_in_flight").increment(1.0);
        Self {
            id: next_id(),
            asker: Arc::clone(asker),
            method: request.method().clone(),
            // What is no route is a stranger's text of any length.
            path: request.uri().path().chars().take(300).collect(),
            route: label,
            repository: route.and_then(|route| route.target.name()).map(ToString::to_string),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: None,
            begun: Instant::now(),
            sent: 0,
            cut: false,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let elapsed = self.begun.elapsed();
        let status = self.status.as_u16();
        let method = known_method(&self.method);
        metrics::gauge!("wharfinger_http_requests_in_flight").decrement(1.0);
        metrics::counter!("wharfinger_http_requests_total",
            "method" => method, "route" => self.route, "status" => status_label(self.status))
        .increment(1);
        metrics::histogram!("wharfinger_http_request_seconds", "route" => self.route).record(elapsed);
        metrics::counter!("wharfinger_http_response_bytes_total", "route" => self.route).increment(self.sent);
        tracing::info!(
            request.id = %self.id,
            client.address = self.asker.client.address.map(tracing::field::display),
            auth.user = self.asker.identified().and_then(|who| who.user.as_deref()),
            http.method = %self.method,
            http.path = %self.path,
            http.status = status,
            http.sent_bytes = self.sent,
            http.cut = self.cut,
            repo.name = self.repository.as_deref(),
            error.code = self.code,
            duration_ms = elapsed.as_secs_f64() * 1000.0,
            "request"
        );
    }
}

/// A method of our own words, so that strangers cannot make up metric series.
fn known_method(method: &Method) -> &'static str {
    route::Verb::parse(method).map_or("other", route::Verb::as_str)
}

const fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        201 => "201",
        202 => "202",
        204 => "204",
        206 => "206",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        409 => "409",
        412 => "412",
        413 => "413",
        414 => "414",
        416 => "416",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        507 => "507",
        _ => "other",
    }
}

fn log_failure(error: &Error, line: &Line) {
    let causes = WithCauses(error);
    match error.level() {
        Level::ERROR => {
            tracing::error!(request.id = %line.id, http.path = %line.path, error = %causes, "a request failed");
        }
        Level::WARN => {
            tracing::warn!(request.id = %line.id, http.path = %line.path, error = %causes, "a request failed");
        }
        _ => {
            tracing::debug!(request.id = %line.id, http.path = %line.path, error = %causes, "a request was refused");
        }
    }
}

/// A response body that is counted.
struct Observed {
    body: Body,
    line: Line,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.line.sent += frame.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(_)) => self.line.cut = true,
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
