//! Verdicts on a user and a password: bounded, remembered when they are right, asked for once by all who wait.
//!
//! A verdict is made by a task of its own, so that whoever asked first may leave without taking it from the others,
//! and without a guess that costs nothing. What it does and what bounds it otherwise is for whoever asks.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::proof::Proof;

/// Verdicts to come at once, on different users or passwords; one more login is refused as overload.
pub(super) const PENDING_MAX: usize = 256;

/// How long a login waits for its verdict before it is refused as overload.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

/// The longest time that the cache can be told to remember, beyond which its crate panics.
const TTL_MAX: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Verdicts, by the proof of what they are on.
pub(super) struct Verdicts<V>(Arc<Inner<V>>);

struct Inner<V> {
    /// The right ones. Others are not remembered: what they were made of may change to make them right.
    right: moka::sync::Cache<Proof, V>,
    is_right: fn(&V) -> bool,
    flights: Mutex<HashMap<Proof, Flight<V>>>,
}

/// A verdict to come; closed without one when what makes it has panicked, or the runtime shuts down.
type Flight<V> = watch::Receiver<Option<V>>;

/// Strikes a flight off, however it ends.
struct Landing<V> {
    verdicts: Verdicts<V>,
    proof: Proof,
}

impl<V: Clone + Send + Sync + 'static> Verdicts<V> {
    /// Makes it remember so many right verdicts for so long.
    pub(super) fn new(entries_max: u64, ttl: Duration, is_right: fn(&V) -> bool) -> Self {
        let right =
            moka::sync::Cache::builder().max_capacity(entries_max).time_to_live(ttl.min(TTL_MAX)).build();
        Self(Arc::new(Inner { right, is_right, flights: Mutex::default() }))
    }

    /// Returns the verdict on a proof: one that is remembered, one that is being made, or one that is made now.
    ///
    /// `None` is overload: [`PENDING_MAX`] verdicts are to come, this one takes longer than [`WAIT_MAX`], what makes it
    /// has panicked, or the runtime shuts down.
    ///
    /// *Cancellation:* leaves a verdict that is made to its end, within the same bounds.
    pub(super) async fn ask<Q>(&self, proof: Proof, question: impl FnOnce() -> Q) -> Option<V>
    where
        Q: Future<Output = V> + Send + 'static,
    {
        if let Some(verdict) = self.0.right.get(&proof) {
            return Some(verdict);
        }
        let mut flight = self.board(proof, question)?;
        let landed = tokio::time::timeout(WAIT_MAX, flight.wait_for(Option::is_some)).await;
        landed.ok()?.ok()?.clone()
    }

    /// Forgets the verdicts that are remembered.
    pub(super) fn forget(&self) {
        self.0.right.invalidate_all();
    }

    /// Joins the flight of a proof, or starts one.
    fn board<Q>(&self, proof: Proof, question: impl FnOnce() -> Q) -> Option<Flight<V>>
    where
        Q: Future<Output = V> + Send + 'static,
    {
        let (sender, flight) = watch::channel(None);
        {
            let mut flights = self.flights();
            if let Some(flight) = flights.get(&proof) {
                return Some(flight.clone());
            }
            // A right verdict is remembered before its flight is struck off, so whoever finds no flight while holding
            // the lock finds the verdict here.
            if let Some(verdict) = self.0.right.get(&proof) {
                sender.send_replace(Some(verdict));
                return Some(flight);
            }
            if flights.len() >= PENDING_MAX {
                return None;
            }
            flights.insert(proof, flight.clone());
        }
        let landing = Landing { verdicts: Self(Arc::clone(&self.0)), proof };
        // Without the lock: a runtime that shuts down drops the task here and now, which strikes the flight off.
        tokio::spawn(fly(landing, sender, question()));
        Some(flight)
    }
}

impl<V> Verdicts<V> {
    /// Returns how many verdicts are to come.
    pub(super) fn pending(&self) -> usize {
        self.flights().len()
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Proof, Flight<V>>> {
        self.0.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a verdict made, and remembers it if it is right.
async fn fly<V: Clone + Send + Sync + 'static>(
    landing: Landing<V>,
    sender: watch::Sender<Option<V>>,
    question: impl Future<Output = V>,
) {
    let verdict = question.await;
    let Inner { right, is_right, .. } = &*landing.verdicts.0;
    if is_right(&verdict) {
        right.insert(landing.proof, verdict.clone());
    }
    // Struck off before the verdict is out, so that who comes after it asks anew.
    drop(landing);
    sender.send_replace(Some(verdict));
}

impl<V> Drop for Landing<V> {
    fn drop(&mut self) {
        self.verdicts.flights().remove(&self.proof);
    }
}

impl<V> fmt::Debug for Verdicts<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verdicts").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
