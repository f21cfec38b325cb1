//! Goal: no push fails, and no pushed manifest loses what it needs, whatever garbage collection does meanwhile;
//! and garbage goes in the end.
//!
//! Method: clients that push, mount, ask, tag and delete on two repositories, and a collection that runs again
//! and again beside them, in virtual time: each call of the backend takes a while that the seed decides. The
//! oracle: who was told of a blob within `gcDelay` can read it and push a manifest that needs it; a manifest
//! that was pushed and that nobody deleted is there with all of its blobs; once everything is deleted, nothing
//! is left.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::oci::{Digest, Reference};
use wharfinger::store::gc::Clients;
use wharfinger::store::manifests::{References, Tagging};
use wharfinger::store::options::{GcOptions, Options};
use wharfinger::store::uploads::{Chunk, UploadRef};
use wharfinger::store::{Error, RepositoryKey, Store};

use super::pace::Pace;
use super::{backend, keys, request};
use crate::store::audit::{self, Fact};
use crate::store::contents::{CONTENTS, Item, digest, hosted, tag};

/// How long garbage stays, in the middle of what an operation takes.
const DELAY: Duration = Duration::from_millis(60);
/// Seeds of an everyday run; `WHARFINGER_SEEDS` asks for more.
const SEEDS: u64 = 250;
const CLIENTS: u64 = 3;
const OPERATIONS: usize = 10;
/// The manifests that need blobs and no other manifests.
const IMAGES: [usize; 4] = [0, 1, 3, 4];

/// One manifest of a repository.
type Place = (usize, usize);

/// What is known of all operations.
#[derive(Debug, Default)]
struct Ledger {
    /// When a push of a manifest that was answered 201 began.
    pushed: HashMap<Place, Instant>,
    /// When a delete of a manifest last was begun, and ended.
    deletes: HashMap<Place, (u64, Option<Instant>)>,
    done: u32,
    told: u32,
}

struct World {
    store: Store,
    pace: Pace,
    repositories: [RepositoryKey; 2],
    /// `gcDelay`; none where the claims alone must do.
    delay: Duration,
    ledger: RefCell<Ledger>,
}

/// A client, and when it was told of blobs.
struct Client {
    world: Rc<World>,
    told: HashMap<(usize, Digest), Instant>,
}

impl World {
    fn roll(&self, below: usize) -> usize {
        usize::try_from(self.pace.roll(below as u64)).unwrap()
    }
}

impl Client {
    async fn live(mut self) {
        for _ in 0..OPERATIONS {
            let pause = self.world.pace.roll(30);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            self.world.pace.tick();
            let (at, blob) = (self.world.roll(2), self.world.roll(CONTENTS.blobs.len()));
            match self.world.roll(10) {
                0 | 1 => self.push(at, blob).await,
                2 | 3 => self.ask(at, blob).await,
                4 => self.mount(at, blob).await,
                5..=7 => self.push_image(at, IMAGES[self.world.roll(IMAGES.len())]).await,
                8 => self.put_index(at).await,
                _ => self.delete(at, IMAGES[self.world.roll(IMAGES.len())]).await,
            }
            self.world.ledger.borrow_mut().done += 1;
        }
    }

    async fn push(&mut self, at: usize, blob: usize) {
        let (store, repository) = (&self.world.store, &self.world.repositories[at]);
        let bytes = &CONTENTS.blobs[blob];
        let id = store.open_upload(repository, "alice", None).await.unwrap();
        let upload = UploadRef { repository: repository.clone(), id, owner: "alice".to_owned() };
        let chunk = Chunk { start: None, len: Some(bytes.len() as u64), blob_bytes_max: 1 << 20 };
        let body = stream::iter([Ok(bytes.clone())]).boxed();
        store.commit_upload(&upload, chunk, body, &digest(bytes)).await.unwrap();
        self.is_told(at, digest(bytes));
    }

