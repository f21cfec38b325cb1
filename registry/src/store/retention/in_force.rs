//! Which retention is in force: another one may be put in its place while the store is used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::backend::When;
use crate::clock::Timestamp;
use crate::store::options::retention::Retention;
use crate::store::{Error, Store, layout};

/// The retention of a store.
#[derive(Debug)]
pub(in crate::store) struct InForce {
    current: RwLock<Arc<Current>>,
    /// Whether there is a policy or was one: from then on hosted manifests that clients are told of are noted.
    is_mortal: AtomicBool,
}

/// A retention, and what is known by it.
#[derive(Debug)]
pub(in crate::store) struct Current {
    pub(in crate::store) retention: Retention,
    /// Since when this process writes down pulls for it.
    pub(in crate::store) pulls_from: Timestamp,
}

impl InForce {
    /// Makes one of what holds from the start.
    pub(in crate::store) fn new(retention: Retention) -> Self {
        let is_mortal = AtomicBool::new(!retention.policies.is_empty());
        // What earlier processes wrote down counts.
        let pulls_from = Timestamp::from_millis(0);
        Self { current: RwLock::new(Arc::new(Current { retention, pulls_from })), is_mortal }
    }

    fn read(&self) -> RwLockReadGuard<'_, Arc<Current>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is in force now, for one decision.
    pub(in crate::store) fn get(&self) -> Arc<Current> {
        Arc::clone(&self.read())
    }

    /// Says whether what was in force still is.
    pub(in crate::store) fn is(&self, current: &Arc<Current>) -> bool {
        Arc::ptr_eq(&self.read(), current)
    }

    /// Says whether a policy may let go of a hosted manifest that a client is told of.
    pub(in crate::store) fn is_mortal(&self) -> bool {
        self.is_mortal.load(Ordering::SeqCst)
    }
}

impl Store {
    /// Says whether it matters when hosted manifests were pulled.
    pub fn needs_pulls(&self) -> bool {
        self.0.retention.read().retention.needs_pulls()
    }

    /// Gets ready for another retention: forgets since when pulls are written down, if the two differ in whether
    /// they are. Else a later process would take what was pulled while nobody noted it for never pulled.
    ///
    /// *Durability:* when this returns, no crash can bring it back. The retention in force may note it again.
    pub async fn prepare_retention(&self, next: &Retention) -> Result<(), Error> {
        if self.needs_pulls() != next.needs_pulls() {
            self.0.backend.delete(&layout::pulls_known(), When::Always).await?;
        }
        Ok(())
    }

    /// Puts another retention in the place of the one in force, once [`Store::prepare_retention`] is done: nothing
    /// more is removed by the old one. What nobody noted until now does not count against anything: neither pulls
    /// nor what clients were told of.
    pub fn replace_retention(&self, retention: Retention) {
        let mut pulls_from = self.0.retention.get().pulls_from;
        if self.needs_pulls() != retention.needs_pulls() {
            pulls_from = self.0.clock.now();
        }
        let is_mortal = &self.0.retention.is_mortal;
        if !retention.policies.is_empty() && !is_mortal.swap(true, Ordering::SeqCst) {
            // Clients have been told of manifests before, which was not noted.
            self.0.asked.doubt(self.0.clock.passed());
        }
        let current = Arc::new(Current { retention, pulls_from });
        *self.0.retention.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }
}
