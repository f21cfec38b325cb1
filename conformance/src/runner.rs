//! Runs the chosen checks side by side, turns what happens to them into outcomes, and cleans up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::check::{Check, Content, Outcome, Stop, Verdict};
use crate::context::{Context, Left, Shared, Temperature};
use crate::known::{Failure, Known};
use crate::plan::{Next, lacks, next};
use crate::progress::Progress;
use crate::report::{CheckResult, Observation};
use crate::source::Source;

/// How the checks are run.
#[derive(Debug)]
pub struct Settings {
    /// Checks that run at the same time.
    pub jobs: usize,
    /// How long one check may take.
    pub check_deadline: Duration,
    /// Whether heavy checks run.
    pub heavy: bool,
    /// The known failures of the target.
    pub known: Known,
}

/// What a run brought, in the order of the plan.
#[derive(Debug, Default)]
pub struct Results {
    /// One result a check.
    pub checks: Vec<CheckResult>,
    /// What is worth knowing and neither right nor wrong.
    pub observations: Vec<Observation>,
    /// What is still at the target.
    pub left: Vec<Left>,
}

/// Runs the checks of a plan, whose first is the base check.
pub async fn run(
    plan: &[&'static Check],
    shared: &Arc<Shared>,
    settings: &Settings,
    progress: &Progress,
) -> Results {
    let mut run = Run {
        plan,
        shared,
        settings,
        progress,
        base: plan.first().map_or("", |check| check.id),
        beside: beside(plan, shared),
        done: BTreeMap::new(),
        started: BTreeMap::new(),
        results: BTreeMap::new(),
        gathered: Results::default(),
    };
    run.phase(false).await;
    run.phase(true).await;
    let mut gathered = run.gathered;
    let mut results = run.results;
    gathered.checks = plan.iter().filter_map(|check| results.remove(check.id)).collect();
    gathered.observations.sort();
    gathered.observations.dedup();
    gathered
}

struct Run<'r> {
    plan: &'r [&'static Check],
    shared: &'r Arc<Shared>,
    settings: &'r Settings,
    progress: &'r Progress,
    base: &'static str,
    beside: BTreeSet<&'static str>,
    done: BTreeMap<&'static str, Outcome>,
    started: BTreeMap<&'static str, Instant>,
    results: BTreeMap<&'static str, CheckResult>,
    gathered: Results,
}

/// One check that ended, however it did.
struct Ended {
    check: &'static Check,
    contexts: Vec<Arc<Context>>,
    verdict: Verdict,
}

