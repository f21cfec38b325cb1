//! A file system in a file, whose power can be cut.
//!
//! `FS_IOC_SHUTDOWN` stops a mounted file system as a power cut does: what is not on the disk by then will not
//! come to it. It is asked for by `xfs_io`, which knows both file systems.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{Skip, eventually};

/// A file system that is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
}

/// What the cut leaves of the changes that the file system has not committed to its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The log is written out at the last moment: names that are ahead of their bytes.
    LogFlushed,
    /// It is not: what was not synced is gone.
    LogLost,
}

impl FileSystem {
    /// Returns the name of it that the kernel has.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// Returns the program that makes one.
    pub(crate) fn maker(self) -> &'static str {
        match self {
            Self::Ext4 => "mkfs.ext4",
            Self::Xfs => "mkfs.xfs",
        }
    }

    /// Returns the package of that program.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Ext4 => "e2fsprogs",
            Self::Xfs => "xfsprogs",
        }
    }

    /// Returns the arguments that make one whose first writes are the test's.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
            Self::Xfs => &["-q", "-f"],
        }
    }
}

impl Cut {
    /// What `xfs_io` is told.
    fn command(self) -> &'static str {
        match self {
            Self::LogFlushed => "shutdown -f",
            Self::LogLost => "shutdown",
        }
    }
}

/// A mounted file system; unmounted when it is dropped.
#[derive(Debug)]
pub(crate) struct Volume {
    folder: tempfile::TempDir,
}

/// A file with holes: it takes what is written.
const BYTES: u64 = 1 << 30;

impl Volume {
    /// Makes a file system and mounts it.
    pub(crate) fn new(file_system: FileSystem) -> Self {
        Self::try_new(file_system).unwrap_or_else(|Skip(reason)| panic!("{reason}"))
    }

    fn try_new(file_system: FileSystem) -> Result<Self, Skip> {
        // In memory where that can be: what counts is what the file system has handed down.
        let memory = Some(PathBuf::from("/dev/shm")).filter(|folder| folder.is_dir());
        let folder = memory.unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("wharfinger-power-").tempdir_in(folder);
        let volume = Self { folder: folder.expect("a folder can be made") };
        let file = std::fs::File::create(volume.image()).expect("a file can be made");
        file.set_len(BYTES).expect("a file can have holes");
        std::fs::create_dir(volume.path()).expect("a folder can be made");
        succeed(Command::new(file_system.maker()).args(file_system.arguments()).arg(volume.image()))?;
        volume.mount()?;
        Ok(volume)
    }

    /// Says whether such a file system can be mounted here, and its power cut.
    pub(crate) fn can_cut(file_system: FileSystem) -> Result<(), Skip> {
        let volume = Self::try_new(file_system)?;
        volume.shut_down(Cut::LogLost)?;
        match std::fs::write(volume.path().join("file"), "") {
            Ok(()) => Err(Skip(format!("{} goes on after FS_IOC_SHUTDOWN", file_system.name()))),
            Err(_) => Ok(()),
        }
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Returns where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount(&self) -> Result<(), Skip> {
        succeed(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()))
    }

    /// Stops the file system; it stays mounted, and fails.
    pub(crate) fn shut_down(&self, cut: Cut) -> Result<(), Skip> {
        succeed(Command::new("xfs_io").args(["-x", "-c", cut.command()]).arg(self.path()))
    }

    /// Mounts it again after it was shut down, which is what a start of the machine does.
    pub(crate) fn start_again(&self) {
        eventually("nobody used the file system any more", || unmount(&self.path()).ok());
        self.mount().unwrap_or_else(|Skip(reason)| panic!("it cannot be mounted again: {reason}"));
    }

    /// Cuts the power, and starts again.
    pub(crate) fn cut(&self, cut: Cut) {
        self.shut_down(cut).unwrap_or_else(|Skip(reason)| panic!("{reason}"));
        self.start_again();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily, so that a test that failed with a file open leaves no mount either.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).stderr(Stdio::null()).status();
    }
}

fn unmount(path: &Path) -> Result<(), Skip> {
    succeed(Command::new("umount").arg(path))
}

fn succeed(command: &mut Command) -> Result<(), Skip> {
    let Output { status, stdout, stderr } = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Skip(format!("{command:?} cannot be run: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&[stdout, stderr].concat()).replace('\n', " ");
    Err(Skip(format!("{command:?} ended with {status}: {told}")))
}
