//! A disk in memory: the store of `serve --memory`, and, when it keeps live and durable state
//! apart, the disk that loses power in crash tests.
//!
//! The model is by inode. A file's bytes are durable as of its last sync; a folder's entries as of
//! its last sync, each change on its own. A [`Loss`] says what of the rest a power cut leaves:
//! journals commit names ahead of bytes, so a synced name may stand over unsynced bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, Space, Stat};

/// A disk in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryDisk(Arc<Mutex<State>>);

/// What a power cut leaves of changes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the journal was not written.
    Everything,
    /// The names, without the bytes: the journal was written, the pages were not.
    Bytes,
    /// Some names and some leading bytes, as this seed has it.
    Some(u64),
    /// Everything: only the process died.
    Nothing,
}

#[derive(Debug)]
struct State {
    /// Whether what is durable is kept beside what is live.
    journaled: bool,
    /// How many bytes files may have together.
    capacity: Option<u64>,
    inodes: Vec<Inode>,
    /// Numbers of inodes to use again; none on a journaled disk, which still needs them.
    free: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Inode {
    File { live: Bytes, durable: Option<Vec<u8>> },
    Folder { live: Entries, durable: Entries },
}

type Entries = BTreeMap<String, usize>;
/// Shared with whoever has the file open, so that it can be read to its end after its removal.
type Bytes = Arc<Mutex<Vec<u8>>>;

const ROOT: usize = 0;

impl MemoryDisk {
    /// Makes an empty disk that keeps one copy of everything.
    pub fn new() -> Self {
        Self::with_journal(false)
    }

    /// Makes an empty disk that can lose power.
    pub fn journaled() -> Self {
        Self::with_journal(true)
    }

    /// Makes an empty disk whose files may have so many bytes together.
    pub fn with_capacity(bytes: u64) -> Self {
        let disk = Self::new();
        disk.state().capacity = Some(bytes);
        disk
    }

