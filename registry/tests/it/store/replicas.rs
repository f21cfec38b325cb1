//! Goal: several processes over one bucket lose nothing and leave nothing broken (P13, P3), though requests
//! are slow, refused, carried out without an answer, or carried out long after.
//!
//! Method: three stores over one bucket in memory, in virtual time; each request takes as long, and fares as
//! well, as a seed says. What was answered is written down with when it was asked and answered; once all is at
//! rest a fourth store is audited, and held against what was answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::backend::object::ObjectBackend;
use wharfinger::backend::object::memory::{Fate, MemoryBucket, Request, Weather};
use wharfinger::backend::shared::SharedDisk;
use wharfinger::backend::{Backend, Key};
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::oci::Digest;
use wharfinger::store::gc::{Clients, Kind};
use wharfinger::store::layout::ROOTS;
use wharfinger::store::options::{Options, Writers};
use wharfinger::store::{Error, RepositoryKey, Store};

use super::audit::{self, Fact, World};
use super::collecting::request;
use super::contents::{CONTENTS, digest, tag};
use super::machine::{ask, repositories};
use super::model::{Answer, Op, TAGS, When, repository};

/// A weather by a seed.
#[derive(Debug)]
struct Storm {
    dice: Arc<Dice>,
    is_over: Arc<AtomicBool>,
    faults: Faults,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    Some,
}

/// Numbers that look random, for many tasks.
#[derive(Debug)]
struct Dice(AtomicU64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    fn roll(&self, sides: u64) -> u64 {
        let mut state = self.0.load(Ordering::Relaxed);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.store(state, Ordering::Relaxed);
        (state >> 16) % sides
    }

    fn pick(&self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).unwrap()
    }
}

impl Weather for Storm {
    fn fate(&self, _request: Request<'_>) -> BoxFuture<'static, Fate> {
        if self.is_over.load(Ordering::Relaxed) {
            return std::future::ready(Fate::Answered).boxed();
        }
        let takes = Duration::from_millis(1 + self.dice.roll(60));
        let fate = match (self.faults, self.dice.roll(200)) {
            (Faults::Some, 0) => Fate::AnswerLost,
            (Faults::Some, 1) => Fate::Late,
            (Faults::Some, 2) => Fate::SlowDown,
            (Faults::Some, 3 | 4) => Fate::Conflict,
            _ => Fate::Answered,
        };
        async move {
            tokio::time::sleep(takes).await;
            fate
        }
        .boxed()
    }
}

/// Garbage is collected without delay.
fn options(writers: Writers) -> Options {
    let mut options = Options { writers, ..Options::default() };
    options.gc.delay = Duration::ZERO;
    options
}

async fn open(bucket: &MemoryBucket, writers: Writers) -> Store {
    let folder = FsBackend::open(Arc::new(MemoryDisk::new()), Durability::Synced).await.unwrap();
    let backend = ObjectBackend::new(Arc::new(bucket.clone()), Arc::new(folder), ROOTS);
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    Store::open(Arc::new(backend), options(writers), clock).await.unwrap()
}

/// What a client of one process does.
#[derive(Debug, Clone)]
enum Act {
    Op(Op),
    /// Removes what nothing links.
    Collect,
    /// Removes what no manifest needs, and what nothing links.
    Garbage,
}

fn act(dice: &Dice) -> Act {
    // Two repositories, so that content is shared and names meet often.
    let (repository, other) = (dice.pick(2), dice.pick(2));
    let (blob, item, name) =
        (dice.pick(CONTENTS.blobs.len()), dice.pick(CONTENTS.manifests.len()), dice.pick(2));
    Act::Op(match dice.roll(17) {
        0..=3 => Op::PutBlob(repository, blob),
        4 => Op::Mount { from: repository, to: other, blob },
        5..=9 => Op::PutManifest { repository, item, tags: vec![name], when: When::Move },
        10 => Op::DeleteTag(repository, name),
        11 | 12 => Op::DeleteManifest(repository, item),
        13 => Op::DeleteBlob(repository, blob),
        14 => Op::Catalog,
        15 => return Act::Garbage,
        _ => return Act::Collect,
    })
}

/// What was asked, and what came of it.
#[derive(Clone)]
struct Done {
    act: Act,
    begun: Instant,
    ended: Instant,
    /// `None` when nobody was told.
    answer: Option<Answer>,
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { act, begun, ended, answer } = self;
        let took = ended.duration_since(*begun);
        // Begins are told by how long ago they were.
        write!(f, "-{:?} +{took:?} {act:?}: {answer:?}", begun.elapsed())
    }
}

async fn perform(store: &Store, act: Act) -> Done {
    let begun = Instant::now();
    let result = match &act {
        Act::Op(op) => ask(store, op).await,
        Act::Collect => store.collect(CONTENTS.digests()).await.map(|_| Answer::Done),
        Act::Garbage => store.collect_garbage(&request(Clients::Absent)).await.map(|_| Answer::Done),
    };
    let answer = match result {
        // What an upload or a push met that a storm has cut.
        Err(
            Error::Backend(_) | Error::UploadUnknown | Error::UploadOffset { .. } | Error::UploadBusy { .. },
        ) => None,
        result => Some(Answer::of(result)),
    };
    Done { act, begun, ended: Instant::now(), answer }
}

