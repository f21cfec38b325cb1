//! A running wharfinger: started on a free port, logs in a file, killed with its owner.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::Guard;

/// How long a start may take; a debug build on a loaded machine needs a moment.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How much of the log an error shows.
const LOG_LINES_SHOWN: usize = 20;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    guard: Guard,
    url: String,
}

impl Server {
    /// Starts `program serve ARGS` and waits for its line `listening on URL`. Its log goes to `log`.
    ///
    /// *Errors*: it cannot be started, ends early, or says nothing in time; the end of its log is shown.
    pub(crate) fn start<S: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = S>,
        log: &Path,
    ) -> Result<Self> {
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let stderr = File::create(log).with_context(|| format!("making {}", log.display()))?;
        let mut guard = Guard::start(
            Command::new(program)
                .arg("serve")
                .args(args)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(stderr),
        )?;
        let stdout = guard.child().stdout.take().expect("stdout was piped two lines above");
        let url = first_url(stdout).with_context(|| format!("{}\n{}", program.display(), tail(log)))?;
        Ok(Self { guard, url })
    }

    /// Returns `http://IP:PORT`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the process.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }
}

/// Waits for the line that says where the server listens, and keeps reading afterwards: a full pipe
/// would block the server's next write.
fn first_url(stdout: ChildStdout) -> Result<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens after the first url; the pipe is still emptied.
            let _ = sender.send(line);
        }
    });
    match receiver.recv_timeout(START_PATIENCE) {
        Ok(line) => parse_listening(&line).with_context(|| format!("unexpected first line `{line}`")),
        Err(RecvTimeoutError::Timeout) => bail!("did not listen within {START_PATIENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => bail!("ended before it listened"),
    }
}

/// Reads `listening on URL`.
fn parse_listening(line: &str) -> Option<String> {
    let url = line.strip_prefix("listening on ")?.trim_end();
    (url.starts_with("http://") || url.starts_with("https://")).then(|| url.to_owned())
}

/// Returns the end of a log, for an error.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

/// A folder that is removed with its owner.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes an empty folder `NAME-PID` in `parent`.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path })
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover costs disk, not truth: it lies in the target folder, and `cargo clean` takes it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::{Scratch, Server, parse_listening};

    #[test]
    fn reads_where_a_server_listens() {
        assert_eq!(parse_listening("listening on http://127.0.0.1:39117").unwrap(), "http://127.0.0.1:39117");
        assert_eq!(parse_listening("listening on https://[::1]:5000\n").unwrap(), "https://[::1]:5000");
        assert_eq!(parse_listening("listening on port 5000"), None);
        assert_eq!(parse_listening("http://127.0.0.1:39117"), None);
    }

    fn script(scratch: &Scratch, name: &str, body: &str) -> PathBuf {
        let file = scratch.path().join(name);
        fs::write(&file, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn a_server_is_started_and_a_dead_one_shows_its_log() {
        let scratch = Scratch::new(&std::env::temp_dir(), "xtask-server").unwrap();
        let log = scratch.path().join("logs/server.log");

        let good =
            script(&scratch, "good", "echo listening on http://127.0.0.1:9 $#; exec tail -f /dev/null");
        let server = Server::start(&good, ["--listen", "127.0.0.1:0"], &log).unwrap();
        assert_eq!(server.url(), "http://127.0.0.1:9 3", "serve and two arguments");

        let bad = script(&scratch, "bad", "echo port in use >&2; exit 1");
        let error = format!("{:#}", Server::start(&bad, ["--memory"], &log).unwrap_err());
        assert!(error.contains("ended before it listened") && error.contains("port in use"), "{error}");
    }
}
