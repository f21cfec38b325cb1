//! `cargo xtask bench`: criterion's benches, then the registry beside something on the same machine, then
//! cold pulls beside direct ones, then a store of a million tags.
//!
//! Speed is a ratio within one run, never a test: runs alternate (ours, theirs, ours, …), the median of
//! each side counts, and a missed aim is a line in the table, not a failure.

mod access;
mod beside;
mod cold_pull;
mod content;
mod http;
mod load;
mod storage;
mod table;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

pub(crate) use self::content::push_image;
use crate::cargo::{self, Profile, Workspace};
use crate::packages;
use crate::process::is_on_path;
use crate::server::{Scratch, Server};
use beside::Nginx;
use content::Content;
use table::{Row, Sample, Unit};

/// Bytes of a large blob.
const LARGE_BYTES: usize = 100 * 1024 * 1024;
/// Bytes of a small blob.
const SMALL_BYTES: usize = 64 * 1024;
/// Bytes of a pushed blob.
const PUSH_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Takes a minute instead of several; the figures scatter more.
    #[arg(long)]
    quick: bool,
    /// Measures one part only.
    #[arg(value_name = "PART")]
    part: Option<Part>,
    /// The same.
    #[arg(long, value_name = "PART", conflicts_with = "part")]
    only: Option<Part>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Criterion's benches.
    Criterion,
    /// Pulls and pushes beside nginx, openssl and dd.
    Beside,
    /// Pulls with a password and with a token beside anonymous ones.
    Access,
    /// Cold pulls through the registry beside direct ones.
    ColdPull,
    /// Pushes and pulls on the disk and in memory, and a store of 10,001 repositories with 1.1 million tags.
    Storage,
}

/// How long and how often is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    rounds: usize,
    duration: Duration,
}

impl Effort {
    fn of(quick: bool) -> Self {
        let (rounds, seconds) = if quick { (2, 2) } else { (5, 5) };
        Self { rounds, duration: Duration::from_secs(seconds) }
    }
}

/// Runs the parts, prints their tables and writes them to `target/reports/`.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let has = |part| args.part.or(args.only).is_none_or(|only| only == part);
    if has(Part::Criterion) {
        let mut bench = workspace.cargo();
        bench.args(["bench", "--package", "benches", "--bench", "registry"]);
        if args.quick {
            bench.args(["--", "--quick"]);
        }
        cargo::run(&mut bench)?;
    }
    if has(Part::Beside) {
        run_beside(workspace, args.quick)?;
    }
    if has(Part::Access) {
        access::run(workspace, Effort::of(args.quick))?;
    }
    if has(Part::ColdPull) {
        cold_pull::run(workspace, args.quick)?;
    }
    if has(Part::Storage) {
        storage::run(workspace, args.quick)?;
    }
    Ok(())
}

/// Runs the comparison with other programs.
fn run_beside(workspace: &Workspace, quick: bool) -> Result<()> {
    for name in packages::ensure(packages::FOR_BENCH) {
        println!("missing {name}: what is measured with it is left out, or measured by plain threads");
    }
    let rows = compare(workspace, Effort::of(quick))?;
    report(workspace, "bench.md", &table::markdown(&rows))
}

/// Prints a text and writes it to a file of the reports.
fn report(workspace: &Workspace, name: &str, text: &str) -> Result<()> {
    let file = workspace.reports(name);
    fs::create_dir_all(workspace.reports("")).context("making the folder of reports")?;
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("\n{text}\nwritten to {}", file.display());
    Ok(())
}

