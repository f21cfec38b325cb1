//! `cargo xtask conformance`: the suite against wharfinger, in every configuration that a check needs, or
//! against any registry.
//!
//! Map: `stands` (the servers and their configurations), `controls` (what checks do to them beside HTTP),
//! `merge` (one report of several), `peer` (another registry beside ours), `table` (the result in README.md).

mod controls;
mod merge;
mod peer;
mod stands;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub(crate) use self::controls::ask;
use self::merge::Merged;
use self::stands::{STANDS, Stand};
use crate::cargo::{Profile, Workspace};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::{official, report};

/// What `conformance` exits with when nothing ran.
const EXIT_NOTHING: i32 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The registry to test; without it, wharfinger is built and started.
    #[arg(long)]
    target: Option<String>,
    /// Also runs this build of the distribution specification's own suite, and shows where the two differ.
    #[arg(long, value_name = "FILE")]
    official: Option<PathBuf>,
    /// Runs the checks that take minutes or gigabytes, too.
    #[arg(long)]
    heavy: bool,
    /// Also runs the suite against Debian's docker-registry, and checks the table in README.md, which the
    /// variable UPDATE_DOCS writes anew.
    #[arg(long, conflicts_with = "target")]
    peer: bool,
    /// What `conformance run` is given beside the target and the report.
    #[arg(last = true)]
    args: Vec<String>,
}

/// Runs the suite, and the official one where it is given.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    let suite = workspace.build("conformance", Profile::Dev)?;
    let extra: Vec<String> =
        args.heavy.then(|| "--heavy".to_owned()).into_iter().chain(args.args.clone()).collect();
    if let Some(target) = &args.target {
        return foreign(workspace, &suite, target, &extra, args.official.as_deref());
    }
    let program = workspace.build("wharfinger", Profile::Dev)?;
    let programs = Programs { suite: &suite, wharfinger: &program };
    if args.peer {
        workspace.build("sim", Profile::Dev)?;
    }
    let mut steps = Steps::default();
    beside(&mut steps, workspace, &programs, args.peer, &extra, args.official.as_deref());
    Ok(steps.finish())
}

/// Runs the suite as part of a test run, whose programs are built already: against wharfinger, and against
/// its peer.
pub(crate) fn run_built(steps: &mut Steps, workspace: &Workspace) {
    let suite = workspace.program("conformance", Profile::Dev);
    let wharfinger = workspace.program("wharfinger", Profile::Dev);
    beside(steps, workspace, &Programs { suite: &suite, wharfinger: &wharfinger }, true, &[], None);
}

/// Runs the suite against wharfinger and, if wanted, its peer.
fn beside(
    steps: &mut Steps,
    workspace: &Workspace,
    programs: &Programs<'_>,
    with_peer: bool,
    args: &[String],
    binary: Option<&Path>,
) {
    let mut results: Vec<(&str, Merged)> = Vec::new();
    steps.run("conformance", || {
        let (merged, official) = ours(workspace, programs, args, binary)?;
        let mut tally = merged.tally();
        tally += official;
        results.push(("wharfinger", merged));
        Ok(tally)
    });
    if !with_peer {
        return;
    }
    steps.run("conformance of docker-registry", || {
        let Some(merged) = peer::run(workspace, programs.suite, args)? else {
            println!("skipped: docker-registry is not installed");
            return Ok(Tally::PASSED.with_skips(1, false));
        };
        println!("\n{merged}");
        let tally = peer::tally(&merged);
        results.push((peer::NAME, merged));
        Ok(tally)
    });
    // Part of a suite makes no table.
    if args.is_empty() && results.len() == 2 {
        steps.run("conformance table", || table::check(workspace, &results));
    }
}

/// What a run of the suite against wharfinger starts.
#[derive(Debug, Clone, Copy)]
struct Programs<'a> {
    suite: &'a Path,
    wharfinger: &'a Path,
}

/// Runs the suite against another registry.
fn foreign(
    workspace: &Workspace,
    suite: &Path,
    target: &str,
    args: &[String],
    binary: Option<&Path>,
) -> Result<Tally> {
    let folder = workspace.reports("conformance");
    let mut command = Command::new(suite);
    command.args(["run", "--target", target, "--report"]).arg(&folder).args(args);
    let Some(binary) = binary else { return report::run(&mut command, &folder) };
    let mut steps = Steps::default();
    steps.run("conformance", || report::run(&mut command, &folder));
    steps.run("official suite", || official::compare(workspace, binary, target, &folder.join("report.json")));
    Ok(steps.finish())
}

/// Runs the suite against wharfinger in each of its configurations, and counts every check once.
fn ours(
    workspace: &Workspace,
    programs: &Programs<'_>,
    args: &[String],
    binary: Option<&Path>,
) -> Result<(Merged, Tally)> {
    let folder = workspace.reports("conformance");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    let mut merged = Merged::default();
    let mut official_tally = Tally::default();
    for kind in STANDS {
        println!("\n-- {}: {}", kind.name, kind.says);
        let stand = Stand::start(workspace, programs.wharfinger, kind)?;
        let reports = folder.join(kind.name);
        let all: Vec<String> = stand.args().iter().chain(args).cloned().collect();
        let report = suite(programs.suite, stand.url(), &reports, &all)
            .with_context(|| format!("the suite against the stand `{}`", kind.name))?;
        merged.add(kind.name, &report)?;
        if let Some(binary) = binary.filter(|_| kind.is_open()) {
            println!("\n-- official suite");
            official_tally = official::compare(workspace, binary, stand.url(), &reports.join("report.json"))?;
        }
    }
    fs::write(folder.join("report.json"), merged.report())
        .with_context(|| format!("writing into {}", folder.display()))?;
    println!("\n{merged}\nreports in {}", folder.display());
    Ok((merged, official_tally))
}

/// Runs the suite against one registry and returns its report; what failed is in there.
fn suite(suite: &Path, target: &str, folder: &Path, args: &[String]) -> Result<Value> {
    let mut command = Command::new(suite);
    command.args(["run", "--target", target, "--report"]).arg(folder).args(args);
    let status = command.status().with_context(|| format!("starting {}", suite.display()))?;
    let ran = status.success() || [Some(1), Some(EXIT_NOTHING)].contains(&status.code());
    ensure!(ran, "{} ended with {status}", suite.display());
    let file = folder.join("report.json");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("understanding {}", file.display()))
}
