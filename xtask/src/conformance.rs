//! `cargo xtask conformance`: the suite against wharfinger on a free port, or against any registry.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::{Profile, Workspace};
use crate::report;
use crate::server::{Scratch, Server};
use crate::steps::Steps;
use crate::tally::Tally;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The registry to test; without it, wharfinger is built and started.
    #[arg(long)]
    target: Option<String>,
    /// Also runs this build of the distribution specification's own suite.
    #[arg(long, value_name = "FILE")]
    official: Option<PathBuf>,
    /// What `conformance run` is given beside the target and the report.
    #[arg(last = true)]
    args: Vec<String>,
}

/// Runs the suite, and the official one where it is given.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    let suite = workspace.build("conformance", Profile::Dev)?;
    if let Some(target) = &args.target {
        return judge(workspace, &suite, target, args);
    }
    let program = workspace.build("wharfinger", Profile::Dev)?;
    with_server(workspace, &program, |target| judge(workspace, &suite, target, args))
}

/// Runs the suite as part of a test run, whose programs are built already.
pub(crate) fn run_built(workspace: &Workspace) -> Result<Tally> {
    let suite = workspace.program("conformance", Profile::Dev);
    let program = workspace.program("wharfinger", Profile::Dev);
    with_server(workspace, &program, |target| ours(workspace, &suite, target, &[]))
}

/// Starts wharfinger in a folder of its own for as long as `task` runs.
fn with_server(
    workspace: &Workspace,
    program: &Path,
    task: impl FnOnce(&str) -> Result<Tally>,
) -> Result<Tally> {
    let scratch = Scratch::new(workspace.target(), "conformance")?;
    let data = scratch.path().join("data");
    // Beside the reports, not among them: the report's folder is emptied before the suite runs.
    let log = workspace.reports("conformance.log");
    let args = ["--listen".as_ref(), "127.0.0.1:0".as_ref(), "--data".as_ref(), data.as_os_str()];
    let server = Server::start(program, args, &log)?;
    task(server.url())
}

fn judge(workspace: &Workspace, suite: &Path, target: &str, args: &Args) -> Result<Tally> {
    let Some(binary) = &args.official else { return ours(workspace, suite, target, &args.args) };
    let mut steps = Steps::default();
    steps.run("conformance", || ours(workspace, suite, target, &args.args));
    steps.run("official suite", || official(workspace, binary, target));
    Ok(steps.finish())
}

/// Runs our suite.
fn ours(workspace: &Workspace, suite: &Path, target: &str, args: &[String]) -> Result<Tally> {
    let folder = workspace.reports("conformance");
    let mut command = Command::new(suite);
    command.args(["run", "--target", target, "--report"]).arg(&folder).args(args);
    report::run(&mut command, &folder)
}

/// Runs the official suite for the unreleased version, which checks the most. It counts as one: its
/// exit code is the verdict, its report tells the rest.
fn official(workspace: &Workspace, binary: &Path, target: &str) -> Result<Tally> {
    let folder = workspace.reports("official");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let (registry, tls) = official_address(target);
    let status = Command::new(binary)
        .envs([("OCI_REGISTRY", registry), ("OCI_TLS", tls), ("OCI_VERSION", "dev")])
        .envs([("OCI_REPO1", "official/one"), ("OCI_REPO2", "official/two")])
        .env("OCI_RESULTS_DIR", &folder)
        .status()
        .with_context(|| format!("starting {}", binary.display()))?;
    println!("reports in {}", folder.display());
    Ok(Tally::of(status.success()))
}

/// Splits a url into what the official suite wants: host with port, and whether to use TLS.
fn official_address(target: &str) -> (&str, &'static str) {
    let target = target.trim_end_matches('/');
    match target.split_once("://") {
        Some(("http", host)) => (host, "disabled"),
        Some((_, host)) => (host, "enabled"),
        None => (target, "enabled"),
    }
}

#[cfg(test)]
mod tests {
    use super::official_address;

    #[test]
    fn the_official_suite_gets_a_host() {
        assert_eq!(official_address("http://127.0.0.1:5000/"), ("127.0.0.1:5000", "disabled"));
        assert_eq!(official_address("https://registry.example"), ("registry.example", "enabled"));
        assert_eq!(official_address("registry.example"), ("registry.example", "enabled"));
    }
}
