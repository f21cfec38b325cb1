//! Controls: what a command given with `--control` does to the target that HTTP cannot do.
//!
//! *Shape*: the command is run by the shell with one more word, the control's name; it exits with 0 once
//! it has done its work. The target keeps its address and its data.

use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::check::Control;
use crate::wire::{Connection, Request, Url};

/// How long a control command may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// How long the target may take to answer again.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// The pause between two looks at a target that does not answer yet.
const READY_PAUSE: Duration = Duration::from_millis(50);

/// The controls that were given.
#[derive(Clone, Debug, Default)]
pub struct Controls {
    command: Option<String>,
}

/// Says why a control had no effect.
#[derive(Debug, Error)]
pub enum ControlError {
    /// No command was given.
    #[error("no control command was given")]
    Absent,
    /// The command could not be started.
    #[error("the control command cannot be started: {0}")]
    Start(std::io::Error),
    /// The command exited with another code than 0.
    #[error("the control command failed ({status}): {stderr}")]
    Failed {
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it wrote to stderr.
        stderr: String,
    },
    /// The command took too long.
    #[error("the control command took longer than {COMMAND_DEADLINE:?}")]
    Slow,
    /// The target does not answer any more.
    #[error("the target does not answer {READY_DEADLINE:?} after the control command")]
    Away,
}

impl Controls {
    /// Takes the command of `--control`.
    pub fn new(command: Option<String>) -> Self {
        Self { command }
    }

    /// Says whether this control can be carried out.
    pub fn gives(&self, control: Control) -> bool {
        self.command.is_some() && control == Control::Restart
    }

    /// Runs the control and waits until the target answers `GET /v2/`.
    ///
    /// *Errors*: every variant of [`ControlError`]. *Cancellation*: the command is killed.
    pub async fn run(&self, control: Control, target: &Url) -> Result<(), ControlError> {
        let command = self.command.as_ref().ok_or(ControlError::Absent)?;
        let output = Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("{command} {}", control.name()))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(COMMAND_DEADLINE, output).await.map_err(|_| ControlError::Slow)?;
        let output = output.map_err(ControlError::Start)?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(ControlError::Failed { status: output.status, stderr });
        }
        wait_ready(target).await
    }
}

async fn wait_ready(target: &Url) -> Result<(), ControlError> {
    let end = Instant::now() + READY_DEADLINE;
    while Instant::now() < end {
        let request = Request::new("GET", target.at("/v2/"));
        let answer = async { Connection::open(target).await?.exchange(&request).await };
        if let Ok(Ok(response)) = timeout(READY_DEADLINE, answer).await
            && response.status < 500
        {
            return Ok(());
        }
        sleep(READY_PAUSE).await;
    }
    Err(ControlError::Away)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_restart_is_given_and_only_with_a_command() {
        assert!(!Controls::new(None).gives(Control::Restart));
        assert!(Controls::new(Some("x".into())).gives(Control::Restart));
        assert!(!Controls::new(Some("x".into())).gives(Control::Gc));
    }

    #[tokio::test]
    async fn a_failing_command_is_an_error_with_its_words() {
        let target = Url::parse("http://127.0.0.1:1").unwrap();
        let controls = Controls::new(Some("echo no such registry >&2; exit 7;".into()));
        let error = controls.run(Control::Restart, &target).await.unwrap_err().to_string();
        assert!(error.contains("no such registry") && error.contains('7'), "{error}");
        let error = Controls::new(None).run(Control::Restart, &target).await.unwrap_err();
        assert!(matches!(error, ControlError::Absent));
    }
}
