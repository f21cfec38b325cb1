//! The command line: `serve`, `run`, `list`, `lies`.
//!
//! Exit codes: 0 nothing failed, 1 something did, 2 bad usage or no target, 3 nothing was put to the test.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    origin::{Lie, Origin},
    report::{Choice, Report, Total},
    run::Runner,
    scenario::{Plan, Scenario},
};

/// The seed of a run that is given none.
const SEED: u64 = 1;
/// How long a target has to appear once its upstream listens.
const TARGET_WAIT_MAX: Duration = Duration::from_secs(5);
/// The most runs of one command.
const RUNS_MAX: u64 = 100_000;

/// Simulates a flaky upstream and tests what a pull-through registry makes of it.
#[derive(Debug, Parser)]
#[command(name = "sim", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a scenario's origin with its faults, for any proxy that has ADDR as its upstream.
    Serve {
        /// A name that `sim list` shows, or a path to a .json file.
        scenario: String,
        /// The address to listen on; port 0 takes a free one.
        #[arg(long, value_name = "ADDR")]
        listen: String,
        /// Decides bytes, positions and probabilities.
        #[arg(long, default_value_t = SEED)]
        seed: u64,
        /// Makes the origin dishonest in one way that `sim lies` shows.
        #[arg(long, value_name = "NAME")]
        lie: Option<Lie>,
    },
    /// Runs scenarios through a target that has ADDR as its upstream, and judges it.
    Run(Run),
    /// Lists the scenarios.
    List,
    /// Lists the lies that an origin can tell.
    Lies,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The proxy under test.
    #[arg(long, value_name = "URL")]
    target: String,
    /// The address that the origin listens on: the target's upstream.
    #[arg(long, value_name = "ADDR")]
    listen: String,
    /// Only this scenario: a name or a path to a .json file.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Decides bytes, positions and probabilities.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Repeats everything with so many seeds, counted up from the first.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=RUNS_MAX))]
    runs: u64,
    /// Replays a plan that an earlier run has written.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "seed", "runs"])]
    plan: Option<String>,
    /// Writes report.json, report.md and plans of failures here.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

/// Does what the command line says.
pub async fn main(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Serve { scenario, listen, seed, lie } => serve(&scenario, &listen, seed, lie).await,
        Command::Run(run) => judge(run).await,
        Command::List => list(),
        Command::Lies => lies(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("sim: {error:#}");
        ExitCode::from(2)
    })
}

async fn serve(scenario: &str, listen: &str, seed: u64, lie: Option<Lie>) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(Scenario::named(scenario)?, seed);
    let origin = lie.map_or_else(Origin::new, Origin::lying);
    let images = plan.scenario.seed(&origin, seed, "");
    let _guards: Vec<_> =
        plan.scenario.faults.iter().map(|it| origin.install_seeded(it.clone(), seed)).collect();
    // Installed before the first client may find the port, or an early stop would be missed.
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let running = origin.serve(listen).await?;
    say(&format!("listening on {}\n", running.url()))?;
    for image in &images {
        eprintln!("{}:{} {}", image.repository, image.tag.as_deref().unwrap_or("-"), image.manifest.digest);
    }
    tokio::select! {
        _ = terminate.recv() => {}
        done = tokio::signal::ctrl_c() => done.context("cannot handle SIGINT")?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn judge(run: Run) -> anyhow::Result<ExitCode> {
    let plans = plans(&run)?;
    let running = Origin::new().serve(run.listen.as_str()).await?;
    eprintln!("the origin listens on {}", running.url());
    let mut runner = Runner::start(&run.target, running, TARGET_WAIT_MAX).await?;
    let target = runner.target().to_owned();
    let choice = match (&run.plan, &run.scenario) {
        (Some(path), _) => Choice::Plan(path.clone()),
        (None, Some(name)) if Scenario::is_path(name) => Choice::File(name.clone()),
        _ => Choice::BuiltIn,
    };
    let mut report = Report { target, listen: run.listen, choice, results: Vec::new() };
    for plan in plans {
        eprintln!("running {} with seed {}", plan.scenario.name, plan.seed);
        let result = runner.run(plan).await;
        say(&report.text(&result))?;
        report.results.push(result);
    }
    say(&format!("{}\n", report.last_line()))?;
    if let Some(folder) = run.report {
        report.write(&folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    }
    Ok(match report.total() {
        Total::Passed => ExitCode::SUCCESS,
        Total::Failed => ExitCode::from(1),
        Total::Vacuous => ExitCode::from(3),
    })
}

fn plans(run: &Run) -> anyhow::Result<Vec<Plan>> {
    if let Some(path) = &run.plan {
        return Ok(vec![Plan::read(path)?]);
    }
    let scenarios = match &run.scenario {
        Some(name) => vec![Scenario::named(name)?],
        None => Scenario::built_in(),
    };
    let seeds = (0..run.runs).map(|it| run.seed.wrapping_add(it));
    Ok(seeds.flat_map(|seed| scenarios.iter().map(move |it| Plan::new(it.clone(), seed))).collect())
}

fn list() -> anyhow::Result<ExitCode> {
    for scenario in Scenario::built_in() {
        say(&format!("{:<26} {}\n", scenario.name, scenario.about))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lies() -> anyhow::Result<ExitCode> {
    for lie in Lie::all() {
        say(&format!("{lie:<40} {}\n", lie.says()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to stdout and flushes: whoever started this program waits for the line.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to stdout")
}
