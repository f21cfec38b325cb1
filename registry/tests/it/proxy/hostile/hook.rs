//! A disk in memory that asks before each call that changes something: the answer may block, or be an error.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sim::origin::{Origin, Running};
use wharfinger::backend::disk::{Disk, DiskFile, Space, Stat};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::repository::Repositories;
use wharfinger::upstream::Upstream;
use wharfinger::upstream::options::CacheBound;
use wharfinger::upstream::reqwest_transport::ReqwestTransport;

use super::bench::{NAME, routes, serve, upstream};
use crate::support::{Client, Registry};

type Ask = dyn Fn(&str, &str) -> io::Result<()> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Hooked {
    pub(crate) disk: MemoryDisk,
    ask: Arc<Ask>,
}

impl Hooked {
    pub(crate) fn new(ask: impl Fn(&str, &str) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { disk: MemoryDisk::new(), ask: Arc::new(ask) }
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl Disk for Hooked {
    fn blocks(&self) -> bool {
        true
    }
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        (self.ask)("create", path)?;
        self.disk.create(path)
    }
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        (self.ask)("open", path)?;
        let opened = self.disk.open(path);
        (self.ask)("opened", path)?;
        opened
    }
    fn open_cached(&self, _path: &str) -> Option<Arc<dyn DiskFile>> {
        None
    }
    fn open_writable(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_writable(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.ask)("rename", to)?;
        self.disk.rename(from, to)
    }
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        (self.ask)("rename", to)?;
        self.disk.rename_new(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        (self.ask)("remove", path)?;
        self.disk.remove(path)
    }
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn entries(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.entries(path)
    }
    fn stat(&self, path: &str) -> io::Result<Stat> {
        self.disk.stat(path)
    }
    fn space(&self) -> io::Result<Option<Space>> {
        self.disk.space()
    }
}

/// A gate that blocks threads once it is armed, until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar, AtomicBool, AtomicUsize)>);

impl Gate {
    pub(crate) fn arm(&self) {
        self.0.2.store(true, Ordering::SeqCst);
    }
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
    pub(crate) fn waiting(&self) -> usize {
        self.0.3.load(Ordering::SeqCst)
    }
    pub(crate) fn pass(&self) {
        if !self.0.2.load(Ordering::SeqCst) {
            return;
        }
        self.0.3.fetch_add(1, Ordering::SeqCst);
        let open = self.0.0.lock().unwrap();
        let late = self.0.1.wait_timeout_while(open, Duration::from_secs(30), |open| !*open).unwrap();
        assert!(!late.1.timed_out(), "the gate was never opened");
    }
}

/// Returns a disk whose calls of one kind below a path stop at a gate.
pub(crate) fn gated(call: &'static str, below: &str) -> (Hooked, Gate) {
    let (gate, below) = (Gate::default(), below.to_owned());
    let hooked = Hooked::new({
        let gate = gate.clone();
        move |called, path| {
            if called == call && path.starts_with(&below) {
                gate.pass();
            }
            Ok(())
        }
    });
    (hooked, gate)
}

/// A registry in front of an origin of whose content it keeps no more than a bound.
pub(crate) struct Bounded {
    pub(crate) origin: Running,
    pub(crate) client: Client,
    pub(crate) repositories: Repositories,
    pub(crate) hub: Arc<Upstream>,
}

impl Bounded {
    pub(crate) async fn on(disk: &(impl Disk + Clone), cache: CacheBound, clock: &Clock) -> Self {
        let origin = serve(&Origin::new()).await;
        let mut options = upstream(NAME, &[&origin.url()]);
        options.cache = cache;
        let transport = Arc::new(ReqwestTransport::new(&options).unwrap());
        let hub = Arc::new(Upstream::new(options.clone(), transport, clock.clone()));
        let registry = Registry {
            disk: Arc::new(disk.clone()),
            routes: routes(vec![options], clock),
            clock: clock.clone(),
            ..Registry::default()
        };
        let (client, repositories) = registry.open_both().await;
        Self { origin, client, repositories, hub }
    }

    /// One byte is kept.
    pub(crate) async fn of_nothing(disk: &(impl Disk + Clone)) -> Self {
        Self::on(disk, CacheBound { bytes_max: Some(1), age_max: None }, &Clock::system()).await
    }
}

/// Returns how many bytes the files below a folder have.
pub(crate) fn bytes_below(disk: &dyn Disk, folder: &str) -> u64 {
    let names = disk.entries(folder).unwrap_or_default();
    let paths = names.into_iter().map(|name| format!("{folder}/{name}"));
    paths
        .map(|path| match disk.stat(&path).unwrap() {
            Stat::File(len) => len,
            Stat::Folder => bytes_below(disk, &path),
        })
        .sum()
}
