//! Calls of cargo: what the workspace holds, builds, and tests whose results are counted.
//!
//! Every test and every program that a test run starts is built with the same selection ([`SELECTION`]).
//! Cargo unites the features of what is selected, so another selection would build the dependencies anew.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::servers;
use crate::skips::{self, Skips};
use crate::tally::Tally;

/// What a test run builds: all crates, and the registry with the feature of its end-to-end tests.
const SELECTION: [&str; 3] = ["--workspace", "--features", "wharfinger/e2e"];

/// The variable that tells tests which wharfinger to start.
pub(crate) const PROGRAM_VARIABLE: &str = "WHARFINGER_BIN";

/// The checkout: where it is, and what cargo says it holds.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    /// (kind, name) of each target of each crate, such as `("test", "it")`.
    targets: BTreeSet<(String, String)>,
}

/// How a program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quickly.
    Dev,
    /// Optimised.
    Release,
}

/// Which tests of the workspace to run.
#[derive(Debug)]
pub(crate) struct Tests<'a> {
    /// Arguments of cargo that select targets, such as `--test it`.
    pub(crate) targets: &'a [String],
    /// Arguments of the test programs, such as a filter.
    pub(crate) args: &'a [String],
    /// Variables of the test programs.
    pub(crate) env: &'a [(&'static str, String)],
    /// Whether a test that cannot run here is a failure.
    pub(crate) required: bool,
}

impl Workspace {
    /// Asks cargo about the checkout that this runner was built from.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(&manifest)
            .stderr(Stdio::inherit())
            .output()
            .context("starting cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata ended with {}", output.status);
        Self::parse(&output.stdout).context("reading the answer of cargo metadata")
    }

    fn parse(metadata: &[u8]) -> Result<Self> {
        let metadata: Value = serde_json::from_slice(metadata)?;
        let folder =
            |key: &str| metadata[key].as_str().map(PathBuf::from).with_context(|| format!("no {key}"));
        let mut targets = BTreeSet::new();
        for package in metadata["packages"].as_array().context("no packages")? {
            for target in package["targets"].as_array().into_iter().flatten() {
                let name = target["name"].as_str().context("a target without a name")?;
                for kind in target["kind"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    targets.insert((kind.to_owned(), name.to_owned()));
                }
            }
        }
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")?, targets })
    }

    /// Returns the folder of the checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of what is built.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the folder of the reports of `task`.
    pub(crate) fn reports(&self, task: &str) -> PathBuf {
        self.target.join("reports").join(task)
    }

    /// Says whether a crate has this target.
    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.targets.contains(&(kind.to_owned(), name.to_owned()))
    }

    /// Returns the names of the integration tests.
    pub(crate) fn integration_tests(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().filter(|(kind, _)| kind == "test").map(|(_, name)| name.as_str())
    }

    /// Returns a call of cargo in the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// Builds one program of ours and returns where it is.
    pub(crate) fn build(&self, program: &str, profile: Profile) -> Result<PathBuf> {
        self.build_of(program, program, profile)
    }

    /// Builds a program of one of our crates and returns where it is.
    pub(crate) fn build_of(&self, package: &str, program: &str, profile: Profile) -> Result<PathBuf> {
        ensure!(self.has("bin", program), "the workspace has no program `{program}`");
        let mut command = self.cargo();
        command.args(["build", "--bin", program, "--package", package]);
        if profile == Profile::Release {
            command.arg("--release");
        }
        run(&mut command)?;
        Ok(self.program(program, profile))
    }

    /// Builds everything that a test run needs, with its programs.
    pub(crate) fn build_for_tests(&self) -> Result<()> {
        run(self.cargo().arg("build").args(SELECTION).args(["--bins", "--tests"]))
    }

    /// Returns where a program is once it is built.
    pub(crate) fn program(&self, program: &str, profile: Profile) -> PathBuf {
        let folder = match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        };
        self.target.join(folder).join(program)
    }

    /// Runs tests, passes their output on, and counts them. What a test says it cannot do here is
    /// counted as skipped, or as failed where everything is required.
    pub(crate) fn test(&self, tests: &Tests<'_>) -> Result<Tally> {
        let skips = Skips::new(&self.target)?;
        let mut command = self.cargo();
        command
            .args(["test", "--no-fail-fast"])
            .args(SELECTION)
            .args(tests.targets)
            .arg("--")
            .args(tests.args)
            .envs(tests.env.iter().map(|(name, value)| (name, value)))
            .env(skips::VARIABLE, skips.file())
            .env(servers::VARIABLE, servers::folder(&self.target))
            .env(PROGRAM_VARIABLE, self.program("wharfinger", Profile::Dev));
        let tally = count(&mut command, &mut std::io::stdout())?;
        let skipped = skips.read()?;
        for (name, reason) in &skipped {
            println!("skipped {name}: {reason}");
        }
        Ok(tally.with_skips(skipped.len() as u64, tests.required))
    }
}

