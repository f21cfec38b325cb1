//! `cargo xtask e2e`: real clients and servers against wharfinger, one test at a time, since they share
//! the machine's container engine.

use anyhow::Result;

use crate::cargo::{Tests, Workspace};
use crate::packages;
use crate::tally::Tally;

/// The integration test that holds them.
pub(crate) const TEST: &str = "e2e";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs the tests whose names contain this.
    #[arg(long)]
    filter: Option<String>,
    /// Fails where a test cannot run on this machine.
    #[arg(long)]
    require: bool,
}

/// Installs what the tests need where that is possible, and runs those that the filter names.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    let missing = packages::ensure(packages::FOR_TESTS);
    let mut tally = packages::judge(&missing, packages::is_ci() || args.require);
    tally += run_filtered(workspace, args.filter.as_deref(), args.require)?;
    Ok(tally)
}

/// Runs every test.
pub(crate) fn run_all(workspace: &Workspace, required: bool) -> Result<Tally> {
    run_filtered(workspace, None, required)
}

fn run_filtered(workspace: &Workspace, filter: Option<&str>, required: bool) -> Result<Tally> {
    let test_args: Vec<String> =
        std::iter::once("--test-threads=1").chain(filter).map(str::to_owned).collect();
    let targets = ["--test".to_owned(), TEST.to_owned()];
    workspace.test(&Tests { targets: &targets, args: &test_args, env: &[], required })
}
