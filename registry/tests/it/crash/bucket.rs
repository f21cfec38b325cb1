//! Goal: whatever a process leaves in a bucket, what was answered is there, and everything is whole or absent.
//!
//! Method: each scenario runs once to count its requests, then once for each of them. From that request on
//! nothing is answered any more, so the process does nothing more to the bucket; the request itself is not
//! carried out, or is and nobody hears of it, or is carried out only later: before the next process starts,
//! or when that one has done all that was left. The next process has the spool of the first, or none. And
//! each scenario runs once for each request that alone meets a fault.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::{Loss, MemoryDisk};
use wharfinger::backend::object::ObjectBackend;
use wharfinger::backend::object::bucket::{Bucket, Children, Meta, Object, Put, Version};
use wharfinger::backend::object::memory::{Fate, MemoryBucket, Request, Weather};
use wharfinger::backend::{Backend, Error as BackendError};
use wharfinger::store::{Error, Store, layout};

use super::recovery::{Client, Failure, all_are_wanted, is_wanted};
use super::scenarios::{Scenario, all};
use super::steps::{self, Attempt, Step};
use crate::store::audit::Violation;

/// What becomes of the requests from one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// They are not answered: the process is gone.
    Nothing,
    /// They are answered as if nothing had been.
    Answers,
}

/// What happens at the request with a number, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    at: u64,
    fate: Fate,
    after: After,
}

impl Plan {
    const NONE: Self = Self { at: 0, fate: Fate::Answered, after: After::Answers };
}

/// Requests, counted, one of which has another fate.
#[derive(Debug, Clone)]
struct Storm(Arc<Mutex<Plan>>, Arc<AtomicU64>, Arc<Mutex<Vec<String>>>);

impl Weather for Storm {
    fn fate(&self, request: Request<'_>) -> BoxFuture<'static, Fate> {
        let number = self.1.fetch_add(1, Ordering::SeqCst) + 1;
        let plan = *self.0.lock().unwrap();
        let fate = match (plan.at, plan.after) {
            (0, _) => Fate::Answered,
            (at, _) if number < at => Fate::Answered,
            (at, _) if number == at => plan.fate,
            (_, After::Nothing) => Fate::SlowDown,
            (_, After::Answers) => Fate::Answered,
        };
        let Request { operation, name } = request;
        self.2.lock().unwrap().push(format!("{number}: {operation} {name}: {fate:?}"));
        std::future::ready(fate).boxed()
    }
}

/// How the store reaches the bucket: as it is, or by something wrong.
type Wrap<'a> = &'a dyn Fn(MemoryBucket) -> Arc<dyn Bucket>;

/// A bucket, the folder beside it, and the client who remembers.
struct Bay<'a> {
    storm: Storm,
    bucket: MemoryBucket,
    spool: MemoryDisk,
    client: Client,
    scenario: &'a Scenario,
    wrap: Wrap<'a>,
}

impl<'a> Bay<'a> {
    /// Prepares a bucket as a scenario's earlier process has left it.
    async fn new(scenario: &'a Scenario, wrap: Wrap<'a>) -> Self {
        let storm = Storm(Arc::new(Mutex::new(Plan::NONE)), Arc::default(), Arc::default());
        let bucket = MemoryBucket::with_weather(Box::new(storm.clone()));
        let client = Client::new(scenario.before.iter().chain(&scenario.steps));
        let mut bay = Self { storm, bucket, spool: MemoryDisk::new(), client, scenario, wrap };
        if !scenario.before.is_empty() {
            let store = bay.open().await.expect("nothing fails yet");
            let before = bay.client.go_on(&store, &scenario.before, Attempt::First).await;
            before.expect("nothing fails yet");
            bay.client.answered = 0;
        }
        bay
    }

    /// Opens a store, without caches: every look goes to the bucket.
    async fn open(&self) -> Result<Store, Error> {
        let spool = FsBackend::open(Arc::new(self.spool.clone()), Durability::Synced).await?;
        let bucket = (self.wrap)(self.bucket.clone());
        let backend: Arc<dyn Backend> = Arc::new(ObjectBackend::new(bucket, Arc::new(spool), layout::ROOTS));
        steps::open_over(backend, 0).await
    }

