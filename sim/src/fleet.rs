//! Many stands at once: each takes the next plan that it can carry out, so that plans run side by side
//! without disturbing each other.

use std::{collections::VecDeque, sync::Mutex};

use tokio::sync::mpsc;

use crate::{
    locked,
    run::{Runner, ScenarioResult},
    scenario::Plan,
    stand::{Stand, eligible},
};

/// A plan that waits, its place in the order, and the stands that may take it.
struct Waiting {
    place: usize,
    stands: Vec<usize>,
    plan: Plan,
}

/// Runs every plan on a stand that has what it needs, and returns the results in the plans' order. A plan
/// that no stand can carry out is moot. `each` is called with every result as it comes.
///
/// *Cancellation*: what is under way is dropped; targets may have cached some of it.
pub async fn run(
    runners: Vec<Runner>,
    plans: Vec<Plan>,
    mut each: impl FnMut(&ScenarioResult),
) -> Vec<ScenarioResult> {
    let stands: Vec<Stand> = runners.iter().map(|it| it.stand().clone()).collect();
    let mut results: Vec<(usize, ScenarioResult)> = Vec::new();
    let mut waiting = VecDeque::new();
    for (place, plan) in plans.into_iter().enumerate() {
        let able = eligible(&stands.iter().collect::<Vec<_>>(), plan.scenario.needs);
        match stands.first() {
            Some(first) if able.is_empty() => results.push((place, ScenarioResult::moot(plan, first))),
            _ => waiting.push_back(Waiting { place, stands: able, plan }),
        }
    }
    results.iter().for_each(|(_, result)| each(result));
    let waiting = Mutex::new(waiting);
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let lanes = runners.into_iter().enumerate().map(|(number, mut runner)| {
        let (sender, waiting) = (sender.clone(), &waiting);
        async move {
            while let Some(Waiting { place, plan, .. }) = take(waiting, number) {
                let result = runner.run(plan).await;
                // Nobody listens only when the whole run was dropped.
                let _ = sender.send((place, result));
            }
        }
    });
    let lanes = futures_util::future::join_all(lanes);
    drop(sender);
    let collect = async {
        while let Some((place, result)) = receiver.recv().await {
            each(&result);
            results.push((place, result));
        }
    };
    tokio::join!(lanes, collect);
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

fn take(waiting: &Mutex<VecDeque<Waiting>>, stand: usize) -> Option<Waiting> {
    let mut waiting = locked(waiting);
    let next = waiting.iter().position(|it| it.stands.contains(&stand))?;
    waiting.remove(next)
}
