//! What goes on beside the requests, until the server ends.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::Config;
use crate::extensions::scrub::keep_scrubbed;
use crate::repository::{Repositories, Stores};
use crate::store::Store;
use crate::telemetry::WithCauses;
use crate::telemetry::audit::Audit;

/// Starts it.
pub(super) fn start(stores: &Stores, repositories: &Repositories, config: &Config) -> JoinSet<()> {
    let mut background = JoinSet::new();
    for store in stores.all() {
        background.spawn(unmark_empty_names(store.clone()));
        background.spawn(expire_uploads(store.clone()));
        background.spawn(look_at_claims(store.clone()));
        let (all, store) = (repositories.clone(), store.clone());
        background.spawn(async move { all.keep_clean(&store).await });
    }
    let all = repositories.clone();
    background.spawn(async move { all.keep_within_bounds().await });
    let all = repositories.clone();
    background.spawn(async move { all.keep_mirrored().await });
    background.spawn(keep_scrubbed(stores.clone(), repositories.clone(), config.scrub, Clock::system()));
    background
}

async fn unmark_empty_names(store: Store) {
    if let Err(error) = store.unmark_empty_names().await {
        tracing::warn!(error = %WithCauses(&error), "repositories could not be looked through");
    }
}

/// How often the claims of other processes are looked at.
const CLAIMS_INTERVAL: Duration = Duration::from_secs(60);

async fn look_at_claims(store: Store) {
    loop {
        if let Err(error) = store.look_at_claims().await {
            tracing::warn!(error = %WithCauses(&error), "claims could not be looked at");
        }
        tokio::time::sleep(CLAIMS_INTERVAL).await;
    }
}

/// How often uploads are looked through at most.
const EXPIRY_INTERVAL_MAX: Duration = Duration::from_secs(600);
const EXPIRY_INTERVAL_MIN: Duration = Duration::from_secs(1);

async fn expire_uploads(store: Store) {
    let interval = (store.upload_expiry() / 4).clamp(EXPIRY_INTERVAL_MIN, EXPIRY_INTERVAL_MAX);
    loop {
        tokio::time::sleep(interval).await;
        if let Err(error) = store.expire_fills().await {
            tracing::warn!(
                error = %WithCauses(&error),
                "fetches that stand still could not be removed"
            );
        }
        match store.expire_uploads().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(uploads.expired = count, "uploads that stood still were removed"),
            Err(error) => {
                tracing::warn!(
                    error = %WithCauses(&error),
                    "uploads could not be looked through"
                );
            }
        }
    }
}

/// Opens the audit log anew at each SIGHUP, as those who rotate logs ask for it.
pub(super) async fn renew_on_hangup(audit: Audit) {
    // Without it, the log is opened anew with its next line.
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        audit.renew().await;
    }
}

/// The exporter keeps samples until it is told to fold them.
pub(super) async fn upkeep(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.run_upkeep();
    }
}
