//! A containerd of the test's own: its root, its state, its socket and its mirrors are in one folder, so
//! that nothing of the machine's is touched.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command as Process;

use tempfile::TempDir;

use super::command::Command;
use super::daemon::Daemon;
use super::engine::unmount_below;
use super::layout::read_blobs;
use super::skip::skip;

/// The programs that it needs.
pub(crate) const PROGRAMS: [&str; 2] = ["containerd", "ctr"];

/// A running containerd.
#[derive(Debug)]
pub(crate) struct Containerd {
    /// Taken when it ends, which must be before the folder goes.
    daemon: Option<Daemon>,
    folder: TempDir,
}

impl Containerd {
    /// Starts it. If it cannot run on this machine, as without root, the test is skipped.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("wharfinger-containerd-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        // What Kubernetes asks it for is not asked here, and would look for a network of its own.
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
            at("root"),
            at("state"),
            at("containerd.sock"),
            at("opt"),
        );
        fs::write(at("config.toml"), config).unwrap();
        let mut command = Process::new("containerd");
        command.arg("--config").arg(at("config.toml"));
        let daemon = Daemon::start("containerd", &mut command, folder.path());
        let mut containerd = Self { daemon: Some(daemon), folder };
        let ready = containerd.daemon.as_mut().unwrap().wait_for("containerd successfully booted").await;
        if let Err(reason) = ready {
            let last = reason.lines().last().unwrap_or_default();
            skip(test, &format!("no containerd can run here: {last}"));
            return None;
        }
        Some(containerd)
    }

    /// Sends what is asked of a registry to a mirror first; nothing else is said of the registry, so that
    /// it is asked itself when the mirror fails.
    pub(crate) fn mirror(&self, registry: &str, mirror: &str) {
        self.hosts(registry, &format!("[host.{mirror:?}]\ncapabilities = [\"pull\", \"resolve\"]\n"));
    }

    /// Says what `hosts.toml` has of a registry, and returns the folder of all.
    pub(crate) fn hosts(&self, registry: &str, hosts: &str) -> String {
        let all = self.folder.path().join("certs.d");
        let folder = all.join(registry);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("hosts.toml"), hosts).unwrap();
        all.display().to_string()
    }

    /// Returns a `ctr` command for it.
    pub(crate) fn ctr(&self, args: &[&str]) -> Command {
        let socket = self.folder.path().join("containerd.sock");
        Command::new("ctr").arg("--address").arg(socket).args(["--namespace", "wharfinger"]).args(args)
    }

    /// Pulls every platform of an image by way of the mirrors, and unpacks it.
    pub(crate) async fn pull(&self, reference: &str) {
        let mirrors = self.folder.path().join("certs.d").display().to_string();
        self.ctr(&["images", "pull", "--all-platforms", "--hosts-dir", &mirrors, reference]).run().await;
    }

    /// Returns the size of each blob that it holds by its digest; each must have the digest of its name.
    pub(crate) fn blobs(&self) -> BTreeMap<String, usize> {
        read_blobs(&self.folder.path().join("root/io.containerd.content.v1.content/blobs/sha256"))
    }

    /// Fails unless it holds an image whole: this digest, and nothing missing.
    pub(crate) async fn expect_whole(&self, reference: &str, digest: &str) {
        let name = format!("name=={reference}");
        let checked = self.ctr(&["images", "check", &name]).run().await;
        let line = checked.lines().find(|line| line.starts_with(reference));
        let line = line.unwrap_or_else(|| panic!("{reference} is not there: {checked}"));
        assert!(line.contains(digest) && line.contains(" complete "), "{line}");
        // The last column: unpacked.
        assert!(line.trim_end().ends_with("true"), "{line}");
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.daemon = None;
        unmount_below(self.folder.path());
    }
}