/// Runs a storm, and returns what was done and what is there in the end.
async fn storm(seed: u64, faults: Faults) -> (Vec<Done>, World) {
    let (dice, is_over) = (Arc::new(Dice::new(seed)), Arc::new(AtomicBool::new(false)));
    let weather = Storm { dice: Arc::clone(&dice), is_over: Arc::clone(&is_over), faults };
    let bucket = MemoryBucket::with_weather(Box::new(weather));
    let done: Arc<Mutex<Vec<Done>>> = Arc::default();
    is_over.store(true, Ordering::Relaxed);
    let first = open(&bucket, Writers::Several).await;
    for number in 0..2 {
        for blob in 0..CONTENTS.blobs.len() {
            let one = perform(&first, Act::Op(Op::PutBlob(number, blob))).await;
            done.lock().unwrap().push(one);
        }
    }
    let stores = [first, open(&bucket, Writers::Several).await, open(&bucket, Writers::Several).await];
    is_over.store(false, Ordering::Relaxed);
    let clients = clients(&stores, &dice, &done);
    let landing = tokio::spawn({
        let (bucket, dice) = (bucket.clone(), Arc::clone(&dice));
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(dice.roll(20_000))).await;
                bucket.land();
            }
        }
    });
    clients.join_all().await;
    landing.abort();
    is_over.store(true, Ordering::Relaxed);
    bucket.land();
    let last = open(&bucket, Writers::Several).await;
    let world = audit::observe(&last, &repositories()).await;
    let world =
        world.unwrap_or_else(|violation| panic!("seed {seed}: {violation}\n{:#?}", done.lock().unwrap()));
    let done = done.lock().unwrap().clone();
    (done, world)
}

/// Lets two clients of each store do what a seed says.
fn clients(stores: &[Store; 3], dice: &Arc<Dice>, done: &Arc<Mutex<Vec<Done>>>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for client in 0..6 {
        let (store, dice, done) = (stores[client % 3].clone(), Arc::clone(dice), Arc::clone(done));
        clients.spawn(async move {
            for _ in 0..8 {
                let one = perform(&store, act(&dice)).await;
                done.lock().unwrap().push(one);
            }
        });
    }
    clients
}

async fn open_folder(folder: &Path) -> Store {
    let disk = Arc::new(SharedDisk::open(folder).unwrap());
    // What power loss leaves is not asked here.
    let backend = FsBackend::open(disk, Durability::Unsynced).await.unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    Store::open(Arc::new(backend), options(Writers::Several), clock).await.unwrap()
}

/// Locks of files are between open files, so three stores of one process meet as three processes do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p13_p3_processes_over_one_folder_lose_nothing() {
    let mut confirmed = 0;
    for seed in 20_000..20_020 {
        let folder = tempfile::tempdir().unwrap();
        let (dice, done) = (Arc::new(Dice::new(seed)), Arc::<Mutex<Vec<Done>>>::default());
        let first = open_folder(folder.path()).await;
        for (number, blob) in
            (0..2).flat_map(|number| (0..CONTENTS.blobs.len()).map(move |blob| (number, blob)))
        {
            let one = perform(&first, Act::Op(Op::PutBlob(number, blob))).await;
            done.lock().unwrap().push(one);
        }
        let stores = [first, open_folder(folder.path()).await, open_folder(folder.path()).await];
        clients(&stores, &dice, &done).join_all().await;
        let world = audit::observe(&open_folder(folder.path()).await, &repositories()).await;
        let done = done.lock().unwrap().clone();
        let world = world.unwrap_or_else(|violation| panic!("seed {seed}: {violation}\n{done:#?}"));
        judge(seed, &done, &world);
        confirmed += done.iter().filter(|one| one.answer == Some(Answer::Done)).count();
    }
    assert!(confirmed > 20 * 20, "only {confirmed} acts were confirmed");
}

/// What an act makes, if it succeeds.
fn makes(act: &Act) -> Vec<(Fact, Digest)> {
    match act {
        Act::Op(Op::PutBlob(to, blob)) => {
            let digest = digest(&CONTENTS.blobs[*blob]);
            vec![(Fact::Blob(repository(*to), digest), digest)]
        }
        Act::Op(Op::PutManifest { repository: to, item, tags, .. }) => {
            let digest = CONTENTS.manifests[*item].digest;
            let tags = tags.iter().map(|name| (Fact::Tag(repository(*to), tag(TAGS[*name])), digest));
            tags.chain([(Fact::Manifest(repository(*to), digest), digest)]).collect()
        }
        _ => Vec::new(),
    }
}

