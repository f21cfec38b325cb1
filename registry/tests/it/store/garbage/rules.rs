//! Goal: garbage goes, and nothing else. Method: one case each, on a clock that is moved.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::backend::{Backend, Key, When as Condition};
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::store::gc::{Amount, Clients, Kind, Mode, Orphans, Report, Request};
use wharfinger::store::options::Options;
use wharfinger::store::{RepositoryKey, Store};

use super::{backend, keys, request};
use crate::store::audit;
use crate::store::contents::{CONTENTS, cached, digest, hosted};
use crate::store::machine::{apply, put_blob};
use crate::store::model::{Answer, Op, When, repository};

/// A store, and what stands under it.
struct Stand {
    store: Store,
    clock: Clock,
    backend: Arc<dyn Backend>,
}

/// The default of `gcDelay`.
const DELAY: Duration = Duration::from_secs(3600);

impl Stand {
    async fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let backend = backend(&MemoryDisk::new()).await;
        let store = Store::open(Arc::clone(&backend), Options::default(), clock.clone()).await.unwrap();
        Self { store, clock, backend }
    }

    /// Another process on the same disk.
    async fn again(self) -> Self {
        let store = Store::open(Arc::clone(&self.backend), Options::default(), self.clock.clone()).await;
        Self { store: store.unwrap(), ..self }
    }

    async fn run(&self, ops: impl IntoIterator<Item = Op>) {
        for op in ops {
            assert_eq!(apply(&self.store, &op).await, Answer::Done, "{op:?}");
        }
    }

    async fn collect(&self) -> Report {
        self.store.collect_garbage(&request(Clients::Served)).await.unwrap()
    }

    async fn has(&self, at: &RepositoryKey, blob: usize) -> bool {
        self.store.has_blob(at, &digest(&CONTENTS.blobs[blob])).await.unwrap()
    }

    /// Looks for content, whoever links it.
    async fn is_stored(&self, blob: usize) -> bool {
        let hex = digest(&CONTENTS.blobs[blob]).hex();
        keys(&*self.backend).await.iter().any(|key| key.starts_with("blobs/") && key.ends_with(&hex))
    }

    async fn write(&self, key: &str) {
        let written = self.backend.write(&Key::new(key), Bytes::from_static(b"{}"), Condition::Always).await;
        written.unwrap();
    }
}

fn put(item: usize, tags: Vec<usize>) -> Op {
    Op::PutManifest { repository: 0, item, tags, when: When::Move }
}

fn all_blobs() -> impl Iterator<Item = Op> {
    (0..CONTENTS.blobs.len()).map(|blob| Op::PutBlob(0, blob))
}

fn objects(report: &Report, kind: Kind) -> u64 {
    report.of(kind).objects
}

#[tokio::test]
async fn no_hosted_manifest_goes_without_a_policy_however_old_and_untagged() {
    let stand = Stand::new().await;
    stand.run(all_blobs()).await;
    stand.run([put(0, vec![0]), put(1, vec![]), put(2, vec![]), put(3, vec![]), put(5, vec![])]).await;
    stand.run([Op::DeleteTag(0, 0)]).await;
    let before = audit::observe(&stand.store, &[repository(0)]).await.unwrap();
    let (stand, year) = (stand.again().await, Duration::from_secs(365 * 24 * 3600));
    stand.clock.advance(year);
    assert_eq!(stand.collect().await, Report::default());
    assert_eq!(audit::observe(&stand.store, &[repository(0)]).await.unwrap(), before);
}

