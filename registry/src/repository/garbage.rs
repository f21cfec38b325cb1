//! Garbage collection of a server's stores, and when hosted manifests were pulled, which retention asks for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Repositories;
use crate::oci::{Digest, RepositoryName};
use crate::store::gc::{Clients, Mode, Orphans, Report, Request};
use crate::store::{self, RepositoryKey, Space, Store};
use crate::telemetry::WithCauses;

/// How often it is looked whether the time to begin has come.
const WINDOW_INTERVAL: Duration = Duration::from_secs(60);

impl Repositories {
    /// Makes what is asked of a run over a store: garbage goes, what is cached of any upstream stays.
    pub fn garbage_request(&self, store: &Store, clients: Clients) -> Request {
        let routes = self.routes();
        let names = routes.all().map(|upstream| upstream.name());
        let own = names.filter(|name| self.0.stores.of_upstream(name).is(store));
        let upstreams: BTreeSet<String> = own.map(ToString::to_string).collect();
        let this = self.clone();
        Request {
            mode: Mode::Remove,
            clients,
            upstreams: Some(upstreams),
            orphans: Orphans::Keep,
            pulls: Arc::new(move |repository, digest| {
                this.0.pulls.find(&(whose(&repository.space), repository.name.clone(), *digest))
            }),
            told: Arc::new(|item| tracing::debug!("removed {item}")),
        }
    }

    /// Collects the garbage of a store again and again, for as long as it is awaited.
    pub async fn keep_clean(&self, store: &Store) {
        let options = store.gc().clone();
        if !options.enable {
            return;
        }
        // A server that is started anew more often than that would never come to it.
        let mut pause = options.interval.min(options.delay);
        loop {
            tokio::time::sleep(pause).await;
            if options.window.is_some_and(|window| !window.has(self.0.clock.now())) {
                pause = options.interval.min(WINDOW_INTERVAL);
                continue;
            }
            pause = options.interval;
            let began = Instant::now();
            let collected = store.collect_garbage(&self.garbage_request(store, Clients::Served)).await;
            observe(&collected, began.elapsed());
        }
    }

    /// Notes that a hosted manifest was pulled, where retention asks for it.
    pub(super) fn note_hosted_pull(&self, name: &RepositoryName, digest: Digest) {
        let repository = RepositoryKey::hosted(name.clone());
        if !self.at(&repository).needs_pulls() {
            return;
        }
        let now = self.0.clock.now();
        if self.0.pulls.set((whose(&Space::Hosted), name.clone(), digest), now) {
            let store = self.at(&repository).clone();
            tokio::spawn(async move {
                if let Err(error) = store.note_pull(&repository, &digest, now).await
                    && !error.is_standing()
                {
                    tracing::warn!(
                        error = %WithCauses(&error),
                        "when a manifest was pulled could not be written down; a restart makes it older"
                    );
                }
            });
        }
    }
}

/// Returns what stands for a space among the times of pulls; no upstream has an empty name.
fn whose(space: &Space) -> Arc<str> {
    match space {
        Space::Hosted => Arc::from(""),
        Space::Upstream(upstream) => Arc::clone(upstream),
    }
}

/// Logs and counts a run.
fn observe(collected: &Result<Report, store::Error>, took: Duration) {
    let outcome = if collected.is_ok() { "done" } else { "failed" };
    metrics::counter!("wharfinger_gc_runs_total", "outcome" => outcome).increment(1);
    metrics::histogram!("wharfinger_gc_run_seconds").record(took.as_secs_f64());
    let report = match collected {
        Ok(report) => report,
        Err(error) => {
            tracing::warn!(error = %WithCauses(error), "garbage could not be looked for; it stays until the next time");
            return;
        }
    };
    let (mut objects, mut bytes) = (0, 0);
    for (kind, amount) in &report.removed {
        metrics::counter!("wharfinger_gc_removed_objects_total", "kind" => kind.as_str())
            .increment(amount.objects);
        metrics::counter!("wharfinger_gc_removed_bytes_total", "kind" => kind.as_str())
            .increment(amount.bytes);
        objects += amount.objects;
        bytes += amount.bytes;
    }
    for (kind, objects) in &report.spared {
        metrics::counter!("wharfinger_retention_spared_total", "kind" => kind.as_str()).increment(*objects);
    }
    metrics::counter!("wharfinger_gc_failures_total").increment(report.failures);
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        gc.objects = objects,
        gc.bytes = bytes,
        gc.failures = report.failures,
        duration_ms,
        "garbage was looked for"
    );
}
