//! What requests share, and the axum router around it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use tokio::time::Instant;

use super::options::{Options, Rates};
use super::ratelimit::Limits;
use super::{access_log, guard, health};
use crate::auth::Access;
use crate::repository::Repositories;
use crate::telemetry::audit::Audit;

/// What requests share. Clones share it.
#[derive(Debug, Clone)]
pub struct App(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    repositories: Repositories,
    /// Replaced as a whole when the configuration is read again, so that no request is judged by one and served by
    /// another.
    now: RwLock<Now>,
    pub(super) options: Options,
    limits: RwLock<Arc<Limits>>,
    pub(super) audit: Option<Audit>,
    draining: AtomicBool,
}

/// Who may do what, and where it is done, as it is configured now.
#[derive(Debug, Clone)]
pub(super) struct Now {
    pub(super) access: Arc<Access>,
    /// Pinned to the upstreams that the access is about.
    pub(super) repositories: Repositories,
}

impl App {
    /// Makes the application, without an audit log.
    pub fn new(repositories: Repositories, access: Access, options: Options) -> Self {
        Self::audited(repositories, access, options, None)
    }

    /// Makes the application.
    pub fn audited(
        repositories: Repositories,
        access: Access,
        options: Options,
        audit: Option<Audit>,
    ) -> Self {
        let limits = RwLock::new(Arc::new(Limits::new(&options, Instant::now())));
        let draining = AtomicBool::new(false);
        let now = RwLock::new(Now { access: Arc::new(access), repositories: repositories.pinned() });
        Self(Arc::new(Shared { repositories, now, options, limits, audit, draining }))
    }

    /// Says from now on that no new requests are wanted: `/readyz` fails.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Returns the limits of requests a second.
    pub(super) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.0.limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Limits the requests a second of each client from now on otherwise; each limit begins full.
    pub fn replace_rates(&self, rates: &Rates) {
        let options = Options { rates: rates.clone(), ..self.0.options.clone() };
        let limits = Arc::new(Limits::new(&options, Instant::now()));
        *self.0.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Returns who may do what, as it is configured now.
    pub(crate) fn access(&self) -> Arc<Access> {
        self.now().access
    }

    /// Returns what one request is judged by and served from.
    pub(super) fn now(&self) -> Now {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says from now on otherwise who may do what, with the upstreams that there are now; requests under way end
    /// as they began.
    pub fn replace_access(&self, access: Arc<Access>) {
        let now = Now { access, repositories: self.0.repositories.pinned() };
        *self.0.now.write().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Has requests ask the upstreams that there are now.
    pub fn take_upstreams(&self) {
        self.replace_access(self.access());
    }

    pub(super) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Returns the router: health and the pages of metrics by path, everything else by
    /// `dispatch`, since axum cannot match a name in the middle of a path.
    pub fn router(&self, metrics: Router) -> Router {
        let app = self.clone();
        let fallback = move |request: Request<Body>| {
            let app = app.clone();
            async move { app.call(request).await }
        };
        health::router(self).merge(guard::metrics(self, metrics)).fallback(fallback)
    }

    /// Answers one request of the API; never fails, and never panics.
    pub async fn call(&self, request: Request<Body>) -> Response<Body> {
        access_log::observed(self, request).await
    }
}
