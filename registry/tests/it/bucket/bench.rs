//! A registry over a bucket whose fates a test decides.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::backend::object::memory::{Fate, MemoryBucket, Request, Weather};
use wharfinger::store::options::{Options, Writers};

use crate::support::{Client, Registry};

/// Decides the fate of a request.
pub(super) type Fates = Box<dyn FnMut(&Request<'_>) -> Fate + Send>;

/// Fates that a test changes while the registry runs.
#[derive(Clone, Default)]
pub(super) struct Sky(Arc<Mutex<Option<Fates>>>);

impl std::fmt::Debug for Sky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sky")
    }
}

impl Weather for Sky {
    fn fate(&self, request: Request<'_>) -> BoxFuture<'static, Fate> {
        let fate = self.0.lock().unwrap().as_mut().map_or(Fate::Answered, |fates| fates(&request));
        std::future::ready(fate).boxed()
    }
}

impl Sky {
    /// Lets every request meet this.
    pub(super) fn all(&self, fate: Fate) {
        self.set(move |_| fate);
    }

    /// Lets the next request of an operation meet this, and all others be answered.
    pub(super) fn next(&self, operation: &'static str, fate: Fate) {
        let mut left = Some(fate);
        self.set(move |request| {
            if request.operation == operation {
                left.take().unwrap_or(Fate::Answered)
            } else {
                Fate::Answered
            }
        });
    }

    /// Lets a function decide.
    pub(super) fn set(&self, fates: impl FnMut(&Request<'_>) -> Fate + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(fates));
    }

    /// Lets every request be answered.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap() = None;
    }
}

/// A bucket, and the disk beside it.
#[derive(Debug, Clone)]
pub(super) struct Bench {
    pub(super) sky: Sky,
    pub(super) bucket: MemoryBucket,
    pub(super) spool: MemoryDisk,
    pub(super) writers: Writers,
}

impl Bench {
    /// Makes an empty one, which several processes may share, as is a bucket's default.
    pub(super) fn new() -> Self {
        let sky = Sky::default();
        let bucket = MemoryBucket::with_weather(Box::new(sky.clone()));
        Self { sky, bucket, spool: MemoryDisk::new(), writers: Writers::Several }
    }

    /// Returns what a registry over it is made of.
    pub(super) fn registry(&self) -> Registry {
        let disk: Arc<dyn Disk> = Arc::new(self.spool.clone());
        let store = Options { writers: self.writers, ..Options::default() };
        Registry { disk, bucket: Some(Arc::new(self.bucket.clone())), store, ..Registry::default() }
    }

    /// Opens a registry over it.
    pub(super) async fn open(&self) -> Client {
        self.registry().open().await
    }
}

/// Makes bytes that no two numbers share.
pub(super) fn content(len: usize, seed: u64) -> Vec<u8> {
    sim::rng::Rng::labelled(seed, "bucket").bytes(len)
}
