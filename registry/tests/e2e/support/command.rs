//! Commands: what was run and what it said is printed, so that a failed test shows it.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process;

/// How long a command may take; the largest moves 200 MiB through a debug build.
const PATIENCE: Duration = Duration::from_secs(180);

/// A command that has not been started.
#[derive(Debug)]
pub(crate) struct Command(process::Command);

/// What a command said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) line: String,
    pub(crate) succeeded: bool,
    /// What it ended with; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Command {
    /// Makes a command of a program.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = process::Command::new(program);
        command.stdin(Stdio::null()).kill_on_drop(true);
        Self(command)
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    /// Adds an argument.
    pub(crate) fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Removes a variable.
    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    /// Runs it, which must succeed, and returns its stdout without the last line end.
    pub(crate) async fn run(self) -> String {
        let output = self.output(PATIENCE).await;
        let Output { line, succeeded, stdout, stderr, .. } = output;
        assert!(succeeded, "`{line}` failed\n{stdout}\n{stderr}");
        stdout.trim_end().to_owned()
    }

    /// Runs it, however it ends, within a time.
    pub(crate) async fn output(mut self, patience: Duration) -> Output {
        let line = line(self.0.as_std());
        println!("$ {line}");
        let ended = tokio::time::timeout(patience, self.0.output()).await;
        let output = ended
            .unwrap_or_else(|_| panic!("no end within {patience:?}: {line}"))
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let output = Output {
            line,
            succeeded: output.status.success(),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        // Marked, so that nobody who counts results takes those of a test program for this one's.
        for line in output.stdout.lines().chain(output.stderr.lines()) {
            println!("| {line}");
        }
        output
    }
}

/// Returns a command as one would type it.
fn line(command: &std::process::Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
