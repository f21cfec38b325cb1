//! The regular scrub: every store is looked at in its turn, slowly, and what it finds is acted on, logged and
//! counted.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::options::ScrubOptions;
use crate::clock::{Clock, Timestamp};
use crate::repository::{Repositories, Stores};
use crate::store::scrub::{Acting, By, Digest, Finding, From, Lost, Options, Phase, Progress, Report, Watch};
use crate::store::{RepositoryKey, Store};
use crate::telemetry::WithCauses;

/// How often the log says how far a scrub is.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// How many findings of a run are logged by themselves; the rest is counted.
const LOGGED_MAX: u64 = 1_000;
/// How soon a scrub that is due is begun at the earliest after the one before it.
const REST: Duration = Duration::from_secs(60);

/// Scrubs the stores, one after another, each when it is due, for as long as it is awaited.
pub async fn keep_scrubbed(stores: Stores, repositories: Repositories, options: ScrubOptions, clock: Clock) {
    if !options.enable {
        return;
    }
    loop {
        let mut next = options.interval;
        for store in stores.all() {
            next = next.min(scrub_when_due(store, &repositories, options, &clock).await);
        }
        tokio::time::sleep(next.max(REST)).await;
    }
}

/// Scrubs a store if that is due; returns how long after now the next time is.
async fn scrub_when_due(
    store: &Store,
    repositories: &Repositories,
    options: ScrubOptions,
    clock: &Clock,
) -> Duration {
    // One that was broken off is due at once, and goes on where it stood.
    if let Some(at) = store.scrubbed_at().await {
        let left = options.interval.saturating_sub(clock.now().since(at));
        if !left.is_zero() {
            return left;
        }
    }
    let begun = clock.now();
    scrub(store, repositories, options, clock).await;
    options.interval.saturating_sub(clock.now().since(begun))
}

async fn scrub(store: &Store, repositories: &Repositories, options: ScrubOptions, clock: &Clock) {
    metrics::gauge!("wharfinger_scrub_started_timestamp_seconds").set(seconds(clock.now()));
    tracing::info!("a scrub begins");
    let log = Log { repositories: repositories.clone(), told: Mutex::new(Told::new()) };
    let how = Options {
        bytes_per_second: Some(options.bytes_per_second),
        acting: Acting::Repair,
        from: From::WhereItStood(By::Server),
    };
    let report = store.scrub(how, &log).await;
    metrics::gauge!("wharfinger_scrub_ended_timestamp_seconds").set(seconds(clock.now()));
    metrics::gauge!("wharfinger_scrub_unsettled").set(as_gauge(report.unsettled()));
    metrics::gauge!("wharfinger_quarantine_objects").set(as_gauge(report.quarantined));
    metrics::counter!("wharfinger_scrub_runs_total", "outcome" => outcome(&report)).increment(1);
    tell_end(&report);
}

/// Says how a run has ended.
fn outcome(report: &Report) -> &'static str {
    match (report.total(), report.unsettled()) {
        (0, _) => "sound",
        (_, 0) => "repaired",
        _ => "damaged",
    }
}

fn tell_end(report: &Report) {
    let (objects, bytes, repositories) = (report.objects, report.bytes, report.repositories);
    let (findings, unsettled) = (report.total(), report.unsettled());
    if unsettled == 0 {
        tracing::info!(
            scrub.objects = objects,
            scrub.bytes = bytes,
            scrub.repositories = repositories,
            scrub.findings = findings,
            scrub.unsettled = unsettled,
            "a scrub has ended"
        );
    } else {
        tracing::error!(
            scrub.objects = objects,
            scrub.bytes = bytes,
            scrub.repositories = repositories,
            scrub.findings = findings,
            scrub.unsettled = unsettled,
            "a scrub has ended, and something is wrong that it could not make good"
        );
    }
}

/// Who hears of a run: the log, the metrics, and the upstreams that are asked for what was lost.
#[derive(Debug)]
struct Log {
    repositories: Repositories,
    told: Mutex<Told>,
}

/// What was told so far.
#[derive(Debug)]
struct Told {
    at: Instant,
    progress: Option<Progress>,
    findings: u64,
}

impl Told {
    fn new() -> Self {
        Self { at: Instant::now(), progress: None, findings: 0 }
    }
}

#[async_trait::async_trait]
impl Watch for Log {
    fn progress(&self, progress: &Progress) {
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A run that goes on begins with what was counted before it.
        let before = told.progress.replace(*progress).unwrap_or(*progress);
        metrics::counter!("wharfinger_scrub_bytes_total").increment(progress.bytes - before.bytes);
        metrics::counter!("wharfinger_scrub_objects_total").increment(progress.objects - before.objects);
        if told.at.elapsed() < TOLD_EVERY {
            return;
        }
        told.at = Instant::now();
        let phase = match progress.phase {
            Phase::Content => "content",
            Phase::Structure => "structure",
        };
        tracing::info!(
            scrub.phase = phase,
            scrub.objects = progress.objects,
            scrub.objects_total = progress.objects_total,
            scrub.bytes = progress.bytes,
            scrub.repositories = progress.repositories,
            "a scrub goes on"
        );
    }

    fn finding(&self, finding: &Finding) {
        let Finding { kind, key, detail, done, .. } = finding;
        metrics::counter!("wharfinger_scrub_findings_total", "kind" => kind.name(), "done" => done.name())
            .increment(1);
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        told.findings += 1;
        if told.findings > LOGGED_MAX {
            return;
        }
        if done.is_settled() {
            tracing::warn!(scrub.kind = %kind, scrub.key = %key, scrub.done = %done,
                "a scrub has found and made good: {}: {detail}", finding.subject());
        } else {
            tracing::error!(scrub.kind = %kind, scrub.key = %key, scrub.done = %done,
                "a scrub has found: {}: {detail}", finding.subject());
        }
    }

    async fn refetch(&self, repository: &RepositoryKey, digest: &Digest, lost: Lost) -> bool {
        match self.repositories.refetch(repository, digest, lost).await {
            Ok(was_asked) => was_asked,
            Err(error) => {
                tracing::warn!(repo.name = %repository, blob.digest = %digest,
                    error = %WithCauses(&error),
                    "what a cache has lost could not be fetched again yet; whoever asks for it has it fetched");
                false
            }
        }
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.since(Timestamp::from_millis(0)).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no count comes near 2^52.")]
const fn as_gauge(count: u64) -> f64 {
    count as f64
}
