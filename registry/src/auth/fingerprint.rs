//! What a file is known by, so that another one is noticed in its place.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// What changes when a file does: by a rename over it, by writing into it, or when a link leads elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// Takes a file's.
    ///
    /// A write that keeps the size, and falls into the same tick of the kernel's clock (some milliseconds) as the
    /// write before, is not told apart from it.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a write that keeps the size is noticed. Method: the time of one, set by hand; the tests of `account_file`
    //! and of `http::watched` hold the rest.

    use std::time::{Duration, SystemTime};

    use super::Fingerprint;

    #[test]
    fn a_later_write_of_the_same_size_is_another() {
        let file = tempfile::tempfile().unwrap();
        let at = |seconds: u64| {
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
            Fingerprint::of(&file.metadata().unwrap())
        };
        assert_ne!(at(1), at(2));
    }
}
