//! The command line.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use wharfinger::config::{self, Config, Faults, LogFormat};
use wharfinger::server::{Server, StartError};
use wharfinger::store::options::Place;
use wharfinger::telemetry::{self, Form};

/// An OCI registry and pull-through cache that answers for every byte.
#[derive(Debug, Parser)]
#[command(name = "wharfinger", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a registry; SIGTERM lets requests under way end.
    Serve(Serve),
    /// Check configuration files without starting anything.
    Verify {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of the configuration.
    Schema {
        /// Print the reference of all keys as Markdown instead.
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Debug, Args)]
struct Serve {
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

/// Why a command failed; told on stderr.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{file}: the configuration has faults")]
    Config { file: String, faults: Faults },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the runtime could not be started")]
    Runtime(#[source] std::io::Error),
    #[error("requests did not end in time and were cut off")]
    Drain,
}

/// Runs a command.
pub(crate) fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Serve(arguments) => match serve(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                explain(&failure);
                ExitCode::FAILURE
            }
        },
        Command::Verify { files } => verify(&files),
        Command::Schema { markdown } => schema(markdown),
    }
}

fn explain(failure: &Failure) {
    if let Failure::Config { file, faults } = failure {
        for fault in &faults.faults {
            eprintln!("{file}: {fault}");
        }
    }
    eprintln!("wharfinger: {failure}");
    let mut source = std::error::Error::source(failure);
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
}

fn verify(files: &[PathBuf]) -> ExitCode {
    let mut sound = true;
    for file in files {
        let name = file.display();
        let (faults, warnings) = match config::load(file) {
            Ok(loaded) => (Vec::new(), loaded.warnings),
            Err(Faults { faults, warnings }) => (faults, warnings),
        };
        for warning in warnings {
            eprintln!("{name}: warning: {warning}");
        }
        sound &= faults.is_empty();
        for fault in faults {
            println!("{name}: {fault}");
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn schema(markdown: bool) -> ExitCode {
    let text = if markdown { config::docs() } else { format!("{:#}\n", config::schema()) };
    // A reader that closes the pipe early is no failure of ours.
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(arguments: Serve) -> Result<(), Failure> {
    let (mut config, warnings) = match &arguments.file {
        None => (Config::default(), Vec::new()),
        Some(file) => {
            let loaded = config::load(file);
            let loaded =
                loaded.map_err(|faults| Failure::Config { file: file.display().to_string(), faults })?;
            (loaded.config, loaded.warnings)
        }
    };
    if let Some(listen) = arguments.listen {
        config.http.address = listen.ip().to_string();
        config.http.port = listen.port();
    }
    if arguments.memory {
        config.store.place = Place::Memory;
        let others = config.stores_by_component.values_mut().chain(config.stores_by_upstream.values_mut());
        others.for_each(|store| store.place = Place::Memory);
    }
    if let Some(data) = arguments.data {
        config.store.place = Place::Folder(data);
    }
    let form = match config.log.format {
        LogFormat::Auto => Form::of_stderr(),
        LogFormat::Human => Form::Human,
        LogFormat::Json => Form::Json,
    };
    telemetry::start_logging(&config.log.level, form);
    for warning in warnings {
        tracing::warn!(config.path = %warning.path, "{}", warning.message);
    }
    raise_descriptor_limit();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // Threads that wait for the disk; more only queue up in it.
    let runtime =
        builder.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build().map_err(Failure::Runtime)?;
    runtime.block_on(listen(config))
}

/// Threads that wait for the disk at once.
const BLOCKING_THREADS_MAX: usize = 64;

async fn listen(config: Config) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let server = Server::bind(config).await?;
    println!("listening on http://{}", server.address());
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
        tracing::debug!(error = &error as &dyn std::error::Error, "the limit of open files stays as it is");
    }
}
