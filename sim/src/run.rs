//! Carries out plans against a target that has the origin as its upstream.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::{Duration, Instant},
};

use serde::Serialize;
use thiserror::Error;

use crate::{
    digest::Algorithm,
    fault::Guard,
    origin::{Origin, Running},
    scenario::{Image, Plan, Scenario, Step},
    traffic::{Client, ClientError, Exchange, Traffic, Upstream},
    validate::{Evidence, Verdict, judge},
};

/// How long the target has to serve an honest image again after a scenario.
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// The pause between two questions to a target that is not ready.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Says why nothing could be judged.
#[derive(Debug, Error)]
pub enum RunError {
    /// The target does not answer.
    #[error("no target: {target} does not answer ({reason})")]
    NoTarget {
        /// Its URL.
        target: String,
        /// What the connection said.
        reason: String,
    },
    /// The target answers, but did not ask the origin.
    #[error(
        "the target does not seem to use this origin as its upstream: asked for an honest image it answered \
         {answer}, and no request reached {origin}; configure http://{origin} as the upstream of {target}"
    )]
    NotItsUpstream {
        /// The target's URL.
        target: String,
        /// The origin's address.
        origin: String,
        /// What the target answered.
        answer: String,
    },
    /// There is no client to ask with.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Runs plans against one target, one after the other.
#[derive(Debug)]
pub struct Runner {
    running: Running,
    client: Client,
    /// Makes repository names of this process that no earlier one used, so that nothing is cached.
    nonce: u64,
    count: u32,
}

/// What came of one plan.
#[derive(Debug, Clone, Serialize)]
pub struct ScenarioResult {
    /// What was run.
    pub plan: Plan,
    /// What the validators say.
    pub verdicts: Vec<Verdict>,
    /// How often each fault really happened, in the plan's order.
    pub fired: Vec<u64>,
    /// Whether the target served an honest image afterwards; without, what it did instead.
    pub stuck: Option<String>,
    /// How many requests reached the origin.
    pub upstream_requests: usize,
}

impl ScenarioResult {
    /// Returns the faults of the plan that never happened: what they should break was not put to the test.
    #[must_use]
    pub fn silent_faults(&self) -> Vec<&'static str> {
        let faults = self.plan.scenario.faults.iter().zip(&self.fired);
        faults.filter(|(_, fired)| **fired == 0).map(|(rule, _)| rule.fault.name()).collect()
    }
}

