//! `cargo xtask crash`: what survives. Crash prefixes of every write, and the kill loop on the real program.

use anyhow::Result;

use crate::cargo::{Tests, Workspace};
use crate::steps::Steps;
use crate::tally::Tally;

/// The integration test that kills the real program.
pub(crate) const KILL_TEST: &str = "kill";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fails where a test cannot run on this machine.
    #[arg(long)]
    require: bool,
}

/// Runs both.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    let mut steps = Steps::default();
    steps.run("crash prefixes", || {
        // Some stand beside the store, some drive the whole registry; all have `crash` in their path.
        let targets = ["--lib", "--test", "it"].map(str::to_owned);
        workspace.test(&Tests { targets: &targets, args: &["crash".to_owned()], required: args.require })
    });
    steps.run("kill loop", || kill(workspace, args.require));
    Ok(steps.finish())
}

/// Runs the kill loop alone.
pub(crate) fn kill(workspace: &Workspace, required: bool) -> Result<Tally> {
    let targets = ["--test".to_owned(), KILL_TEST.to_owned()];
    workspace.test(&Tests { targets: &targets, args: &[], required })
}