    /// HEAD, and sometimes a GET of what it has told of.
    async fn ask(&mut self, at: usize, blob: usize) {
        let bytes = &CONTENTS.blobs[blob];
        let (world, what) = (Rc::clone(&self.world), digest(bytes));
        if !world.store.has_blob(&world.repositories[at], &what).await.unwrap() {
            return;
        }
        self.is_told(at, what);
        tokio::time::sleep(Duration::from_millis(world.pace.roll(40))).await;
        world.pace.tick();
        let is_due = self.may_rely_on(at, &what);
        let opened = world.store.open_blob(&world.repositories[at], &what).await.unwrap();
        match opened {
            Some(content) => {
                let chunks: Vec<bytes::Bytes> =
                    content.stream(0, content.size()).try_collect().await.unwrap();
                assert_eq!(chunks.concat(), *bytes, "what is read is the blob");
            }
            None => assert!(!is_due, "a blob that a client was told of is gone"),
        }
    }

    async fn mount(&mut self, to: usize, blob: usize) {
        let (store, what) = (&self.world.store, digest(&CONTENTS.blobs[blob]));
        let (from, to_key) = (&self.world.repositories[1 - to], &self.world.repositories[to]);
        if store.mount_blob(from, to_key, &what).await.unwrap() {
            self.is_told(to, what);
        }
    }

