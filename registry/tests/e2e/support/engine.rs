//! A container engine of the test's own: dockerd with folders, a socket and containers that nobody else
//! has, so that no image or container of the machine is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::command::Command;
use super::daemon::Daemon;
use super::skip::skip;

/// The programs that it needs.
pub(crate) const PROGRAMS: [&str; 3] = ["dockerd", "containerd", "docker"];

/// A running engine.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Taken when it ends, which must be before the folder goes.
    daemon: Option<Daemon>,
    folder: TempDir,
}

impl Engine {
    /// Starts dockerd without a network of its own (its containers use the machine's, or none).
    ///
    /// It chooses the storage driver that works here. If it cannot run on this machine, as without root
    /// or in a sandbox, the test is skipped.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        // An empty file: the machine's own settings are not ours.
        Self::with(test, &json!({})).await
    }

    /// Starts it with a configuration, as [`Engine::start`] does.
    pub(crate) async fn with(test: &str, config: &Value) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("wharfinger-engine-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("client")).unwrap();
        let mut command = Process::new("dockerd");
        command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec"));
        command.arg("--pidfile").arg(at("pid")).args(["--iptables=false", "--ip-masq=false"]);
        // Neither the machine's network nor what its own engine runs is touched, if it has one.
        command.args(["--ip-forward=false", "--bridge=none"]);
        let namespace = folder.path().file_name().unwrap();
        command.arg("--containerd-namespace").arg(namespace);
        command.arg("--containerd-plugins-namespace").arg(format!("{}-plugins", namespace.display()));
        command.arg("--host").arg(format!("unix://{}", at("engine.sock").display()));
        fs::write(at("daemon.json"), config.to_string()).unwrap();
        command.arg("--config-file").arg(at("daemon.json"));
        let daemon = Daemon::start("dockerd", &mut command, folder.path());
        let mut engine = Self { daemon: Some(daemon), folder };
        let ready = engine.daemon.as_mut().unwrap().wait_for("API listen on").await;
        if let Err(reason) = ready {
            let last = reason.lines().last().unwrap_or_default();
            skip(test, &format!("no container engine can run here: {last}"));
            return None;
        }
        Some(engine)
    }

    /// Returns the url of its socket.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("engine.sock").display())
    }

    /// Returns a `docker` command for it, with settings of its own.
    pub(crate) fn docker(&self) -> Command {
        let client = self.folder.path().join("client");
        Command::new("docker").env("DOCKER_HOST", self.host()).env("DOCKER_CONFIG", client)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.daemon = None;
        // dockerd leaves mounts behind, after a clean end too; the folder cannot go while they are there.
        unmount_below(self.folder.path());
    }
}

/// Unmounts whatever is mounted below a folder.
pub(crate) fn unmount_below(folder: &Path) {
    for place in mounts_below(folder).iter().rev() {
        // A mount that stays makes the folder stay: nothing else depends on it.
        let _ = Process::new("umount").arg(place).output();
    }
}

/// Returns what is mounted below a folder, in the order in which it was mounted.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = table.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    places.filter(|place| place.starts_with(folder)).collect()
}
