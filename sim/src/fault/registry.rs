//! The rules that are installed now, and how often each has really happened.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

use super::{Fault, Place, Rule};
use crate::{locked, origin::LiveExchange, rng::Rng};

/// The most paths that one rule counts; requests to further paths are not hit.
const PATHS_MAX: usize = 100_000;

/// Holds the installed rules of one origin.
#[derive(Debug)]
pub(crate) struct Faults {
    installed: Mutex<Vec<Arc<Installed>>>,
    /// Whether there ever was a challenge: who was told of a token service may come back to it.
    challenged: AtomicBool,
    refusals: watch::Sender<usize>,
}

#[derive(Debug)]
struct Installed {
    rule: Rule,
    seed: u64,
    seen: Mutex<HashMap<String, u64>>,
    fired: AtomicU64,
}

/// Keeps a rule installed; dropping it takes the rule out.
///
/// A response that the fault has already been chosen for still suffers it after the drop.
#[derive(Debug)]
#[must_use = "the fault is taken out again when its guard is dropped"]
pub struct Guard {
    faults: Arc<Faults>,
    installed: Arc<Installed>,
}

/// One fault chosen for one request. It has happened only once [`Hit::fire`] was called.
#[derive(Debug)]
pub(crate) struct Hit {
    installed: Arc<Installed>,
    exchange: Arc<LiveExchange>,
    fired: AtomicBool,
}

impl Faults {
    pub(crate) fn new() -> Arc<Self> {
        let challenged = AtomicBool::new(false);
        Arc::new(Self { installed: Mutex::default(), challenged, refusals: watch::Sender::new(0) })
    }

    pub(crate) fn install(self: &Arc<Self>, rule: Rule, seed: u64) -> Guard {
        let refuses = rule.fault == Fault::Refuse;
        if matches!(rule.fault, Fault::Challenge { .. }) {
            self.challenged.store(true, Ordering::Relaxed);
        }
        let installed = Arc::new(Installed {
            rule,
            seed,
            seen: Mutex::default(),
            fired: AtomicU64::new(u64::from(refuses)),
        });
        locked(&self.installed).push(Arc::clone(&installed));
        if refuses {
            self.refusals.send_modify(|count| *count += 1);
        }
        Guard { faults: Arc::clone(self), installed }
    }

    /// Tells listeners how many reasons there are to refuse connections.
    pub(crate) fn refusals(&self) -> watch::Receiver<usize> {
        self.refusals.subscribe()
    }

    /// Adds a reason to refuse connections.
    pub(crate) fn refuse(&self) {
        self.refusals.send_modify(|count| *count += 1);
    }

    /// Takes a reason to refuse connections away.
    pub(crate) fn accept(&self) {
        self.refusals.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Says whether a rule has ever named a token service.
    pub(crate) fn challenged(&self) -> bool {
        self.challenged.load(Ordering::Relaxed)
    }

    /// Counts the request in every rule that matches it and returns the faults that it shall suffer.
    pub(crate) fn choose(
        &self,
        method: &str,
        path: &str,
        place: Place,
        exchange: &Arc<LiveExchange>,
    ) -> Vec<Hit> {
        let installed = locked(&self.installed).clone();
        installed
            .into_iter()
            .filter(|it| it.chooses(method, path, place))
            .map(|installed| Hit { installed, exchange: Arc::clone(exchange), fired: AtomicBool::new(false) })
            .collect()
    }
}

impl Installed {
    fn chooses(&self, method: &str, path: &str, place: Place) -> bool {
        let on = &self.rule.on;
        if self.rule.fault == Fault::Refuse || !on.matches(method, path, place) {
            return false;
        }
        let key = format!("{method} {path}");
        let count = {
            let mut seen = locked(&self.seen);
            if seen.len() >= PATHS_MAX && !seen.contains_key(&key) {
                return false;
            }
            let count = seen.entry(key.clone()).or_insert(0);
            *count += 1;
            *count
        };
        on.nth.is_none_or(|nth| nth == count)
            && on.times.is_none_or(|times| count <= times)
            && on.probability.is_none_or(|p| Rng::labelled(self.seed, &format!("{key} {count}")).chance(p))
    }
}

impl Guard {
    /// Returns the rule.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.installed.rule
    }

    /// Returns how many responses really suffered the fault so far.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.installed.fired.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        locked(&self.faults.installed).retain(|it| !Arc::ptr_eq(it, &self.installed));
        if self.installed.rule.fault == Fault::Refuse {
            self.faults.accept();
        }
    }
}

impl Hit {
    pub(crate) fn fault(&self) -> &Fault {
        &self.installed.rule.fault
    }

    /// Records that the fault happened; further calls for the same request count nothing.
    pub(crate) fn fire(&self) {
        if !self.fired.swap(true, Ordering::Relaxed) {
            self.installed.fired.fetch_add(1, Ordering::Relaxed);
            self.exchange.note(self.fault().name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fault::Selector,
        origin::{Arrival, Journal},
    };

    fn chosen(faults: &Faults, path: &str) -> usize {
        let exchange = Journal::default().begin(Arrival::of("GET", path));
        faults.choose("GET", path, Place::First, &exchange).len()
    }

    #[test]
    fn counts_each_path_apart_and_forgets_on_drop() {
        let faults = Faults::new();
        let guard = faults.install(Selector::get("/v2/*").nth(2).suffer(Fault::Html), 0);
        assert_eq!([chosen(&faults, "/v2/a"), chosen(&faults, "/v2/b")], [0, 0]);
        assert_eq!([chosen(&faults, "/v2/a"), chosen(&faults, "/v2/a")], [1, 0]);
        assert_eq!(guard.fired(), 0, "chosen is not fired");
        drop(guard);
        assert_eq!(chosen(&faults, "/v2/b"), 0);
    }

    #[test]
    fn probability_depends_on_the_seed_alone() {
        let draw = |seed| {
            let faults = Faults::new();
            let on = Selector { probability: Some(0.5), ..Selector::any("*") };
            let _guard = faults.install(on.suffer(Fault::Html), seed);
            (0..64).map(|_| chosen(&faults, "/x")).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
