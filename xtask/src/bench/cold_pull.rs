//! Cold pulls beside direct ones: a program of the crate `benches`, which this builds and runs.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::cargo::{PROGRAM_VARIABLE, Profile, Workspace};

/// Runs it, and writes its table to `target/reports/bench-cold-pull.md`.
///
/// *Errors*: the program ends with one when bytes were wrong, or were fetched twice.
pub(super) fn run(workspace: &Workspace, quick: bool) -> Result<()> {
    let program = workspace.build("wharfinger", Profile::Release)?;
    let mut bench = workspace.cargo();
    bench
        .args(["bench", "--package", "benches", "--bench", "cold_pull", "--"])
        .env(PROGRAM_VARIABLE, program);
    if quick {
        bench.arg("--quick");
    }
    let output = bench.stderr(Stdio::inherit()).output().context("starting cargo bench")?;
    ensure!(output.status.success(), "the cold pulls ended with {}", output.status);
    let text = String::from_utf8(output.stdout).context("the table is no text")?;
    let file = workspace.reports("bench-cold-pull.md");
    fs::create_dir_all(workspace.reports("")).context("making the folder of reports")?;
    fs::write(&file, &text).with_context(|| format!("writing {}", file.display()))?;
    println!("\n{text}\nwritten to {}", file.display());
    Ok(())
}
