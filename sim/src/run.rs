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
    figures::Figures,
    origin::{ImageSpec, Origin, Places, Running, SeededImage, ServeError},
    scenario::{Guarded, Image, Plan, Scenario, Step},
    stand::{Needs, Stand},
    traffic::{Client, ClientError, Exchange, Login, Scene, Traffic, Upstream},
    validate::{Evidence, Verdict, judge},
};

/// How long the target has to serve an honest image again after a scenario.
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// Where another host is: its address is not the origin's, so that secrets of the origin must not reach it.
const STRANGER: &str = "127.0.0.2:0";
/// How long an origin must be left alone to count as such, how often that is looked at, and for how long.
const QUIET: Duration = Duration::from_millis(300);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
const REST_MAX: Duration = Duration::from_secs(5);
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
    /// Another address of the origin cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// There is no client to ask with.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Runs plans against one target, one after the other.
#[derive(Debug)]
pub struct Runner {
    stand: Stand,
    running: Running,
    /// Other addresses of the same origin.
    others: Vec<Running>,
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
    /// On what; for a plan that is moot, what it was meant for.
    pub stand: Stand,
    /// What the validators say.
    pub verdicts: Vec<Verdict>,
    /// How often each fault really happened, in the plan's order.
    pub fired: Vec<u64>,
    /// Whether the target served an honest image afterwards; without, what it did instead.
    pub stuck: Option<String>,
    /// What the target lacks for this plan; then nothing was run.
    pub moot: Option<String>,
    /// What is not judged.
    pub figures: Figures,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// A scenario while it runs.
struct Stage<'a> {
    runner: &'a Runner,
    plan: &'a Plan,
    suffix: String,
    guards: Vec<Option<Guard>>,
    fired: Vec<u64>,
    upstream: Upstream,
    troubled: bool,
}

impl ScenarioResult {
    /// Returns the result of a plan that the target is not configured for.
    #[must_use]
    pub fn moot(plan: Plan, stand: &Stand) -> Self {
        let lacks = stand.lacks(plan.scenario.needs).join(", ");
        Self {
            verdicts: plan.scenario.validators.iter().map(|it| Verdict::moot(*it)).collect(),
            fired: vec![0; plan.scenario.faults.len()],
            stuck: None,
            moot: Some(if lacks.is_empty() { "no one stand has all of it".to_owned() } else { lacks }),
            figures: Figures::default(),
            took_ms: 0,
            stand: stand.clone(),
            plan,
        }
    }

    /// Returns the faults of the plan that never happened: what they should break was not put to the test.
    #[must_use]
    pub fn silent_faults(&self) -> Vec<&'static str> {
        let faults = self.plan.scenario.faults.iter().zip(&self.fired);
        let silent = faults.filter(|(_, fired)| **fired == 0 && self.moot.is_none());
        silent.map(|(rule, _)| rule.fault.name()).collect()
    }
}

impl Runner {
    /// Makes a runner and checks that the target is there and asks the origin. A target may need its
    /// upstream to start at all, so it has `patience` to appear.
    ///
    /// *Errors*: [`RunError`], whose variants say when.
    pub async fn start(stand: Stand, running: Running, patience: Duration) -> Result<Self, RunError> {
        let origin = running.origin().clone();
        let stranger = origin.serve(STRANGER).await?;
        let mut places = Places { mirror: None, stranger: Some(stranger.addr().to_string()) };
        let mut others = vec![stranger];
        if let Some(mirror) = &stand.mirror {
            let mirror = origin.serve(mirror.as_str()).await?;
            places.mirror = Some(mirror.addr().to_string());
            others.push(mirror);
        }
        origin.reside(places);
        let client = Client::new(&stand.target, &origin)?;
        // A fresh hash key is the standard library's only source of randomness, and is all that is needed.
        let nonce = RandomState::new().build_hasher().finish();
        let mut runner = Self { stand, running, others, client, nonce, count: 0 };
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
        let begun = Instant::now();
        let origin = self.running.origin().clone();
        let suffix = self.suffix();
        let images = plan.scenario.seed(&origin, plan.seed, &suffix);
        let mark = origin.journal().mark();
        origin.guard(plan.scenario.access.map(Guarded::access));
        let client = self.client.with(plan.scenario.login);
        let mut traffic = Traffic::new(&client, &images);
        let mut stage = Stage::new(self, &plan, suffix);
        stage.play(&mut traffic, &images).await;
        let fired = stage.fired;
        let Traffic { exchanges, seeded, .. } = traffic;
        origin.guard(None);
        let stuck = self.recover().await;
        // Read last: a fetch that a leaving client began may go on for a while.
        let journal = origin.journal().entries_since(mark);
        let evidence = Evidence {
            scenario: &plan.scenario,
            stand: &self.stand,
            images: &seeded,
            exchanges: &exchanges,
            journal: &journal,
        };
        ScenarioResult {
            verdicts: plan.scenario.validators.iter().map(|it| judge(*it, &evidence)).collect(),
            figures: Figures::of(&evidence),
            stand: self.stand.clone(),
            fired,
            stuck,
            moot: None,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            plan,
        }
    }

    /// Returns the stand.
    #[must_use]
    pub fn stand(&self) -> &Stand {
        &self.stand
    }

