//! `cargo xtask sim`: the flaky upstream, with wharfinger in front of it: over real sockets, and in virtual
//! time, where a seed is a whole life of a cache.
//!
//! Map: `sim/stands` (wharfinger, in each configuration that a scenario needs), `sim/peer` (another registry
//! beside it), `sim/card` (what `sim` found, read again), `sim/scorecard` (both side by side).

mod card;
mod html;
mod peer;
mod scorecard;
mod stands;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::card::Card;
use self::peer::Peer;
use crate::cargo::{self, Profile, Workspace};
use crate::report;
use crate::server::Scratch;
use crate::steps::Steps;
use crate::tally::Tally;

/// Seeds of a run in virtual time.
const SEEDS: &str = "20000";
/// The profile that they are built with: thousands of lives are worth a longer build.
pub(crate) const TRIAL_PROFILE: &str = "trial";
/// What starts our own server again, for one scenario.
const AGAIN: &str = "cargo xtask sim --seeds 0 --";
/// What reports call our own server.
const OURS: &str = "wharfinger";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many lives in virtual time, or which: `N` or `FROM..TO`; 0 leaves them out. Beside a peer there
    /// are none unless they are asked for.
    #[arg(long)]
    seeds: Option<String>,
    /// A plan of such a life, which runs instead of everything else.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Runs the scenarios through this registry, too, and prints both side by side; its failures are no
    /// failures of the run.
    #[arg(long, value_name = "NAME")]
    peer: Option<Peer>,
    /// What `sim run` is given beside the stands and the report.
    #[arg(last = true)]
    args: Vec<String>,
}

/// Builds both programs and runs every scenario, then the lives in virtual time.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    if let Some(plan) = &args.plan {
        let plan = plan.canonicalize().with_context(|| format!("there is no plan at {}", plan.display()))?;
        return trials(workspace, "WHARFINGER_PLAN", plan.as_os_str());
    }
    if let Some(peer) = args.peer {
        peer.require()?;
    }
    let sim = workspace.build("sim", Profile::Dev)?;
    let program = workspace.build("wharfinger", Profile::Dev)?;
    let mut steps = Steps::default();
    steps.run("scenarios", || drive(workspace, &sim, &program, &args.args));
    if let Some(peer) = args.peer {
        steps.run("scorecard", || beside(workspace, &sim, peer, &args.args));
    }
    let seeds = args.seeds.as_deref().unwrap_or(if args.peer.is_some() { "0" } else { SEEDS });
    if seeds != "0" {
        let name = format!("{seeds} lives in virtual time");
        steps.run(&name, || trials(workspace, "WHARFINGER_SEEDS", seeds.as_ref()));
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

/// Starts wharfinger in every configuration that a scenario needs, and `sim` with all of them as targets.
/// Each scenario and seed has names of its own, so that each meets a cold cache.
fn drive(workspace: &Workspace, sim: &Path, program: &Path, args: &[String]) -> Result<Tally> {
    let scratch = Scratch::new(workspace.target(), "sim")?;
    let logs = workspace.reports("sim-logs").join(OURS);
    let (_servers, stands) = stands::start(program, scratch.path(), &logs)?;
    let file = written(&scratch, &stands)?;
    let folder = workspace.reports("sim");
    report::run(&mut command(sim, &file, (OURS, AGAIN), &folder, args), &folder)
}

/// Runs the scenarios through a peer, and writes the scorecard of it and of what [`drive`] has found.
fn beside(workspace: &Workspace, sim: &Path, peer: Peer, args: &[String]) -> Result<Tally> {
    let scratch = Scratch::new(workspace.target(), "sim-peer")?;
    let logs = workspace.reports("sim-logs").join(peer.name());
    let (_servers, stands) = peer.start(sim, scratch.path(), &logs)?;
    let file = written(&scratch, &stands)?;
    let folder = workspace.reports(&format!("sim-{}", peer.name()));
    let again = format!("cargo xtask sim --peer {} --", peer.name());
    report::run(&mut command(sim, &file, (peer.title(), &again), &folder, args), &folder)?;
    let cards =
        [Card::read(&workspace.reports("sim/report.json"))?, Card::read(&folder.join("report.json"))?];
    ensure!(!cards[0].scenarios.is_empty(), "nothing ran");
    let text = scorecard::markdown(&cards);
    println!("\n{text}");
    for (name, page) in [("scorecard.md", &text), ("scorecard.html", &html::page(&cards))] {
        let file = workspace.reports(name);
        fs::write(&file, page).with_context(|| format!("writing {}", file.display()))?;
        println!("{}", file.display());
    }
    Ok(Tally::PASSED)
}

/// Writes the list of stands.
fn written(scratch: &Scratch, stands: &Value) -> Result<PathBuf> {
    let file = scratch.path().join("stands.json");
    fs::write(&file, stands.to_string()).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// Makes the run; what it tests has a name, and a command that starts it again.
fn command(sim: &Path, stands: &Path, target: (&str, &str), folder: &Path, args: &[String]) -> Command {
    let mut command = Command::new(sim);
    command.args(["run", "--name", target.0, "--again", target.1, "--stands"]).arg(stands);
    command.arg("--report").arg(folder).args(args);
    command
}
