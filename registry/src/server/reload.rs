//! Reading the configuration again while the server serves.
//!
//! It is read at SIGHUP, and when the file or a file that it names has changed, which is looked for every few
//! seconds: by what the paths lead to, so that a ConfigMap's link that is swapped is seen. What a new file says of
//! access, of upstreams, of retention, of the log's level and of the rates holds from then on; what it says of
//! anything else takes a restart, and the log says which. A file with faults changes nothing.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::StartError;
use super::keep::InStore;
use super::upstreams::Upstreams;
use crate::auth::{self, Access, Anew};
use crate::clock::Clock;
use crate::config::{self, Config, Faults, Loaded};
use crate::http::App;
use crate::http::watched::Watched;
use crate::repository::{Repositories, Stores};
use crate::store::options::Options as StoreOptions;
use crate::store::options::retention::Retention;
use crate::store::{self, Store};
use crate::telemetry::{self, WithCauses};
use crate::upstream::Routes;
use crate::upstream::options::Options as UpstreamOptions;

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
    pub(super) stores: Stores,
    pub(super) repositories: Repositories,
    pub(super) upstreams: Upstreams,
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
        let mut paths = self.paths();
        let mut files = watch_files(paths.clone()).await;
        // What has changed since the file was read at the start counts as a change that is just seen.
        let (_, is_unsettled) = look(self.source.seen.clone()).await;
        let mut settling = Settling { is_unsettled };
        loop {
            let asked = asked(&mut hang_up).await;
            let (looked, has_changed) = look(files).await;
            files = looked;
            let Some(anew) = settling.look(asked, has_changed) else { continue };
            let loaded = self.load().await;
            let (looked, has_changed) = look(files).await;
            files = looked;
            if settling.has_read(anew, has_changed) {
                self.reload(loaded, anew).await;
            }
            if self.paths() != paths {
                paths = self.paths();
                files = watch_files(paths.clone()).await;
                // They may have changed between being read and being looked at.
                settling.is_unsettled = true;
            }
        }
    }

    /// Returns the files that are read.
    fn paths(&self) -> Vec<PathBuf> {
        let own = [Some(self.source.file.clone()), self.config.auth.token.key_file.clone()];
        own.into_iter().flatten().chain(self.upstreams.files()).collect()
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
        // First what can fail, so that nothing holds of a file of which something cannot.
        let Some(prepared) = self.prepare(&new, anew).await else { return Outcome::Refused };
        if let Some((upstreams, routes)) = prepared.upstreams {
            self.upstreams = upstreams;
            self.repositories.replace_routes(routes);
        }
        // With the upstreams, so that no request is judged by one file and served by another.
        self.app.replace_access(Arc::new(prepared.access));
        self.replace_retention(&new);
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

    /// Does what may fail, and returns what is to be put in place then; tells of what cannot be used.
    async fn prepare(&self, new: &Config, anew: Anew) -> Option<Prepared> {
        let (keep, old) = (Arc::clone(&self.keep), self.app.access());
        let opening = old.open_again(&self.config.auth, &new.auth, anew, keep, self.clock.clone());
        let access = usable("http.auth", opening.await)?;
        let upstreams = usable("extensions.sync", self.renew_upstreams(new).await?)?;
        usable("storage.retention", self.prepare_retention(new).await)?;
        Some(Prepared { access, upstreams })
    }

    /// Makes the clients of the upstreams anew that are to be others; `None` when that panicked.
    async fn renew_upstreams(&self, new: &Config) -> Option<Result<Renewed, StartError>> {
        let (old, all) = (self.upstreams.clone(), self.upstreams_with_stores(new));
        let renew = move || {
            let renewed = old.renewed(&all)?;
            if renewed.is_same(&old) {
                return Ok(None);
            }
            let routes = renewed.routes()?;
            Ok(Some((renewed, routes)))
        };
        tokio::task::spawn_blocking(renew).await.ok()
    }

    /// Returns the upstreams of a new configuration; of one whose store is not open what held before, if anything.
    fn upstreams_with_stores(&self, new: &Config) -> Vec<UpstreamOptions> {
        let mut all = Vec::new();
        for options in &new.upstreams {
            if is_open(&self.config, new, &options.name) {
                all.push(options.clone());
            } else {
                all.extend(self.upstreams.find(&options.name).cloned());
            }
        }
        all
    }

    /// Returns the stores of hosted names whose retention is to be another, but for those that are to be elsewhere.
    fn retentions<'a>(&'a self, new: &'a Config) -> Vec<(&'a Store, &'a Retention)> {
        let (old, stores) = (&self.config, &self.stores);
        let by_component = old.stores_by_component.iter().filter_map(|(component, old)| {
            Some((stores.of_component(component)?, old, new.stores_by_component.get(component)?))
        });
        let all = std::iter::once((stores.main(), &old.store, &new.store)).chain(by_component);
        // What is kept of one store is never carried out on another.
        let same = all.filter(|(_, old, new)| old.place == new.place && old.retention != new.retention);
        same.map(|(store, _, new)| (store, &new.retention)).collect()
    }

    async fn prepare_retention(&self, new: &Config) -> Result<(), store::Error> {
        for (store, retention) in self.retentions(new) {
            store.prepare_retention(retention).await?;
        }
        Ok(())
    }

    fn replace_retention(&mut self, new: &Config) {
        for (store, retention) in self.retentions(new) {
            store.replace_retention(retention.clone());
        }
        let old = &mut self.config;
        for (component, old) in &mut old.stores_by_component {
            if let Some(new) = new.stores_by_component.get(component).filter(|new| new.place == old.place) {
                old.retention = new.retention.clone();
            }
        }
        if old.store.place == new.store.place {
            old.store.retention = new.store.retention.clone();
        }
    }
}