/// Measures every row. Data, files and copies lie in the target folder, so that all sides use one disk.
fn compare(workspace: &Workspace, effort: Effort) -> Result<Vec<Row>> {
    let program = workspace.build("wharfinger", Profile::Release)?;
    let scratch = Scratch::new(workspace.target(), "bench")?;
    let data = scratch.path().join("data");
    let args = ["--listen".as_ref(), "127.0.0.1:0".as_ref(), "--data".as_ref(), data.as_os_str()];
    let server = Server::start(&program, args, &workspace.reports("bench.log"))?;

    let mut rows = Vec::new();
    if is_on_path("nginx") {
        let folder = scratch.path().join("nginx");
        let content = Content::push(server.url(), &folder)?;
        rows.extend(compare_pulls(&server, &Nginx::start(&folder)?, &content, effort)?);
    }
    rows.push(compare_pushes(&server, &scratch, (PUSH_BYTES, Some(0.7)), effort)?);
    Ok(rows)
}

/// Measures pulls beside nginx, which serves the same bytes from files.
fn compare_pulls(server: &Server, nginx: &Nginx, content: &Content, effort: Effort) -> Result<Vec<Row>> {
    let row = |work: &str, beside: &str, unit, aim| Row::new(work, beside, unit, aim);
    let mut cases = [
        (
            row("manifest GET by tag, 32 connections", "nginx, a file of that size", Unit::Requests, 0.8),
            content.manifest(),
            32,
        ),
        (row("blob GET 100 MiB, 4 connections", "nginx with sendfile", Unit::Bytes, 1.2), content.large(), 4),
        (
            row("blob GET 64 KiB, 32 connections", "nginx with sendfile", Unit::Requests, 0.7),
            content.small(),
            32,
        ),
    ];
    for (row, target, connections) in &mut cases {
        for round in 1..=effort.rounds {
            println!("{}: round {round} of {}", row.work(), effort.rounds);
            let ours = format!("{}{}", server.url(), target.path);
            row.ours.push(sample(server.guard(), &ours, None, *connections, effort, row.unit())?);
            let theirs = format!("{}/{}", nginx.url(), target.file);
            row.theirs.push(sample(nginx.guard(), &theirs, None, *connections, effort, row.unit())?);
        }
    }
    Ok(cases.into_iter().map(|(row, _, _)| row).collect())
}

/// Loads one url and notes what the server of it used.
fn sample(
    guard: &crate::process::Guard,
    url: &str,
    header: Option<&str>,
    connections: usize,
    effort: Effort,
    unit: Unit,
) -> Result<Sample> {
    let before = guard.processor_time()?;
    let load = load::measure(url, header, connections, effort.duration)?;
    let used = guard.processor_time()?.saturating_sub(before);
    let rate = match unit {
        Unit::Requests => load.requests_per_s,
        Unit::Bytes => load.bytes_per_s,
    };
    let gigabytes = load.bytes_per_s * effort.duration.as_secs_f64() / 1e9;
    Ok(Sample { rate, processor_s_per_gb: Some(used.as_secs_f64() / gigabytes.max(f64::MIN_POSITIVE)) })
}

/// Measures pushes beside the slower of hashing and writing the same bytes.
fn compare_pushes(
    server: &Server,
    scratch: &Scratch,
    (size, aim): (usize, Option<f64>),
    effort: Effort,
) -> Result<Row> {
    let (mib, kib) = (size >> 20, size >> 10);
    let work = if mib > 0 { format!("push {mib} MiB") } else { format!("push {kib} KiB") };
    let mut row = Row::new(&work, "the slower of openssl dgst -sha256 and dd conv=fsync", Unit::Bytes, aim);
    for round in 0..effort.rounds {
        println!("{}: round {} of {}", row.work(), round + 1, effort.rounds);
        // New bytes each time: what is stored already is not stored again.
        let bytes = content::noise(size, round as u64 + 1_000);
        let file = scratch.path().join("push");
        fs::write(&file, &bytes).with_context(|| format!("writing {}", file.display()))?;
        let digest = content::digest(&file)?;
        let rate = |took: Duration| Sample {
            rate: size as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE),
            processor_s_per_gb: None,
        };
        row.ours.push(rate(content::push_blob(server.url(), &bytes, &digest)?));
        let copy = scratch.path().join("copy");
        row.theirs.push(rate(beside::hash(&file)?.max(beside::write(&file, &copy)?)));
    }
    Ok(row)
}