    /// As real clients: asks for each blob that it was not told of, pushes those that are not there, and then
    /// the manifest, perhaps after a while.
    async fn push_image(&mut self, at: usize, item: usize) {
        for needed in &CONTENTS.manifests[item].manifest.references {
            if self.may_rely_on(at, &needed.digest) {
                continue;
            }
            let blob = CONTENTS.blobs.iter().position(|bytes| digest(bytes) == needed.digest).unwrap();
            self.ask(at, blob).await;
            if !self.may_rely_on(at, &needed.digest) {
                self.push(at, blob).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(self.world.pace.roll(20))).await;
        self.world.pace.tick();
        self.put(at, item).await;
    }

    async fn put_index(&mut self, at: usize) {
        // Its children may be there or not: nothing is promised.
        self.put(at, 2).await;
    }

    async fn put(&mut self, at: usize, item: usize) {
        let image = &CONTENTS.manifests[item];
        let is_due = image.manifest.references.iter().all(|it| self.may_rely_on(at, &it.digest));
        let (began, world) = (Instant::now(), Rc::clone(&self.world));
        let tags = if world.roll(2) == 0 { vec![tag("v1")] } else { Vec::new() };
        let new = image.pushed(tags, Tagging::Move, References::Required);
        match world.store.put_manifest(&world.repositories[at], new).await {
            Ok(()) => {
                world.ledger.borrow_mut().pushed.insert((at, item), began);
                look_at(&world, at, item, image).await;
            }
            Err(Error::ReferencesMissing { digests }) => {
                assert!(!is_due, "{digests:?} of a manifest are missing, and the client was told of them");
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn delete(&mut self, at: usize, item: usize) {
        let world = &self.world;
        world.ledger.borrow_mut().deletes.entry((at, item)).or_default().0 += 1;
        let deleted =
            world.store.delete_manifest(&world.repositories[at], &CONTENTS.manifests[item].digest).await;
        world.ledger.borrow_mut().deletes.entry((at, item)).or_default().1 = Some(Instant::now());
        match deleted {
            Ok(()) | Err(Error::ManifestUnknown { .. } | Error::Referenced { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn is_told(&mut self, at: usize, what: Digest) {
        self.world.ledger.borrow_mut().told += 1;
        self.told.insert((at, what), Instant::now());
    }

    fn may_rely_on(&self, at: usize, what: &Digest) -> bool {
        self.told.get(&(at, *what)).is_some_and(|told| told.elapsed() < self.world.delay)
    }
}

/// A manifest that nobody deletes has all that it needs.
async fn look_at(world: &World, at: usize, item: usize, image: &Item) {
    let repository = &world.repositories[at];
    let deletes = || world.ledger.borrow().deletes.get(&(at, item)).map(|(begun, _)| *begun);
    let before = deletes();
    let reference = Reference::Digest(image.digest);
    for needed in image.manifest.references.iter().filter(|it| it.media_type.manifest_kind().is_none()) {
        let is_here = world.store.open_blob(repository, &needed.digest).await.unwrap().is_some();
        let is_pushed = world.store.manifest(repository, &reference).await.unwrap().is_some();
        let is_left_alone = deletes() == before;
        assert!(
            is_here || !is_pushed || !is_left_alone,
            "{} is gone from a manifest that was just pushed",
            needed.digest
        );
    }
}

/// Lets clients and the collection live beside each other; returns how many blobs clients were told of, and how
/// many links were removed under them.
async fn live(seed: u64) -> (u32, u64) {
    let disk = MemoryDisk::new();
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    let pace = Pace::new(backend(&disk).await, clock.clone(), seed + 1);
    let delay = if seed % 3 == 2 { Duration::ZERO } else { DELAY };
    let gc = GcOptions { delay, ..GcOptions::default() };
    let memory_cache_bytes_max = if seed.is_multiple_of(2) { 0 } else { 1 << 20 };
    let options = Options { gc, memory_cache_bytes_max, ..Options::default() };
    let store = Store::open(Arc::new(pace.clone()), options, clock).await.unwrap();
    let repositories = [hosted("team/app"), hosted("team/web")];
    let world = Rc::new(World { store, pace, repositories, delay, ledger: RefCell::default() });
    let clients = (0..CLIENTS).map(|_| Client { world: Rc::clone(&world), told: HashMap::new() }.live());
    let mut removed = 0;
    let collect = async {
        loop {
            tokio::time::sleep(Duration::from_millis(world.pace.roll(40))).await;
            world.pace.tick();
            let report = world.store.collect_garbage(&request(Clients::Served)).await.unwrap();
            assert_eq!(report.failures, 0, "{report}");
            removed += report.of(wharfinger::store::gc::Kind::Link).objects;
        }
    };
    tokio::select! {
        () = async { futures_util::future::join_all(clients).await; } => {}
        () = collect => {}
    }
    at_rest(&world).await;
    in_the_end(&world, &disk).await;
    (world.ledger.borrow().told, removed)
}

/// Everything that was pushed and not deleted is there, whole.
async fn at_rest(world: &World) {
    let found = audit::observe(&world.store, &world.repositories).await;
    let found = found.unwrap_or_else(|violation| panic!("{violation}"));
    let ledger = world.ledger.borrow();
    for ((at, item), began) in &ledger.pushed {
        let deleted = ledger.deletes.get(&(*at, *item)).and_then(|(_, ended)| *ended);
        let fact = Fact::Manifest(world.repositories[*at].clone(), CONTENTS.manifests[*item].digest);
        let is_deleted = deleted.is_some_and(|deleted| deleted >= *began);
        assert!(is_deleted || found.contains_key(&fact), "{fact:?} was pushed, and nobody deleted it");
    }
}

/// Once everything is deleted and some time has passed, nothing is left.
async fn in_the_end(world: &World, disk: &MemoryDisk) {
    for repository in &world.repositories {
        // The index first: it keeps its children.
        for item in [2, 0, 1, 3, 4] {
            let digest = &CONTENTS.manifests[item].digest;
            match world.store.delete_manifest(repository, digest).await {
                Ok(()) | Err(Error::ManifestUnknown { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    for _ in 0..2 {
        tokio::time::sleep(2 * DELAY).await;
        world.pace.tick();
        world.store.collect_garbage(&request(Clients::Served)).await.unwrap();
    }
    let left = keys(&*backend(disk).await).await;
    assert!(left.is_empty(), "garbage is left: {left:?}");
}

#[test]
fn p2_p3_p9_no_push_loses_anything_to_the_collection() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (only, count) = (number("WHARFINGER_SEED"), number("WHARFINGER_SEEDS").unwrap_or(SEEDS));
    let seeds = only.map_or(0..count, |seed| seed..seed + 1);
    let (mut told, mut removed) = (0, 0);
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, live(seed))
        });
        let (blobs, links) = lived.unwrap_or_else(|_| {
            panic!(
                "seed {seed} broke a promise; replay: WHARFINGER_SEED={seed} cargo test -p wharfinger --test it -- garbage::pushes"
            )
        });
        told += u64::from(blobs);
        removed += links;
    }
    assert!(
        only.is_some() || (told > 10 * count && removed > count),
        "hardly anything met: {told} {removed}"
    );
}
