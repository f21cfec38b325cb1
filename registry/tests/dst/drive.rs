//! Carries a plan out: faults, then health, then an upstream that is away.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use sim::trial::{Ask, Event, Eviction, Happened, Happening, History, Op, Phase, Plan, Seen, Target, World};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wharfinger::clock::{Clock, Timestamp};

use crate::process::{Process, audit, disk};

/// After which every schedule has ended.
const SETTLED: Duration = Duration::from_secs(6 * 3600);
/// In which a trial must end, in virtual time (L2).
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a trial was.
pub(crate) struct Run {
    pub(crate) history: History,
    pub(crate) world: Arc<Mutex<World>>,
}

/// Runs a plan in a thread and a runtime of its own, where chance begins anew.
pub(crate) fn run(plan: &Plan) -> Run {
    std::thread::scope(|scope| scope.spawn(|| run_here(plan)).join()).unwrap()
}

fn run_here(plan: &Plan) -> Run {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let ended = timeout(LIFE, live(plan)).await;
        ended.unwrap_or_else(|_| panic!("L2: seed {} does not end", plan.seed))
    })
}

struct Stand {
    plan: Plan,
    /// The process that serves; none while one ends and the next begins.
    process: watch::Sender<Option<Arc<Process>>>,
    world: Arc<Mutex<World>>,
    clock: Clock,
    begun: Instant,
    history: Mutex<History>,
}

async fn live(plan: &Plan) -> Run {
    let world = Arc::new(Mutex::new(World::new(plan)));
    let begun = Instant::now();
    let clock = Clock::manual(Timestamp::from_millis(0));
    let first = Process::start(plan, &world, begun, &clock, disk(plan)).await;
    let process = watch::Sender::new(Some(Arc::new(first)));
    let stand =
        Arc::new(Stand { plan: plan.clone(), process, world, clock, begun, history: Mutex::default() });
    let clients = plan.clients.iter().map(|asks| tokio::spawn(client(Arc::clone(&stand), asks.clone())));
    let events = tokio::spawn(happen(Arc::clone(&stand), plan.events.clone()));
    let tasks: Vec<_> = clients.chain([events]).collect();
    futures_util::future::join_all(tasks).await.into_iter().for_each(Result::unwrap);
    stand.settle().await;
    stand.world.lock().unwrap().heal();
    everything(&stand, plan, Phase::Healed).await;
    stand.settle().await;
    let found = audit(&stand.process().await.disk, &stand.world.lock().unwrap());
    stand.history.lock().unwrap().audit = found;
    stand.world.lock().unwrap().go_down();
    everything(&stand, plan, Phase::Down).await;
    let history = std::mem::take(&mut *stand.history.lock().unwrap());
    Run { history, world: Arc::clone(&stand.world) }
}

/// Lets happen what is to happen to the cache.
async fn happen(stand: Arc<Stand>, events: Vec<Event>) {
    for event in events {
        sleep_until(stand.begun + Duration::from_millis(event.at_ms)).await;
        stand.set_clock();
        let (from_ms, what) = (stand.now_ms(), event.what);
        let status = stand.happen(what).await;
        let happened = Happened { what, from_ms, to_ms: stand.now_ms(), status };
        stand.history.lock().unwrap().happened.push(happened);
    }
}

async fn client(stand: Arc<Stand>, asks: Vec<Ask>) {
    for ask in asks {
        sleep_until(stand.begun + Duration::from_millis(ask.at_ms)).await;
        stand.ask(Phase::Faulty, ask.target, ask.op).await;
    }
}

/// Pulls all there is, one after another.
async fn everything(stand: &Stand, plan: &Plan, phase: Phase) {
    for (image, layers) in plan.images.iter().enumerate() {
        stand.ask(phase, Target::Manifest(image), Op::Get).await;
        for layer in 0..layers.len() {
            let target = Target::Layer(image, layer);
            // What was kept of an answer that lied is found out once, and its reader is cut.
            if !stand.ask(phase, target, Op::Get).await && phase == Phase::Healed {
                stand.ask(phase, target, Op::Get).await;
            }
        }
    }
    for repository in 0..Plan::repositories() {
        stand.ask(phase, Target::Tag(repository), Op::Head).await;
        stand.ask(phase, Target::Tag(repository), Op::Get).await;
    }
}

