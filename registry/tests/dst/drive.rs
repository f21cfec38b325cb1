//! Carries a plan out: faults, then health, then an upstream that is away.

use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use sim::trial::{Ask, History, Op, Phase, Plan, Seen, Target, World};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wharfinger::auth::{self, Access};
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::http::App;
use wharfinger::repository::{self, Repositories};
use wharfinger::store::{self, Store};
use wharfinger::upstream::options::Options;
use wharfinger::upstream::{Routes, Upstream};

use crate::transport::{Model, address};

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
    app: App,
    world: Arc<Mutex<World>>,
    clock: Clock,
    begun: Instant,
    history: Mutex<History>,
}

async fn live(plan: &Plan) -> Run {
    let world = Arc::new(Mutex::new(World::new(plan)));
    let begun = Instant::now();
    let clock = Clock::manual(Timestamp::from_millis(0));
    let app = open(plan, &world, begun, &clock).await;
    let stand = Arc::new(Stand { app, world, clock, begun, history: Mutex::default() });
    let clients = plan.clients.iter().map(|asks| client(Arc::clone(&stand), asks.clone()));
    futures_util::future::join_all(clients.map(tokio::spawn)).await.into_iter().for_each(Result::unwrap);
    stand.settle().await;
    stand.world.lock().unwrap().heal();
    everything(&stand, plan, Phase::Healed).await;
    stand.settle().await;
    stand.world.lock().unwrap().go_down();
    everything(&stand, plan, Phase::Down).await;
    let history = std::mem::take(&mut *stand.history.lock().unwrap());
    Run { history, world: Arc::clone(&stand.world) }
}

async fn open(plan: &Plan, world: &Arc<Mutex<World>>, begun: Instant, clock: &Clock) -> App {
    let backend = FsBackend::open(Arc::new(MemoryDisk::new()), Durability::Synced).await.unwrap();
    let store =
        Store::open(Arc::new(backend), store::options::Options::default(), clock.clone()).await.unwrap();
    let options = options(plan);
    let model = Arc::new(Model { world: Arc::clone(world), begun });
    let upstream = Arc::new(Upstream::new(options.clone(), model, clock.clone()));
    let mut routes = Routes::default();
    routes.add(upstream, &options).unwrap();
    let repositories =
        Repositories::new(store, routes, repository::options::Options::default(), clock.clone());
    let access = Access::new(auth::options::Options::default()).unwrap();
    App::new(repositories, access, wharfinger::http::options::Options::default())
}

fn options(plan: &Plan) -> Options {
    let ms = Duration::from_millis;
    let it = &plan.settings;
    Options {
        name: "model".to_owned(),
        urls: (0..it.urls).map(address).collect(),
        on_demand: true,
        retries_max: it.retries,
        retry_delay: ms(it.retry_delay_ms),
        retry_delay_max: ms(it.retry_delay_ms),
        on_demand_timeout: ms(it.on_demand_ms),
        response_timeout: ms(it.response_ms),
        check_timeout: ms(it.check_ms),
        manifest_check_interval: ms(it.interval_ms),
        negative_ttl: ms(it.negative_ms),
        breaker_failures: it.breaker,
        rate_max: NonZero::new(0),
        ..Options::default()
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
            stand.ask(phase, Target::Layer(image, layer), Op::Get).await;
        }
    }
    for repository in 0..Plan::repositories() {
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

    async fn ask(&self, phase: Phase, target: Target, op: Op) {
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
        let pull = pull(&self.app, request.body(Body::empty()).unwrap());
        let seen = match op {
            Op::Leave(after) => timeout(Duration::from_millis(after), pull).await.ok(),
            _ => Some(pull.await),
        };
        let pulled = seen.unwrap_or_default();
        let Pulled { status, digest, retry_after, range, body, whole } = pulled;
        let to_ms = self.now_ms();
        let seen =
            Seen { phase, target, op, from_ms, to_ms, status, digest, retry_after, range, body, whole };
        self.history.lock().unwrap().seen.push(seen);
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

async fn pull(app: &App, request: Request<Body>) -> Pulled {
    let is_head = request.method() == http::Method::HEAD;
    let (head, mut stream) = app.call(request).await.into_parts();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (mut body, mut is_cut) = (Vec::new(), false);
    while let Some(frame) = stream.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(_) => {
                is_cut = true;
                break;
            }
        }
    }
    // On the wire a body that is short of its length is a connection that was cut.
    let length = header("content-length").and_then(|it| it.parse::<usize>().ok());
    let whole = !is_cut && (is_head || length.is_none_or(|length| length == body.len()));
    Pulled {
        status: Some(head.status.as_u16()),
        digest: header("docker-content-digest"),
        retry_after: header("retry-after"),
        range: header("content-range"),
        body,
        whole,
    }
}