#[tokio::test]
async fn blobs_that_no_manifest_needs_go_after_the_delay_with_their_content() {
    let stand = Stand::new().await;
    stand.run(all_blobs().chain([put(0, vec![0])])).await;
    stand.clock.advance(DELAY - Duration::from_secs(1));
    assert_eq!(stand.collect().await, Report::default(), "they are young");
    // What was pushed is remembered for twice the delay at most.
    stand.clock.advance(DELAY + Duration::from_secs(1));
    let report = stand.collect().await;
    let gone = (CONTENTS.blobs[2].len() + CONTENTS.blobs[3].len()) as u64;
    assert_eq!(report.of(Kind::Link), Amount { objects: 2, bytes: gone });
    assert_eq!(report.of(Kind::Content), Amount { objects: 2, bytes: gone });
    assert!(stand.has(&repository(0), 0).await && stand.has(&repository(0), 1).await);
    assert!(!stand.has(&repository(0), 2).await && !stand.is_stored(2).await);
    assert_eq!(stand.collect().await, Report::default(), "once");
    stand.run([Op::PutBlob(0, 2), put(1, vec![])]).await;
    audit::observe(&stand.store, &[repository(0)]).await.unwrap();
}

#[tokio::test]
async fn content_stays_while_any_repository_links_it() {
    let stand = Stand::new().await;
    stand.run([Op::PutBlob(0, 1)]).await;
    put_blob(&stand.store, &cached("library/alpine"), &CONTENTS.blobs[1]).await.unwrap();
    stand.clock.advance(2 * DELAY);
    put_blob(&stand.store, &hosted("other"), &CONTENTS.blobs[1]).await.unwrap();
    let report = stand.collect().await;
    assert_eq!((objects(&report, Kind::Link), objects(&report, Kind::Content)), (2, 0), "{report}");
    assert!(stand.has(&hosted("other"), 1).await);
}

#[tokio::test]
async fn what_clients_asked_for_within_the_delay_stays() {
    let stand = Stand::new().await;
    stand.run([Op::PutBlob(0, 1), Op::PutBlob(0, 2)]).await;
    stand.clock.advance(2 * DELAY);
    assert!(stand.has(&repository(0), 1).await);
    let report = stand.collect().await;
    assert_eq!(objects(&report, Kind::Link), 1, "{report}");
    stand.clock.advance(DELAY - Duration::from_secs(1));
    assert!(stand.has(&repository(0), 1).await, "asked for again");
    stand.clock.advance(DELAY - Duration::from_secs(1));
    assert_eq!(stand.collect().await, Report::default());
    stand.clock.advance(2 * DELAY);
    assert_eq!(objects(&stand.collect().await, Kind::Link), 1);
}

#[tokio::test]
async fn a_process_waits_for_the_delay_after_its_start_for_clients_of_the_one_before() {
    let stand = Stand::new().await;
    stand.run([Op::PutBlob(0, 1)]).await;
    stand.clock.advance(2 * DELAY);
    assert!(stand.has(&repository(0), 1).await);
    let stand = stand.again().await;
    stand.clock.advance(DELAY - Duration::from_secs(1));
    assert_eq!(stand.collect().await, Report::default());
    let offline = stand.store.collect_garbage(&request(Clients::Absent)).await.unwrap();
    assert_eq!(objects(&offline, Kind::Link), 1, "without a server there are no clients");
}

#[tokio::test]
async fn keys_that_point_to_nothing_go() {
    let stand = Stand::new().await;
    stand.run(all_blobs().chain([put(0, vec![0]), put(3, vec![])])).await;
    let before = keys(&*stand.backend).await;
    let (image, other) = (CONTENTS.manifests[0].digest, digest(b"another"));
    stand.write(&format!("repositories/a/_referrers/sha256/{}/{other}", image.hex())).await;
    stand.write(&format!("repositories/a/_tagged/sha256/{}/latest", image.hex())).await;
    stand.write(&format!("repositories/a/_tagged/sha256/{}/v1", other.hex())).await;
    stand.write(&format!("repositories/a/_pulled/sha256/{}", other.hex())).await;
    stand.write(&format!("upstreams/hub/held/sha256/{}", other.hex())).await;
    let report = stand.collect().await;
    let kinds = [Kind::Referrer, Kind::Hint, Kind::Pull, Kind::Held].map(|kind| objects(&report, kind));
    assert_eq!(kinds, [1, 2, 1, 1], "{report}");
    assert_eq!(keys(&*stand.backend).await, before);
}

