//! The command line.

mod export;
mod gc;
mod import;
mod policy;
mod progress;
mod scrub;
mod serve;
mod stores;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use wharfinger::config::{self, Faults};
use wharfinger::server::StartError;

use export::Export;
use gc::Gc;
use import::Import;
use scrub::Scrub;
use serve::Serve;

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
    /// Look at every stored byte and record while no server has the store; exits 1 when something is wrong.
    Scrub(Scrub),
    /// Take in what another registry or tool has on this disk, while no server has the store.
    Import(Import),
    /// Write an image, or all of a repository, as an OCI image layout, while no server has the store.
    Export(Export),
    /// Remove garbage from stores that no server has: blobs that no manifest needs, content that nothing links.
    Gc(Gc),
    /// Ask who may do what.
    #[command(subcommand)]
    Policy(policy::Command),
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

/// Why a command failed; told on stderr.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{file}: the configuration has faults")]
    Config { file: String, faults: Faults },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Held(wharfinger::backend::error::OpenError),
    #[error("there is no store in {}", .path.display())]
    NoStore { path: PathBuf },
    #[error("the report could not be written to {}", .path.display())]
    Report { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Transfer(#[from] wharfinger::transfer::Error),
    #[error("stdout cannot be written to")]
    Stdout(#[source] std::io::Error),
    #[error("the store failed")]
    Store(#[source] wharfinger::store::Error),
    #[error("the file of the log, log.output, cannot be opened")]
    Log(#[source] std::io::Error),
    #[error("the runtime could not be started")]
    Runtime(#[source] std::io::Error),
    #[error("requests did not end in time and were cut off")]
    Drain,
}

/// Runs a command.
pub(crate) fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Serve(arguments) => match serve::run(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                explain(&failure);
                ExitCode::FAILURE
            }
        },
        Command::Scrub(arguments) => scrub::run(&arguments),
        Command::Import(arguments) => import::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Gc(arguments) => gc::run(&arguments),
        Command::Policy(command) => policy::run(command),
        Command::Verify { files } => verify(&files),
        Command::Schema { markdown } => schema(markdown),
    }
}

/// Threads that wait for the disk at once.
const BLOCKING_THREADS_MAX: usize = 64;

/// Makes the runtime of a command.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // Threads that wait for the disk; more only queue up in it.
    builder.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build().map_err(Failure::Runtime)
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
