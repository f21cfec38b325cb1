//! A disk on which two threads take turns, in an order that a schedule decides.
//!
//! A thread may lose its turn before it makes a file, changes or syncs a folder, and after it has
//! looked at one. It keeps it while it fills a file that only it knows, which the other could not
//! tell from before; and within `rename` and `remove`, which the backend calls with a lock held: a
//! thread that stood still there would stop the other one for good. So at any moment one thread
//! runs, and a schedule replays.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use wharfinger::backend::disk::{Disk, DiskFile, Space, Stat};
use wharfinger::backend::memory::MemoryDisk;

/// The disk. Clones share it.
#[derive(Clone)]
pub(super) struct Turns(Arc<Shared>);

struct Shared {
    below: MemoryDisk,
    state: Mutex<State>,
    turn: Condvar,
    before_sync: Box<dyn Fn(u64) + Send + Sync>,
}

struct State {
    running: usize,
    alive: [bool; 2],
    random: u64,
    schedule: Schedule,
    stood: bool,
    trace: Vec<String>,
}

/// When the turn goes to the other thread.
#[derive(Debug, Clone, Copy)]
pub(super) enum Schedule {
    /// After so many points on average, as a seed decides: what two do to each other step by step.
    Turns { seed: u64, points: u64 },
    /// Once, from the first thread at one point, until the other is done or waits for it: what one
    /// does while the other stands in the middle.
    Stand { first: usize, after: u64 },
}

/// How long a thread stands still, in points of the other: more than it has unless it waits.
const STAND_POINTS: u64 = 600;

thread_local! {
    /// Which writer this thread is; none may use the disk without a turn.
    static WRITER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A thread's part in the turns; given back when it is dropped, also by a panic.
pub(super) struct Writer(Turns);

impl Turns {
    /// Lets two threads take turns on a disk; `before_sync` is called before every sync of a folder,
    /// once they have begun to meet.
    pub(super) fn new(
        below: MemoryDisk,
        schedule: Schedule,
        before_sync: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        let (running, random) = match schedule {
            Schedule::Turns { seed, .. } => (usize::from(seed % 2 == 1), seed + 1),
            Schedule::Stand { first, .. } => (first, 1),
        };
        let random = random.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let state = State { running, alive: [true; 2], random, schedule, stood: false, trace: Vec::new() };
        let before_sync = Box::new(before_sync);
        Self(Arc::new(Shared { below, state: Mutex::new(state), turn: Condvar::new(), before_sync }))
    }

    /// Says whether the two have begun to meet: before that, one has worked alone.
    pub(super) fn interfere(&self) -> bool {
        let state = self.state();
        state.stood || matches!(state.schedule, Schedule::Turns { .. })
    }

    /// Makes the calling thread one of the two, and waits for its first turn.
    pub(super) fn enter(&self, writer: usize) -> Writer {
        WRITER.set(Some(writer));
        drop(self.wait(self.state(), writer));
        Writer(self.clone())
    }

    /// Lets the seed say who goes on.
    pub(super) fn give_turn(&self) {
        let Some(writer) = WRITER.get() else { return };
        let mut state = self.state();
        state.choose();
        self.0.turn.notify_all();
        drop(self.wait(state, writer));
    }

    /// Returns the changes in order, each with its writer.
    pub(super) fn trace(&self) -> Vec<String> {
        self.state().trace.clone()
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, writer: usize) -> MutexGuard<'a, State> {
        let waits = |state: &mut State| state.running != writer;
        self.0.turn.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a change into the trace, and returns its number.
    fn note(&self, operation: &str, path: &str) -> u64 {
        let Some(writer) = WRITER.get() else { return 0 };
        let mut state = self.state();
        let number = state.trace.len() as u64;
        state.trace.push(format!("{number}: writer {writer}: {operation} {path}"));
        number
    }

    fn wrap(&self, path: &str, below: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(TurnsFile { below, path: path.to_owned(), turns: self.clone() })
    }
}

impl State {
    fn choose(&mut self) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let other = 1 - self.running;
        let gives_up = match &mut self.schedule {
            Schedule::Turns { points, .. } => (self.random >> 20).is_multiple_of(*points),
            Schedule::Stand { after: 0, .. } if self.alive[other] => {
                self.schedule = Schedule::Stand { first: other, after: STAND_POINTS };
                self.stood = true;
                true
            }
            Schedule::Stand { after, .. } => {
                *after = after.saturating_sub(1);
                false
            }
        };
        if !self.alive[self.running] || (self.alive[other] && gives_up) {
            self.running = other;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let writer = WRITER.take().expect("the thread entered");
        let mut state = self.0.state();
        state.alive[writer] = false;
        state.running = 1 - writer;
        drop(state);
        self.0.0.turn.notify_all();
    }
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turns")
    }
}

impl Disk for Turns {
    fn blocks(&self) -> bool {
        false
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.give_turn();
        self.note("create", path);
        let created = self.0.below.create(path)?;
        Ok(self.wrap(path, created))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.0.below.open(path)?))
    }

    fn open_cached(&self, path: &str) -> Option<Arc<dyn DiskFile>> {
        self.0.below.open_cached(path)
    }

    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.0.below.open_writable(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.note("rename", to);
        self.0.below.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.note("rename_new", to);
        self.0.below.rename_new(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.note("remove", path);
        self.0.below.remove(path)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.give_turn();
        self.note("create_dir", path);
        self.0.below.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.give_turn();
        self.note("remove_dir", path);
        self.0.below.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.give_turn();
        let number = self.note("sync_dir", path);
        if WRITER.get().is_some() && self.interfere() {
            (self.0.before_sync)(number);
        }
        self.0.below.sync_dir(path)
    }

    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = self.0.below.entries(path);
        self.give_turn();
        entries
    }

    fn space(&self) -> io::Result<Option<Space>> {
        self.0.below.space()
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        let stat = self.0.below.stat(path);
        self.give_turn();
        stat
    }
}

#[derive(Debug)]
struct TurnsFile {
    below: Arc<dyn DiskFile>,
    path: String,
    turns: Turns,
}

impl DiskFile for TurnsFile {
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.below.read_at(offset, len)
    }

    fn read_at_cached(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        self.below.read_at_cached(offset, len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.turns.note("write", &self.path);
        self.below.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.turns.note("sync", &self.path);
        self.below.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.turns.note("set_len", &self.path);
        self.below.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }
}