#[tokio::test]
async fn a_dry_run_tells_what_a_run_removes_and_removes_nothing() {
    let stand = Stand::new().await;
    stand.run(all_blobs().chain([put(0, vec![0]), Op::PutBlob(1, 1), Op::PutBlob(2, 2)])).await;
    stand.write(&format!("repositories/a/_pulled/sha256/{}", digest(b"x").hex())).await;
    stand.store.open_upload(&repository(0), "alice", None).await.unwrap();
    stand.clock.advance(Duration::from_secs(48 * 3600));
    let before = keys(&*stand.backend).await;
    let told = |mode| {
        let told = Arc::new(Mutex::new(BTreeSet::new()));
        let collect = Arc::clone(&told);
        let request = Request {
            mode,
            told: Arc::new(move |item| {
                collect.lock().unwrap().insert(item.to_string());
            }),
            ..request(Clients::Served)
        };
        (request, told)
    };
    let (ask, would) = told(Mode::Tell);
    let planned = stand.store.collect_garbage(&ask).await.unwrap();
    assert_eq!(keys(&*stand.backend).await, before);
    let (ask, went) = told(Mode::Remove);
    let done = stand.store.collect_garbage(&ask).await.unwrap();
    assert_eq!(planned, done);
    assert_eq!(*would.lock().unwrap(), *went.lock().unwrap());
    assert!(objects(&done, Kind::Link) >= 4 && objects(&done, Kind::Upload) == 1, "{done}");
}

#[tokio::test]
async fn what_is_cached_of_a_removed_upstream_is_told_of_and_goes_only_on_demand() {
    let stand = Stand::new().await;
    let repository = cached("library/alpine");
    put_blob(&stand.store, &repository, &CONTENTS.blobs[1]).await.unwrap();
    let configured = request(Clients::Absent);
    let removed = Request { upstreams: Some(BTreeSet::new()), ..configured.clone() };
    let kept = stand.store.collect_garbage(&removed).await.unwrap();
    assert_eq!(kept.orphans["hub"], Amount { objects: 1, bytes: 10_000 });
    assert!(stand.has(&repository, 1).await, "it is younger than the delay");
    let orphans = Request { orphans: Orphans::Remove, ..configured.clone() };
    assert_eq!(stand.store.collect_garbage(&orphans).await.unwrap(), Report::default(), "it is configured");
    let orphans = Request { orphans: Orphans::Remove, ..removed };
    let told = stand.store.collect_garbage(&Request { mode: Mode::Tell, ..orphans.clone() }).await.unwrap();
    let report = stand.store.collect_garbage(&orphans).await.unwrap();
    assert_eq!(told, report);
    assert_eq!(report.of(Kind::Orphan), Amount { objects: 1, bytes: 10_000 });
    assert_eq!(keys(&*stand.backend).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_keeps_what_it_has_and_does_not_end_the_run() {
    let stand = Stand::new().await;
    stand.run(all_blobs().chain([put(0, vec![]), Op::PutBlob(2, 2)])).await;
    let torn = format!("repositories/a/_manifests/sha256/{}", CONTENTS.manifests[0].digest.hex());
    let written = stand.backend.write(&Key::new(&torn), Bytes::from_static(b"{"), Condition::Always).await;
    written.unwrap();
    stand.clock.advance(2 * DELAY);
    let report = stand.collect().await;
    assert_eq!((report.failures, objects(&report, Kind::Link)), (1, 1), "{report}");
    for blob in 0..CONTENTS.blobs.len() {
        assert!(stand.has(&repository(0), blob).await && stand.is_stored(blob).await);
    }
    assert!(!stand.has(&repository(2), 2).await, "the other repository was looked through");
}
