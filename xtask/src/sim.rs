//! `cargo xtask sim`: the flaky upstream, with wharfinger in front of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cargo::{Profile, Workspace};
use crate::process::free_port;
use crate::report;
use crate::server::{Scratch, Server};
use crate::tally::Tally;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What `sim run` is given beside the target, its own address and the report.
    #[arg(last = true)]
    args: Vec<String>,
}

/// Builds both programs and runs every scenario.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    let sim = workspace.build("sim", Profile::Dev)?;
    let program = workspace.build("wharfinger", Profile::Dev)?;
    drive(workspace, &sim, &program, &args.args)
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
