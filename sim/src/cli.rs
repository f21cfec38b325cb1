//! The command line: `serve`, `run`, `list`, `lies`.
//!
//! Exit codes: 0 nothing failed, 1 something did, 2 bad usage or no target, 3 nothing was put to the test.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    fleet,
    origin::{Access, Lie, Origin, Scheme, TokenOptions},
    report::{Choice, Report, Total},
    run::Runner,
    scenario::{Guarded, Plan, Scenario},
    stand::{Breaker, Retries, Stand},
};

/// The seed of a run that is given none.
const SEED: u64 = 1;
/// Where the account of somebody who may read nothing else may push, as the conformance suite has it.
const OUTSIDE: &str = "conf-outside/";
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
    Run(Box<Run>),
    /// Lists the scenarios.
    List,
    /// Lists the lies that an origin can tell.
    Lies,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The proxy under test.
    #[arg(long, value_name = "URL", required_unless_present = "stands", requires = "listen")]
    target: Option<String>,
    /// The address that the origin listens on: the target's upstream.
    #[arg(long, alias = "origin", value_name = "ADDR", requires = "target")]
    listen: Option<String>,
    #[command(flatten)]
    given: Given,
    /// Several targets that are alike but for their configuration, as a JSON list; scenarios run side by side.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "listen", "Given"])]
    stands: Option<PathBuf>,
    /// What reports call the target.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The command that starts the same targets and hands the rest on: reports say it for what failed.
    #[arg(long, value_name = "COMMAND")]
    again: Option<String>,
    /// Only this scenario or family: a name or a path to a .json file.
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
    /// Writes report.json, report.md, report.html and plans of failures here.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

/// What the target is configured with: what it lacks is moot.
#[derive(Debug, clap::Args)]
struct Given {
    /// A second address of the origin, which the target has as the next url of the same upstream.
    #[arg(long, value_name = "ADDR")]
    mirror: Option<String>,
    /// It has the account `harbour-master`, password `lighthouse-at-dusk`, for the origin.
    #[arg(long)]
    has_account: bool,
    /// It has the same account for an origin that wants it with every request, without tokens.
    #[arg(long)]
    has_basic_account: bool,
    /// It takes pushes from everybody.
    #[arg(long)]
    has_push: bool,
    /// It repeats a failed attempt at most so often, and nothing keeps it from doing so.
    #[arg(long, value_name = "N", requires = "retry_delay_ms")]
    retries: Option<u32>,
    /// It waits so long before each repetition.
    #[arg(long, value_name = "MS", requires = "retries")]
    retry_delay_ms: Option<u64>,
    /// After so many failures in a row it leaves its upstream alone.
    #[arg(long, value_name = "N", requires = "breaker_delay_ms")]
    breaker_failures: Option<u32>,
    /// It does so for so long.
    #[arg(long, value_name = "MS", requires = "breaker_failures")]
    breaker_delay_ms: Option<u64>,
}

/// Does what the command line says.
pub async fn main(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Serve { scenario, listen, seed, lie } => serve(&scenario, &listen, seed, lie).await,
        Command::Run(run) => judge(*run).await,
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
    // A lie about who asks is told only where somebody asks.
    let accounts = || Access::of_three(Scheme::Bearer(TokenOptions::default()), OUTSIDE);
    let asks = lie.is_some_and(Lie::is_about_access);
    origin.guard(plan.scenario.access.map(Guarded::access).or_else(|| asks.then(accounts)));
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
    let stands = stands(&run)?;
    let target = run.name.clone().unwrap_or_else(|| {
        stands.iter().map(|it| it.target.trim_end_matches('/')).collect::<Vec<_>>().join(", ")
    });
    let mut runners = Vec::new();
    for stand in stands {
        let running = Origin::new().serve(stand.origin.as_str()).await?;
        eprintln!("the origin listens on {}", running.url());
        runners.push(Runner::start(stand, running, TARGET_WAIT_MAX).await?);
    }
    let choice = match (&run.plan, &run.scenario) {
        (Some(path), _) => Choice::Plan(path.clone()),
        (None, Some(name)) if Scenario::is_path(name) => Choice::File(name.clone()),
        _ => Choice::BuiltIn,
    };
    let mut report = Report { target, choice, again: run.again.clone(), results: Vec::new() };
    let mut said = Ok(());
    let results = fleet::run(runners, plans, |result| {
        let text = report.text(result);
        if said.is_ok() {
            said = say(&text);
        }
    });
    report.results = results.await;
    said?;
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

fn stands(run: &Run) -> anyhow::Result<Vec<Stand>> {
    if let Some(file) = &run.stands {
        return Ok(Stand::read_all(file)?);
    }
    let (Some(target), Some(listen)) = (&run.target, &run.listen) else { bail!("there is no target") };
    let given = &run.given;
    Ok(vec![Stand {
        mirror: given.mirror.clone(),
        account: given.has_account,
        basic_account: given.has_basic_account,
        push: given.has_push,
        retries: given.retries.zip(given.retry_delay_ms).map(|(max, delay_ms)| Retries { max, delay_ms }),
        breaker: given
            .breaker_failures
            .zip(given.breaker_delay_ms)
            .map(|(failures, delay_ms)| Breaker { failures, delay_ms }),
        ..Stand::plain(target, listen)
    }])
}

fn plans(run: &Run) -> anyhow::Result<Vec<Plan>> {
    if let Some(path) = &run.plan {
        return Ok(vec![Plan::read(path)?]);
    }
    let scenarios = match &run.scenario {
        Some(name) => Scenario::all_named(name)?,
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