/// Runs `command` and fails with its name when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("starting {line}"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs `command`, passes its output on line by line, and adds up the summaries of libtest in it.
pub(crate) fn count(command: &mut Command, output: &mut impl Write) -> Result<Tally> {
    let line = line(command);
    eprintln!("$ {line}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting {line}"))?;
    let stdout = child.stdout.take().expect("stdout was piped one line above");
    let mut tally = Tally::default();
    // Bytes, not `lines()`: a test may print what is no UTF-8, and its summary must still be counted.
    for bytes in BufReader::new(stdout).split(b'\n') {
        let mut bytes = bytes.with_context(|| format!("reading the output of {line}"))?;
        if let Some(counts) = Tally::from_libtest(&String::from_utf8_lossy(&bytes)) {
            tally += counts;
        }
        bytes.push(b'\n');
        output.write_all(&bytes).context("passing the output on")?;
    }
    let status = child.wait().with_context(|| format!("waiting for {line}"))?;
    Ok(tally.with_exit(status.success()))
}

/// Returns the command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The cargo that runs this runner, so that a toolchain chosen outside holds inside.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::{Profile, Workspace, count};
    use crate::tally::Tally;

    const METADATA: &str = r#"{
        "packages": [
            {"targets": [{"kind": ["lib"], "name": "wharfinger"}, {"kind": ["bin"], "name": "wharfinger"},
                         {"kind": ["test"], "name": "it"}, {"kind": ["test"], "name": "kill"}]},
            {"targets": [{"kind": ["bin"], "name": "xtask"}]}],
        "workspace_root": "/checkout", "target_directory": "/checkout/target"}"#;

    #[test]
    fn knows_what_the_workspace_holds() {
        let workspace = Workspace::parse(METADATA.as_bytes()).unwrap();
        assert_eq!(workspace.integration_tests().collect::<Vec<_>>(), ["it", "kill"]);
        assert!(workspace.has("bin", "wharfinger") && !workspace.has("bin", "sim"));
        let program = workspace.program("wharfinger", Profile::Release);
        assert_eq!(program, Path::new("/checkout/target/release/wharfinger"));
        let error = workspace.build("sim", Profile::Dev).unwrap_err();
        assert_eq!(error.to_string(), "the workspace has no program `sim`");
        assert!(Workspace::parse(b"{}").is_err());
    }

    /// The output goes to a buffer: on stdout the runner would count it as results of this very test.
    fn sh(script: &str) -> Tally {
        let mut output = Vec::new();
        let tally = count(Command::new("sh").args(["-c", script]), &mut output).unwrap();
        assert_eq!(output.ends_with(b"\n"), !output.is_empty());
        tally
    }

    #[test]
    fn summaries_are_added_up() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured'; \
             printf '\\377\\n'; \
             echo 'test result: FAILED. 1 passed; 3 failed; 1 ignored; 0 measured'; exit 101";
        assert_eq!(sh(script), Tally { passed: 3, failed: 3, skipped: 1 });
        assert_eq!(sh("exit 101"), Tally::FAILED, "a build that fails prints no summary");
    }
}
