//! A process: a registry over a disk, which may end as it should, or be killed, perhaps with its machine.

use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sim::trial::{Happening, Loss, Plan, World};
use tokio::sync::watch;
use tokio::time::Instant;
use wharfinger::auth::{self, Access};
use wharfinger::backend::disk::{Disk, Stat};
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::{self, MemoryDisk};
use wharfinger::clock::Clock;
use wharfinger::http::App;
use wharfinger::repository::{self, Repositories};
use wharfinger::store::{self, Store};
use wharfinger::upstream::options::{CacheBound, Options};
use wharfinger::upstream::{Routes, Upstream};

use crate::transport::{Model, address};

/// How long a process that ends waits for what is under way.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A process.
pub(crate) struct Process {
    pub(crate) app: App,
    pub(crate) repositories: Repositories,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) disk: MemoryDisk,
    alive: watch::Sender<bool>,
}

/// Returns the disk of a plan before anything is on it.
pub(crate) fn disk(plan: &Plan) -> MemoryDisk {
    match plan.settings.disk_bytes {
        Some(bytes) => MemoryDisk::with_capacity(bytes),
        None if plan.has_restarts() => MemoryDisk::journaled(),
        None => MemoryDisk::new(),
    }
}

impl Process {
    /// Starts one.
    pub(crate) async fn start(
        plan: &Plan,
        world: &Arc<Mutex<World>>,
        begun: Instant,
        clock: &Clock,
        disk: MemoryDisk,
    ) -> Self {
        let backend = FsBackend::open(Arc::new(disk.clone()), Durability::Synced).await.unwrap();
        let store =
            Store::open(Arc::new(backend), store::options::Options::default(), clock.clone()).await.unwrap();
        let (alive, living) = watch::channel(true);
        let model = Arc::new(Model { world: Arc::clone(world), begun, alive: living });
        let options = options(plan);
        let upstream = Arc::new(Upstream::new(options.clone(), model, clock.clone()));
        let mut routes = Routes::default();
        routes.add(Arc::clone(&upstream), &options).unwrap();
        let repositories =
            Repositories::new(store, routes, repository::options::Options::default(), clock.clone());
        let access = Access::new(&auth::options::Options::default()).unwrap();
        let app = App::new(repositories.clone(), access, wharfinger::http::options::Options::default());
        Self { app, repositories, upstream, disk, alive }
    }

    /// Ends it, and returns the disk that it leaves.
    pub(crate) async fn end(&self, how: Happening) -> MemoryDisk {
        let loss = match how {
            Happening::Kill(Loss::Some(number)) => memory::Loss::Some(number),
            Happening::Kill(Loss::Bytes) => memory::Loss::Bytes,
            Happening::Kill(Loss::Everything) => memory::Loss::Everything,
            Happening::Kill(Loss::Nothing) => memory::Loss::Nothing,
            _ => {
                self.repositories.close(CLOSE_PATIENCE).await;
                memory::Loss::Nothing
            }
        };
        self.alive.send_replace(false);
        // A copy: what tasks of a process that is no more may still write is not on it.
        self.disk.after_power_cut(loss)
    }

    /// Waits until it ends.
    pub(crate) async fn ended(&self) {
        let _ = self.alive.subscribe().wait_for(|alive| !alive).await;
    }
}

fn options(plan: &Plan) -> Options {
    let ms = Duration::from_millis;
    let it = &plan.settings;
    Options {
        name: "model".to_owned(),
        urls: (0..it.urls).map(address).collect(),
        on_demand: true,
        retries_max: it.retries,
        retry_delay: ms(it.retry_delay_ms),
        retry_delay_max: ms(it.retry_delay_ms),
        on_demand_timeout: ms(it.on_demand_ms),
        response_timeout: ms(it.response_ms),
        check_timeout: ms(it.check_ms),
        manifest_check_interval: ms(it.interval_ms),
        negative_ttl: ms(it.negative_ms),
        breaker_failures: it.breaker,
        rate_max: NonZero::new(0),
        range_wait: it.range_wait,
        range_fetch_max: it.range_max,
        cache: CacheBound { bytes_max: it.cache_bytes, age_max: None },
        ..Options::default()
    }
}

/// Says what is wrong with a disk on which nothing is under way: content that is not what its name says, and
/// fetched bytes that nothing will ever go on with.
pub(crate) fn audit(disk: &MemoryDisk, world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut folders = vec!["blobs".to_owned()];
    while let Some(folder) = folders.pop() {
        for name in disk.entries(&folder).unwrap_or_default() {
            let path = format!("{folder}/{name}");
            let Stat::File(len) = disk.stat(&path).unwrap() else {
                folders.push(path);
                continue;
            };
            let bytes = disk.open(&path).unwrap().read_at(0, usize::try_from(len).unwrap()).unwrap();
            let expected = world.content_of(&format!("sha256:{name}"));
            if expected != Some(bytes.as_slice()) {
                wrong.push(format!("{path} has {len} bytes that are not its content"));
            }
        }
    }
    let count = |folder: &str| disk.entries(folder).map_or(0, |names| names.len());
    let (fills, parked) = (count("fills"), count("parked"));
    if fills != parked {
        wrong.push(format!("{fills} files are fetched in part, of which {parked} are known"));
    }
    wrong
}
