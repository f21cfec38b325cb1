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
use crate::auth::{self, Anew};
use crate::clock::Clock;
use crate::config::{self, Config, Faults, Loaded};
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
    /// What it looked like before it was read.
    pub seen: Watched,
    /// What the command line says otherwise.
    pub adjust: Arc<dyn Fn(&mut Config) + Send + Sync>,
}

impl Source {
    /// Looks at a file that is read afterwards: what changes in between is read again.
    pub fn before(file: PathBuf) -> Watched {
        Watched::new([file])
    }
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
        // What has changed since the file was read at the start counts as a change that is just seen.
        let (_, is_unsettled) = look(self.source.seen.clone()).await;
        let mut settling = Settling { is_unsettled };
        loop {
            let asked = asked(&mut hang_up).await;
            let (looked, has_changed) = look(files).await;
            files = looked;
            let Some(anew) = settling.look(asked, has_changed) else { continue };
            let key_file = self.config.auth.token.key_file.clone();
            let loaded = self.load().await;
            let (looked, has_changed) = look(files).await;
            files = looked;
            if settling.has_read(anew, has_changed) {
                self.reload(loaded, anew).await;
            }
            if self.config.auth.token.key_file != key_file {
                files = self.watch_files().await;
            }
        }
    }

    /// Looks at the files that are read, for what changes from now on.
    async fn watch_files(&self) -> Watched {
        let files = [Some(self.source.file.clone()), self.config.auth.token.key_file.clone()];
        let watch = move || Watched::new(files.into_iter().flatten());
        tokio::task::spawn_blocking(watch).await.unwrap_or_else(|_| Watched::new([]))
    }

    /// Reads the file; `None` when reading it panicked.
    async fn load(&self) -> Option<Result<Loaded, Faults>> {
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let mut loaded = config::load(&source.file)?;
            (source.adjust)(&mut loaded.config);
            Ok(loaded)
        });
        loaded.await.ok()
    }

    async fn reload(&mut self, loaded: Option<Result<Loaded, Faults>>, anew: Anew) {
        let outcome = match loaded {
            Some(Ok(loaded)) => {
                for warning in &loaded.warnings {
                    tracing::warn!(config.path = %warning.path, "{}", warning.message);
                }
                self.apply(loaded.config, anew).await
            }
            Some(Err(faults)) => {
                self.tell(&faults);
                Outcome::Refused
            }
            None => return,
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
    async fn apply(&mut self, new: Config, anew: Anew) -> Outcome {
        if let Some(path) = opens(&self.config.auth, &new.auth) {
            tracing::error!(
                config.path = path,
                "is gone, so that everybody could do what few may: nothing of the file holds, and this takes a restart"
            );
            return Outcome::Refused;
        }
        let (keep, old) = (Arc::clone(&self.keep), self.app.access());
        match old.open_again(&self.config.auth, &new.auth, anew, keep, self.clock.clone()).await {
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

/// Tells when files have changed and are left alone by whoever writes them.
#[derive(Debug, Default)]
struct Settling {
    is_unsettled: bool,
}

impl Settling {
    /// Takes what one look has seen, and says whether the files are to be read now.
    fn look(&mut self, asked: Asked, has_changed: bool) -> Option<Anew> {
        let was_unsettled = std::mem::replace(&mut self.is_unsettled, has_changed);
        match asked {
            Asked::BySignal => Some(Anew::Everything),
            Asked::ByTime => (was_unsettled && !has_changed).then_some(Anew::WhatDiffers),
        }
    }

    /// Takes whether the files have changed while they were read, and says whether what was read counts.
    fn has_read(&mut self, anew: Anew, has_changed: bool) -> bool {
        self.is_unsettled |= has_changed;
        !has_changed || anew == Anew::Everything
    }
}

/// Returns what a reload would take away so that strangers could do more; `None` when it takes away nothing.
fn opens(old: &auth::options::Options, new: &auth::options::Options) -> Option<&'static str> {
    if old.knows_accounts() && !new.knows_accounts() {
        return Some("http.auth");
    }
    (old.access.is_some() && new.access.is_none()).then_some("http.accessControl")
}

/// Looks whether a file has changed.
async fn look(mut files: Watched) -> (Watched, bool) {
    let look = move || {
        let has_changed = files.changed();
        (files, has_changed)
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| (Watched::new([]), true))
}

/// Why files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    BySignal,
    ByTime,
}

/// Waits until it is time to look, or somebody asks for more than a look.
async fn asked(hang_up: &mut Signal) -> Asked {
    tokio::select! {
        Some(()) = hang_up.recv() => Asked::BySignal,
        () = tokio::time::sleep(LOOK_INTERVAL) => Asked::ByTime,
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
        ("log.output", new.log.output != old.log.output),
        ("log.audit", new.log.audit != old.log.audit),
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

#[cfg(test)]
mod tests {
    //! Goal: no half of a file is taken for the whole, and no reload opens what was closed. Method: sequences of
    //! looks, and a table of options.

    use super::*;
    use crate::auth::options::{AccessControl, Options};

    #[test]
    fn a_file_is_read_once_it_is_left_alone() {
        let mut settling = Settling::default();
        let mut look = |has_changed| settling.look(Asked::ByTime, has_changed);
        assert_eq!([false, true, true, true].map(&mut look), [None; 4], "it is being written");
        assert_eq!(look(false), Some(Anew::WhatDiffers));
        assert_eq!([false, false].map(&mut look), [None; 2], "it has been read");
        assert_eq!(settling.look(Asked::BySignal, false), Some(Anew::Everything));
        // What was read while it changed is not taken, and is read again.
        assert_eq!([true, false].map(|it| settling.look(Asked::ByTime, it)), [None, Some(Anew::WhatDiffers)]);
        assert!(!settling.has_read(Anew::WhatDiffers, true));
        assert_eq!(settling.look(Asked::ByTime, false), Some(Anew::WhatDiffers));
        assert!(settling.has_read(Anew::WhatDiffers, false));
        assert_eq!(settling.look(Asked::ByTime, false), None);
        // Who asks is answered, and what changed meanwhile is read as well.
        assert_eq!(settling.look(Asked::BySignal, true), Some(Anew::Everything));
        assert!(settling.has_read(Anew::Everything, true));
        assert_eq!(settling.look(Asked::ByTime, false), Some(Anew::WhatDiffers));
    }

    #[test]
    fn what_closed_stays_until_a_restart() {
        let open = Options::default;
        let accounts = || Options { htpasswd: Some("a".into()), ..open() };
        let rules = || Options { access: Some(AccessControl::default()), ..open() };
        let both = || Options { access: rules().access, ..accounts() };
        for (old, new, expect) in [
            (open(), both(), None),
            (accounts(), both(), None),
            (both(), both(), None),
            (open(), open(), None),
            (accounts(), Options { htpasswd: Some("b".into()), ..open() }, None),
            (accounts(), open(), Some("http.auth")),
            (both(), rules(), Some("http.auth")),
            (both(), accounts(), Some("http.accessControl")),
            (rules(), open(), Some("http.accessControl")),
            (both(), open(), Some("http.auth")),
        ] {
            assert_eq!(opens(&old, &new), expect, "{old:?} {new:?}");
        }
    }
}
