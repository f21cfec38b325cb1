//! What a store costs: pushes and pulls on the disk and in memory, and a store of 10,001 repositories with
//! 1.1 million tags, which the crate `benches` makes once (`generate-store`).
//!
//! Figures say how fast, and are no test; that a walk through all names skips or repeats one ends the run.

mod manifests;
mod names;
mod upkeep;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::beside::Nginx;
use super::content::{self, Content};
use super::table::{self, Row};
use super::{Effort, PUSH_BYTES, SMALL_BYTES, compare_pulls, compare_pushes};
use crate::cargo::{Profile, Workspace};
use crate::packages;
use crate::process::is_on_path;
use crate::server::{Scratch, Server};

/// Bytes of a blob of middling size.
const MIDDLE_BYTES: usize = 16 * 1024 * 1024;

/// One figure.
#[derive(Debug)]
struct Figure {
    work: String,
    measured: String,
    aim: Option<Aim>,
}

/// What a figure should reach.
#[derive(Debug)]
struct Aim {
    text: &'static str,
    is_met: bool,
}

impl Figure {
    fn new(work: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { work: work.into(), measured: measured.into(), aim: None }
    }

    /// A duration that should be below another one.
    fn below(work: impl Into<String>, took: Duration, text: &'static str, max: Duration) -> Self {
        Self { aim: Some(Aim { text, is_met: took < max }), ..Self::new(work, time(took)) }
    }
}

/// Measures everything and reports it.
pub(super) fn run(workspace: &Workspace, quick: bool) -> Result<()> {
    for name in packages::ensure(packages::FOR_BENCH) {
        println!("missing {name}: what is measured with it is left out, or measured by plain threads");
    }
    let program = workspace.build("wharfinger", Profile::Release)?;
    let store = generated(workspace)?;
    let mut figures = names::measure(workspace, &program, &store, quick)?;
    figures.extend(upkeep::measure(&program, &store)?);
    let mut text =
        format!("The store of 10,001 repositories and 1.1 million tags.\n\n{}", markdown(&figures));
    for place in [Place::Disk, Place::Memory] {
        let (rows, figures) = transfers(workspace, &program, place, Effort::of(quick))?;
        let (rows, figures) = (table::markdown(&rows), markdown(&figures));
        write!(text, "\nPushes and pulls, {}.\n\n{rows}\n{figures}", place.words())
            .expect("writing to a string cannot fail");
    }
    super::report(workspace, "bench-storage.md", &text)
}

/// Where a server keeps what is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Disk,
    Memory,
}

impl Place {
    const fn words(self) -> &'static str {
        match self {
            Self::Disk => "on the disk",
            Self::Memory => "in memory (`--memory`)",
        }
    }
}

/// Makes the store, unless it is there, and returns its folder.
fn generated(workspace: &Workspace) -> Result<PathBuf> {
    let generator = workspace.build_of("benches", "generate-store", Profile::Release)?;
    let folder = workspace.target().join("bench-store");
    let status = Command::new(generator).arg(&folder).stdin(Stdio::null()).status();
    let status = status.context("starting generate-store")?;
    ensure!(status.success(), "generate-store ended with {status}");
    Ok(folder.join("store"))
}

/// Starts a server on a folder, on any port.
fn serve(program: &Path, data: &Path, log: &Path) -> Result<Server> {
    let args = ["--listen".as_ref(), "127.0.0.1:0".as_ref(), "--data".as_ref(), data.as_os_str()];
    Server::start(program, args, log)
}

/// Measures pushes and pulls at a new server.
fn transfers(
    workspace: &Workspace,
    program: &Path,
    place: Place,
    effort: Effort,
) -> Result<(Vec<Row>, Vec<Figure>)> {
    let scratch = Scratch::new(workspace.target(), "bench-storage")?;
    let log = workspace.reports("bench-storage.log");
    let server = match place {
        Place::Disk => serve(program, &scratch.path().join("data"), &log)?,
        Place::Memory => Server::start(program, ["--listen", "127.0.0.1:0", "--memory"], &log)?,
    };
    println!("pushes and pulls, {}", place.words());
    let mut rows = Vec::new();
    for (size, aim) in [(SMALL_BYTES, None), (MIDDLE_BYTES, None), (PUSH_BYTES, Some(0.7))] {
        // Memory is measured beside what writes to a disk, and has no aim.
        let aim = aim.filter(|_| place == Place::Disk);
        rows.push(compare_pushes(&server, &scratch, (size, aim), effort)?);
    }
    let folder = scratch.path().join("nginx");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    if is_on_path("nginx") {
        let content = Content::push(server.url(), &folder)?;
        rows.extend(compare_pulls(&server, &Nginx::start(&folder)?, &content, effort)?);
    } else {
        content::push_image(server.url(), &folder)?;
    }
    let mut figures = manifests::measure(&server, effort)?;
    figures.push(peak(&server)?);
    Ok((rows, figures))
}

fn peak(server: &Server) -> Result<Figure> {
    let peak = server.guard().memory_peak()? as f64 / 1e6;
    Ok(Figure::new("peak memory of the server after all of this (VmHWM)", format!("{peak:.0} MB")))
}

/// Writes the figures as a table.
fn markdown(figures: &[Figure]) -> String {
    let mut text = String::from("| work | measured | aim | |\n|---|---:|---:|---|\n");
    for Figure { work, measured, aim } in figures {
        let (aim, verdict) = match aim {
            None => ("–", "–"),
            Some(Aim { text, is_met }) => (*text, if *is_met { "met" } else { "missed" }),
        };
        writeln!(text, "| {work} | {measured} | {aim} | {verdict} |")
            .expect("writing to a string cannot fail");
    }
    text
}

fn time(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    if ms >= 10_000.0 { format!("{:.1} s", ms / 1e3) } else { format!("{ms:.1} ms") }
}

/// Returns the middle value; zero of none.
fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Figure, markdown, median};

    #[test]
    fn a_figure_says_whether_its_aim_is_met() {
        let ms = Duration::from_millis;
        let figures = [
            Figure::below("start", ms(999), "< 1 s", ms(1_000)),
            Figure::below("start", ms(12_345), "< 1 s", ms(1_000)),
            Figure::new("peak", "12 MB"),
        ];
        let text = markdown(&figures);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| start | 999.0 ms | < 1 s | met |",
                "| start | 12.3 s | < 1 s | missed |",
                "| peak | 12 MB | – | – |"
            ]
        );
        assert_eq!(median(vec![ms(3), ms(900), ms(1)]), ms(3));
    }
}