/// What has been made of a new configuration.
struct Prepared {
    access: Access,
    upstreams: Renewed,
}

/// Upstreams, and what each answers for; `None` when they are the same as before.
type Renewed = Option<(Upstreams, Routes)>;

/// Tells of what cannot be used.
fn usable<T, E: Error + 'static>(path: &'static str, made: Result<T, E>) -> Option<T> {
    let told = |error: &E| {
        tracing::error!(
            config.path = path,
            error = %WithCauses(error),
            "what the configuration says there cannot be used: what held before goes on"
        );
    };
    made.inspect_err(told).ok()
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

/// Says whether the store that an upstream is to have is open.
fn is_open(old: &Config, new: &Config, upstream: &str) -> bool {
    let place =
        |config: &Config| config.stores_by_upstream.get(upstream).map(|options| options.place.clone());
    place(old) == place(new)
}

/// Says whether the stores of upstreams have changed, but for those of upstreams that are no more.
fn upstreams_need_restart(old: &Config, new: &Config) -> bool {
    let of = |config: &Config, name: &str| config.stores_by_upstream.get(name).map(but_retention);
    new.upstreams.iter().any(|it| of(old, &it.name) != of(new, &it.name))
}

/// Returns what takes a restart of the options of a store.
fn but_retention(options: &StoreOptions) -> StoreOptions {
    StoreOptions { retention: Retention::default(), ..options.clone() }
}

fn all_but_retention(stores: &BTreeMap<String, StoreOptions>) -> BTreeMap<&String, StoreOptions> {
    stores.iter().map(|(name, options)| (name, but_retention(options))).collect()
}

/// Looks at files, for what changes from now on.
async fn watch_files(paths: Vec<PathBuf>) -> Watched {
    tokio::task::spawn_blocking(move || Watched::new(paths)).await.unwrap_or_else(|_| Watched::new([]))
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
        ("storage", but_retention(&old.store) != but_retention(&new.store)),
        (
            "storage.subPaths",
            all_but_retention(&old.stores_by_component) != all_but_retention(&new.stores_by_component),
        ),
        ("extensions.sync.registries[].storage", upstreams_need_restart(old, new)),
        (
            "extensions.sync.backgroundFills",
            new.repositories.background_fills_max != old.repositories.background_fills_max,
        ),
        (
            "extensions.sync.unknownNamespace",
            new.repositories.unknown_namespace != old.repositories.unknown_namespace,
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
