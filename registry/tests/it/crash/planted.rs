//! Goal: the audit is no rubber stamp: each wrong protocol that registries have shipped is caught.
//!
//! Method: a disk that forgets one step of the right protocol, or takes it too early or too late,
//! stands between the store and the disk that loses power; the same cuts as in `cut` must fail,
//! and for the reason that was planted.

use std::io;
use std::sync::Arc;

use wharfinger::backend::disk::{Disk, DiskFile, Space, Stat};

use super::cut::cut_everywhere;
use super::recovery::all_are_wanted;
use super::scenarios::scenario;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Files are never synced.
    FileNeverSynced,
    /// Folders are never synced.
    FolderNeverSynced,
    /// The root, in which the first new folders stand, is never synced.
    RootNeverSynced,
    /// A file is synced only after it has its final name.
    FileSyncedAfterRename,
    /// An upload's bytes are synced only when it is published, so its state is saved before them.
    StateBeforeData,
    /// A record is overwritten in place.
    RecordInPlace,
    /// A record is removed before the new one takes its name.
    RecordRemovedFirst,
}

#[derive(Debug)]
pub(super) struct WrongDisk {
    pub(super) below: Arc<dyn Disk>,
    pub(super) wrong: Wrong,
}

impl WrongDisk {
    pub(super) fn new(below: Arc<dyn Disk>, wrong: Wrong) -> Self {
        Self { below, wrong }
    }

    fn wrap(&self, path: &str, below: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let is_synced = match self.wrong {
            Wrong::FileNeverSynced | Wrong::FileSyncedAfterRename => false,
            Wrong::StateBeforeData => !path.starts_with("uploads/"),
            _ => true,
        };
        if is_synced { below } else { Arc::new(UnsyncedFile(below)) }
    }
}

impl Disk for WrongDisk {
    fn blocks(&self) -> bool {
        self.below.blocks()
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.below.create(path)?))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.below.open(path)
    }

    fn open_cached(&self, path: &str) -> Option<Arc<dyn DiskFile>> {
        self.below.open_cached(path)
    }

    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.below.open_writable(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match self.wrong {
            Wrong::RecordInPlace if self.below.stat(to).is_ok() => {
                let new = self.below.open(from)?;
                let bytes = new.read_at(0, usize::try_from(new.len()?).unwrap())?;
                let old = self.below.open_writable(to)?;
                old.set_len(0)?;
                old.write_at(0, &bytes)?;
                old.sync()?;
                self.below.remove(from)
            }
            Wrong::RecordRemovedFirst if self.below.stat(to).is_ok() => {
                self.below.remove(to)?;
                self.below.rename(from, to)
            }
            Wrong::FileSyncedAfterRename => {
                self.below.rename(from, to)?;
                self.below.open(to)?.sync()
            }
            _ => self.below.rename(from, to),
        }
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        if self.wrong == Wrong::StateBeforeData {
            self.below.open(from)?.sync()?;
        }
        self.below.rename_new(from, to)?;
        if self.wrong == Wrong::FileSyncedAfterRename { self.below.open(to)?.sync() } else { Ok(()) }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.below.remove(path)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.below.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.below.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        match self.wrong {
            Wrong::FolderNeverSynced => Ok(()),
            Wrong::RootNeverSynced if path.is_empty() => Ok(()),
            _ => self.below.sync_dir(path),
        }
    }

    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        self.below.entries(path)
    }

    fn space(&self) -> io::Result<Option<Space>> {
        self.below.space()
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        self.below.stat(path)
    }
}

/// A file whose sync does nothing.
#[derive(Debug)]
struct UnsyncedFile(Arc<dyn DiskFile>);

impl DiskFile for UnsyncedFile {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_at(offset, len)
    }

    fn read_at_cached(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        self.0.read_at_cached(offset, len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// Seeds tried for each operation, at most: the rarest takes a record that reached the disk
/// whole beside a file that did not.
const SEEDS_PLANTED: u64 = 24;

/// Cuts scenarios on a wrong disk: each must break a promise, and say one of these things of it.
async fn is_caught(wrong: Wrong, scenarios: &[&str], expected: &[&str]) {
    if !all_are_wanted() {
        return;
    }
    for name in scenarios {
        let wrap = move |below| Arc::new(WrongDisk { below, wrong }) as Arc<dyn Disk>;
        match cut_everywhere(&scenario(name), &wrap, SEEDS_PLANTED).await {
            Ok(tried) => panic!("{wrong:?} was not caught by {name}: {tried:?}"),
            Err(failure) => {
                let what = failure.to_string();
                assert!(
                    expected.iter().any(|words| what.contains(words)),
                    "{wrong:?} was caught by {name} for another reason: {what}"
                );
            }
        }
    }
}

/// What is said of something that was answered and is not there.
const LOST: &str = "P2 is broken";
/// What is said of something that is there and is not whole.
const TORN: &str = "P3 is broken";
/// What is said of a store whose first record was torn.
const DEAD: &str = "does not start again";

#[tokio::test]
async fn planted_missing_file_sync_is_caught() {
    is_caught(Wrong::FileNeverSynced, &["push", "manifest", "tag move", "chunks"], &[TORN, DEAD]).await;
}

#[tokio::test]
async fn planted_missing_folder_sync_is_caught() {
    let scenarios = ["push", "mount", "manifest", "tag move", "tag delete", "manifest delete", "cache"];
    is_caught(Wrong::FolderNeverSynced, &scenarios, &[LOST]).await;
}

#[tokio::test]
async fn planted_missing_sync_of_the_first_existing_folder_is_caught() {
    is_caught(Wrong::RootNeverSynced, &["push", "manifest", "cache"], &[LOST]).await;
}

#[tokio::test]
async fn planted_sync_after_rename_is_caught() {
    is_caught(Wrong::FileSyncedAfterRename, &["push", "manifest", "tag move"], &[TORN, DEAD]).await;
}

#[tokio::test]
async fn planted_state_before_data_is_caught() {
    let published = ["does not have the bytes of its digest"];
    is_caught(Wrong::StateBeforeData, &["chunks of an earlier process"], &published).await;
}

#[tokio::test]
async fn planted_record_overwritten_in_place_is_caught() {
    is_caught(Wrong::RecordInPlace, &["tag move"], &[TORN]).await;
}

#[tokio::test]
async fn planted_record_removed_first_is_caught() {
    is_caught(Wrong::RecordRemovedFirst, &["tag move"], &[LOST, TORN]).await;
}
