//! `cargo xtask test`: everything that this machine can run, cheap before real.

use anyhow::Result;

use crate::cargo::{Tests, Workspace};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::{conformance, crash, e2e, packages, servers, sim, tidy};

/// The integration test that asks directories of accounts.
const ACCESS_TEST: &str = "access";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fails where a test cannot run on this machine.
    #[arg(long)]
    require: bool,
}

/// Runs every step and returns the sum.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    let mut steps = Steps::default();
    steps.run("tidy", || tidy::run(workspace));
    run_tests(&mut steps, workspace, args);
    Ok(steps.finish())
}

/// Runs every step but tidy.
pub(crate) fn run_tests(steps: &mut Steps, workspace: &Workspace, args: &Args) {
    let required = args.require;
    steps.run("packages", || {
        let missing = packages::ensure(packages::FOR_TESTS);
        Ok(packages::judge(&missing, packages::is_ci() || required))
    });
    steps.run("object stores", || {
        let missing = servers::ensure(workspace);
        Ok(packages::judge(&missing, packages::is_ci() || required))
    });
    let built = steps.run("build", || workspace.build_for_tests().map(|()| Tally::default()));
    if built.failed > 0 {
        // The rest would fail for the same reason, or judge programs of an earlier build.
        return;
    }
    steps.run("tests", || {
        let targets = ordinary_targets(workspace);
        workspace.test(&Tests { targets: &targets, args: &[], env: &[], required })
    });
    steps.run("examples in the documentation", || {
        workspace.test(&Tests { targets: &["--doc".to_owned()], args: &[], env: &[], required })
    });
    if_present(steps, workspace, ("test", crash::KILL_TEST), required, || crash::kill(workspace, required));
    if_present(steps, workspace, ("test", crash::POWER_TEST), required, || crash::power(workspace, required));
    if_present(steps, workspace, ("test", servers::TEST), required, || servers::run_all(workspace, required));
    if_present(steps, workspace, ("test", ACCESS_TEST), required, || access(workspace, required));
    if_present(steps, workspace, ("test", e2e::TEST), required, || e2e::run_all(workspace, required));
    conformance::run_built(steps, workspace);
    if_present(steps, workspace, ("bin", "sim"), required, || sim::run_built(workspace));
}

fn access(workspace: &Workspace, required: bool) -> Result<Tally> {
    let targets = ["--test", ACCESS_TEST].map(str::to_owned);
    workspace.test(&Tests { targets: &targets, args: &[], env: &[], required })
}

/// Returns the arguments that select every test but those that have a step of their own.
fn ordinary_targets(workspace: &Workspace) -> Vec<String> {
    let apart = [crash::KILL_TEST, crash::POWER_TEST, e2e::TEST, servers::TEST, ACCESS_TEST];
    let tests = workspace.integration_tests().filter(|name| !apart.contains(name));
    let named = tests.flat_map(|name| ["--test".to_owned(), name.to_owned()]);
    ["--lib", "--bins"].map(str::to_owned).into_iter().chain(named).collect()
}

/// Runs a step whose test or program exists. One that was renamed or removed must not vanish silently,
/// so its absence counts as a skip.
fn if_present(
    steps: &mut Steps,
    workspace: &Workspace,
    (kind, name): (&str, &str),
    required: bool,
    step: impl FnOnce() -> Result<Tally>,
) {
    steps.run(name, || {
        if workspace.has(kind, name) {
            return step();
        }
        println!("skipped {name}: the workspace has no {kind} `{name}`");
        Ok(Tally::PASSED.with_skips(1, required))
    });
}
