//! Goal (P2, P3): a wall clock that jumps by hours or years, and perhaps back, makes nothing go that is young
//! enough to stay. Method: a clock that is set between the steps of a push, an upload and a policy.

use std::sync::Arc;
use std::time::Duration;

use wharfinger::backend::Backend;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::store::Store;
use wharfinger::store::gc::{Clients, Kind};
use wharfinger::store::options::retention::{Glob, Policy, Retention, Rule, TagRule};
use wharfinger::store::options::{Options, Writers};

use super::collecting::request;
use super::contents::{CONTENTS, digest, tag};
use super::garbage::backend;
use super::machine::apply;
use super::model::{Answer, Op, TAGS, When, repository};

const HOUR: Duration = Duration::from_secs(3600);
const HOURS: Duration = Duration::from_secs(3 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Ten years.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How far a clock jumps.
#[derive(Debug, Clone, Copy)]
enum Jump {
    Forward(Duration),
    Back(Duration),
}

const JUMPS: [Jump; 6] = [
    Jump::Forward(HOUR),
    Jump::Forward(HOURS),
    Jump::Forward(FAR),
    Jump::Back(HOUR),
    Jump::Back(HOURS),
    Jump::Back(FAR),
];

struct Stand {
    store: Store,
    clock: Clock,
    backend: Arc<dyn Backend>,
}

impl Stand {
    async fn new(options: Options) -> Self {
        let clock = Clock::manual(now());
        let backend = backend(&MemoryDisk::new()).await;
        let store = Store::open(Arc::clone(&backend), options, clock.clone()).await.unwrap();
        // What an earlier process told clients of counts no more.
        clock.advance(2 * HOUR);
        Self { store, clock, backend }
    }

    fn jump(&self, jump: Jump) {
        self.clock.set(match jump {
            Jump::Forward(by) => self.clock.now().after(by),
            Jump::Back(by) => Timestamp::from_millis(
                u64::try_from(
                    self.clock.now().since(Timestamp::from_millis(0)).saturating_sub(by).as_millis(),
                )
                .unwrap(),
            ),
        });
    }

    async fn run(&self, op: Op) {
        assert_eq!(apply(&self.store, &op).await, Answer::Done, "{op:?}");
    }

    async fn gone(&self, kind: Kind) -> u64 {
        self.store.collect_garbage(&request(Clients::Served)).await.unwrap().of(kind).objects
    }

    async fn has(&self, blob: usize) -> bool {
        self.store.has_blob(&repository(0), &digest(&CONTENTS.blobs[blob])).await.unwrap()
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn blobs() -> impl Iterator<Item = Op> {
    (0..CONTENTS.blobs.len()).map(|blob| Op::PutBlob(0, blob))
}

fn put() -> Op {
    Op::PutManifest { repository: 0, item: 0, tags: vec![0], when: When::Move }
}

/// A client that pushes its blobs, and one that is only told that they are here; each pushes a manifest later.
#[tokio::test]
async fn p3_a_push_in_progress_outlives_a_clock_that_jumps() {
    for jump in JUMPS {
        for was_told in [false, true] {
            let stand = Stand::new(Options::default()).await;
            for op in blobs() {
                stand.run(op).await;
            }
            if was_told {
                // So old that only the asking keeps them.
                stand.clock.advance(5 * HOUR);
                for blob in 0..CONTENTS.blobs.len() {
                    assert!(
                        stand
                            .store
                            .blob_size(&repository(0), &digest(&CONTENTS.blobs[blob]))
                            .await
                            .unwrap()
                            .is_some()
                    );
                }
            }
            stand.jump(jump);
            for _ in 0..2 {
                assert_eq!(stand.gone(Kind::Link).await, 0, "{jump:?} {was_told}");
            }
            stand.clock.advance(HOUR / 2);
            assert_eq!(stand.gone(Kind::Link).await, 0, "{jump:?} {was_told}");
            stand.run(put()).await;
            stand.clock.set(now().after(stand.clock.passed()));
            assert_eq!(stand.store.tags(&repository(0)).await.unwrap().as_slice(), [TAGS[0]], "{jump:?}");
        }
    }
}

/// Where several processes share a store, only what is written down tells of what another one does.
#[tokio::test]
async fn p13_p3_the_clock_of_one_process_makes_nothing_old_that_another_has_pushed() {
    for jump in [Jump::Forward(3 * HOUR), Jump::Forward(FAR)] {
        let options = || Options { writers: Writers::Several, ..Options::default() };
        let jumps = Stand::new(options()).await;
        let others = Clock::manual(jumps.clock.now());
        let right = Store::open(Arc::clone(&jumps.backend), options(), others.clone()).await.unwrap();
        for op in blobs() {
            assert_eq!(apply(&right, &op).await, Answer::Done);
        }
        jumps.jump(jump);
        assert_eq!(jumps.gone(Kind::Link).await, 0, "{jump:?}");
        others.advance(HOUR / 2);
        jumps.clock.advance(HOUR / 2);
        assert_eq!(jumps.gone(Kind::Link).await, 0, "{jump:?}");
        assert_eq!(apply(&right, &put()).await, Answer::Done, "{jump:?}");
    }
}

/// What a policy keeps for so long is not let go of in a moment; a clock that stays where it is is believed.
#[tokio::test]
async fn p2_a_policy_lets_nothing_go_for_a_clock_that_jumps() {
    let rule = Rule { pushed_within: Some(30 * DAY), ..Rule::default() };
    let policy = Policy {
        repositories: vec![Glob::parse("**").unwrap()],
        delete_referrers: true,
        delete_untagged: true,
        keep_tags: vec![TagRule { patterns: vec![], rule: rule.clone() }],
        keep_untagged: Some(rule),
    };
    for jump in JUMPS {
        let retention = Retention { policies: vec![policy.clone()], ..Retention::default() };
        let stand = Stand::new(Options { retention, ..Options::default() }).await;
        for op in blobs().chain([put()]) {
            stand.run(op).await;
        }
        stand.clock.advance(DAY);
        for _ in 0..3 {
            stand.jump(jump);
            assert_eq!(stand.gone(Kind::Tag).await + stand.gone(Kind::Manifest).await, 0, "{jump:?}");
            stand.clock.advance(HOUR);
            stand.clock.set(now().after(stand.clock.passed()));
            assert_eq!(stand.gone(Kind::Tag).await, 0, "{jump:?}: it is right again");
        }
        assert!(stand.store.tag(&repository(0), &tag(TAGS[0])).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_upload_under_way_outlives_a_clock_that_jumps_and_garbage_goes_once_it_is_believed() {
    for jump in [Jump::Forward(3 * DAY), Jump::Forward(FAR)] {
        let stand = Stand::new(Options::default()).await;
        stand.store.open_upload(&repository(0), "", None).await.unwrap();
        stand.run(Op::PutBlob(0, 2)).await;
        stand.jump(jump);
        assert_eq!(stand.store.expire_uploads().await.unwrap(), 0, "{jump:?}");
        assert_eq!(stand.gone(Kind::Link).await, 0, "{jump:?}");
        stand.clock.advance(25 * HOUR);
        assert_eq!(
            stand.store.expire_uploads().await.unwrap(),
            1,
            "{jump:?}: nobody set it right within a day"
        );
        assert_eq!(stand.gone(Kind::Link).await, 1, "{jump:?}");
        assert!(!stand.has(2).await);
    }
}
