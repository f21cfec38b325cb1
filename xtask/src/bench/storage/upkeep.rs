//! Scrub and garbage collection of the generated store, by the program's own commands.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Figure, time};

/// What the generator has written, in records that both look at: of tags, each with its hint; of manifests,
/// blobs and names.
const RECORDS: f64 = 2.0 * 1_100_000.0 + 10_000.0 * 5.0;

/// Runs both.
pub(super) fn measure(program: &Path, store: &Path) -> Result<Vec<Figure>> {
    let mut figures = scrub(program, store)?;
    figures.push(gc(program, store)?);
    Ok(figures)
}

/// Measures a scrub, which has to find nothing.
fn scrub(program: &Path, store: &Path) -> Result<Vec<Figure>> {
    println!("scrub");
    let report = store.with_extension("scrub.json");
    let mut command = Command::new(program);
    command.arg("scrub").arg("--report").arg(&report).arg("--data").arg(store);
    let took = run(&mut command)?.context("the program knows no scrub")?;
    let text = std::fs::read(&report).with_context(|| format!("reading {}", report.display()))?;
    let summary: Value = serde_json::from_slice(&text).context("reading the report of the scrub")?;
    let count = |key: &str| summary["summary"][key].as_f64().unwrap_or(f64::NAN);
    let seconds = took.as_secs_f64();
    Ok(vec![
        Figure::new("scrub of everything", time(took)),
        Figure::new("scrub, records", format!("{:.0} records/s", RECORDS / seconds)),
        Figure::new(
            "scrub, content that was hashed",
            format!("{:.0} objects, {:.1} MB", count("objects"), count("bytes") / 1e6),
        ),
    ])
}

/// Measures a look for garbage, of which there is none.
fn gc(program: &Path, store: &Path) -> Result<Figure> {
    println!("garbage collection");
    let work = "gc --dry-run of everything";
    let mut command = Command::new(program);
    command.args(["gc", "--dry-run", "--data"]).arg(store);
    Ok(match run(&mut command)? {
        None => Figure::new(work, "the program has no such command"),
        Some(took) => {
            Figure::new(work, format!("{}, {:.0} records/s", time(took), RECORDS / took.as_secs_f64()))
        }
    })
}

/// Runs a command to its end, and returns how long it took; `None` when the program does not know it.
fn run(command: &mut Command) -> Result<Option<Duration>> {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().context("starting wharfinger")?;
    let took = begun.elapsed();
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("unrecognized subcommand") {
        return Ok(None);
    }
    ensure!(output.status.success(), "{command:?} ended with {}: {text}", output.status);
    Ok(Some(took))
}
