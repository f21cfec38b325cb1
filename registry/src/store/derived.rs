//! Caches that never outlive the truth.
//!
//! A reader takes a ticket, reads the truth, and offers what it read; the offer is refused when
//! somebody has changed the truth since the ticket. A writer changes the truth and then forgets,
//! before it answers; so after an answer no reader is served what was before it.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use moka::sync::Cache;

/// A cache of values derived from records.
#[derive(Debug)]
pub(super) struct Derived<K: Eq + Hash + Send + Sync + 'static, V: Clone + Send + Sync + 'static> {
    /// `None` where nothing may be remembered.
    values: Option<Cache<K, V>>,
    hasher: RandomState,
    /// How often a key of this shard was forgotten.
    generations: [Mutex<u64>; SHARDS],
}

/// What is to be shown with an offer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    shard: usize,
    generation: u64,
}

const SHARDS: usize = 64;

impl<K: Eq + Hash + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Derived<K, V> {
    /// Makes a cache of at most `bytes_max` bytes, as `weigh` counts them; the least used go first. Of no
    /// bytes it keeps nothing.
    pub(super) fn new(bytes_max: u64, weigh: impl Fn(&K, &V) -> usize + Send + Sync + 'static) -> Self {
        let values = (bytes_max > 0).then(|| {
            Cache::builder()
                .max_capacity(bytes_max)
                .weigher(move |key, value| u32::try_from(weigh(key, value)).unwrap_or(u32::MAX))
                .build()
        });
        Self { values, hasher: RandomState::new(), generations: std::array::from_fn(|_| Mutex::new(0)) }
    }

    /// Returns the value, if it is here.
    pub(super) fn find(&self, key: &K) -> Option<V> {
        self.values.as_ref()?.get(key)
    }

    /// Takes a ticket, before the truth is read.
    pub(super) fn ticket(&self, key: &K) -> Ticket {
        let shard = self.shard(key);
        Ticket { shard, generation: *self.generation(shard) }
    }

    /// Offers what was read; it is kept unless the key was forgotten since the ticket.
    pub(super) fn offer(&self, ticket: Ticket, key: K, value: V) {
        let generation = self.generation(ticket.shard);
        if let Some(values) = self.values.as_ref().filter(|_| *generation == ticket.generation) {
            values.insert(key, value);
        }
    }

    /// Refuses offers from before now, and keeps the value, which the caller brings up to date.
    pub(super) fn touch(&self, key: &K) {
        *self.generation(self.shard(key)) += 1;
    }

    /// Forgets a key, after the truth has changed.
    pub(super) fn forget(&self, key: &K) {
        let mut generation = self.generation(self.shard(key));
        *generation += 1;
        if let Some(values) = &self.values {
            values.invalidate(key);
        }
    }

    /// Forgets a key, after the truth has changed, unless its value is here and still true.
    ///
    /// Who makes it untrue at the same time forgets it after his own change, and refuses what was read before.
    pub(super) fn forget_unless(&self, key: &K, is_true: impl FnOnce(&V) -> bool) {
        let mut generation = self.generation(self.shard(key));
        let Some(values) = &self.values else { return };
        if !values.get(key).is_some_and(|value| is_true(&value)) {
            *generation += 1;
            values.invalidate(key);
        }
    }

    /// Returns a value whose key is of a kind, if any is here.
    pub(super) fn find_where(&self, is_meant: impl Fn(&K) -> bool) -> Option<V> {
        self.values.as_ref()?.iter().find(|(key, _)| is_meant(key)).map(|(_, value)| value)
    }

    /// Forgets all keys of a kind, after the truth has changed.
    pub(super) fn forget_where(&self, is_meant: impl Fn(&K) -> bool) {
        // Which of them a reader is about to offer is not known, so all offers are refused.
        for shard in 0..SHARDS {
            *self.generation(shard) += 1;
        }
        let Some(values) = &self.values else { return };
        for (key, _) in values.iter().filter(|(key, _)| is_meant(key)) {
            values.invalidate(key.as_ref());
        }
    }

    fn shard(&self, key: &K) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).expect("a shard's number is small")
    }

    fn generation(&self, shard: usize) -> MutexGuard<'_, u64> {
        self.generations[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: no stale value survives a change. Method: the one interleaving that could leave it.

    use super::*;

    #[test]
    fn an_offer_from_before_a_change_is_refused() {
        let cache: Derived<u8, u8> = Derived::new(1024, |_, _| 1);
        let before = cache.ticket(&1);
        cache.forget(&1);
        cache.offer(before, 1, 10);
        assert_eq!(cache.find(&1), None);
        let before = cache.ticket(&1);
        cache.touch(&1);
        cache.offer(before, 1, 12);
        assert_eq!(cache.find(&1), None);
        let after = cache.ticket(&1);
        cache.offer(after, 1, 11);
        assert_eq!(cache.find(&1), Some(11));
        cache.forget(&1);
        assert_eq!(cache.find(&1), None);
    }

    #[test]
    fn what_is_still_true_is_kept_and_what_is_not_here_is_refused() {
        let cache: Derived<u8, u8> = Derived::new(1024, |_, _| 1);
        let before = cache.ticket(&1);
        cache.forget_unless(&1, |_| true);
        cache.offer(before, 1, 10);
        assert_eq!(cache.find(&1), None, "what is being read may be from before the change");
        cache.offer(cache.ticket(&1), 1, 11);
        cache.forget_unless(&1, |value| *value == 11);
        assert_eq!(cache.find(&1), Some(11));
        cache.forget_unless(&1, |value| *value == 12);
        assert_eq!(cache.find(&1), None);
    }

    #[test]
    fn what_is_kept_weighs_no_more_than_was_said() {
        let cache: Derived<u32, usize> = Derived::new(10_000, |_, weight| *weight);
        for key in 0..1_000 {
            cache.offer(cache.ticket(&key), key, 1 + key as usize % 400);
        }
        cache.offer(cache.ticket(&5_000), 5_000, 10_001);
        let values = cache.values.as_ref().unwrap();
        values.run_pending_tasks();
        let kept: usize = values.iter().map(|(_, weight)| weight).sum();
        assert!(kept > 5_000 && kept <= 10_000, "{kept}");
        assert_eq!(cache.find(&5_000), None, "what is larger than all that may be kept is not kept");
    }

    #[test]
    fn all_keys_of_a_kind_are_forgotten_with_what_is_offered_of_them() {
        let cache: Derived<u8, u8> = Derived::new(1024, |_, _| 1);
        for key in 0..10 {
            cache.offer(cache.ticket(&key), key, key * 2);
        }
        let before = cache.ticket(&3);
        assert_eq!(cache.find_where(|key| *key == 3), Some(6));
        cache.forget_where(|key| key % 2 == 1);
        cache.offer(before, 3, 6);
        assert_eq!((cache.find(&3), cache.find(&4)), (None, Some(8)));
    }
}
