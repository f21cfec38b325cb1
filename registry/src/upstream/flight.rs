//! One question that many wait for.
//!
//! The question is asked by a task of its own, so that whoever asked first may leave without
//! taking the answer from the others (P4).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::mutants::{self, Leash};

/// Questions under way.
#[derive(Debug)]
pub struct Flights<K, V>(Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Asks a question, or waits for the answer when it is being asked; `None` when the task that
    /// asked it panicked.
    pub async fn ask(&self, key: K, question: impl Future<Output = V> + Send + 'static) -> Option<V> {
        let (mut answer, _leash) = self.join(key, question);
        let answer = answer.wait_for(Option::is_some).await.ok()?;
        answer.clone()
    }

    fn join(
        &self,
        key: K,
        question: impl Future<Output = V> + Send + 'static,
    ) -> (watch::Receiver<Option<V>>, Option<Leash>) {
        let (sender, receiver) = watch::channel(None);
        {
            let mut flights = self.flights();
            if let Some(answer) = flights.get(&key) {
                return (answer.clone(), None);
            }
            flights.insert(key.clone(), receiver.clone());
        }
        let landing = Landing { flights: self.clone(), key };
        // Without the lock: a runtime that shuts down drops the task here and now, which takes it off the table.
        let task = tokio::spawn(async move {
            let answer = question.await;
            if sender.receiver_count() <= 1 && mutants::is("MU51-a-flight-that-all-have-left-stays") {
                std::mem::forget(landing);
            } else {
                // Off the table before the answer is out, so that who comes after it asks anew.
                drop(landing);
            }
            sender.send_replace(Some(answer));
        });
        (receiver, mutants::leash("MU50-who-asked-first-takes-the-answer-along", &task))
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Takes a question off the table, also when its task panics.
struct Landing<K: Eq + Hash, V> {
    flights: Flights<K, V>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    //! Goal: one question, all answered, nothing left behind. Method: counting, leaving, panicking.

    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn many_wait_for_one_question_and_the_first_may_leave() {
        let flights: Flights<u8, u32> = Flights::default();
        let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let question = || {
            let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                go.notified().await;
                7
            }
        };
        let mut first = Box::pin(flights.ask(1, question()));
        assert!((&mut first).now_or_never().is_none());
        let others: Vec<_> = (0..10).map(|_| flights.ask(1, question())).collect();
        drop(first);
        let others = futures_util::future::join_all(others);
        let (answers, ()) = tokio::join!(others, async { go.notify_one() });
        assert_eq!(answers, vec![Some(7); 10]);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(flights.flights().is_empty());
    }

    #[tokio::test]
    async fn a_panic_leaves_nothing_behind() {
        let flights: Flights<u8, u32> = Flights::default();
        assert_eq!(flights.ask(1, async { panic!("planted") }).await, None);
        assert!(flights.flights().is_empty());
    }

    /// Such a runtime drops a task where it is spawned.
    #[test]
    fn a_runtime_that_shuts_down_holds_nobody_up() {
        let (sender, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let flights: Flights<u8, u32> = Flights::default();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let handle = runtime.handle().clone();
            drop(runtime);
            let _entered = handle.enter();
            let asked = flights.ask(1, async { 7 }).now_or_never();
            sender.send((asked, flights.flights().len())).unwrap();
        });
        assert_eq!(ended.recv_timeout(std::time::Duration::from_secs(60)), Ok((Some(None), 0)));
    }
}