    async fn start(&self) -> Result<Store, Violation> {
        let opened = self.open().await;
        opened.map_err(|error| Violation::new("P2", format!("the store does not start again: {error:?}")))
    }

    fn plan(&self, plan: Plan) {
        self.storm.1.store(0, Ordering::SeqCst);
        self.storm.2.lock().unwrap().clear();
        *self.storm.0.lock().unwrap() = plan;
    }

    /// Goes on with the scenario as far as the plan lets it.
    async fn run(&mut self, plan: Plan) {
        self.plan(plan);
        if let Ok(store) = self.open().await {
            let _ = self.client.go_on(&store, &self.scenario.steps, Attempt::First).await;
            drop(store);
        }
        // Parts that were under way have no process any more.
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    /// The process is gone, and the bucket answers again.
    fn heal(&mut self, at: u64) -> Vec<String> {
        *self.storm.0.lock().unwrap() = Plan::NONE;
        if at.is_multiple_of(2) {
            self.spool = MemoryDisk::new();
        }
        self.storm.2.lock().unwrap().clone()
    }

    async fn find(&self) -> Result<(), Violation> {
        self.client.find_in(&self.start().await?, Loss::Nothing, &self.scenario.steps).await
    }

    /// Asks again for everything that was not answered, and looks when what is late has come.
    async fn finish(mut self) -> Result<(), Violation> {
        let store = self.start().await?;
        self.client.end_all(&store, &self.scenario.steps).await?;
        self.bucket.land();
        self.client.audit(&self.start().await?).await?;
        let left = self.bucket.uploads();
        let reclaimed = self.find().await;
        reclaimed.map_err(|mut violation| {
            violation.what.push_str(&format!(" ({left} uploads in parts were left)"));
            violation
        })
    }
}

/// When a late request is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Landing {
    BeforeTheStart,
    AtTheEnd,
}

/// Stops a scenario at every request; returns how many there are, and every case that breaks a promise.
async fn stop_everywhere(scenario: &Scenario, wrap: Wrap<'_>) -> (u64, Vec<Failure>) {
    let mut whole = Bay::new(scenario, wrap).await;
    whole.run(Plan::NONE).await;
    assert_eq!(whole.client.answered, scenario.steps.len(), "{}: all is answered", scenario.name);
    let requests = whole.storm.1.load(Ordering::SeqCst);
    let trace = whole.heal(0);
    let changes = |at: u64| {
        let line = usize::try_from(at).ok().and_then(|at| trace.get(at - 1));
        line.is_some_and(|line| [": put ", ": remove ", ": complete "].iter().any(|it| line.contains(it)))
    };
    let mut failures = Vec::new();
    for at in 1..=requests + 1 {
        let mut fates = vec![(Fate::SlowDown, Landing::BeforeTheStart)];
        if changes(at) {
            fates.push((Fate::AnswerLost, Landing::BeforeTheStart));
            fates.extend([Landing::BeforeTheStart, Landing::AtTheEnd].map(|landing| (Fate::Late, landing)));
        }
        for (fate, landing) in fates {
            let case = format!("bucket {} {at} {fate:?} {landing:?}", scenario.name);
            if is_wanted(&case) {
                let plan = Plan { at, fate, after: After::Nothing };
                failures.extend(stop(scenario, wrap, plan, landing, case).await.err());
            }
        }
    }
    (requests, failures)
}

/// Says whether it is what is known: a removal of a repository's mark that is carried out late takes the mark
/// that a push since then has found and relied on. The catalog lacks the name, and nothing else does (P12).
fn is_known(failure: &Failure) -> bool {
    let is_late_mark = |line: &String| line.contains(": put names/") && line.ends_with("Late");
    failure.violation.what.ends_with("is not in the catalog") && failure.trace.iter().any(is_late_mark)
}

/// Fails with the first failure in full, and the cases of all.
fn tell(failures: &[Failure]) {
    let unknown: Vec<&Failure> = failures.iter().filter(|failure| !is_known(failure)).collect();
    let Some(first) = unknown.first() else { return };
    let cases: Vec<String> = unknown.iter().map(|it| format!("{}: {}", it.case, it.violation)).collect();
    panic!("{first}\nall of them:\n  {}", cases.join("\n  "));
}

