//! Goal: a bucket keeps the contract of a backend; answers that are lost, requests that come late and
//! conflicts change nothing that it promises; nothing is left over for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::prelude::*;

use super::bucket::Bucket;
use super::memory::{Fate, MemoryBucket, Request, Weather};
use super::probe::{Alone, Conditions, probe};
use super::{ObjectBackend, Roots};
use crate::backend::fs::{Durability, FsBackend};
use crate::backend::memory::MemoryDisk;
use crate::backend::{Backend, Error, Key, Outcome, Stage, When, contract};

const ROOTS: Roots = Roots { local: &["fills"], unique: &["uploads"], single: &[], content: &["blobs"] };
const DAY: Duration = Duration::from_secs(24 * 3600);
/// More than one part.
const LARGE: usize = 6 * 1024 * 1024;

async fn over(bucket: &MemoryBucket) -> ObjectBackend {
    let folder = FsBackend::open(Arc::new(MemoryDisk::new()), Durability::Synced).await.unwrap();
    ObjectBackend::new(Arc::new(bucket.clone()), Arc::new(folder), ROOTS)
}

fn key(path: &str) -> Key {
    Key::new(path)
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// The fate of the first requests of an operation, one after the other; of all others, to be answered.
#[derive(Debug)]
struct First {
    operation: &'static str,
    fates: Vec<Fate>,
    asked: AtomicUsize,
}

impl Weather for First {
    fn fate(&self, request: Request<'_>) -> BoxFuture<'static, Fate> {
        let fate = if request.operation == self.operation {
            self.fates.get(self.asked.fetch_add(1, Ordering::Relaxed)).copied()
        } else {
            None
        };
        std::future::ready(fate.unwrap_or(Fate::Answered)).boxed()
    }
}

fn first(operation: &'static str, fates: &[Fate]) -> MemoryBucket {
    let asked = AtomicUsize::default();
    MemoryBucket::with_weather(Box::new(First { operation, fates: fates.to_vec(), asked }))
}

async fn stage_of(backend: &ObjectBackend, at: &str, bytes: &[u8]) -> Box<dyn Stage> {
    let mut stage = backend.stage(&key(at)).await.unwrap();
    stage.append(vec![Bytes::copy_from_slice(bytes)]).await.unwrap();
    stage
}

async fn content(backend: &ObjectBackend, at: &str) -> Option<Vec<u8>> {
    let content = backend.open(&key(at)).await.unwrap()?;
    let pieces: Vec<Bytes> =
        futures_util::TryStreamExt::try_collect(content.stream(0, content.size())).await.unwrap();
    Some(pieces.concat())
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn a_bucket_keeps_the_contract() {
    contract::run(&over(&MemoryBucket::new()).await).await;
}

#[tokio::test]
async fn a_bucket_without_conditions_keeps_it_for_one_process() {
    let folder = FsBackend::open(Arc::new(MemoryDisk::new()), Durability::Synced).await.unwrap();
    let alone = Alone::new(Arc::new(MemoryBucket::new()));
    contract::run(&ObjectBackend::new(Arc::new(alone), Arc::new(folder), ROOTS)).await;
}

#[tokio::test]
async fn the_probe_tells_what_a_bucket_does_with_conditions() {
    assert_eq!(probe(&MemoryBucket::new()).await.unwrap(), Conditions::Honoured);
    let refuses = first("put", &[Fate::Conflict]);
    assert_eq!(probe(&refuses).await.unwrap(), Conditions::Refuses);
    assert_eq!(refuses.names(), Vec::<String>::new(), "it leaves nothing");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_no_refusal() {
    for when in [When::Always, When::Absent] {
        let bucket = first("put", &[Fate::AnswerLost, Fate::Conflict]);
        let backend = over(&bucket).await;
        assert!(backend.write(&key("a"), text("one"), when).await.is_err(), "the outcome is unknown");
        assert_eq!(backend.read(&key("a")).await.unwrap(), Some(text("one")), "but it was carried out");
    }
    // What the client of the provider tries again is refused by its own first try; the bytes tell.
    let bucket = first("put", &[Fate::Answered, Fate::Conflict]);
    let backend = over(&bucket).await;
    assert_eq!(backend.write(&key("b"), text("one"), When::Absent).await.unwrap(), Outcome::Done);
    assert_eq!(backend.write(&key("b"), text("two"), When::Is(text("one"))).await.unwrap(), Outcome::Done);
    assert_eq!(backend.delete(&key("b"), When::Is(text("one"))).await.unwrap(), Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_looked_at_again() {
    let bucket = first("put", &[Fate::Conflict; 3]);
    let backend = over(&bucket).await;
    assert_eq!(backend.write(&key("a"), text("one"), When::Absent).await.unwrap(), Outcome::Done);
    let bucket = first("put", &[Fate::Conflict; 32]);
    let error = over(&bucket).await.write(&key("a"), text("one"), When::Always).await.unwrap_err();
    assert!(matches!(error, Error::Contended { .. }), "it does not try for ever: {error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_late_changes_nothing() {
    let late = || first("put", &[Fate::Late]);
    // A write: somebody else has written, and deleted, since.
    let bucket = late();
    let backend = over(&bucket).await;
    backend.write(&key("a"), text("late"), When::Always).await.unwrap_err();
    backend.write(&key("a"), text("new"), When::Always).await.unwrap();
    assert_eq!(bucket.land(), 1);
    assert_eq!(backend.read(&key("a")).await.unwrap(), Some(text("new")));
    let bucket = late();
    let backend = over(&bucket).await;
    backend.write(&key("a"), text("late"), When::Always).await.unwrap_err();
    backend.write(&key("a"), text("new"), When::Always).await.unwrap();
    backend.delete(&key("a"), When::Always).await.unwrap();
    assert_eq!(bucket.land(), 1);
    assert_eq!(backend.read(&key("a")).await.unwrap(), None, "nothing deleted comes back");
    // A delete, and a write that is conditional on a value that is there again.
    for late in [None, Some(text("late"))] {
        let bucket = first("put", &[Fate::Answered, Fate::Late]);
        let backend = over(&bucket).await;
        backend.write(&key("a"), text("one"), When::Always).await.unwrap();
        match late {
            None => backend.delete(&key("a"), When::Is(text("one"))).await.unwrap_err(),
            Some(late) => backend.write(&key("a"), late, When::Is(text("one"))).await.unwrap_err(),
        };
        backend.write(&key("a"), text("two"), When::Always).await.unwrap();
        backend.write(&key("a"), text("one"), When::Always).await.unwrap();
        assert_eq!(bucket.land(), 1);
        assert_eq!(backend.read(&key("a")).await.unwrap(), Some(text("one")), "a condition is on one write");
    }
}

#[tokio::test]
async fn content_is_uploaded_once_and_never_copied() {
    let bucket = MemoryBucket::new();
    let backend = over(&bucket).await;
    for at in ["uploads/1/data", "fills/1"] {
        let bytes = pattern(LARGE);
        let stage = stage_of(&backend, at, &bytes).await;
        let to = format!("blobs/{}", at.replace('/', "-"));
        assert_eq!(stage.publish(&key(&to)).await.unwrap(), Outcome::Done);
        assert_eq!(content(&backend, &to).await.unwrap(), bytes);
        let counts = bucket.take_counts();
        assert_eq!(counts.get("part"), Some(&2), "{at}: {counts:?}");
        assert_eq!(counts.get("complete"), Some(&1), "{at}: {counts:?}");
    }
    let left: Vec<String> = bucket.names().into_iter().filter(|it| !it.starts_with("blobs/")).collect();
    assert!(left.len() == 2 && left.iter().all(|it| it.starts_with("content/")), "{left:?}");
    assert_eq!(bucket.uploads(), 0);
}

#[tokio::test]
async fn content_that_is_there_already_is_not_kept_twice() {
    let bucket = MemoryBucket::new();
    let backend = over(&bucket).await;
    for at in ["uploads/1/data", "uploads/2/data", "fills/1"] {
        stage_of(&backend, at, &pattern(LARGE)).await.publish(&key("blobs/a")).await.unwrap();
    }
    assert_eq!(bucket.names().len(), 2, "{:?}", bucket.names());
    // Content that is gone is healed by the same bytes.
    let object = bucket.names().into_iter().find(|name| name.starts_with("content/")).unwrap();
    bucket.lose(&object);
    let stage = stage_of(&backend, "uploads/3/data", &pattern(LARGE)).await;
    assert_eq!(stage.publish(&key("blobs/a")).await.unwrap(), Outcome::Done);
    assert_eq!(content(&backend, "blobs/a").await.unwrap(), pattern(LARGE));
}

#[tokio::test]
async fn an_upload_whose_completion_was_not_heard_of_is_complete() {
    let bucket = first("complete", &[Fate::AnswerLost]);
    let backend = over(&bucket).await;
    let mut stage = stage_of(&backend, "uploads/1/data", &pattern(LARGE)).await;
    stage.sync().await.unwrap();
    assert_eq!(stage.publish(&key("blobs/a")).await.unwrap(), Outcome::Done);
    assert_eq!(content(&backend, "blobs/a").await.unwrap(), pattern(LARGE));
}

#[tokio::test]
async fn a_push_goes_on_elsewhere_at_its_last_two_ends() {
    let bucket = MemoryBucket::new();
    let (here, there) = (over(&bucket).await, over(&bucket).await);
    let bytes = pattern(LARGE + 3_000);
    let mut stage = here.stage(&key("uploads/1/data")).await.unwrap();
    for end in [1_000, LARGE, LARGE + 3_000] {
        let len = usize::try_from(stage.len()).unwrap();
        stage.append(vec![Bytes::copy_from_slice(&bytes[len..end])]).await.unwrap();
        stage.sync().await.unwrap();
    }
    assert_eq!(here.size(&key("uploads/1/data")).await.unwrap(), Some(bytes.len() as u64));
    for end in [LARGE + 3_000, LARGE] {
        let mut other =
            there.resume(&key("uploads/1/data"), end as u64).await.unwrap().expect("it can be cut here");
        other.append(vec![Bytes::copy_from_slice(&bytes[end..])]).await.unwrap();
        let to = format!("blobs/{end}");
        let reader = other.reader();
        assert_eq!(reader.read_at(0, 10).await.unwrap(), bytes[..10], "its first part is readable");
        drop(other);
        let again = there.resume(&key("uploads/1/data"), end as u64).await.unwrap();
        assert!(again.is_some(), "{to}");
    }
    assert!(there.resume(&key("uploads/1/data"), LARGE as u64 + 3_001).await.unwrap().is_none());
    // Who was overtaken is told so.
    let mut other = there.resume(&key("uploads/1/data"), LARGE as u64).await.unwrap().unwrap();
    other.append(vec![text("x")]).await.unwrap();
    other.sync().await.unwrap();
    stage.append(vec![text("y")]).await.unwrap();
    let error = stage.sync().await.unwrap_err();
    assert!(matches!(error, Error::Contended { .. }), "{error:?}");
}

#[tokio::test]
async fn what_nothing_leads_to_is_reclaimed() {
    let bucket = MemoryBucket::new();
    let backend = over(&bucket).await;
    stage_of(&backend, "uploads/1/data", &pattern(LARGE)).await.publish(&key("blobs/kept")).await.unwrap();
    stage_of(&backend, "uploads/2/data", &pattern(LARGE)).await.publish(&key("blobs/gone")).await.unwrap();
    backend.delete(&key("blobs/gone"), When::Always).await.unwrap();
    let mut left = stage_of(&backend, "uploads/3/data", &pattern(LARGE)).await;
    left.sync().await.unwrap();
    let before = bucket.names();
    for _ in 0..3 {
        assert_eq!(backend.reclaim(DAY).await.unwrap().objects, 0, "all of it is new");
    }
    assert_eq!(bucket.names(), before);
    bucket.pass(DAY * 2);
    let first = backend.reclaim(DAY).await.unwrap();
    assert_eq!(
        (first.objects, first.uploads),
        (0, 1),
        "it is marked first, for who reads it; the upload is old"
    );
    bucket.pass(DAY * 2);
    let second = backend.reclaim(DAY).await.unwrap();
    assert_eq!((second.objects, second.bytes), (1, LARGE as u64));
    assert_eq!(content(&backend, "blobs/kept").await.unwrap(), pattern(LARGE));
    assert_eq!(bucket.uploads(), 0);
    bucket.pass(DAY * 2);
    backend.reclaim(DAY).await.unwrap();
    let foreign = |name: &&String| name.starts_with("orphans/") || name.starts_with("clocks/");
    assert_eq!(bucket.names().iter().find(foreign), None);
    backend.sweep(&key("uploads/3")).await.unwrap();
    assert_eq!(bucket.names().iter().filter(|name| name.starts_with("content/")).count(), 1);
}

#[tokio::test]
async fn what_is_free_again_is_in_no_list() {
    let bucket = MemoryBucket::new();
    let backend = over(&bucket).await;
    for name in ["a/one", "a/two", "a/three/deep"] {
        backend.write(&key(name), text("x"), When::Absent).await.unwrap();
    }
    backend.delete(&key("a/one"), When::Always).await.unwrap();
    backend.sweep(&key("a/two")).await.unwrap();
    assert_eq!(backend.list(&key("a")).await.unwrap(), ["three"]);
    assert_eq!(backend.delete(&key("a/one"), When::Always).await.unwrap(), Outcome::Refused);
    assert_eq!(backend.write(&key("a/one"), text("y"), When::Absent).await.unwrap(), Outcome::Done);
    assert_eq!(backend.list(&key("a")).await.unwrap(), ["one", "three"]);
}

#[tokio::test]
async fn foreign_objects_are_errors_and_not_data() {
    let bucket = MemoryBucket::new();
    let backend = over(&bucket).await;
    bucket.put("a", text("{}"), super::bucket::Put::Any).await.unwrap();
    let error = backend.read(&key("a")).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(backend.write(&key("a"), text("x"), When::Always).await.is_err(), "it is not overwritten");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Write(u8, When2),
    Delete(When2),
}

/// A condition, on one of few values.
#[derive(Debug, Clone, Copy)]
enum When2 {
    Always,
    Absent,
    Is(u8),
}

fn when(of: When2) -> When {
    match of {
        When2::Always => When::Always,
        When2::Absent => When::Absent,
        When2::Is(value) => When::Is(Bytes::copy_from_slice(&[value])),
    }
}

fn conditions() -> impl Strategy<Value = When2> {
    prop_oneof![Just(When2::Always), Just(When2::Absent), (0_u8..3).prop_map(When2::Is)]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..3, conditions()).prop_map(|(value, when)| Step::Write(value, when)),
        conditions().prop_map(Step::Delete),
    ]
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::Late),
        1 => Just(Fate::SlowDown),
        1 => Just(Fate::Conflict),
    ]
}

proptest! {
    /// One key, any weather: what is known of it is what was answered, or what an unanswered change made of
    /// it before anybody changed it again.
    #[test]
    fn a_key_is_what_was_answered(script in prop::collection::vec((steps(), fates(), any::<bool>()), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let plan: Vec<Fate> = script.iter().map(|(_, fate, _)| *fate).collect();
            let bucket = first("put", &plan);
            let backend = over(&bucket).await;
            // What it may be, and what it may still become without another word.
            let (mut possible, mut late): (Vec<Option<u8>>, Vec<Option<u8>>) = (vec![None], Vec::new());
            for (step, _, lands) in &script {
                let (after, condition) = match step {
                    Step::Write(value, condition) => (Some(*value), *condition),
                    Step::Delete(condition) => (None, *condition),
                };
                let answer = match step {
                    Step::Write(value, condition) => {
                        backend.write(&key("a"), Bytes::copy_from_slice(&[*value]), when(*condition)).await
                    }
                    Step::Delete(condition) => backend.delete(&key("a"), when(*condition)).await,
                };
                let holds = |now: &Option<u8>| match condition {
                    When2::Always => after.is_some() || now.is_some(),
                    When2::Absent => now.is_none() && after.is_some(),
                    When2::Is(value) => *now == Some(value),
                };
                match answer {
                    Ok(Outcome::Done) => {
                        prop_assert!(possible.iter().chain(&late).any(holds), "{step:?} was done: {possible:?} {late:?}");
                        (possible, late) = (vec![after], Vec::new());
                    }
                    Ok(Outcome::Refused) => {
                        possible.extend(late.iter().copied());
                        possible.retain(|now| !holds(now));
                        prop_assert!(!possible.is_empty(), "{step:?} was refused");
                    }
                    Err(_) => late.push(after),
                }
                if *lands {
                    bucket.land();
                }
                let now = backend.read(&key("a")).await.unwrap().map(|bytes| bytes[0]);
                let is_possible = possible.contains(&now) || late.contains(&now);
                prop_assert!(is_possible, "{now:?} after {step:?} is none of {possible:?} {late:?}");
            }
            Ok(())
        })?;
    }
}