/// Returns the checks that this kind of run leaves out.
fn beside(plan: &[&'static Check], shared: &Shared) -> BTreeSet<&'static str> {
    let out = plan.iter().filter(|check| shared.source.lacks(check.content).is_some());
    out.map(|check| check.id).collect()
}

/// Returns how often a check runs: twice where its content stands behind a proxy, before and after the
/// proxy has served it.
fn temperatures(check: &Check, shared: &Shared) -> &'static [Temperature] {
    match (&shared.source, check.content) {
        (Source::Origins(_), Content::Seeded | Content::Any) => &[Temperature::Cold, Temperature::Warm],
        _ => &[Temperature::Cold],
    }
}

impl Run<'_> {
    /// Runs what can run; checks that must be alone wait for the second phase, one at a time.
    async fn phase(&mut self, alone: bool) {
        let mut running = JoinSet::new();
        loop {
            let jobs = if alone { 1 } else { self.settings.jobs.max(1) };
            while running.len() < jobs {
                match self.ready(alone) {
                    Some(check) => self.start(check, &mut running),
                    None => break,
                }
            }
            match running.join_next().await {
                Some(Ok(ended)) => self.end(ended),
                // Check tasks catch their own panics, and nothing aborts them.
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    /// Returns a check that can run now; settles on the way those that will not.
    fn ready(&mut self, alone: bool) -> Option<&'static Check> {
        loop {
            let mut settled = false;
            for check in self.plan {
                if self.done.contains_key(check.id) || self.started.contains_key(check.id) {
                    continue;
                }
                let lacks = lacks(check, self.shared, self.settings.heavy);
                match next(check, self.base, &self.done, &self.beside, lacks) {
                    Next::Wait => {}
                    Next::Run if check.alone && !alone => {}
                    Next::Run => return Some(check),
                    Next::Drop(outcome, reason) => {
                        self.record(check, outcome, reason, Vec::new());
                        settled = true;
                    }
                }
            }
            if !settled {
                return None;
            }
        }
    }

    fn start(&mut self, check: &'static Check, running: &mut JoinSet<Ended>) {
        self.started.insert(check.id, Instant::now());
        let deadline = self.settings.check_deadline;
        let temperatures = temperatures(check, self.shared);
        let context = |heat: &Temperature| Arc::new(Context::at(Arc::clone(self.shared), check.id, *heat));
        let contexts: Vec<Arc<Context>> = temperatures.iter().map(context).collect();
        running.spawn(async move {
            let mut verdict = Ok(());
            for context in &contexts {
                verdict = run_once(check, Arc::clone(context), deadline).await;
                if contexts.len() > 1 {
                    verdict = verdict.map_err(|stop| named(stop, context.temperature()));
                }
                if verdict.is_err() {
                    break;
                }
            }
            Ended { check, contexts, verdict }
        });
    }

    fn end(&mut self, ended: Ended) {
        let Ended { check, contexts, verdict } = ended;
        let mut exchanges = Vec::new();
        for context in contexts {
            let texts = context.take_observations().into_iter();
            let observation = |text| Observation { id: check.id.to_owned(), text };
            self.gathered.observations.extend(texts.map(observation));
            self.gathered.left.extend(context.take_left());
            exchanges.extend(context.take_exchanges());
        }
        let (outcome, message) = judge(verdict, self.settings.known.failure(check.id));
        self.record(check, outcome, message, exchanges);
    }

    fn record(
        &mut self,
        check: &'static Check,
        outcome: Outcome,
        message: String,
        exchanges: Vec<crate::wire::Exchange>,
    ) {
        let result = CheckResult {
            id: check.id.to_owned(),
            clause: check.clause(),
            level: check.level,
            outcome,
            message,
            elapsed: self.started.get(check.id).map(Instant::elapsed).unwrap_or_default(),
            exchanges,
        };
        self.progress.finished(&result);
        self.done.insert(check.id, outcome);
        self.results.insert(check.id, result);
    }
}

/// Runs a check's function to its end, its deadline or its panic.
async fn run_once(check: &'static Check, context: Arc<Context>, deadline: Duration) -> Verdict {
    // A task of its own, so that a panic ends the check and not the run.
    let task = tokio::spawn(async move {
        let verdict = timeout(deadline, (check.run)(&context)).await;
        verdict.unwrap_or_else(|_| Err(Stop::Error(format!("took longer than {deadline:?}"))))
    });
    task.await.unwrap_or_else(|error| Err(Stop::Error(panicked(error))))
}

/// Says in a message whether the content was cold or warm.
fn named(stop: Stop, temperature: Temperature) -> Stop {
    let heat = match temperature {
        Temperature::Cold => "cold",
        Temperature::Warm => "warm",
    };
    match stop {
        Stop::Fail(message) => Stop::Fail(format!("{heat}: {message}")),
        Stop::Skip(message) => Stop::Skip(message),
        Stop::Error(message) => Stop::Error(format!("{heat}: {message}")),
    }
}

/// Turns a verdict into an outcome, given what is known when the check is listed as failing.
fn judge(verdict: Verdict, known: Option<&Failure>) -> (Outcome, String) {
    match (verdict, known) {
        (Ok(()), None) => (Outcome::Pass, String::new()),
        (Ok(()), Some(Failure { cause, is_sometimes: true })) => {
            (Outcome::Known, format!("{cause} Seen: nothing this time"))
        }
        (Ok(()), Some(Failure { cause, .. })) => (
            Outcome::Fail,
            format!("passed, but is listed as a known failure ({cause}); take it off the list"),
        ),
        (Err(Stop::Fail(message)), None) => (Outcome::Fail, message),
        (Err(Stop::Fail(message)), Some(known)) => {
            (Outcome::Known, format!("{} Seen: {message}", known.cause))
        }
        (Err(Stop::Skip(message)), _) => (Outcome::Skip, message),
        (Err(Stop::Error(message)), _) => (Outcome::Error, message),
    }
}

fn panicked(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "the check was cancelled".to_owned();
    };
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("the check panicked: {}", text.unwrap_or_default())
}

/// Deletes what the run left at the target, as far as it lets itself be deleted.
///
/// Manifests go first, the youngest before the older ones, because a registry may refuse to delete what
/// is still referenced. Answers do not matter: deletion may be off, and checks delete things themselves.
pub async fn clean_up(shared: &Arc<Shared>, left: Vec<Left>, jobs: usize) {
    let (manifests, others): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|left| matches!(left, Left::Manifest(_)));
    for group in [manifests, others] {
        let mut running = JoinSet::new();
        for left in group.into_iter().rev() {
            if running.len() >= jobs.max(1) {
                running.join_next().await;
            }
            let url = left.url().clone();
            let context = Context::new(Arc::clone(shared), "cleanup").towards(url.at("/"));
            running.spawn(async move { context.attempt(context.request_to("DELETE", url)).await.is_ok() });
        }
        while running.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_failures_fail_when_they_pass() {
        let fail = || Err(Stop::Fail("saw 500".into()));
        let always = Failure { cause: "It breaks.".into(), is_sometimes: false };
        let sometimes = Failure { is_sometimes: true, ..always.clone() };
        assert_eq!(judge(Ok(()), None).0, Outcome::Pass);
        assert_eq!(judge(Ok(()), Some(&always)).0, Outcome::Fail);
        let lucky = (Outcome::Known, "It breaks. Seen: nothing this time".into());
        assert_eq!(judge(Ok(()), Some(&sometimes)), lucky);
        assert_eq!(judge(fail(), None), (Outcome::Fail, "saw 500".into()));
        for known in [&always, &sometimes] {
            assert_eq!(judge(fail(), Some(known)), (Outcome::Known, "It breaks. Seen: saw 500".into()));
        }
        assert_eq!(judge(Err(Stop::Error("e".into())), Some(&always)).0, Outcome::Error);
        assert_eq!(judge(Err(Stop::Skip("s".into())), Some(&always)).0, Outcome::Skip);
    }

    #[tokio::test]
    async fn a_panic_keeps_its_words() {
        let error = tokio::spawn(async { panic!("index {} is out of range", 7) }).await.unwrap_err();
        assert_eq!(panicked(error), "the check panicked: index 7 is out of range");
    }
}
