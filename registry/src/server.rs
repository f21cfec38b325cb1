//! The composition root: from a configuration to a server that listens, and its end.

mod background;
mod keep;
mod place;
mod reload;
mod stores;
mod upstreams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::auth::keep::Keep;
use crate::auth::{Access, AccessError};
use crate::backend::error::OpenError;
use crate::backend::object::probe::Conditions;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::tls::{Tls, TlsError};
use crate::http::{App, listener};
use crate::repository::{Repositories, Stores};
use crate::store;
use crate::telemetry::audit::Audit;
use crate::upstream::reqwest_transport::BuildError;
use crate::upstream::route::ContentError;
use crate::{backend, extensions, telemetry};

use reload::Reloads;
use upstreams::Upstreams;

pub use reload::Source;
pub use stores::Offline;

/// A server that is bound, and has not begun to accept.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: App,
    router: Router,
    tls: Option<Arc<Tls>>,
    repositories: Repositories,
    upstreams: Upstreams,
    stores: Stores,
    keep: Arc<keep::InStore>,
    config: Config,
    source: Option<Source>,
    metrics: Option<PrometheusHandle>,
    audit: Option<(Audit, JoinHandle<()>)>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// The settings of a bucket cannot be used.
    #[error("the settings of the bucket {bucket} cannot be used")]
    Settings {
        /// Its address.
        bucket: String,
        /// What is wrong with them.
        source: std::io::Error,
    },
    /// A bucket does not answer as it should.
    #[error(
        "the bucket {bucket} cannot be used: does it exist, and may this account read, write, list and delete in it?"
    )]
    Bucket {
        /// Its address.
        bucket: String,
        /// What went wrong.
        source: backend::Error,
    },
    /// A bucket does not honour conditions.
    #[error(
        "the bucket {bucket} {}, so several processes would lose each other's writes; use one that honours conditional writes, or set storage.shared to false and let only one process use it",
        told(.conditions)
    )]
    Conditions {
        /// Its address.
        bucket: String,
        /// What it does with them.
        conditions: Conditions,
    },
    /// The storage backend failed.
    #[error("the store in {} cannot be opened", .place)]
    Backend {
        /// Where it is.
        place: String,
        /// What went wrong.
        source: backend::Error,
    },
    /// The store cannot be used.
    #[error("the store in {} cannot be opened", .place)]
    Store {
        /// Where it is.
        place: String,
        /// What went wrong.
        source: store::Error,
    },
    /// The rules of access cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The audit log cannot be opened.
    #[error("the audit log, log.audit, cannot be opened")]
    Audit(#[source] std::io::Error),
    /// An upstream cannot be used.
    #[error(transparent)]
    Upstream(#[from] BuildError),
    /// The content of an upstream cannot be read; `verify` would have said so.
    #[error("the content of the upstream {upstream} cannot be read")]
    Content {
        /// The upstream's name.
        upstream: String,
        /// What is wrong.
        source: ContentError,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}: is another process using the port? --listen takes another one")]
    Listen {
        /// The address.
        address: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Says what a bucket does with conditions.
const fn told(conditions: &Conditions) -> &'static str {
    match conditions {
        Conditions::Honoured => "honours conditions",
        Conditions::OverwritesNew => {
            "writes over an object that it was told must not be there (If-None-Match)"
        }
        Conditions::OverwritesOther => "writes over an object that has changed since it was read (If-Match)",
        Conditions::Refuses => "refuses writes with a condition",
    }
}

impl Server {
    /// Opens the store, makes the clients of the upstreams (which are not asked anything), and
    /// binds the address.
    ///
    /// *Errors:* [`StartError`].
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let clock = Clock::system();
        let (stores, repositories, upstreams) = Box::pin(stores::open(&config, &clock)).await?;
        let keep = Arc::new(keep::InStore(stores.main().clone()));
        let access = Access::open(&config.auth, Arc::clone(&keep) as Arc<dyn Keep>, clock.clone()).await?;
        let audit = config.log.audit.as_ref().map(|target| Audit::start(target, clock)).transpose();
        let audit = audit.map_err(StartError::Audit)?;
        let taker = audit.as_ref().map(|(audit, _)| audit.clone());
        let app = App::audited(repositories.clone(), access, config.http.clone(), taker);
        let metrics = config.metrics.enable.then(telemetry::start_metrics).flatten();
        let pages = match &metrics {
            Some(handle) => extensions::metrics::router(&config.metrics.path, handle.clone()),
            None => Router::new(),
        };
        let router = app.router(pages);
        let tls = config.http.tls.as_ref().map(Tls::open).transpose()?.map(Arc::new);
        let bound = listener::bind(&config.http).await;
        let (listener, address) = bound.map_err(|source| {
            let address = format!("{}:{}", config.http.address, config.http.port);
            StartError::Listen { address, source }
        })?;
        let source = None;
        Ok(Self {
            listener,
            address,
            app,
            router,
            tls,
            repositories,
            upstreams,
            stores,
            keep,
            config,
            source,
            metrics,
            audit,
        })
    }

    /// Reads the configuration again from where it came, when it has changed and at SIGHUP.
    #[must_use]
    pub fn reloading(self, source: Source) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Returns the address that was bound.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the scheme of the urls under which it answers.
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Serves until `stop` is done, then drains; returns whether all requests ended in time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let mut background = background::start(&self.stores, &self.repositories, &self.config);
        if let Some(handle) = self.metrics {
            background.spawn(background::upkeep(handle));
        }
        if let Some(source) = self.source {
            let reloads = Reloads {
                source,
                app: self.app.clone(),
                keep: self.keep,
                stores: self.stores.clone(),
                repositories: self.repositories.clone(),
                upstreams: self.upstreams,
                clock: Clock::system(),
                config: self.config.clone(),
            };
            background.spawn(reloads.watch());
        }
        if let Some(tls) = &self.tls {
            background.spawn(Arc::clone(tls).keep_current());
        }
        if let Some((audit, _)) = &self.audit {
            background.spawn(background::renew_on_hangup(audit.clone()));
        }
        let app = self.app;
        let stop = async move {
            stop.await;
            app.drain();
        };
        let drained =
            listener::serve_with(self.listener, self.router, &self.config.http, self.tls, stop).await;
        background.shutdown().await;
        // What has arrived of blobs is made durable, so that the next process goes on from it.
        self.repositories.close(CLOSE_PATIENCE).await;
        if let Some((audit, writing)) = self.audit {
            audit.end().await;
            let _ = tokio::time::timeout(CLOSE_PATIENCE, writing).await;
        }
        drained
    }
}

/// How long it may take at the end to make durable what has arrived, and to write the rest of the audit log.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
