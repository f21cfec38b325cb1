//! The reports of `conformance` and `sim`: their counts come from `report.json`, not from their output.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tally::Tally;

/// Runs `command`, which writes `report.json` into `folder`, and returns its counts.
///
/// *Errors*: the program cannot be started, or it leaves no readable report. An older report is removed
/// first, since a program that dies early must not be judged by it.
pub(crate) fn run(command: &mut Command, folder: &Path) -> Result<Tally> {
    let file = folder.join("report.json");
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting {program}"))?;
    let text = fs::read_to_string(&file)
        .with_context(|| format!("{program} ended with {status} and left no {}", file.display()))?;
    let report: Value = serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
    let tally = Tally::from_report(&report)
        .with_context(|| format!("{} has no summary of counts", file.display()))?;
    println!("reports in {}", folder.display());
    Ok(tally.with_exit(status.success()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::run;
    use crate::tally::Tally;

    fn sh(folder: &std::path::Path, script: &str) -> anyhow::Result<Tally> {
        run(Command::new("sh").args(["-c", script]).env("FOLDER", folder), folder)
    }

    #[test]
    fn counts_come_from_a_fresh_report() {
        let folder = std::env::temp_dir().join(format!("xtask-report-{}", std::process::id()));
        let write = r#"echo '{"summary": {"pass": 4, "fail": 0, "skip": 1}}' > "$FOLDER/report.json""#;
        let expect = Tally { passed: 4, failed: 0, skipped: 1 };
        assert_eq!(sh(&folder, write).unwrap(), expect);
        let expect = Tally { failed: 1, ..expect };
        assert_eq!(sh(&folder, &format!("{write}; exit 3")).unwrap(), expect, "a floor was missed");
        let error = sh(&folder, "exit 2").unwrap_err().to_string();
        assert!(error.contains("left no"), "the old report must not count: {error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
