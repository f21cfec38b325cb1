//! `wharfinger serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use wharfinger::config::{self, Config, LogFormat};
use wharfinger::server::{Server, Source};
use wharfinger::store::options::Place;
use wharfinger::telemetry::{self, Form, WithCauses};

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration, JSON or YAML; without it, 127.0.0.1:5000 and ./wharfinger-data.
    file: Option<PathBuf>,
    /// Listen here instead; port 0 lets the system choose.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Store in this folder instead.
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    data: Option<PathBuf>,
    /// Store in memory instead, until the process ends.
    #[arg(long)]
    memory: bool,
}

/// Serves until a signal.
pub(super) fn run(arguments: Serve) -> Result<(), Failure> {
    let seen = arguments.file.clone().map(Source::before);
    let (mut config, warnings) = match &arguments.file {
        None => (Config::default(), Vec::new()),
        Some(file) => {
            let loaded = config::load(file);
            let loaded =
                loaded.map_err(|faults| Failure::Config { file: file.display().to_string(), faults })?;
            (loaded.config, loaded.warnings)
        }
    };
    let Serve { file, listen: address, data, memory } = arguments;
    let adjust = move |config: &mut Config| {
        if let Some(address) = address {
            config.http.address = address.ip().to_string();
            config.http.port = address.port();
        }
        if memory {
            config.store.place = Place::Memory;
            let others =
                config.stores_by_component.values_mut().chain(config.stores_by_upstream.values_mut());
            others.for_each(|store| store.place = Place::Memory);
        }
        if let Some(data) = &data {
            config.store.place = Place::Folder(data.clone());
        }
    };
    adjust(&mut config);
    let source = file.zip(seen).map(|(file, seen)| Source { file, seen, adjust: Arc::new(adjust) });
    let form = match config.log.format {
        LogFormat::Auto => Form::of(&config.log.output),
        LogFormat::Human => Form::Human,
        LogFormat::Json => Form::Json,
    };
    telemetry::start_logging_to(&config.log.output, &config.log.level, form).map_err(Failure::Log)?;
    for warning in warnings {
        tracing::warn!(config.path = %warning.path, "{}", warning.message);
    }
    raise_descriptor_limit();
    super::runtime()?.block_on(listen(config, source))
}

async fn listen(config: Config, source: Option<Source>) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut server = Server::bind(config).await?;
    if let Some(source) = source {
        server = server.reloading(source);
    }
    println!("listening on {}://{}", server.scheme(), server.address());
    let _ = std::io::stdout().flush();
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("draining: requests under way may end, new connections are refused");
    };
    if server.run(stop).await { Ok(()) } else { Err(Failure::Drain) }
}

/// Every connection and open blob is a descriptor, and shells start processes with few.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(error = %WithCauses(&error), "the limit of open files stays as it is");
    }
}