async fn stop(
    scenario: &Scenario,
    wrap: Wrap<'_>,
    plan: Plan,
    landing: Landing,
    case: String,
) -> Result<(), Failure> {
    for finishes in [false, true] {
        let mut bay = Bay::new(scenario, wrap).await;
        bay.run(plan).await;
        let trace = bay.heal(plan.at);
        if landing == Landing::BeforeTheStart {
            bay.bucket.land();
        }
        let found = if finishes { bay.finish().await } else { bay.find().await };
        found.map_err(|violation| Failure { case: case.clone(), violation, trace })?;
    }
    Ok(())
}

/// Lets every request of a scenario alone have this fate; returns how many there are, and every case that
/// breaks a promise.
async fn fail_everywhere(scenario: &Scenario, fate: Fate) -> (u64, Vec<Failure>) {
    let (mut at, mut failures) = (0, Vec::new());
    loop {
        at += 1;
        let case = format!("bucket {} {at} {fate:?} alone", scenario.name);
        let mut bay = Bay::new(scenario, &|bucket| Arc::new(bucket)).await;
        bay.plan(Plan { at, fate, after: After::Answers });
        let (requests, result) = fail_once(&mut bay).await;
        let trace = bay.storm.2.lock().unwrap().clone();
        let result = match result {
            Ok(()) => bay.finish().await,
            violation => violation,
        };
        if is_wanted(&case) {
            failures.extend(result.err().map(|violation| Failure { case, violation, trace }));
        }
        if requests < at {
            return (at - 1, failures);
        }
    }
}

/// Takes all steps, and those that fail once more; says how many requests met the storm.
async fn fail_once(bay: &mut Bay<'_>) -> (u64, Result<(), Violation>) {
    let opened = bay.open().await;
    let went = match &opened {
        Ok(store) => bay.client.go_on(store, &bay.scenario.steps, Attempt::First).await,
        Err(_) => Ok(()),
    };
    let requests = bay.storm.1.load(Ordering::SeqCst);
    *bay.storm.0.lock().unwrap() = Plan::NONE;
    let again = async {
        let store = match opened {
            Ok(store) => store,
            Err(_) => bay.start().await?,
        };
        if let Err(error) = went {
            // A collection counts what it could not look at.
            let is_collection = bay.scenario.steps.iter().any(|step| matches!(step, Step::Collect));
            let is_counted = is_collection && matches!(error, Error::Abandoned);
            if !matches!(error, Error::Backend(_)) && !is_counted {
                return Err(Violation::new("P8", format!("a failing bucket was reported as {error:?}")));
            }
            bay.client.audit(&store).await?;
        }
        bay.client.end_all(&store, &bay.scenario.steps).await
    };
    (requests, again.await)
}

/// The scenarios whose names are in a list, or none of which is: so each test takes its share of the time.
fn some(of: &[&str]) -> impl Iterator<Item = Scenario> {
    all().into_iter().filter(move |scenario| of.contains(&scenario.name))
}

async fn check(names: &[&str]) {
    let (mut checked, mut failures) = (0, Vec::new());
    for scenario in some(names) {
        let (requests, failed) = stop_everywhere(&scenario, &|bucket| Arc::new(bucket)).await;
        failures.extend(failed);
        assert!(requests >= 1 || !all_are_wanted(), "{} was hardly tried", scenario.name);
        checked += 1;
    }
    tell(&failures);
    assert_eq!(checked, names.len(), "every scenario has its name");
}

const BLOBS: [&str; 6] = ["start", "start again", "push", "push twice", "mount", "cache"];
const UPLOADS: [&str; 4] = ["chunks", "chunks with sha512", "chunks of an earlier process", "two uploads"];
const MANIFESTS: [&str; 5] = ["manifest", "manifest with tags", "subject", "index", "tag move"];
const DELETES: [&str; 4] = ["tag delete", "manifest delete", "blob delete", "delete and push again"];
const GARBAGE: [&str; 2] = ["collect", "retain"];

#[test]
fn every_scenario_is_in_one_of_the_lists() {
    let mut named: Vec<&str> =
        BLOBS.into_iter().chain(UPLOADS).chain(MANIFESTS).chain(DELETES).chain(GARBAGE).collect();
    let mut there: Vec<&str> = all().iter().map(|scenario| scenario.name).collect();
    named.sort_unstable();
    there.sort_unstable();
    assert_eq!(named, there);
}