    /// Waits until every address refuses connections, or takes them, as it is told.
    async fn settle(&self) {
        self.running.settle().await;
        for other in &self.others {
            other.settle().await;
        }
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
            question: None,
        };
        let probe = Scenario {
            name: "probe".to_owned(),
            about: String::new(),
            needs: Needs::default(),
            access: None,
            login: Login::Anonymous,
            images: vec![image],
            faults: Vec::new(),
            traffic: Vec::new(),
            validators: Vec::new(),
        };
        let suffix = self.suffix();
        let images = probe.seed(self.running.origin(), self.nonce, &suffix);
        let mut traffic = Traffic::new(&self.client, &images);
        traffic.pull(Scene::default(), 1).await;
        traffic.exchanges
    }

    fn suffix(&mut self) -> String {
        self.count += 1;
        format!("-{:08x}-{}", self.nonce >> 32, self.count)
    }
}

impl<'a> Stage<'a> {
    fn new(runner: &'a Runner, plan: &'a Plan, suffix: String) -> Self {
        let faults = plan.scenario.faults.len();
        Self {
            runner,
            plan,
            suffix,
            guards: (0..faults).map(|_| None).collect(),
            fired: vec![0; faults],
            upstream: Upstream::Up,
            troubled: false,
        }
    }

    /// Carries out the steps, then makes the origin whole again.
    async fn play(&mut self, traffic: &mut Traffic<'_>, images: &[SeededImage]) {
        let steps = &self.plan.scenario.traffic;
        if !steps.contains(&Step::Break) {
            self.spoil().await;
        }
        for (number, step) in steps.iter().enumerate() {
            self.step(number, step, traffic, images).await;
        }
        self.heal().await;
        self.start().await;
    }

    async fn step(&mut self, number: usize, step: &Step, traffic: &mut Traffic<'_>, images: &[SeededImage]) {
        let troubled = self.troubled || self.upstream == Upstream::Down;
        let scene = Scene { number, upstream: self.upstream, troubled, ..Scene::default() };
        let patient = |patience_ms: u64| Scene { patience: Duration::from_millis(patience_ms), ..scene };
        match step {
            Step::Pull { clients, patience_ms, only, .. } => {
                traffic.pull(Scene { only, ..patient(*patience_ms) }, *clients).await;
            }
            Step::Leave { percent, clients } => traffic.leave(scene, *percent, *clients).await,
            Step::Join { percent, clients } => traffic.join(scene, *percent, *clients).await,
            Step::Heads { clients, .. } => traffic.heads(scene, *clients).await,
            Step::Ranges { clients, parts, .. } => traffic.ranges(scene, *clients, *parts).await,
            Step::Questions { patience_ms, .. } => {
                let questions = self.plan.scenario.questions(images);
                traffic.questions(patient(*patience_ms), &questions).await;
            }
            Step::Push { clients } => {
                let pushed = self.hosted(traffic);
                traffic.push(scene, *clients, &pushed).await;
            }
            Step::Trespass => traffic.trespass(scene).await,
            Step::MoveTag => traffic.move_tag(self.origin(), &self.another(&format!("moved {number}"))),
            Step::Rest => self.rest().await,
            Step::StopOrigin => self.stop().await,
            Step::StartOrigin => self.start().await,
            Step::Break => self.spoil().await,
            Step::Heal => self.heal().await,
        }
    }

    fn origin(&self) -> &Origin {
        self.runner.running.origin()
    }

    /// Describes an image that the scenario does not have otherwise.
    fn another(&self, what: &str) -> ImageSpec {
        let seed = self.plan.scenario.bytes_seed(self.plan.seed, &format!("{} {what}", self.suffix));
        let layers = self.plan.scenario.images.first().map(|it| it.layers.clone()).unwrap_or_default();
        ImageSpec { layers, seed, ..ImageSpec::default() }
    }

    /// Makes an image to be pushed. Its bytes are kept where nobody asks for them, and the origin has
    /// another image under its name.
    fn hosted(&self, traffic: &mut Traffic<'_>) -> SeededImage {
        let origin = self.origin();
        let kept = origin.seed_image(&format!("kept{}", self.suffix), "v1", &self.another("pushed"));
        let repository = format!("hosted/app{}", self.suffix);
        let decoy = origin.seed_image(&repository, "v1", &self.another("decoy"));
        traffic.seeded.push(decoy);
        SeededImage { repository, ..kept }
    }

    async fn spoil(&mut self) {
        let faults = self.plan.scenario.faults.iter();
        let install =
            |it: &crate::fault::Rule| Some(self.origin().install_seeded(it.clone(), self.plan.seed));
        self.guards = faults.map(install).collect();
        self.troubled = !self.guards.is_empty();
        self.runner.settle().await;
    }

    /// Ends every fault that is still installed, and remembers how often each happened.
    async fn heal(&mut self) {
        for (guard, fired) in self.guards.iter_mut().zip(&mut self.fired) {
            if let Some(guard) = guard.take() {
                *fired = guard.fired();
            }
        }
        self.troubled = false;
        self.origin().guard(self.plan.scenario.access.map(Guarded::healed));
        self.runner.settle().await;
    }

    /// Waits until no request and no byte has passed the origin for a moment.
    async fn rest(&self) {
        let deadline = Instant::now() + REST_MAX;
        let mut passed = self.origin().journal().passed();
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < QUIET && Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            let now = self.origin().journal().passed();
            if now != passed {
                (passed, quiet_since) = (now, Instant::now());
            }
        }
    }

    async fn stop(&mut self) {
        if self.upstream == Upstream::Up {
            self.runner.running.stop().await;
            self.runner.settle().await;
            self.upstream = Upstream::Down;
        }
    }

    async fn start(&mut self) {
        if self.upstream == Upstream::Down {
            self.runner.running.start().await;
            self.runner.settle().await;
            self.upstream = Upstream::Up;
        }
    }
}
