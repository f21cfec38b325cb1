//! CNCF distribution, as Debian packages it: the upstream that most mirrors run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::daemon::Daemon;

/// The program.
pub(crate) const PROGRAM: &str = "docker-registry";

/// A running distribution. Its folder goes with it.
#[derive(Debug)]
pub(crate) struct Distribution {
    _daemon: Daemon,
    authority: String,
    folder: TempDir,
}

impl Distribution {
    /// Starts it on a free port.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Its YAML reader takes JSON, too.
        let config = json!({
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}},
            "http": {"addr": "127.0.0.1:0"},
        });
        let file = folder.path().join("config.yml");
        fs::write(&file, config.to_string()).unwrap();
        let mut daemon = Daemon::start(PROGRAM, Command::new(PROGRAM).arg("serve").arg(&file), folder.path());
        let rest = daemon.wait_for("listening on ").await.unwrap();
        let authority = rest.split(['"', ' ']).next().unwrap().to_owned();
        Self { _daemon: daemon, authority, folder }
    }

    /// Returns the folder that it stores in.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns `IP:PORT`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
}
