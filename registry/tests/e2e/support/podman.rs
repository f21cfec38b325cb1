//! podman with storages of the test's own.

use std::path::Path;

use super::command::Command;

/// Returns a podman command whose storage is in `folder`.
pub(crate) fn podman(folder: &Path) -> Command {
    Command::new("podman")
        .env("HOME", folder)
        .arg("--root")
        .arg(folder.join("storage"))
        .arg("--runroot")
        .arg(folder.join("run"))
        .arg("--tmpdir")
        .arg(folder.join("tmp"))
        .args(["--storage-driver", "vfs"])
}
