//! Reading the configuration again while the server serves.
//!
//! It is read at SIGHUP, and when the file or a file that it names has changed, which is looked for every few
//! seconds: by what the paths lead to, so that a ConfigMap's link that is swapped is seen. What a new file says of
//! access, of the log's level and of the rates holds from then on; what it says of anything else takes a restart,
//! and the log says which. A file with faults changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::keep::InStore;
use crate::auth::Access;
use crate::clock::Clock;
use crate::config::{self, Config, Faults};
use crate::http::App;
use crate::http::watched::Watched;
use crate::telemetry::{self, WithCauses};

/// How often files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Where a configuration came from.
#[derive(Clone)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// What the command line says otherwise.
    pub adjust: Arc<dyn Fn(&mut Config) + Send + Sync>,
}

/// What is reloaded, and into what.
pub(super) struct Reloads {
    pub(super) source: Source,
    pub(super) app: App,
    pub(super) keep: Arc<InStore>,
    pub(super) clock: Clock,
    /// What holds now, of what can be reloaded; of the rest, what held at the start.
    pub(super) config: Config,
}

impl Reloads {
    /// Goes on until the server ends.
    pub(super) async fn watch(mut self) {
        let mut hang_up = match signal(SignalKind::hangup()) {
            Ok(hang_up) => hang_up,
            Err(error) => {
                tracing::warn!(error = %WithCauses(&error), "SIGHUP cannot be waited for");
                return;
            }
        };
        let mut files = self.watch_files().await;
        loop {
            let is_asked = asked(&mut hang_up).await;
            let (looked, has_changed) = look(files).await;
            files = looked;
            if is_asked || has_changed {
                // Looked at before it is read, so that what changes meanwhile is seen the next time.
                let key_file = self.config.auth.token.key_file.clone();
                files = self.watch_files().await;
                self.reload().await;
                if self.config.auth.token.key_file != key_file {
                    files = self.watch_files().await;
                }
            }
        }
    }

    /// Looks at the files that are read, for what changes from now on.
    async fn watch_files(&self) -> Watched {
        let files = [Some(self.source.file.clone()), self.config.auth.token.key_file.clone()];
        let watch = move || Watched::new(files.into_iter().flatten());
        tokio::task::spawn_blocking(watch).await.unwrap_or_else(|_| Watched::new([]))
    }

    async fn reload(&mut self) {
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let mut loaded = config::load(&source.file)?;
            (source.adjust)(&mut loaded.config);
            Ok(loaded)
        });
        let outcome = match loaded.await {
            Ok(Ok(loaded)) => {
                for warning in &loaded.warnings {
                    tracing::warn!(config.path = %warning.path, "{}", warning.message);
                }
                self.apply(loaded.config).await
            }
            Ok(Err(faults)) => {
                self.tell(&faults);
                Outcome::Refused
            }
            Err(_) => return,
        };
        metrics::counter!("wharfinger_config_reloads_total", "outcome" => outcome.as_str()).increment(1);
        let age = self.clock.now();
        if outcome == Outcome::Applied {
            tracing::info!(config.file = %self.source.file.display(), config.read_at = %age, "the configuration was read again");
        }
    }

    fn tell(&self, faults: &Faults) {
        let file = self.source.file.display();
        for fault in &faults.faults {
            tracing::error!(config.file = %file, config.path = %fault.path, "{}", fault.message);
        }
        tracing::error!(
            config.file = %file,
            config.faults = faults.faults.len(),
            "the configuration has faults and changes nothing: what held before goes on"
        );
    }

    /// Makes hold what can without a restart.
    async fn apply(&mut self, new: Config) -> Outcome {
        // Keys and accounts are read anew even where the file says the same.
        let keep: Arc<InStore> = Arc::clone(&self.keep);
        match Access::open(&new.auth, keep, self.clock.clone()).await {
            Ok(access) => self.app.replace_access(access),
            Err(error) => {
                tracing::error!(
                    error = %WithCauses(&error),
                    "what the configuration says of access cannot be used: what held before goes on"
                );
                return Outcome::Refused;
            }
        }
        if new.log.level != self.config.log.level {
            telemetry::set_level(&new.log.level);
        }
        if new.http.rates != self.config.http.rates {
            self.app.replace_rates(&new.http.rates);
        }
        for section in needs_restart(&self.config, &new) {
            tracing::warn!(config.path = section, "has changed, which takes a restart");
        }
        self.config.auth = new.auth;
        self.config.log.level = new.log.level;
        self.config.http.rates = new.http.rates;
        Outcome::Applied
    }
}

/// Looks whether a file has changed.
async fn look(mut files: Watched) -> (Watched, bool) {
    let look = move || {
        let has_changed = files.changed();
        (files, has_changed)
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| (Watched::new([]), true))
}

/// Waits until it is time to look, and says whether somebody asks for more than a look.
async fn asked(hang_up: &mut Signal) -> bool {
    tokio::select! {
        Some(()) = hang_up.recv() => true,
        () = tokio::time::sleep(LOOK_INTERVAL) => false,
    }
}

/// Names what differs and cannot be changed while the server serves.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut http = new.http.clone();
    http.rates = old.http.rates.clone();
    let parts = [
        ("http", http != old.http),
        ("storage", new.store != old.store || new.stores_by_component != old.stores_by_component),
        (
            "extensions.sync",
            new.upstreams != old.upstreams
                || new.repositories != old.repositories
                || new.stores_by_upstream != old.stores_by_upstream,
        ),
        ("extensions.metrics", new.metrics != old.metrics),
        ("extensions.scrub", new.scrub != old.scrub),
        ("log.format", new.log.format != old.log.format),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Applied,
    Refused,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}
