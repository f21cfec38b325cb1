//! From a configuration to the stores, and to what is done with them.

use std::collections::HashMap;
use std::sync::Arc;

use super::StartError;
use super::place::{self, Opened};
use super::upstreams::Upstreams;
use crate::backend::metered::Metered;
use crate::clock::Clock;
use crate::config::Config;
use crate::repository::{Repositories, Stores};
use crate::store::{self, Store};

/// The stores of a configuration, held by this process, without a server before them.
#[derive(Debug)]
pub struct Offline {
    /// What they were opened by.
    pub config: Config,
    /// The stores.
    pub stores: Stores,
    /// What is done with them; its upstreams are asked only by who calls it.
    pub repositories: Repositories,
}

impl Offline {
    /// Opens the stores, and starts nothing.
    ///
    /// *Errors:* [`StartError`]; a folder that another process has is [`OpenError::Held`](crate::backend::error::OpenError::Held).
    pub async fn open(config: Config) -> Result<Self, StartError> {
        let (stores, repositories, _) = open(&config, &Clock::system()).await?;
        Ok(Self { config, stores, repositories })
    }
}

/// Opens the stores, and makes the clients of the upstreams, which are not asked anything.
pub(super) async fn open(
    config: &Config,
    clock: &Clock,
) -> Result<(Stores, Repositories, Upstreams), StartError> {
    let stores = open_stores(config, clock).await?;
    let upstreams = Upstreams::new(clock.clone()).renewed(&config.upstreams)?;
    let routes = upstreams.routes()?;
    let repositories = Repositories::new(stores.clone(), routes, config.repositories, clock.clone());
    Ok((stores, repositories, upstreams))
}

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
    let Opened { backend, place } = place::open(options).await?;
    let metered = Arc::new(Metered::new(backend));
    let opened = Store::open(metered, options.clone(), clock).await;
    opened.map_err(|source| StartError::Store { place, source })
}
