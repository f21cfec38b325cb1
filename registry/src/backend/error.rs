//! What can go wrong with bytes in a place.

use std::io;
use std::path::PathBuf;

use super::Key;

/// Why an operation of a backend failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no space left, or a quota is used up.
    #[error("no space left for {operation} of {key}")]
    Full {
        /// The system call.
        operation: &'static str,
        /// Where.
        key: Key,
        /// The system's answer.
        source: io::Error,
    },
    /// The process may not, or the file system is read-only.
    #[error("no permission for {operation} of {key}")]
    Denied {
        /// The system call.
        operation: &'static str,
        /// Where.
        key: Key,
        /// The system's answer.
        source: io::Error,
    },
    /// Anything else that the system answered.
    #[error("{operation} of {key} failed")]
    Io {
        /// The system call.
        operation: &'static str,
        /// Where.
        key: Key,
        /// The system's answer.
        source: io::Error,
    },
    /// A record is larger than [`RECORD_BYTES_MAX`](super::RECORD_BYTES_MAX).
    #[error("the record {key} has {size} bytes, more than a record may have")]
    TooLarge {
        /// Where.
        key: Key,
        /// How many bytes.
        size: u64,
    },
    /// The bucket did not answer, or only that it cannot now.
    #[error(
        "the bucket did not carry out {operation} of {key}; is it reachable, and are there too many requests?"
    )]
    Unreachable {
        /// The request.
        operation: &'static str,
        /// Where.
        key: Key,
        /// What the client said.
        source: io::Error,
    },
    /// Other writes of the same key came before, again and again; or another process goes on with an upload.
    #[error("{key} is being changed by others; try again")]
    Contended {
        /// Where.
        key: Key,
    },
    /// The thread that did the work panicked or was stopped.
    #[error("the work on {key} was given up")]
    Abandoned {
        /// Where.
        key: Key,
    },
}

impl Error {
    /// Says whether there is no room.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Says whether it stays so until somebody acts; then it is told once, by [`Metered`](super::metered::Metered).
    pub const fn is_standing(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Denied { .. })
    }

    /// Says that what stands under a key was not written by this program.
    pub(super) fn foreign(key: &Key, what: &'static str) -> Self {
        let source = io::Error::new(io::ErrorKind::InvalidData, what);
        Self::Io { operation: "read", key: key.clone(), source }
    }

    /// Sorts what the system answered.
    pub(super) fn new(operation: &'static str, key: &Key, source: io::Error) -> Self {
        let key = key.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { operation, key, source }
            }
            // The lock of a file that another process writes to.
            io::ErrorKind::WouldBlock => Self::Contended { key },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { operation, key, source }
            }
            _ => Self::Io { operation, key, source },
        }
    }
}

/// Why a folder cannot be used as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made, read or written.
    #[error("cannot use the folder {}: {operation} failed; it must exist or be creatable, and be writable by this user", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system call.
        operation: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process holds the folder.
    #[error("the folder {} is in use by another process; stop it, or give this one another folder", .path.display())]
    Held {
        /// The folder.
        path: PathBuf,
    },
    /// It is on a file system of a network, and several processes are to share it.
    #[error("the folder {} is on a file system of a network, whose locks cannot be relied on; share a bucket instead (storage.bucket), or a folder of one host", .path.display())]
    Remote {
        /// The folder.
        path: PathBuf,
    },
    /// Too many processes share the folder.
    #[error("the folder {} is shared by {max} processes already", .path.display())]
    Crowded {
        /// The folder.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
}
