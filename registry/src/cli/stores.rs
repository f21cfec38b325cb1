//! The stores that a command works on while no server has them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use wharfinger::config::{self, Config};
use wharfinger::server::{Offline, StartError};
use wharfinger::store::options::Place;

use super::Failure;

/// Which stores a command works on.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(super) struct StoreArgs {
    /// The stores of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The store in this folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl StoreArgs {
    /// Says whether it is known which upstreams there are.
    pub(super) const fn names_upstreams(&self) -> bool {
        self.config.is_some()
    }

    /// Opens the stores, which no server may have open meanwhile.
    ///
    /// *Errors:* [`Failure::Held`] when a server has one of them.
    pub(super) async fn open(&self) -> Result<Offline, Failure> {
        open(self.config()?).await
    }

    /// As [`StoreArgs::open`], where there is a store: a name that was mistyped is not one with nothing in it.
    ///
    /// *Errors:* [`Failure::NoStore`] besides.
    pub(super) async fn open_existing(&self) -> Result<Offline, Failure> {
        let config = self.config()?;
        let others = config.stores_by_component.values().chain(config.stores_by_upstream.values());
        for options in std::iter::once(&config.store).chain(others) {
            if let Place::Folder(path) = &options.place
                && !path.join(MARK).is_file()
            {
                return Err(Failure::NoStore { path: path.clone() });
            }
        }
        open(config).await
    }

    fn config(&self) -> Result<Config, Failure> {
        let mut config = match &self.config {
            None => Config::default(),
            Some(file) => load(file)?,
        };
        if let Some(data) = &self.data {
            config.store.place = Place::Folder(data.clone());
        }
        Ok(config)
    }
}

/// What a folder with a store has.
const MARK: &str = "wharfinger.json";

async fn open(config: Config) -> Result<Offline, Failure> {
    Offline::open(config).await.map_err(|error| match error {
        StartError::Folder(held @ wharfinger::backend::error::OpenError::Held { .. }) => Failure::Held(held),
        error => Failure::Start(error),
    })
}

/// What a command ends with when a server has its store.
const HELD: u8 = 3;

/// Runs a command on its stores.
pub(super) fn with_stores(
    arguments: &StoreArgs,
    work: impl AsyncFnOnce(Offline) -> Result<ExitCode, Failure>,
) -> ExitCode {
    run(async { work(arguments.open().await?).await })
}

/// Runs a command on stores that are there.
pub(super) fn with_existing_stores(
    arguments: &StoreArgs,
    work: impl AsyncFnOnce(Offline) -> Result<ExitCode, Failure>,
) -> ExitCode {
    run(async { work(arguments.open_existing().await?).await })
}

fn run(work: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let ended = super::runtime().and_then(|runtime| runtime.block_on(work));
    ended.unwrap_or_else(|failure| {
        super::explain(&failure);
        if matches!(failure, Failure::Held(_)) { ExitCode::from(HELD) } else { ExitCode::FAILURE }
    })
}

fn load(file: &Path) -> Result<Config, Failure> {
    let loaded = config::load(file);
    let loaded = loaded.map_err(|faults| Failure::Config { file: file.display().to_string(), faults })?;
    for warning in loaded.warnings {
        eprintln!("{}: warning: {warning}", file.display());
    }
    Ok(loaded.config)
}
