//! Links to content, and its removal: content goes only when nothing links it, and whoever is about to link
//! it is seen.
//!
//! Who links says so before he looks whether the content is there. A removal takes all links that it finds,
//! those under way when it began and those that began since; and of each digest it claims the content alone.
//! So either the one who links sees that the content is gone, or the removal sees the link.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Store;
use super::claims::{Claim, Held};
use super::filter::Filter;
use crate::oci::Digest;

/// Links under way, and those that a removal has to look at.
#[derive(Debug, Default)]
pub(super) struct Linking(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    under_way: HashMap<Digest, u32>,
    /// What was linked since each removal under way began.
    since: BTreeMap<u64, Filter>,
    next_removal: u64,
}

/// The bits of what is linked while a removal runs; half a mebibyte.
const SINCE_BITS: u64 = 1 << 22;

/// Content that somebody links: it stays until this is dropped.
pub(super) struct Linked {
    store: Store,
    digest: Digest,
    _content: Held,
}

/// A removal.
pub(super) struct Removal {
    linking: Arc<Linking>,
    number: u64,
}

impl Store {
    /// Says that content is about to be linked; waits while it is being removed.
    pub(super) async fn linking(&self, digest: &Digest) -> Linked {
        let content = self.0.claims.share(vec![Claim::Content(*digest)]).await;
        let mut state = self.0.linking.state();
        *state.under_way.entry(*digest).or_default() += 1;
        state.since.values_mut().for_each(|since| since.add(digest));
        drop(state);
        Linked { store: self.clone(), digest: *digest, _content: content }
    }
}

impl Linking {
    /// Begins a removal, from which on links are written down.
    pub(super) fn remove(self: &Arc<Self>) -> Removal {
        let mut state = self.state();
        let (number, mut since) = (state.next_removal, Filter::new(SINCE_BITS));
        state.next_removal += 1;
        state.under_way.keys().for_each(|digest| since.add(digest));
        state.since.insert(number, since);
        drop(state);
        Removal { linking: Arc::clone(self), number }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Removal {
    /// Says whether content was linked since the removal began; the caller claims it alone.
    pub(super) fn has_met(&self, digest: &Digest) -> bool {
        self.linking.state().since.get(&self.number).is_none_or(|since| since.has(digest))
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        self.linking.state().since.remove(&self.number);
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        let mut state = self.store.0.linking.state();
        match state.under_way.get_mut(&self.digest) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(state.under_way.remove(&self.digest)),
        }
    }
}
