//! `cargo xtask ci`: what a change must pass, cheapest first.

use anyhow::Result;

use crate::cargo::{self, Workspace};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::{test, tidy};

/// Runs every step and returns the sum.
pub(crate) fn run(workspace: &Workspace, args: &test::Args) -> Result<Tally> {
    let mut steps = Steps::default();
    let plain = |words: &[&str]| cargo::run(workspace.cargo().args(words)).map(|()| Tally::PASSED);
    steps.run("format", || plain(&["fmt", "--all", "--check"]));
    steps.run("clippy", || {
        plain(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
    });
    steps.run("tidy", || tidy::run(workspace));
    test::run_tests(&mut steps, workspace, args);
    steps.run("documentation", || {
        let mut doc = workspace.cargo();
        doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings");
        cargo::run(&mut doc).map(|()| Tally::PASSED)
    });
    Ok(steps.finish())
}
