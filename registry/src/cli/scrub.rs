//! `wharfinger scrub`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;
use wharfinger::oci::Digest;
use wharfinger::server::Offline;
use wharfinger::store::RepositoryKey;
use wharfinger::store::scrub::{Acting, By, Finding, From, Lost, Options, Phase, Progress, Report, Watch};

use super::Failure;
use super::stores::{StoreArgs, with_existing_stores};

#[derive(Debug, Args)]
pub(super) struct Scrub {
    #[command(flatten)]
    stores: StoreArgs,
    /// Move what is corrupt to the quarantine, rebuild what is derived, and let go of what is cached and broken;
    /// without it nothing is changed.
    ///
    /// Of a bucket, stop every server that has it first, on every host: nothing here can see them.
    #[arg(long)]
    repair: bool,
    /// Write what was found to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What a scrub ends with that leaves something wrong.
const WRONG: u8 = 1;

/// Scrubs the stores: exits 0 when nothing is wrong, or no longer, and 1 when something is.
pub(super) fn run(arguments: &Scrub) -> ExitCode {
    with_existing_stores(&arguments.stores, async |offline: Offline| {
        let report = scrub(arguments, &offline).await;
        if let Some(path) = &arguments.report {
            write(path, &report)?;
        }
        // A reader that closes the pipe early is no failure of ours.
        let _ = std::io::stdout().write_all(text(&report).as_bytes());
        Ok(if report.unsettled() == 0 { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
    })
}

async fn scrub(arguments: &Scrub, offline: &Offline) -> Report {
    let (acting, from) = match arguments.repair {
        // Nothing is written, not even how far it is.
        false => (Acting::Report, From::Beginning),
        true => (Acting::Repair, From::WhereItStood(By::Command)),
    };
    let options = Options { bytes_per_second: None, acting, from };
    let mut all = Report::default();
    for store in offline.stores.all() {
        let teller = Teller::new();
        all.add(store.scrub(options, &teller).await);
        teller.end();
    }
    all.sort();
    all
}

/// Tells how far a scrub is: a bar on a terminal, and else a line now and then.
#[derive(Debug)]
struct Teller {
    bar: Option<ProgressBar>,
    told_at: Mutex<Instant>,
}

/// How often a line is written.
const TOLD_EVERY: Duration = Duration::from_secs(10);

impl Teller {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}");
            let bar = ProgressBar::new(0);
            style.map_or(bar.clone(), |style| bar.with_style(style))
        });
        Self { bar, told_at: Mutex::new(Instant::now()) }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[async_trait::async_trait]
impl Watch for Teller {
    fn progress(&self, progress: &Progress) {
        let what = match progress.phase {
            Phase::Content => format!("{} of content", HumanBytes(progress.bytes)),
            Phase::Structure => format!("{} repositories", progress.repositories),
        };
        if let Some(bar) = &self.bar {
            bar.set_length(progress.objects_total.max(progress.objects));
            bar.set_position(progress.objects);
            bar.set_message(what);
            return;
        }
        let mut told_at = self.told_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told_at.elapsed() >= TOLD_EVERY {
            *told_at = Instant::now();
            eprintln!("{} of {} objects, {what}", progress.objects, progress.objects_total);
        }
    }

    fn finding(&self, finding: &Finding) {
        // On a terminal all of them come at the end, sorted.
        if self.bar.is_none() {
            eprintln!("{}", line(finding));
        }
    }

    /// The upstreams are the server's to ask: what was cached is fetched when it is asked for.
    async fn refetch(&self, _: &RepositoryKey, _: &Digest, _: Lost) -> bool {
        false
    }
}

fn line(finding: &Finding) -> String {
    let Finding { kind, key, done, detail, .. } = finding;
    format!("{kind:18} {done:11} {key}: {detail}")
}

/// Writes out a report for people.
fn text(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&line(finding));
        text.push('\n');
    }
    let unlisted = report.total() - report.findings.len() as u64;
    if unlisted > 0 {
        text.push_str(&format!("and {unlisted} more\n"));
    }
    if let Some(after) = &report.resumed_after {
        text.push_str(&format!("went on after blobs/{after}, where an earlier run was broken off\n"));
    }
    text.push_str(&format!(
        "{} objects, {}, {} repositories: {} findings, {} of them to be settled\n",
        report.objects,
        HumanBytes(report.bytes),
        report.repositories,
        report.total(),
        report.unsettled(),
    ));
    text
}

/// A report for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    summary: Summary<'a>,
    findings: &'a [Finding],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    objects: u64,
    bytes: u64,
    repositories: u64,
    /// Contents in the quarantine.
    quarantined: u64,
    findings: u64,
    /// Findings that are still wrong.
    unsettled: u64,
    /// How many there are of each kind.
    by_kind: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_after: Option<&'a str>,
}

fn write(path: &Path, report: &Report) -> Result<(), Failure> {
    let mut by_kind = BTreeMap::new();
    for ((kind, _), count) in &report.counts {
        *by_kind.entry(kind.name()).or_default() += count;
    }
    let summary = Summary {
        objects: report.objects,
        bytes: report.bytes,
        repositories: report.repositories,
        quarantined: report.quarantined,
        findings: report.total(),
        unsettled: report.unsettled(),
        by_kind,
        resumed_after: report.resumed_after.as_deref(),
    };
    let json = serde_json::to_string_pretty(&Json { summary, findings: &report.findings });
    let text = json.map_err(std::io::Error::other).map(|text| format!("{text}\n"));
    let written = text.and_then(|text| std::fs::write(path, text));
    written.map_err(|source| Failure::Report { path: path.to_owned(), source })
}