#[tokio::test(start_paused = true)]
async fn p2_p3_blobs_survive_a_stop_at_any_request() {
    check(&BLOBS).await;
}

#[tokio::test(start_paused = true)]
async fn p2_p3_uploads_survive_a_stop_at_any_request() {
    check(&UPLOADS).await;
}

#[tokio::test(start_paused = true)]
async fn p2_p3_manifests_and_tags_survive_a_stop_at_any_request() {
    check(&MANIFESTS).await;
}

#[tokio::test(start_paused = true)]
async fn p2_p3_deletes_survive_a_stop_at_any_request() {
    check(&DELETES).await;
}

#[tokio::test(start_paused = true)]
async fn p2_p3_garbage_collection_survives_a_stop_at_any_request() {
    check(&GARBAGE).await;
}

async fn check_alone(fate: Fate) {
    let mut failures = Vec::new();
    for scenario in all() {
        let (requests, failed) = fail_everywhere(&scenario, fate).await;
        failures.extend(failed);
        assert!(requests >= 1 || !all_are_wanted(), "{} was hardly tried", scenario.name);
    }
    tell(&failures);
}

#[tokio::test(start_paused = true)]
async fn p2_p3_a_request_that_is_refused_loses_nothing() {
    check_alone(Fate::SlowDown).await;
}

#[tokio::test(start_paused = true)]
async fn p2_p3_an_answer_that_is_lost_loses_nothing() {
    check_alone(Fate::AnswerLost).await;
}

#[tokio::test(start_paused = true)]
async fn p2_p3_a_request_that_comes_late_loses_nothing() {
    check_alone(Fate::Late).await;
}

#[tokio::test(start_paused = true)]
async fn p2_p3_a_write_that_is_refused_by_itself_loses_nothing() {
    check_alone(Fate::Refused).await;
}

#[tokio::test(start_paused = true)]
async fn p2_p3_a_conflict_loses_nothing() {
    check_alone(Fate::Conflict).await;
}

/// A bucket that takes conditions and writes all the same, as some servers do.
#[derive(Debug)]
struct Careless(MemoryBucket);

#[async_trait::async_trait]
impl Bucket for Careless {
    async fn get(&self, name: &str, bytes_max: Option<u64>) -> Result<Option<Object>, BackendError> {
        self.0.get(name, bytes_max).await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, BackendError> {
        self.0.size(name).await
    }

    fn stream(&self, name: &str, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BackendError>> {
        self.0.stream(name, range)
    }

    async fn put(&self, name: &str, bytes: Bytes, _when: Put) -> Result<Option<Version>, BackendError> {
        self.0.put(name, bytes, Put::Any).await
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), BackendError> {
        self.0.remove(names).await
    }

    async fn children(&self, prefix: &str) -> Result<Children, BackendError> {
        self.0.children(prefix).await
    }

    fn walk(&self, prefix: &str) -> BoxStream<'static, Result<Meta, BackendError>> {
        self.0.walk(prefix)
    }

    async fn begin(&self, name: &str) -> Result<String, BackendError> {
        self.0.begin(name).await
    }

    async fn part(&self, name: &str, upload: &str, at: usize, bytes: Bytes) -> Result<String, BackendError> {
        self.0.part(name, upload, at, bytes).await
    }

    async fn complete(&self, name: &str, upload: &str, tags: &[String]) -> Result<(), BackendError> {
        self.0.complete(name, upload, tags).await
    }

    async fn abort(&self, name: &str, upload: &str) -> Result<(), BackendError> {
        self.0.abort(name, upload).await
    }

    async fn link(&self, name: &str, valid_for: Duration) -> Result<Option<String>, BackendError> {
        self.0.link(name, valid_for).await
    }
}

/// The audit is no rubber stamp.
#[tokio::test(start_paused = true)]
async fn planted_conditions_that_are_ignored_are_caught() {
    for scenario in some(&["tag move", "tag delete", "blob delete"]) {
        let (_, failures) = stop_everywhere(&scenario, &|bucket| Arc::new(Careless(bucket))).await;
        let is_late = |failure: &Failure| failure.case.contains("Late") && failure.violation.promise == "P2";
        assert!(failures.iter().any(is_late) || !all_are_wanted(), "{}: {failures:?}", scenario.name);
    }
}
