//! What a test needs of the machine, and its own view of what is mounted.
//!
//! Each test runs its own name again in a mount namespace: what it mounts is gone with that process, however it
//! ends. There it starts its own name once more, as the process that writes.

use std::process::{Command, Stdio};

use crate::support::{Skip, can_trace, needs_package, skipped};
use crate::volume::{FileSystem, Volume};
use crate::writer;

/// Says that this process has a view of its own.
const INSIDE: &str = "WHARFINGER_POWER_INSIDE";

/// A test: its full name, and the file systems that it mounts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) file_systems: &'static [FileSystem],
}

impl Test {
    /// Runs the body of a test where it can mount, or says why it cannot run.
    pub(crate) fn run(self, body: impl FnOnce(Self)) {
        if writer::is_one() {
            return writer::write();
        }
        if std::env::var_os(INSIDE).is_some() {
            return body(self);
        }
        match self.can_run() {
            Ok(()) => self.run_inside(),
            Err(skip) => skipped(self.name, &skip),
        }
    }

    /// Returns a command that runs this test again.
    pub(crate) fn again(self, mut command: Command) -> Command {
        command.args(["--exact", self.name, "--nocapture"]);
        command
    }

    fn can_run(self) -> Result<(), Skip> {
        if !rustix::process::geteuid().is_root() {
            return Err(Skip("only root can mount a file system".to_owned()));
        }
        needs_package("unshare", "util-linux")?;
        needs_package("xfs_io", "xfsprogs")?;
        for file_system in self.file_systems {
            needs_package(file_system.maker(), file_system.package())?;
        }
        can_trace()?;
        for file_system in self.file_systems {
            Volume::can_cut(*file_system)?;
        }
        Ok(())
    }

    fn run_inside(self) {
        let mut unshare = Command::new("unshare");
        // A test that is killed takes it along.
        unshare.args(["--mount", "--propagation", "private", "--fork", "--kill-child"]).arg(program());
        let output = self.again(unshare).env(INSIDE, "1").stdin(Stdio::null()).output();
        let output = output.expect("unshare is installed");
        let told = [output.stdout, output.stderr].concat();
        for line in String::from_utf8_lossy(&told).lines() {
            // This test has such lines of its own, and the runner counts them.
            let is_libtest = ["test result:", "test ", "running "].iter().any(|word| line.starts_with(word));
            if !is_libtest && !line.is_empty() {
                println!("{line}");
            }
        }
        assert!(output.status.success(), "{} ended with {}", self.name, output.status);
    }
}

/// Returns the program of these tests.
pub(crate) fn program() -> std::path::PathBuf {
    std::env::current_exe().expect("a process knows its program")
}
