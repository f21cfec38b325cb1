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

/// The test that kills it at random moments, and the variable that says for how long.
const KILL_LOOP: &str = "p2_every_201_survives_kill";
const KILL_SECONDS: &str = "WHARFINGER_KILL_SECONDS";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fails where a test cannot run on this machine.
    #[arg(long)]
    require: bool,
    /// Beside all of it, how long the program is killed again and again, in seconds.
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
    steps.run("kills", || kill(workspace, required));
    if let Some(seconds) = args.seconds {
        let (loop_of_kills, seconds) = ([KILL_LOOP.to_owned()], [(KILL_SECONDS, seconds.to_string())]);
        steps.run("kills for a time", || {
            only(workspace, KILL_TEST, &told(&loop_of_kills), &seconds, required)
        });
    }
    let everywhere = [("WHARFINGER_POWER_EVERY", "1".to_owned())];
    steps.run("power cuts", || only(workspace, POWER_TEST, &told(&[]), &everywhere, required));
    Ok(steps.finish())
}

/// Kills the program, at its system calls and in some rounds.
pub(crate) fn kill(workspace: &Workspace, required: bool) -> Result<Tally> {
    only(workspace, KILL_TEST, &[], &[], required)
}

/// Cuts the power, at some of the system calls and in some rounds.
pub(crate) fn power(workspace: &Workspace, required: bool) -> Result<Tally> {
    only(workspace, POWER_TEST, &told(&[]), &[], required)
}

/// Returns the arguments of a run that tells how much it tried, which libtest keeps to itself otherwise.
fn told(filters: &[String]) -> Vec<String> {
    filters.iter().cloned().chain(["--nocapture".to_owned()]).collect()
}

fn only(
    workspace: &Workspace,
    test: &str,
    args: &[String],
    env: &[(&'static str, String)],
    required: bool,
) -> Result<Tally> {
    let targets = ["--test".to_owned(), test.to_owned()];
    workspace.test(&Tests { targets: &targets, args, env, required })
}