impl Runner {
    /// Makes a runner and checks that the target is there and asks the origin. A target may need its
    /// upstream to start at all, so it has `patience` to appear.
    ///
    /// *Errors*: [`RunError::NoTarget`], [`RunError::NotItsUpstream`], [`RunError::Client`].
    pub async fn start(target: &str, running: Running, patience: Duration) -> Result<Self, RunError> {
        let client = Client::new(target, running.origin())?;
        // A fresh hash key is the standard library's only source of randomness, and is all that is needed.
        let nonce = RandomState::new().build_hasher().finish();
        let mut runner = Self { running, client, nonce, count: 0 };
        let start = Instant::now();
        while let Err(reason) = runner.client.ping().await {
            if start.elapsed() >= patience {
                return Err(RunError::NoTarget { target: runner.client.target().to_owned(), reason });
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        let mark = runner.running.origin().journal().mark();
        let exchanges = runner.pull_probe().await;
        let asked = runner.running.origin().journal().mark() > mark;
        match exchanges.iter().find(|it| !it.succeeded()) {
            Some(failed) if !asked => Err(RunError::NotItsUpstream {
                target: runner.client.target().to_owned(),
                origin: runner.running.addr().to_string(),
                answer: failed.status.map_or_else(|| "nothing".to_owned(), |it| it.to_string()),
            }),
            _ => Ok(runner),
        }
    }

    /// Runs a plan: seeds, installs the faults, carries out the steps, judges, and waits for recovery.
    pub async fn run(&mut self, plan: Plan) -> ScenarioResult {
        let origin = self.running.origin().clone();
        let scenario = &plan.scenario;
        let images = scenario.seed(&origin, plan.seed, &self.suffix());
        let mark = origin.journal().mark();
        let mut guards: Vec<Option<Guard>> =
            scenario.faults.iter().map(|it| Some(origin.install_seeded(it.clone(), plan.seed))).collect();
        self.running.settle().await;
        let mut fired = vec![0; guards.len()];
        let mut traffic = Traffic::new(&self.client, &images);
        let mut upstream = Upstream::Up;
        for (number, step) in scenario.traffic.iter().enumerate() {
            match *step {
                Step::Pull { clients, patience_ms, .. } => {
                    traffic.pull(number, upstream, clients, Duration::from_millis(patience_ms)).await;
                }
                Step::Leave { percent, clients } => traffic.leave(number, percent, clients).await,
                Step::StopOrigin if upstream == Upstream::Up => {
                    self.running.stop().await;
                    upstream = Upstream::Down;
                }
                Step::StartOrigin if upstream == Upstream::Down => {
                    self.running.start().await;
                    upstream = Upstream::Up;
                }
                Step::StopOrigin | Step::StartOrigin => {}
                Step::Heal => take_out(&mut guards, &mut fired),
            }
        }
        take_out(&mut guards, &mut fired);
        if upstream == Upstream::Down {
            self.running.start().await;
        }
        self.running.settle().await;
        let exchanges = traffic.exchanges;
        let stuck = self.recover().await;
        // Read last: a fetch that a leaving client began may go on for a while.
        let journal = origin.journal().entries_since(mark);
        let origin_addr = self.running.addr().to_string();
        let evidence = Evidence {
            scenario,
            origin_addr: &origin_addr,
            images: &images,
            exchanges: &exchanges,
            journal: &journal,
        };
        let verdicts = scenario.validators.iter().map(|it| judge(*it, &evidence)).collect();
        ScenarioResult { verdicts, fired, stuck, upstream_requests: journal.len(), plan }
    }

    /// Returns the target's URL.
    #[must_use]
    pub fn target(&self) -> &str {
        self.client.target()
    }

    /// Asks for honest images until one comes; returns what came instead if none did in time.
    async fn recover(&mut self) -> Option<String> {
        let start = Instant::now();
        loop {
            let exchanges = self.pull_probe().await;
            let failed = exchanges.iter().find(|it| !it.succeeded())?;
            if start.elapsed() > RECOVERY_MAX {
                return Some(failed.to_string());
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn pull_probe(&mut self) -> Vec<Exchange> {
        let image = Image {
            repository: "sim/probe".to_owned(),
            tag: "v1".to_owned(),
            layers: vec![1000],
            algorithm: Algorithm::Sha256,
        };
        let probe = Scenario {
            name: "probe".to_owned(),
            about: String::new(),
            images: vec![image],
            faults: Vec::new(),
            traffic: Vec::new(),
            validators: Vec::new(),
        };
        let origin: &Origin = self.running.origin();
        let images = probe.seed(origin, self.nonce, &format!("-{:08x}-{}", self.nonce >> 32, self.count));
        self.count += 1;
        let mut traffic = Traffic::new(&self.client, &images);
        traffic.pull(0, Upstream::Up, 1, Duration::ZERO).await;
        traffic.exchanges
    }

    fn suffix(&mut self) -> String {
        self.count += 1;
        format!("-{:08x}-{}", self.nonce >> 32, self.count)
    }
}

/// Ends every fault that is still installed and remembers how often each happened.
fn take_out(guards: &mut [Option<Guard>], fired: &mut [u64]) {
    for (guard, fired) in guards.iter_mut().zip(fired) {
        if let Some(guard) = guard.take() {
            *fired = guard.fired();
        }
    }
}
