//! `cargo xtask sim`: the flaky upstream, with wharfinger in front of it: over real sockets, and in virtual
//! time, where a seed is a whole life of a cache.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cargo::{self, Profile, Workspace};
use crate::process::free_port;
use crate::report;
use crate::server::{Scratch, Server};
use crate::steps::Steps;
use crate::tally::Tally;

/// Seeds of a run in virtual time.
const SEEDS: &str = "20000";
/// The profile that they are built with: thousands of lives are worth a longer build.
const TRIAL_PROFILE: &str = "trial";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many lives in virtual time, or which: `N` or `FROM..TO`; 0 leaves them out.
    #[arg(long, default_value = SEEDS)]
    seeds: String,
    /// A plan of such a life, which runs instead of everything else.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// What `sim run` is given beside the target, its own address and the report.
    #[arg(last = true)]
    args: Vec<String>,
}

/// Builds both programs and runs every scenario, then the lives in virtual time.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    if let Some(plan) = &args.plan {
        let plan = plan.canonicalize().with_context(|| format!("there is no plan at {}", plan.display()))?;
        return trials(workspace, "WHARFINGER_PLAN", plan.as_os_str());
    }
    let sim = workspace.build("sim", Profile::Dev)?;
    let program = workspace.build("wharfinger", Profile::Dev)?;
    let mut steps = Steps::default();
    steps.run("scenarios", || drive(workspace, &sim, &program, &args.args));
    if args.seeds != "0" {
        let name = format!("{} lives in virtual time", args.seeds);
        steps.run(&name, || trials(workspace, "WHARFINGER_SEEDS", args.seeds.as_ref()));
    }
    Ok(steps.finish())
}

/// Runs lives in virtual time; which ones, a variable says.
fn trials(workspace: &Workspace, variable: &str, value: &OsStr) -> Result<Tally> {
    let reports = workspace.reports("trials");
    fs::create_dir_all(&reports).with_context(|| format!("making {}", reports.display()))?;
    let mut command = workspace.cargo();
    command
        .args([
            "test",
            "--profile",
            TRIAL_PROFILE,
            "--package",
            "wharfinger",
            "--test",
            "dst",
            "--",
            "--nocapture",
        ])
        .env(variable, value)
        .env("WHARFINGER_SHRUNK", &reports);
    cargo::count(&mut command, &mut std::io::stdout())
}

/// Runs every scenario as part of a test run, whose programs are built already.
pub(crate) fn run_built(workspace: &Workspace) -> Result<Tally> {
    let sim = workspace.program("sim", Profile::Dev);
    drive(workspace, &sim, &workspace.program("wharfinger", Profile::Dev), &[])
}

/// Starts wharfinger with `sim` as its only upstream, and `sim` with wharfinger as its target. One server
/// is enough: each scenario and seed has names of its own, so that each meets a cold cache.
fn drive(workspace: &Workspace, sim: &Path, program: &Path, args: &[String]) -> Result<Tally> {
    let scratch = Scratch::new(workspace.target(), "sim")?;
    let origin = format!("127.0.0.1:{}", free_port().context("looking for a free port")?);
    let file = scratch.path().join("config.json");
    let text = configuration(&origin, &scratch.path().join("data")).to_string();
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;

    let server = Server::start(program, [&file], &workspace.reports("sim.log"))?;
    let folder = workspace.reports("sim");
    let mut command = Command::new(sim);
    command.args(["run", "--target", server.url(), "--listen", &origin, "--report"]).arg(&folder).args(args);
    report::run(&mut command, &folder)
}

/// Writes the configuration: everything on demand from `origin`.
fn configuration(origin: &str, data: &Path) -> Value {
    json!({
        "storage": {"rootDirectory": data},
        "http": {"address": "127.0.0.1", "port": "0"},
        "extensions": {"sync": {"enable": true, "registries": [
            {"urls": [format!("http://{origin}")], "onDemand": true, "tlsVerify": false},
        ]}},
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::configuration;

    #[test]
    fn the_only_upstream_is_the_simulator() {
        let text = configuration("127.0.0.1:7", Path::new("/data")).to_string();
        let expect = r#""registries":[{"onDemand":true,"tlsVerify":false,"urls":["http://127.0.0.1:7"]}]"#;
        assert!(text.contains(expect), "{text}");
        assert!(text.contains(r#""rootDirectory":"/data""#), "{text}");
    }
}
