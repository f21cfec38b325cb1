//! Goal: one verdict for all who wait, made to its end whoever leaves, and only right ones are remembered. Method:
//! questions that count themselves and wait to be let go; the bounds are held by the tests of `verification`.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::Notify;

use super::*;

const PROOF: Proof = [7; 32];

/// A verdict is right if it is even.
fn verdicts(entries_max: u64, ttl: Duration) -> Verdicts<usize> {
    Verdicts::new(entries_max, ttl, |verdict| verdict % 2 == 0)
}

#[tokio::test]
async fn right_verdicts_are_remembered_until_they_are_forgotten() {
    let verdicts = verdicts(100, Duration::from_secs(3600));
    for (made, expect) in [(1, 1), (3, 3), (4, 4), (5, 4), (6, 4)] {
        assert_eq!(verdicts.ask(PROOF, || async move { made }).await, Some(expect));
    }
    assert_eq!(verdicts.ask([8; 32], || async { 9 }).await, Some(9), "of another proof");
    verdicts.forget();
    assert_eq!(verdicts.ask(PROOF, || async { 11 }).await, Some(11));
    assert_eq!(verdicts.pending(), 0);
}

#[tokio::test]
async fn a_time_to_live_or_a_room_of_zero_remembers_nothing() {
    for (entries_max, ttl) in [(100, Duration::ZERO), (0, Duration::from_secs(3600))] {
        let verdicts = verdicts(entries_max, ttl);
        for made in [2, 4, 6] {
            assert_eq!(verdicts.ask(PROOF, || async move { made }).await, Some(made), "{ttl:?}");
            verdicts.0.right.run_pending_tasks();
        }
    }
}

#[tokio::test]
async fn many_wait_for_one_verdict_and_all_may_leave() {
    let verdicts = verdicts(100, Duration::from_secs(3600));
    let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let question = || {
        let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
        move || async move {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            go.notified().await;
            number
        }
    };
    let mut first = Box::pin(verdicts.ask(PROOF, question()));
    assert!((&mut first).now_or_never().is_none());
    let others: Vec<_> = (0..10).map(|_| verdicts.ask(PROOF, question())).collect();
    drop(first);
    let others = join_all(others);
    let (answers, ()) = tokio::join!(others, async { go.notify_one() });
    assert_eq!(answers, vec![Some(0); 10]);

    // Of another proof, which everybody leaves.
    let mut only = Box::pin(verdicts.ask([8; 32], question()));
    assert!((&mut only).now_or_never().is_none());
    drop(only);
    go.notify_one();
    let ended = async {
        while verdicts.pending() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2, "it was made all the same");
}

#[tokio::test]
async fn a_question_that_dies_is_no_verdict_and_blocks_nobody() {
    let verdicts = verdicts(100, Duration::from_secs(3600));
    for _ in 0..2 {
        assert_eq!(verdicts.ask(PROOF, || async { panic!("on purpose") }).await, None);
    }
    assert_eq!(verdicts.ask(PROOF, || async { 2 }).await, Some(2));
    assert_eq!(verdicts.pending(), 0);
}

/// Such a runtime drops a task where it is spawned.
#[test]
fn a_runtime_that_shuts_down_holds_nobody_up() {
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let verdicts = verdicts(100, Duration::from_secs(3600));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        let asked = verdicts.ask(PROOF, || async { 2 }).now_or_never();
        sender.send((asked, verdicts.pending())).unwrap();
    });
    assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok((Some(None), 0)));
}
