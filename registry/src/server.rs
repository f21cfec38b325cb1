//! The composition root: from a configuration to a server that listens, and its end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::auth::{Access, AccessError};
use crate::backend::disk::{Disk, OsDisk};
use crate::backend::error::OpenError;
use crate::backend::fs::{Durability, FsBackend};
use crate::backend::memory::MemoryDisk;
use crate::backend::metered::Metered;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{App, listener};
use crate::repository::{Repositories, Stores};
use crate::store::options::{Commit, Place};
use crate::store::{self, Store};
use crate::upstream::reqwest_transport::{BuildError, ReqwestTransport};
use crate::upstream::route::ContentError;
use crate::upstream::{Routes, Upstream};
use crate::{backend, extensions, telemetry};

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

impl Server {
    /// Opens the store, makes the clients of the upstreams (which are not asked anything), and
    /// binds the address.
    ///
    /// *Errors:* [`StartError`].
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let clock = Clock::system();
        let stores = open_stores(&config, &clock).await?;
        let routes = routes(&config, &clock)?;
        let repositories = Repositories::new(stores.clone(), routes, config.repositories, clock);
        let access = Access::new(config.auth.clone())?;
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
        let mut background = JoinSet::new();
        for store in self.stores.all() {
            background.spawn(unmark_empty_names(store.clone()));
            background.spawn(expire_uploads(store.clone()));
        }
        let repositories = self.repositories.clone();
        background.spawn(async move { repositories.keep_within_bounds().await });
        let repositories = self.repositories.clone();
        background.spawn(async move { repositories.keep_mirrored().await });
        if let Some(handle) = self.metrics {
            background.spawn(upkeep(handle));
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

async fn open_stores(config: &Config, clock: &Clock) -> Result<Stores, StartError> {
    let main = open_store(&config.store, clock.clone()).await?;
    let (mut by_component, mut by_upstream) = (HashMap::new(), HashMap::new());
    for (component, options) in &config.stores_by_component {
        by_component.insert(component.clone(), open_store(options, clock.clone()).await?);
    }
    for (upstream, options) in &config.stores_by_upstream {
        by_upstream.insert(upstream.clone(), open_store(options, clock.clone()).await?);
    }
    Ok(Stores::new(main, by_component, by_upstream))
}

async fn open_store(options: &store::options::Options, clock: Clock) -> Result<Store, StartError> {
    let (disk, place): (Arc<dyn Disk>, String) = match &options.place {
        Place::Memory => (Arc::new(MemoryDisk::new()), "memory".to_owned()),
        Place::Folder(path) => (Arc::new(open_folder(path.clone()).await?), path.display().to_string()),
    };
    let durability = match options.commit {
        Commit::Yes => Durability::Synced,
        Commit::No => Durability::Unsynced,
    };
    let opened = FsBackend::open(disk, durability).await;
    let backend = opened.map_err(|source| StartError::Backend { place: place.clone(), source })?;
    let metered = Arc::new(Metered::new(Arc::new(backend)));
    let opened = Store::open(metered, options.clone(), clock).await;
    opened.map_err(|source| StartError::Store { place, source })
}

async fn open_folder(path: PathBuf) -> Result<OsDisk, StartError> {
    let to_open = path.clone();
    let opened = tokio::task::spawn_blocking(move || OsDisk::open(&to_open)).await;
    Ok(opened.unwrap_or(Err(OpenError::Held { path }))?)
}

fn routes(config: &Config, clock: &Clock) -> Result<Routes, StartError> {
    let mut routes = Routes::default();
    for options in &config.upstreams {
        let transport = Arc::new(ReqwestTransport::new(options)?);
        let upstream = Arc::new(Upstream::new(options.clone(), transport, clock.clone()));
        let added = routes.add(upstream, options);
        added.map_err(|source| StartError::Content { upstream: options.name.clone(), source })?;
    }
    Ok(routes)
}

async fn unmark_empty_names(store: Store) {
    if let Err(error) = store.unmark_empty_names().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "repositories could not be looked through");
    }
}

/// How often uploads are looked through at most.
const EXPIRY_INTERVAL_MAX: Duration = Duration::from_secs(600);
const EXPIRY_INTERVAL_MIN: Duration = Duration::from_secs(1);

async fn expire_uploads(store: Store) {
    let interval = (store.upload_expiry() / 4).clamp(EXPIRY_INTERVAL_MIN, EXPIRY_INTERVAL_MAX);
    loop {
        tokio::time::sleep(interval).await;
        if let Err(error) = store.expire_fills().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "fetches that stand still could not be removed"
            );
        }
        match store.expire_uploads().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(uploads.expired = count, "uploads that stood still were removed"),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "uploads could not be looked through"
                );
            }
        }
    }
}

/// The exporter keeps samples until it is told to fold them.
async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.run_upkeep();
    }
}
