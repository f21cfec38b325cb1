//! The runner: every task of a checkout, one file each. It depends on no other crate of the
//! workspace, so that it builds in seconds and works while they do not compile.

mod bench;
mod cargo;
mod ci;
mod conformance;
mod crash;
mod e2e;
mod mutants;
mod official;
mod packages;
mod process;
mod report;
mod serve;
mod server;
mod servers;
mod sim;
mod skips;
mod steps;
mod tally;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cargo::Workspace;
use crate::tally::Tally;

/// Runs the tasks of this checkout.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds wharfinger and serves on 127.0.0.1:5000 from ./wharfinger-data.
    Serve(serve::Args),
    /// Runs everything that this machine can run; the last line sums up.
    Test(test::Args),
    /// Runs real clients and servers against wharfinger.
    E2e(e2e::Args),
    /// Installs object stores, and runs the tests of stores in buckets against them.
    Servers(servers::Args),
    /// Runs the conformance suite against wharfinger, or against another registry.
    Conformance(conformance::Args),
    /// Runs the flaky upstream, with wharfinger in front of it.
    Sim(sim::Args),
    /// Runs the crash tests: crash prefixes, kills and power cuts.
    Crash(crash::Args),
    /// Plants mistakes, one after another, and sees whether the lives in virtual time find them.
    Mutants(mutants::Args),
    /// Runs the benches, then compares with nginx, openssl and dd on this machine.
    Bench(bench::Args),
    /// Checks what lints cannot: layers, sizes, dead paths, forgotten files.
    Tidy,
    /// Runs what a change must pass: format, lints, tidy, tests, documentation.
    Ci(test::Args),
    /// Asks a run of the conformance suite to do something to its registry; the suite calls this.
    #[command(hide = true)]
    Control {
        /// The socket of the run.
        socket: std::path::PathBuf,
        /// What to do.
        words: Vec<String>,
    },
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    if let Task::Control { socket, words } = &task {
        return conformance::ask(socket, words).map_or_else(failed, ExitCode::from);
    }
    match run(task) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(tally)) => {
            println!("{tally}");
            if tally.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => failed(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "It is handed on by combinators.")]
fn failed(error: anyhow::Error) -> ExitCode {
    eprintln!("xtask: {error:#}");
    ExitCode::from(2)
}

/// Runs one task; `None` when there is nothing to count.
fn run(task: Task) -> anyhow::Result<Option<Tally>> {
    let workspace = Workspace::find()?;
    match task {
        Task::Serve(args) => serve::run(&workspace, &args).map(|()| None),
        Task::Test(args) => test::run(&workspace, &args).map(Some),
        Task::E2e(args) => e2e::run(&workspace, &args).map(Some),
        Task::Servers(args) => servers::run(&workspace, &args).map(Some),
        Task::Conformance(args) => conformance::run(&workspace, &args).map(Some),
        Task::Sim(args) => sim::run(&workspace, &args).map(Some),
        Task::Crash(args) => crash::run(&workspace, &args).map(Some),
        Task::Mutants(args) => mutants::run(&workspace, &args).map(Some),
        Task::Bench(args) => bench::run(&workspace, &args).map(|()| None),
        Task::Tidy => tidy::run(&workspace).map(Some),
        Task::Ci(args) => ci::run(&workspace, &args).map(Some),
        Task::Control { .. } => unreachable!("main has answered it before a workspace was looked for"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
