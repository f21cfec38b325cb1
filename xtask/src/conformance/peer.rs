//! Another registry beside ours: Debian's docker-registry, which is CNCF distribution 2.8, once as a
//! registry and once as a cache of an upstream. What it fails is listed with the causes; anything else that
//! fails, and anything listed that passes, is red, if it does so twice: its races are no news of the suite.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::merge::Merged;
use super::suite;
use crate::cargo::{Profile, Workspace};
use crate::process::{Guard, free_port, is_on_path, wait_for_port};
use crate::server::Scratch;
use crate::tally::Tally;

/// What the table calls it.
pub(super) const NAME: &str = "docker-registry 2.8";
const PROGRAM: &str = "docker-registry";
/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the suite against docker-registry in both roles; `None` when it is not installed.
pub(super) fn run(workspace: &Workspace, program: &Path, args: &[String]) -> Result<Option<Merged>> {
    if !is_on_path(PROGRAM) {
        return Ok(None);
    }
    let sim = workspace.program("sim", Profile::Dev);
    let mut merged = Merged::default();
    for (role, known) in [("plain", "docker-registry.txt"), ("proxy", "docker-registry-proxy.txt")] {
        let known = workspace.root().join("conformance/known").join(known);
        let run = || in_role(workspace, &[program, &sim, &known], role, args);
        let mut report = run()?;
        let mut one = Merged::default();
        one.add(role, &report)?;
        if one.tally().failed > 0 {
            println!("\n-- {PROGRAM}, {role}, once more: what is red was not expected");
            report = run()?;
        }
        merged.add(role, &report)?;
    }
    Ok(Some(merged))
}

/// Runs the suite against a docker-registry of its own, and returns the report.
fn in_role(
    workspace: &Workspace,
    [program, sim, known]: &[&Path; 3],
    role: &str,
    args: &[String],
) -> Result<Value> {
    println!("\n-- {PROGRAM}, {role}");
    let scratch = Scratch::new(workspace.target(), &format!("conformance-{PROGRAM}-{role}"))?;
    let reports = workspace.reports("conformance").join(format!("{PROGRAM}-{role}"));
    let peer = Peer::start(&scratch, sim, role == "proxy", &reports.with_extension("log"))?;
    let mut all = vec!["--known".to_owned(), known.display().to_string()];
    all.extend(peer.origin.iter().flat_map(|origin| ["--origin".to_owned(), origin.clone()]));
    all.extend_from_slice(args);
    suite(program, &peer.url, &reports, &all)
}

/// What the known failures of a peer count as: nothing that was expected is red.
pub(super) fn tally(merged: &Merged) -> Tally {
    let Tally { passed, failed, skipped } = merged.tally();
    Tally { passed: passed + merged.known(), failed, skipped: skipped - merged.known() }
}

/// A running docker-registry.
#[derive(Debug)]
struct Peer {
    url: String,
    /// Where the suite has to put its origin.
    origin: Option<String>,
    _guard: Guard,
}

impl Peer {
    fn start(scratch: &Scratch, sim: &Path, is_proxy: bool, log: &Path) -> Result<Self> {
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let (port, upstream) = (free_port()?, free_port()?);
        let origin = is_proxy.then(|| format!("127.0.0.1:{upstream}"));
        // It asks its upstream once when it starts, and gives up without an answer; the suite's own origin
        // comes only with the suite.
        let meanwhile = origin.as_deref().map(|origin| stand_in(sim, origin, upstream)).transpose()?;
        let file = scratch.path().join("config.yml");
        let text = configuration(port, origin.as_deref(), &scratch.path().join("data")).to_string();
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        let log = File::create(log).with_context(|| format!("making {}", log.display()))?;
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(log);
        let mut guard = Guard::start(&mut command)?;
        wait_for_port(&mut guard, port, PATIENCE)?;
        drop(meanwhile);
        Ok(Self { url: format!("http://127.0.0.1:{port}"), origin, _guard: guard })
    }
}

fn stand_in(sim: &Path, origin: &str, port: u16) -> Result<Guard> {
    let mut command = Command::new(sim);
    command.args(["serve", "honest", "--listen", origin]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut guard = Guard::start(&mut command)?;
    wait_for_port(&mut guard, port, PATIENCE)?;
    Ok(guard)
}

/// Writes its configuration; its YAML reader takes JSON, too.
fn configuration(port: u16, upstream: Option<&str>, data: &PathBuf) -> Value {
    let mut file = json!({
        "version": "0.1",
        "log": {"level": "error"},
        "http": {"addr": format!("127.0.0.1:{port}")},
        "storage": {"delete": {"enabled": true}},
    });
    match upstream {
        // A cache keeps its schedule beside its content, which the driver for memory cannot do.
        Some(upstream) => {
            file["storage"]["filesystem"] = json!({"rootdirectory": data});
            file["proxy"] = json!({"remoteurl": format!("http://{upstream}")});
        }
        None => file["storage"]["inmemory"] = json!({}),
    }
    file
}
