//! `cargo xtask crash`: what survives. Crash prefixes of every write, the real program killed, and the power cut on
//! real file systems.

use anyhow::Result;

use crate::cargo::{Tests, Workspace};
use crate::packages;
use crate::steps::Steps;
use crate::tally::Tally;

/// The integration test that kills the real program.
pub(crate) const KILL_TEST: &str = "kill";
/// The integration test that cuts the power.
pub(crate) const POWER_TEST: &str = "power";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fails where a test cannot run on this machine.
    #[arg(long)]
    require: bool,
    /// How long the program is killed again and again, in seconds; some rounds without it.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Runs all of it, each at its fullest.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    let (mut steps, required) = (Steps::default(), args.require);
    steps.run("packages", || {
        let missing = packages::ensure(packages::FOR_CRASHES);
        Ok(packages::judge(&missing, packages::is_ci() || required))
    });
    // The tests that kill the program start it from where it is built.
    let built = steps.run("build", || workspace.build_for_tests().map(|()| Tally::default()));
    if built.failed > 0 {
        return Ok(steps.finish());
    }
    steps.run("crash prefixes", || {
        // Some stand beside the store, some drive the whole registry; all have `crash` in their path.
        let targets = ["--lib", "--test", "it"].map(str::to_owned);
        workspace.test(&Tests { targets: &targets, args: &["crash".to_owned()], env: &[], required })
    });
    let seconds = args.seconds.map(|seconds| ("WHARFINGER_KILL_SECONDS", seconds.to_string()));
    steps.run("kills", || only(workspace, KILL_TEST, seconds.as_slice(), required));
    let everywhere = [("WHARFINGER_POWER_EVERY", "1".to_owned())];
    steps.run("power cuts", || only(workspace, POWER_TEST, &everywhere, required));
    Ok(steps.finish())
}

/// Kills the program, at its system calls and in some rounds.
pub(crate) fn kill(workspace: &Workspace, required: bool) -> Result<Tally> {
    only(workspace, KILL_TEST, &[], required)
}

/// Cuts the power, at some of the system calls and in some rounds.
pub(crate) fn power(workspace: &Workspace, required: bool) -> Result<Tally> {
    only(workspace, POWER_TEST, &[], required)
}

fn only(workspace: &Workspace, test: &str, env: &[(&'static str, String)], required: bool) -> Result<Tally> {
    let targets = ["--test".to_owned(), test.to_owned()];
    // What was tried is counted in lines that libtest keeps to itself otherwise.
    let args = ["--nocapture".to_owned()];
    workspace.test(&Tests { targets: &targets, args: &args, env, required })
}