/// Says whether an act may take a fact away.
fn takes(act: &Act, fact: &Fact) -> bool {
    let of_manifest = |of: &RepositoryKey, item: usize| match fact {
        // Its tags go with it.
        Fact::Tag(there, _) => there == of,
        Fact::Manifest(there, digest) => there == of && *digest == CONTENTS.manifests[item].digest,
        Fact::Blob(..) => false,
    };
    match act {
        Act::Op(Op::DeleteTag(of, name)) => *fact == Fact::Tag(repository(*of), tag(TAGS[*name])),
        Act::Op(Op::DeleteManifest(of, item)) => of_manifest(&repository(*of), *item),
        // To which every blob is old.
        Act::Garbage => matches!(fact, Fact::Blob(..)),
        Act::Op(Op::DeleteBlob(of, blob)) => {
            *fact == Fact::Blob(repository(*of), digest(&CONTENTS.blobs[*blob]))
        }
        _ => false,
    }
}

/// Holds what is there against what was answered.
fn judge(seed: u64, done: &[Done], world: &World) {
    let mut last: BTreeMap<Fact, Vec<(&Done, Digest)>> = BTreeMap::new();
    for one in done {
        for (fact, digest) in makes(&one.act) {
            last.entry(fact).or_default().push((one, digest));
        }
    }
    for (fact, makers) in last {
        for (maker, _) in makers.iter().filter(|(maker, _)| maker.answer == Some(Answer::Done)) {
            // An act whose answer nobody heard may take effect until the storm is over.
            let may_follow = |other: &&Done| other.ended > maker.begun || other.answer.is_none();
            let takers = done.iter().filter(|other| takes(&other.act, &fact)).filter(may_follow).count();
            assert!(
                takers > 0 || world.contains_key(&fact),
                "seed {seed}: P13 is broken: {fact:?} was confirmed and is gone\n{done:#?}"
            );
        }
        let Some(there) = world.get(&fact) else { continue };
        // A tag is what somebody pushed whom no confirmed push has followed.
        let is_overtaken = |one: &Done| {
            one.answer.is_some()
                && makers.iter().any(|(other, digest)| {
                    other.answer == Some(Answer::Done) && other.begun > one.ended && digest != there
                })
        };
        assert!(
            makers.iter().any(|(one, digest)| digest == there && !is_overtaken(one)),
            "seed {seed}: P13 is broken: {fact:?} is {there}, which a later push has replaced\n{done:#?}"
        );
    }
}

fn seeds(first: u64, count: u64, faults: Faults) {
    let confirmed: usize = (first..first + count)
        .map(|seed| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let (done, world) = runtime.block_on(storm(seed, faults));
            judge(seed, &done, &world);
            done.iter().filter(|one| one.answer == Some(Answer::Done)).count()
        })
        .sum();
    let least = usize::try_from(count).unwrap() * 20;
    assert!(confirmed > least, "only {confirmed} acts were confirmed in {count} storms");
}

/// Processes that look in turn, each between two looks of the other.
#[tokio::test]
async fn p13_content_goes_though_several_look_for_it_in_turn() {
    let (bucket, folder) = (MemoryBucket::new(), tempfile::tempdir().unwrap());
    let in_bucket = [open(&bucket, Writers::Several).await, open(&bucket, Writers::Several).await];
    let in_folder = [open_folder(folder.path()).await, open_folder(folder.path()).await];
    for stores in [in_bucket, in_folder] {
        assert_eq!(perform(&stores[0], Act::Op(Op::PutBlob(0, 0))).await.answer, Some(Answer::Done));
        let mut gone = 0;
        for look in 0..4 {
            let report = stores[look % 2].collect_garbage(&request(Clients::Served)).await.unwrap();
            gone += report.of(Kind::Content).objects;
        }
        assert_eq!(gone, 1, "the content that nothing links");
    }
}

/// An upload has a place before it has a record.
#[tokio::test(start_paused = true)]
async fn p13_an_upload_that_another_process_opens_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_folder(folder.path()).await;
    let disk = Arc::new(SharedDisk::open(folder.path()).unwrap());
    let other = FsBackend::open(disk, Durability::Unsynced).await.unwrap();
    let data = Key::new("uploads").child("0d6b8ea1-2a4b-4c44-9d53-6a3a34bd6f0c").child("data");
    let _opening = other.stage(&data).await.unwrap();
    for _ in 0..2 {
        store.expire_uploads().await.unwrap();
        assert_eq!(other.size(&data).await.unwrap(), Some(0), "its record is about to come");
    }
    tokio::time::advance(Duration::from_secs(3600)).await;
    store.expire_uploads().await.unwrap();
    assert_eq!(other.size(&data).await.unwrap(), None, "its process has died");
}

#[test]
fn p13_p3_replicas_over_one_bucket_lose_nothing() {
    seeds(0, 150, Faults::None);
}

#[test]
fn p13_p3_replicas_in_a_storm_lose_nothing() {
    seeds(10_000, 250, Faults::Some);
}