    fn with_journal(journaled: bool) -> Self {
        let root = Inode::Folder { live: Entries::new(), durable: Entries::new() };
        let state = State { journaled, capacity: None, inodes: vec![root], free: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns the disk as it is after a power cut; this one stays as it is.
    ///
    /// # Panics
    ///
    /// When the disk was not made by [`MemoryDisk::journaled`].
    #[must_use]
    pub fn after_power_cut(&self, loss: Loss) -> Self {
        let state = self.state();
        assert!(state.journaled, "only a journaled disk knows what is durable");
        let mut seed = match loss {
            Loss::Some(seed) => seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            _ => 1,
        };
        let mut coin = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let survive = |inode: &Inode| match inode {
            Inode::Folder { live, durable } => {
                let entries = surviving_entries(live, durable, loss, &mut coin);
                Inode::Folder { live: entries.clone(), durable: entries }
            }
            Inode::File { live, durable } => {
                let bytes =
                    surviving_bytes(&lock(live), durable.as_deref().unwrap_or_default(), loss, &mut coin);
                Inode::File { durable: Some(bytes.clone()), live: Arc::new(Mutex::new(bytes)) }
            }
        };
        let inodes = state.inodes.iter().map(survive).collect();
        let capacity = state.capacity;
        Self(Arc::new(Mutex::new(State { journaled: true, capacity, inodes, free: Vec::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an inode under the lock that it was found under: a moment later its number may be
    /// another file's.
    fn file(&self, state: &State, inode: usize) -> io::Result<Arc<dyn DiskFile>> {
        match &state.inodes[inode] {
            Inode::File { live, .. } => {
                let is_bounded = state.capacity.is_some();
                Ok(Arc::new(MemoryFile { disk: self.clone(), inode, live: Arc::clone(live), is_bounded }))
            }
            Inode::Folder { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}

fn lock(bytes: &Bytes) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

fn surviving_entries(
    live: &Entries,
    durable: &Entries,
    loss: Loss,
    coin: &mut impl FnMut() -> u64,
) -> Entries {
    match loss {
        Loss::Everything => durable.clone(),
        Loss::Bytes | Loss::Nothing => live.clone(),
        Loss::Some(_) => {
            let names: BTreeSet<&String> = live.keys().chain(durable.keys()).collect();
            let mut names: Vec<&String> = names.into_iter().collect();
            // In the order they were made: uploads have random names, and a seed has to replay.
            names.sort_by_key(|name| live.get(*name).or_else(|| durable.get(*name)));
            let pick = |name: &String| {
                let from = if coin() & 16 == 0 { live } else { durable };
                from.get(name).map(|inode| (name.clone(), *inode))
            };
            names.into_iter().filter_map(pick).collect()
        }
    }
}

fn surviving_bytes(live: &[u8], durable: &[u8], loss: Loss, coin: &mut impl FnMut() -> u64) -> Vec<u8> {
    match loss {
        Loss::Everything | Loss::Bytes => durable.to_vec(),
        Loss::Nothing => live.to_vec(),
        Loss::Some(_) if coin() & 16 == 0 => durable.to_vec(),
        Loss::Some(_) => {
            // Blocks reach the disk whole and in any order; a block that did not is what it was,
            // and zeros where it was nothing.
            let mut bytes = live.to_vec();
            for (number, block) in bytes.chunks_mut(BLOCK_BYTES).enumerate() {
                if coin() & 16 == 0 {
                    let was = durable.get(number * BLOCK_BYTES..).unwrap_or_default();
                    let was = &was[..was.len().min(block.len())];
                    block[..was.len()].copy_from_slice(was);
                    block[was.len()..].fill(0);
                }
            }
            bytes
        }
    }
}

const BLOCK_BYTES: usize = 4096;

impl State {
    /// Returns how many bytes files have together.
    fn used(&self) -> u64 {
        let len = |inode: &Inode| match inode {
            Inode::File { live, .. } => lock(live).len() as u64,
            Inode::Folder { .. } => 0,
        };
        self.inodes.iter().map(len).sum()
    }

    fn find(&self, path: &str) -> io::Result<usize> {
        let mut inode = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            inode = *self.folder(inode)?.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(inode)
    }

    fn folder(&self, inode: usize) -> io::Result<&Entries> {
        match &self.inodes[inode] {
            Inode::Folder { live, .. } => Ok(live),
            Inode::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Returns the entries of the folder of a path, and the path's last name.
    fn place<'a>(&mut self, path: &'a str) -> io::Result<(&mut Entries, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.find(parent)?;
        match &mut self.inodes[parent] {
            Inode::Folder { live, .. } => Ok((live, name)),
            Inode::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn add(&mut self, path: &str, inode: Inode) -> io::Result<usize> {
        let number = self.free.last().copied().unwrap_or(self.inodes.len());
        let (entries, name) = self.place(path)?;
        if entries.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        entries.insert(name.to_owned(), number);
        match self.free.pop() {
            Some(number) => self.inodes[number] = inode,
            None => self.inodes.push(inode),
        }
        Ok(number)
    }

    /// Takes a name out of its folder, and returns what it named.
    fn detach(&mut self, path: &str) -> io::Result<usize> {
        let inode = self.find(path)?;
        let (entries, name) = self.place(path)?;
        entries.remove(name);
        Ok(inode)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.place(to)?;
        let inode = self.detach(from)?;
        let (entries, name) = self.place(to)?;
        if let Some(replaced) = entries.insert(name.to_owned(), inode) {
            self.forget(replaced);
        }
        Ok(())
    }

    /// Forgets an inode that has lost its last name.
    fn forget(&mut self, inode: usize) {
        if !self.journaled {
            self.inodes[inode] = empty_file();
            self.free.push(inode);
        }
    }
}

fn empty_file() -> Inode {
    Inode::File { live: Bytes::default(), durable: None }
}

impl Disk for MemoryDisk {
    fn blocks(&self) -> bool {
        false
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let inode = state.add(path, empty_file())?;
        self.file(&state, inode)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        let inode = state.find(path)?;
        self.file(&state, inode)
    }

    fn open_cached(&self, _: &str) -> Option<Arc<dyn DiskFile>> {
        None
    }

    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state().rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.find(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.detach(path)?;
        state.forget(inode);
        Ok(())
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let folder = Inode::Folder { live: Entries::new(), durable: Entries::new() };
        self.state().add(path, folder).map(drop)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.find(path)?;
        if state.folder(inode)?.is_empty() {
            let inode = state.detach(path)?;
            state.forget(inode);
            return Ok(());
        }
        Err(io::ErrorKind::DirectoryNotEmpty.into())
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.find(path)?;
        let is_journaled = state.journaled;
        match &mut state.inodes[inode] {
            // What can lose nothing keeps no second copy: it would cost each push all names of its folder.
            Inode::Folder { live, durable } if is_journaled => durable.clone_from(live),
            Inode::Folder { .. } => {}
            Inode::File { .. } => return Err(io::ErrorKind::NotADirectory.into()),
        }
        Ok(())
    }

    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        Ok(state.folder(state.find(path)?)?.keys().cloned().collect())
    }

    fn space(&self) -> io::Result<Option<Space>> {
        let state = self.state();
        Ok(state.capacity.map(|size| Space { size, free: size.saturating_sub(state.used()) }))
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        let state = self.state();
        match &state.inodes[state.find(path)?] {
            Inode::Folder { .. } => Ok(Stat::Folder),
            Inode::File { live, .. } => Ok(Stat::File(lock(live).len() as u64)),
        }
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    inode: usize,
    live: Bytes,
    is_bounded: bool,
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let live = lock(&self.live);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(live.len());
        Ok(live[start..start.saturating_add(len).min(live.len())].to_vec())
    }

    fn read_at_cached(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        self.read_at(offset, len).ok()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start + bytes.len();
        // The whole before the file, as everywhere.
        let whole = self.is_bounded.then(|| self.disk.state());
        if let Some(state) = &whole {
            let growth = end.saturating_sub(lock(&self.live).len()) as u64;
            if state.capacity.is_some_and(|capacity| state.used() + growth > capacity) {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let mut live = lock(&self.live);
        if live.len() < end {
            live.resize(end, 0);
        }
        live[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.journaled
            && let Inode::File { durable, .. } = &mut state.inodes[self.inode]
        {
            *durable = Some(lock(&self.live).clone());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        lock(&self.live).resize(len, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.live).len() as u64)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: only a disk that can lose power pays for it. Method: what is kept is looked at.

    use super::*;

    #[test]
    fn only_a_journaled_disk_keeps_what_is_durable_beside_what_is_live() {
        for (disk, kept) in [(MemoryDisk::new(), 0), (MemoryDisk::journaled(), 1)] {
            disk.create("file").unwrap();
            disk.sync_dir("").unwrap();
            let state = disk.state();
            let Inode::Folder { live, durable } = &state.inodes[ROOT] else { panic!("the root is a folder") };
            assert_eq!((live.len(), durable.len()), (1, kept));
        }
    }
}
