//! The wharfinger program on a bucket.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::daemon::Daemon;

/// A folder for the spool, the configuration and the logs of one process after another.
#[derive(Debug)]
pub(crate) struct Berth {
    folder: TempDir,
    starts: AtomicUsize,
}

/// A running program, ended by SIGTERM when it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    daemon: Daemon,
    /// `http://IP:PORT`.
    pub(crate) url: String,
}

impl Berth {
    /// Makes an empty one.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), starts: AtomicUsize::new(0) }
    }

    /// Returns the path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the program with a section `storage` and what else the configuration says. A folder that the
    /// section does not name is one of the berth's.
    ///
    /// *Errors:* what it said before it ended.
    pub(crate) async fn try_start(&self, mut storage: Value, rest: &Value) -> Result<Program, String> {
        if storage["rootDirectory"].is_null() {
            storage["rootDirectory"] = json!(self.path("spool"));
        }
        let mut config = rest.clone();
        config["storage"] = storage;
        let file = self.path("config.json");
        fs::write(&file, format!("{config:#}")).unwrap();
        let name = format!("wharfinger-{}", self.starts.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(program());
        command.arg("serve").arg(&file).args(["--listen", "127.0.0.1:0"]);
        let mut daemon = Daemon::start(&name, &mut command, self.folder.path());
        let url = daemon.wait_for("listening on ").await?;
        Ok(Program { daemon, url })
    }

    /// Starts the program, which must listen.
    pub(crate) async fn start(&self, storage: Value, rest: &Value) -> Program {
        self.try_start(storage, rest).await.unwrap()
    }
}

impl Program {
    /// Returns `IP:PORT`.
    pub(crate) fn authority(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Ends it by SIGKILL, in the middle of whatever it does.
    pub(crate) fn kill(self) {
        kill_process(Pid::from_child(self.daemon.as_ref()), Signal::KILL).unwrap();
    }
}

fn program() -> PathBuf {
    let named = std::env::var_os("WHARFINGER_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_wharfinger")))
}
