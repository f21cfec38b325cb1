//! The wharfinger program, on a free port, with a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::wire::Wire;

/// A running wharfinger. Its folder goes with it.
#[derive(Debug)]
pub(crate) struct Server {
    // Before the folder: the server ends, then its files go.
    _daemon: Daemon,
    url: String,
    _folder: TempDir,
}

impl Server {
    /// Starts it without a configuration.
    pub(crate) async fn start() -> Self {
        Self::launch(tempfile::tempdir().unwrap(), None).await
    }

    /// Starts it with a configuration; where it listens and stores is replaced.
    pub(crate) async fn with(config: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        fs::write(&file, format!("{config:#}")).unwrap();
        Self::launch(folder, Some(file)).await
    }

    /// Starts it on a folder of the test's own, which outlives it.
    pub(crate) async fn over(data: &Path) -> Self {
        Self::launch_over(tempfile::tempdir().unwrap(), None, data).await
    }

    async fn launch(folder: TempDir, config: Option<PathBuf>) -> Self {
        let data = folder.path().join("data");
        Self::launch_over(folder, config, &data).await
    }

    async fn launch_over(folder: TempDir, config: Option<PathBuf>, data: &Path) -> Self {
        let mut command = Command::new(program());
        command.arg("serve").args(config).args(["--listen", "127.0.0.1:0", "--data"]);
        command.arg(data);
        let mut daemon = Daemon::start("wharfinger", &mut command, folder.path());
        let url = daemon.wait_for("listening on ").await.unwrap();
        Self { _daemon: daemon, url, _folder: folder }
    }

    /// Returns `http://IP:PORT`, or with `https`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns `IP:PORT`, as it stands in front of an image's name.
    pub(crate) fn authority(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// Returns what sends requests to it.
    pub(crate) fn wire(&self) -> Wire {
        Wire::to(self.url())
    }
}

/// Returns the program that the runner built, or the one that cargo built with this test.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os("WHARFINGER_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| built_program().to_owned())
}

/// Returns the program that cargo built with this test.
pub(crate) fn built_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wharfinger"))
}
