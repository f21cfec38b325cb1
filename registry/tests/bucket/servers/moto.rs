//! moto: S3 in memory, with its conditions, its parts and its pages. It looks at no signature.

use std::process::Command;

use tempfile::TempDir;

use super::{BUCKET, Place, installed};
use crate::support::daemon::Daemon;

/// Where the runner puts it.
const PROGRAM: &str = "moto-5.2.5/bin/moto_server";

/// A running moto.
#[derive(Debug)]
pub(crate) struct Moto {
    _daemon: Daemon,
    /// `http://IP:PORT`.
    pub(crate) url: String,
    _folder: TempDir,
}

impl Moto {
    /// Starts it, or says that a test is skipped.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let program = installed(test, PROGRAM)?;
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).current_dir(folder.path());
        let mut daemon = Daemon::start("moto", &mut command, folder.path());
        let rest = daemon.wait_for("Running on http://127.0.0.1:").await.unwrap();
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let moto = Self { _daemon: daemon, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        moto.make(BUCKET).await;
        Some(moto)
    }

    /// Makes a bucket.
    pub(crate) async fn make(&self, bucket: &str) {
        let made = reqwest::Client::new().put(format!("{}/{bucket}", self.url)).send().await.unwrap();
        assert!(made.status().is_success(), "{}", made.status());
    }

    /// Returns how to reach its bucket.
    pub(crate) fn place(&self) -> Place {
        Place::s3(&self.url, "key", "secret")
    }
}
