//! The binary `sim`: see [`sim::cli`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    sim::cli::main(sim::cli::Cli::parse()).await
}
