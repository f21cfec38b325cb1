//! The distribution specification's own suite beside ours: its binary runs against the same target, and what
//! the two say is compared. What its tests look at stands in `official/table.txt`.
//!
//! The suite comes in two generations, told apart by the files that they write. The current one is a program
//! and leaves `results.yaml` beside `junit.xml`; the former one, up to version 1.1 of the specification, is a
//! test binary of Go and leaves `junit.xml` alone. Both are configured by the environment, each by variables
//! of its own, so one start serves both.

mod comparison;
mod junit;
mod table;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::comparison::{Check, Comparison};
use self::junit::Case;
use self::table::Table;
use crate::cargo::Workspace;
use crate::process::Guard;
use crate::tally::Tally;

/// How long the suite may take. It has no limit of its own and would wait for a hung target for ever; against
/// a registry on this machine it takes seconds.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long between two looks at whether it has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How much of its output an error shows.
const OUTPUT_LINES_SHOWN: usize = 10;
/// Where it pushes, and from where it mounts.
const REPOSITORIES: [&str; 2] = ["official/one", "official/two"];
/// What the names of the tests begin with in each generation.
const PREFIXES: [&str; 2] = ["OCI Conformance Test/", "OCI Distribution Conformance Tests "];
/// How to come by the suite.
const HOW_TO_BUILD: &str =
    "build it with `go build` in the folder `conformance` of opencontainers/distribution-spec";

/// Runs the official suite against `target`, prints where it and ours differ, and returns its counts: one
/// for each time that a test ran. `ours` is the `report.json` of our run against the same target.
///
/// It checks against the unreleased version of the specification, which looks at the most; `OCI_VERSION` in
/// the environment chooses another, and every other variable of the suite (`OCI_USERNAME`, `OCI_PASSWORD`,
/// `OCI_DATA_SPARSE`…) reaches it too.
///
/// *Errors*: the binary is not there or cannot be started, it takes too long, it leaves no results (a bad
/// configuration ends it so, with exit code 0), or a report cannot be read.
pub(crate) fn compare(workspace: &Workspace, binary: &Path, target: &str, ours: &Path) -> Result<Tally> {
    let table = Table::load()?;
    let report = fs::read_to_string(ours).with_context(|| format!("reading {}", ours.display()))?;
    let checks = Check::read(&report).with_context(|| format!("understanding {}", ours.display()))?;
    let folder = workspace.reports("official");
    let run = Run::start(binary, target, &folder, PATIENCE)?;
    let comparison = Comparison::new(&table, &run.cases, &checks);
    print!("{comparison}");
    println!("{}, reports in {}", run.generation.describe(), folder.display());
    Ok(comparison.tally().with_exit(run.success))
}

/// What a run of the official suite left.
#[derive(Debug)]
struct Run {
    generation: Generation,
    cases: Vec<Case>,
    /// Whether it ended with exit code 0.
    success: bool,
}

/// Which of the two suites it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    Current,
    Former,
}

impl Generation {
    fn describe(self) -> &'static str {
        match self {
            Self::Current => "the official suite is the current one",
            Self::Former => "the official suite is the former one, of version 1.1 of the specification",
        }
    }
}

impl Run {
    /// Runs the suite with its reports in `folder`, which is emptied first: a suite that dies early must not
    /// be judged by an older run.
    fn start(binary: &Path, target: &str, folder: &Path, patience: Duration) -> Result<Self> {
        // The suite runs in its folder of reports, where a relative path would mean another file.
        let program = binary
            .canonicalize()
            .with_context(|| format!("there is no official suite at {}; {HOW_TO_BUILD}", binary.display()))?;
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let output = folder.join("output.log");
        let status = run(&program, target, folder, &output, patience)?;
        let generation = if folder.join("results.yaml").is_file() {
            Generation::Current
        } else if folder.join("junit.xml").is_file() {
            Generation::Former
        } else {
            bail!(
                "{} ended with {status} and left neither results.yaml nor junit.xml in {}; if it is not the \
                 suite, {HOW_TO_BUILD}; it said:\n{}",
                program.display(),
                folder.display(),
                tail(&output)
            );
        };
        let file = folder.join("junit.xml");
        let cases = read_cases(&file).with_context(|| format!("reading {}", file.display()))?;
        if cases.is_empty() {
            bail!("{} holds no test; the suite said:\n{}", file.display(), tail(&output));
        }
        Ok(Self { generation, cases, success: status.success() })
    }
}

/// Runs the program until it ends. Its output goes to a file: it tells every test with every exchange.
fn run(program: &Path, target: &str, folder: &Path, output: &Path, patience: Duration) -> Result<ExitStatus> {
    let log = File::create(output).with_context(|| format!("making {}", output.display()))?;
    let errors = log.try_clone().with_context(|| format!("opening {} again", output.display()))?;
    let mut command = Command::new(program);
    command.envs(environment(target, folder)).current_dir(folder);
    if std::env::var_os("OCI_VERSION").is_none() {
        command.env("OCI_VERSION", "dev");
    }
    let mut guard = Guard::start(command.stdin(Stdio::null()).stdout(log).stderr(errors))?;
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = guard.child().try_wait().context("waiting for the official suite")? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            bail!("the official suite did not end within {patience:?}; it said:\n{}", tail(output));
        }
        thread::park_timeout(POLL_INTERVAL);
    }
}

/// Returns the variables of both generations. The current one knows those of the former one too, and lets
/// its own win.
fn environment(target: &str, folder: &Path) -> Vec<(&'static str, OsString)> {
    let (registry, tls) = address(target);
    let url = if target.contains("://") { target.to_owned() } else { format!("https://{target}") };
    let [one, two] = REPOSITORIES;
    vec![
        ("OCI_REGISTRY", registry.into()),
        ("OCI_TLS", tls.into()),
        ("OCI_REPO1", one.into()),
        ("OCI_REPO2", two.into()),
        ("OCI_RESULTS_DIR", folder.into()),
        ("OCI_ROOT_URL", url.trim_end_matches('/').into()),
        ("OCI_NAMESPACE", one.into()),
        ("OCI_CROSSMOUNT_NAMESPACE", two.into()),
        ("OCI_REPORT_DIR", folder.into()),
        ("OCI_TEST_PULL", "1".into()),
        ("OCI_TEST_PUSH", "1".into()),
        ("OCI_TEST_CONTENT_DISCOVERY", "1".into()),
        ("OCI_TEST_CONTENT_MANAGEMENT", "1".into()),
    ]
}

/// Splits a url into what the current suite wants: host with port, and whether to use TLS.
fn address(target: &str) -> (&str, &'static str) {
    let target = target.trim_end_matches('/');
    match target.split_once("://") {
        Some(("http", host)) => (host, "disabled"),
        Some((_, host)) => (host, "enabled"),
        None => (target, "enabled"),
    }
}

/// Reads the tests of a report, without the name of the suite in front of each.
fn read_cases(file: &Path) -> Result<Vec<Case>> {
    let mut cases = junit::read(&fs::read_to_string(file)?)?;
    for case in &mut cases {
        if let Some(name) = PREFIXES.iter().find_map(|prefix| case.name.strip_prefix(prefix)) {
            case.name = name.to_owned();
        }
    }
    Ok(cases)
}

/// Returns the end of the suite's output, for an error.
fn tail(output: &Path) -> String {
    let bytes = fs::read(output).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(OUTPUT_LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests;
