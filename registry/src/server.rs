//! The composition root: from a configuration to a server that listens, and its end.

mod background;
mod keep;
mod place;
mod stores;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::auth::{Access, AccessError};
use crate::backend::error::OpenError;
use crate::backend::object::probe::Conditions;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{App, listener};
use crate::repository::{Repositories, Stores};
use crate::store;
use crate::upstream::reqwest_transport::BuildError;
use crate::upstream::route::ContentError;
use crate::{backend, extensions, telemetry};

pub use stores::Offline;

/// A server that is bound, and has not begun to accept.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: App,
    router: Router,
    repositories: Repositories,
    stores: Stores,
    config: Config,
    metrics: Option<PrometheusHandle>,
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
        let (stores, repositories) = Box::pin(stores::open(&config, &clock)).await?;
        let keep = Arc::new(keep::InStore(stores.main().clone()));
        let access = Access::open(&config.auth, keep, clock).await?;
        let app = App::new(repositories.clone(), access, config.http.clone());
        let metrics = config.metrics.enable.then(telemetry::start_metrics).flatten();
        let pages = match &metrics {
            Some(handle) => extensions::metrics::router(&config.metrics.path, handle.clone()),
            None => Router::new(),
        };
        let router = app.router(pages);
        let bound = listener::bind(&config.http).await;
        let (listener, address) = bound.map_err(|source| {
            let address = format!("{}:{}", config.http.address, config.http.port);
            StartError::Listen { address, source }
        })?;
        Ok(Self { listener, address, app, router, repositories, stores, config, metrics })
    }

    /// Returns the address that was bound.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done, then drains; returns whether all requests ended in time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let mut background = background::start(&self.stores, &self.repositories, &self.config);
        if let Some(handle) = self.metrics {
            background.spawn(background::upkeep(handle));
        }
        let app = self.app;
        let stop = async move {
            stop.await;
            app.drain();
        };
        let drained = listener::serve(self.listener, self.router, &self.config.http, stop).await;
        background.shutdown().await;
        // What has arrived of blobs is made durable, so that the next process goes on from it.
        self.repositories.close(CLOSE_PATIENCE).await;
        drained
    }
}

/// How long fetches may take at the end to make durable what has arrived.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
