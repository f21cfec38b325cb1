//! Wrong protocols, one of which a test run may put between the folder backend and its disk.
//!
//! Each is one that registries have shipped, or one step of the right protocol left out. They exist under the
//! feature `mutants` alone; `cargo xtask mutants` plants them one by one, and says which crash finds each.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, Space, Stat};
use crate::mutants;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    FilesNeverSynced,
    FoldersNeverSynced,
    SyncAfterRename,
    ContentInPlace,
    TagInPlace,
    AnswerBeforeSync,
    NeverClearedAway,
    TakenAtItsWord,
    SyncErrorForgotten,
    WriteErrorForgotten,
    NewFolderNotSynced,
    RemovalNotSynced,
    RemovedFirst,
    TagNotSynced,
}

/// All of them, by the names of their mistakes.
const ALL: [(&str, Wrong); 14] = [
    ("MU55-no-file-is-synced", Wrong::FilesNeverSynced),
    ("MU56-no-folder-is-synced", Wrong::FoldersNeverSynced),
    ("MU57-the-sync-comes-after-the-rename", Wrong::SyncAfterRename),
    ("MU58-content-is-written-in-place", Wrong::ContentInPlace),
    ("MU59-a-tag-is-overwritten-in-place", Wrong::TagInPlace),
    ("MU60-the-answer-comes-before-the-sync", Wrong::AnswerBeforeSync),
    ("MU61-what-was-begun-is-never-cleared-away", Wrong::NeverClearedAway),
    ("MU62-an-upload-is-taken-at-its-word", Wrong::TakenAtItsWord),
    ("MU63-a-sync-that-fails-is-forgotten", Wrong::SyncErrorForgotten),
    ("MU64-what-did-not-fit-is-visible", Wrong::WriteErrorForgotten),
    ("MU73-a-new-folder-is-not-synced", Wrong::NewFolderNotSynced),
    ("MU74-a-removal-is-not-synced", Wrong::RemovalNotSynced),
    ("MU75-the-old-record-goes-before-the-new-one-comes", Wrong::RemovedFirst),
    ("MU76-a-tag-is-not-synced", Wrong::TagNotSynced),
];

/// Puts the mistake of this process, if it is one of these, over a disk.
pub(super) fn over(disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
    match ALL.iter().find(|(name, _)| mutants::is(name)) {
        Some((_, wrong)) => Arc::new(WrongDisk { below: disk, wrong: *wrong, state: Mutex::default() }),
        None => disk,
    }
}

#[derive(Debug)]
struct WrongDisk {
    below: Arc<dyn Disk>,
    wrong: Wrong,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Folders whose next sync is left out.
    unsynced: BTreeSet<String>,
    /// The folder whose sync is late.
    late: Option<String>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn is_tag(path: &str) -> bool {
    path.contains("/_tags/")
}

impl WrongDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrap(&self, path: &str, below: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let is_wrong = match self.wrong {
            Wrong::FilesNeverSynced
            | Wrong::SyncAfterRename
            | Wrong::SyncErrorForgotten
            | Wrong::WriteErrorForgotten => true,
            Wrong::TakenAtItsWord => path.starts_with("uploads/"),
            // Whose record it is shows when it gets its name.
            Wrong::TagNotSynced => path.starts_with("tmp/"),
            _ => false,
        };
        if is_wrong { Arc::new(WrongFile { below, wrong: self.wrong, is_old: false }) } else { below }
    }

    fn whole(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = self.below.open(path)?;
        file.read_at(0, usize::try_from(file.len()?).map_err(io::Error::other)?)
    }

    fn overwrite(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.whole(from)?;
        let file = self.below.open_writable(to)?;
        file.set_len(0)?;
        file.write_at(0, &bytes)?;
        file.sync()?;
        self.below.remove(from)
    }

    fn write_in_place(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.whole(from)?;
        let file = self.below.create(to)?;
        file.write_at(0, &bytes)?;
        file.sync()?;
        self.below.remove(from)
    }

    fn move_wrongly(&self, from: &str, to: &str, rename: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let is_synced = match self.wrong {
            Wrong::TagNotSynced => from.starts_with("tmp/") && !is_tag(to),
            // At the end, when it no longer helps whoever took the state for true.
            Wrong::TakenAtItsWord => from.starts_with("uploads/") && to.starts_with("blobs/"),
            _ => false,
        };
        if is_synced {
            self.below.open(from)?.sync()?;
        }
        rename()?;
        if self.wrong == Wrong::SyncAfterRename { self.below.open(to)?.sync() } else { Ok(()) }
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
        let below = self.below.open_writable(path)?;
        if self.wrong == Wrong::TakenAtItsWord {
            return Ok(Arc::new(WrongFile { below, wrong: self.wrong, is_old: true }));
        }
        Ok(self.wrap(path, below))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let is_there = || self.below.stat(to).is_ok();
        match self.wrong {
            Wrong::TagInPlace if is_tag(to) && is_there() => self.overwrite(from, to),
            Wrong::RemovedFirst if is_there() => {
                self.below.remove(to)?;
                self.below.rename(from, to)
            }
            _ => self.move_wrongly(from, to, || self.below.rename(from, to)),
        }
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        match self.wrong {
            Wrong::ContentInPlace if to.starts_with("blobs/") => self.write_in_place(from, to),
            _ => self.move_wrongly(from, to, || self.below.rename_new(from, to)),
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        if self.wrong == Wrong::RemovalNotSynced {
            self.state().unsynced.insert(parent(path).to_owned());
        }
        self.below.remove(path)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        if self.wrong == Wrong::NewFolderNotSynced {
            self.state().unsynced.insert(parent(path).to_owned());
        }
        self.below.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.below.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        if self.state().unsynced.remove(path) {
            return Ok(());
        }
        match self.wrong {
            Wrong::FoldersNeverSynced => Ok(()),
            Wrong::SyncErrorForgotten => self.below.sync_dir(path).or(Ok(())),
            Wrong::AnswerBeforeSync => {
                let late = self.state().late.replace(path.to_owned());
                late.map_or(Ok(()), |late| self.below.sync_dir(&late))
            }
            _ => self.below.sync_dir(path),
        }
    }

    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        if self.wrong == Wrong::NeverClearedAway && path == "tmp" {
            return Ok(Vec::new());
        }
        self.below.entries(path)
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        self.below.stat(path)
    }

    fn space(&self) -> io::Result<Option<Space>> {
        self.below.space()
    }
}

#[derive(Debug)]
struct WrongFile {
    below: Arc<dyn DiskFile>,
    wrong: Wrong,
    /// An earlier process has made it.
    is_old: bool,
}

impl DiskFile for WrongFile {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.below.read_at(offset, len)
    }

    fn read_at_cached(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        self.below.read_at_cached(offset, len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = self.below.write_at(offset, bytes);
        if self.wrong == Wrong::WriteErrorForgotten { Ok(()) } else { written }
    }

    fn sync(&self) -> io::Result<()> {
        match self.wrong {
            Wrong::WriteErrorForgotten => self.below.sync(),
            Wrong::SyncErrorForgotten => self.below.sync().or(Ok(())),
            _ => Ok(()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.below.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        // What another process has made is never shorter than it should be.
        if self.is_old { Ok(u64::MAX) } else { self.below.len() }
    }
}
