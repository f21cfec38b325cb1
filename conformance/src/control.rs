//! Controls: what a command given with `--control` does to the target that HTTP cannot do.
//!
//! *Shape*: the shell runs the command with more words: `restart`, `gc`, `files`, or `configuration NAME`.
//! It exits with 0 once it has done its work, and with 3 when it does not give this control, which makes
//! the check a skip. `restart` keeps address and data. `configuration NAME` prints the address of a registry
//! that is so configured; it may be another process than the target, and stays until the run ends. `files`
//! prints a line `BYTES PATH` for every file of the target's store, `files NAME` for that other registry's.
//!
//! Configurations: `short-uploads` (an upload that nobody touches for ten seconds is gone) and `rate-limit`
//! (the 300th of 300 requests in one second is refused).

use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::check::Control;
use crate::wire::{Connection, Dialer, Request, Url, UrlError};

/// How long a control command may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// How long the target may take to answer again.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// The pause between two looks at a target that does not answer yet.
const READY_PAUSE: Duration = Duration::from_millis(50);
/// The exit code of a command that does not give the control asked for.
const EXIT_ABSENT: i32 = 3;

/// The controls that were given.
#[derive(Clone, Debug, Default)]
pub struct Controls {
    command: Option<String>,
}

/// A file of the target's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its size in bytes.
    pub size: u64,
    /// Its path, as the command tells it.
    pub path: String,
}

/// Says why a control had no effect.
#[derive(Debug, Error)]
pub enum ControlError {
    /// No command was given, or it does not give this control.
    #[error("needs control: {0}")]
    Absent(Control),
    /// The command could not be started.
    #[error("the control command cannot be started: {0}")]
    Start(std::io::Error),
    /// The command exited with another code than 0.
    #[error("the control command failed at {control} ({status}): {stderr}")]
    Failed {
        /// What it was asked for.
        control: Control,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it wrote to stderr.
        stderr: String,
    },
    /// The command took too long.
    #[error("the control command took longer than {COMMAND_DEADLINE:?} at {0}")]
    Slow(Control),
    /// The command printed something else than an address.
    #[error("the control command printed no address: {0}")]
    Address(UrlError),
    /// The command printed something else than a list of files.
    #[error("the control command printed no line BYTES PATH: {0:?}")]
    Files(String),
    /// The target does not answer any more.
    #[error("{0} does not answer {READY_DEADLINE:?} after the control command")]
    Away(Url),
}

impl Controls {
    /// Takes the command of `--control`.
    pub fn new(command: Option<String>) -> Self {
        Self { command }
    }

    /// Says whether there is a command that may carry out controls.
    pub fn given(&self) -> bool {
        self.command.is_some()
    }

    /// Runs a control and waits until the target answers `GET /v2/`.
    ///
    /// *Errors*: every variant of [`ControlError`]. *Cancellation*: the command is killed.
    pub async fn run(&self, control: Control, dialer: &Dialer, target: &Url) -> Result<(), ControlError> {
        self.command(control).await?;
        wait_ready(dialer, target).await
    }

    /// Returns the address of a registry with this configuration, once it answers.
    ///
    /// *Errors*: every variant of [`ControlError`]. *Cancellation*: as [`Controls::run`].
    pub async fn configured(&self, name: &'static str, dialer: &Dialer) -> Result<Url, ControlError> {
        let printed = self.command(Control::Configuration(name)).await?;
        let url = Url::parse(printed.trim()).map_err(ControlError::Address)?;
        wait_ready(dialer, &url).await?;
        Ok(url)
    }

    /// Returns the files of the target's store, or of the registry with a configuration.
    ///
    /// *Errors*: every variant of [`ControlError`]. *Cancellation*: as [`Controls::run`].
    pub async fn files(&self, of: Option<&'static str>) -> Result<Vec<StoredFile>, ControlError> {
        self.command(Control::Files(of)).await?.lines().map(parse_file).collect()
    }

    async fn command(&self, control: Control) -> Result<String, ControlError> {
        let command = self.command.as_ref().ok_or(ControlError::Absent(control))?;
        let output = Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("{command} {control}"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(COMMAND_DEADLINE, output).await.map_err(|_| ControlError::Slow(control))?;
        let output = output.map_err(ControlError::Start)?;
        if output.status.code() == Some(EXIT_ABSENT) {
            return Err(ControlError::Absent(control));
        }
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(ControlError::Failed { control, status: output.status, stderr });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn parse_file(line: &str) -> Result<StoredFile, ControlError> {
    let parts = line.split_once(' ').and_then(|(size, path)| Some((size.parse().ok()?, path)));
    let (size, path) = parts.ok_or_else(|| ControlError::Files(line.to_owned()))?;
    Ok(StoredFile { size, path: path.to_owned() })
}

async fn wait_ready(dialer: &Dialer, target: &Url) -> Result<(), ControlError> {
    let end = Instant::now() + READY_DEADLINE;
    while Instant::now() < end {
        let request = Request::new("GET", target.at("/v2/"));
        let answer = async { Connection::open(dialer, target).await?.exchange(&request).await };
        if let Ok(Ok(response)) = timeout(READY_DEADLINE, answer).await
            && response.status < 500
        {
            return Ok(());
        }
        sleep(READY_PAUSE).await;
    }
    Err(ControlError::Away(target.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Trust;

    fn controls(script: &str) -> Controls {
        Controls::new(Some(script.to_owned()))
    }

    #[tokio::test]
    async fn a_failing_command_is_an_error_with_its_words() {
        let dialer = Dialer::new(&Trust::default()).unwrap();
        let target = Url::parse("http://127.0.0.1:1").unwrap();
        let run = |script: &str| {
            let (controls, dialer, target) = (controls(script), dialer.clone(), target.clone());
            async move { controls.run(Control::Restart, &dialer, &target).await.unwrap_err() }
        };
        let error = run("echo no such registry >&2; exit 7;").await.to_string();
        assert!(error.contains("no such registry") && error.contains('7'), "{error}");
        assert!(matches!(run("exit 3;").await, ControlError::Absent(Control::Restart)));
        let error = Controls::default().run(Control::Gc, &dialer, &target).await.unwrap_err();
        assert_eq!(error.to_string(), "needs control: gc");
        assert!(!Controls::default().given());
    }

    #[tokio::test]
    async fn what_a_command_prints_is_read() {
        let files = controls("printf '12 blobs/a b\\n0 c\\n' #").files(None).await.unwrap();
        let file = |size, path: &str| StoredFile { size, path: path.to_owned() };
        assert_eq!(files, [file(12, "blobs/a b"), file(0, "c")]);
        assert!(matches!(controls("echo x #").files(None).await.unwrap_err(), ControlError::Files(_)));
        let dialer = Dialer::new(&Trust::default()).unwrap();
        let error = controls("echo").configured("deletes-off", &dialer).await.unwrap_err();
        assert!(error.to_string().contains("configuration deletes-off"), "{error}");
    }
}