impl Stand {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    /// Lets every schedule, cool-down and memory end.
    async fn settle(&self) {
        sleep(SETTLED).await;
        self.set_clock();
    }

    /// The wall clock follows the virtual one.
    fn set_clock(&self) {
        let now = Timestamp::from_millis(self.now_ms());
        self.clock.advance(now.since(self.clock.now()));
    }

    /// Returns the process that serves, as soon as there is one.
    async fn process(&self) -> Arc<Process> {
        let mut process = self.process.subscribe();
        let serving = process.wait_for(Option::is_some).await.unwrap();
        Arc::clone(serving.as_ref().unwrap())
    }

    /// Returns the status of what an operator asks for.
    async fn happen(&self, what: Happening) -> Option<u16> {
        let process = self.process().await;
        let path = match what {
            Happening::Evict => {
                let left_bytes = process.repositories.evict(&process.upstream).await.unwrap();
                let eviction = Eviction { at_ms: self.now_ms(), left_bytes };
                self.history.lock().unwrap().evictions.push(eviction);
                return None;
            }
            Happening::Restart | Happening::Kill(_) => {
                self.process.send_replace(None);
                let disk = process.end(what).await;
                let next = Process::start(&self.plan, &self.world, self.begun, &self.clock, disk).await;
                self.process.send_replace(Some(Arc::new(next)));
                return None;
            }
            Happening::PurgeAll(repository) => format!("/v2/r{repository}/_wharfinger/cache"),
            Happening::Purge(target) => self.world.lock().unwrap().path_of(target).to_owned(),
        };
        let mut pulled = Pulled::default();
        pull(&process, Request::delete(path).body(Body::empty()).unwrap(), &mut pulled).await;
        pulled.status
    }

    /// Makes a request, and says whether its answer came whole.
    async fn ask(&self, phase: Phase, target: Target, op: Op) -> bool {
        let process = self.process().await;
        self.set_clock();
        let (path, len) = {
            let world = self.world.lock().unwrap();
            (world.path_of(target).to_owned(), world.content(target, 0).len())
        };
        let mut request = Request::get(&path);
        if op == Op::Head {
            request = Request::head(&path);
        }
        if let Op::Range(from, to) = op {
            let place = |at: u32| len * at as usize / 1000;
            request =
                request.header("range", format!("bytes={}-{}", place(from), place(to).max(place(from))));
        }
        let from_ms = self.now_ms();
        let mut pulled = Pulled::default();
        let has_left = {
            let pull = pull(&process, request.body(Body::empty()).unwrap(), &mut pulled);
            match op {
                Op::Leave(after) => timeout(Duration::from_millis(after), pull).await.is_err(),
                _ => {
                    pull.await;
                    false
                }
            }
        };
        let pulled = if has_left { Pulled::default() } else { pulled };
        let Pulled { status, digest, retry_after, range, body, whole } = pulled;
        let to_ms = self.now_ms();
        let seen =
            Seen { phase, target, op, from_ms, to_ms, status, digest, retry_after, range, body, whole };
        self.history.lock().unwrap().seen.push(seen);
        whole
    }
}

#[derive(Default)]
struct Pulled {
    status: Option<u16>,
    digest: Option<String>,
    retry_after: Option<String>,
    range: Option<String>,
    body: Vec<u8>,
    whole: bool,
}

/// Pulls until the end, or the end of the process.
async fn pull(process: &Process, request: Request<Body>, pulled: &mut Pulled) {
    tokio::select! {
        biased;
        () = process.ended() => {}
        () = pull_whole(process, request, pulled) => {}
    }
}

async fn pull_whole(process: &Process, request: Request<Body>, pulled: &mut Pulled) {
    let is_head = request.method() == http::Method::HEAD;
    let (head, mut stream) = process.app.call(request).await.into_parts();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    pulled.status = Some(head.status.as_u16());
    pulled.digest = header("docker-content-digest");
    pulled.retry_after = header("retry-after");
    pulled.range = header("content-range");
    while let Some(frame) = stream.frame().await {
        match frame {
            Ok(frame) => pulled.body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(_) => return,
        }
    }
    // On the wire a body that is short of its length is a connection that was cut.
    let length = header("content-length").and_then(|it| it.parse::<usize>().ok());
    pulled.whole = is_head || length.is_none_or(|length| length == pulled.body.len());
}
