//! Goal: P2 and P3 of the real process: what was answered survives `kill -9` at any moment.
//! Method: clients push, mount, tag, delete and leave uploads open, others pull from an upstream;
//! the server is killed at a random moment and started again on its folder; everything that was
//! ever answered is read, and what is cached is read while the upstream is away.
//!
//! `WHARFINGER_KILL_ROUNDS` says how often, or `WHARFINGER_KILL_SECONDS` how long;
//! `WHARFINGER_KILL_SEED` with which choices.
//! A seed fixes what the clients do and after how long the server dies, not how the machine
//! schedules them; so a failure may need some runs of its command to come back.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::pushes::{Leniency, Pool, Puller, Pusher, Stop, Upstream, audit, traffic};
use crate::support::{Connection, Folder, Launch, Random, Server, program};

const ROUNDS: usize = 60;
const CLIENTS: usize = 4;
const PULLERS: usize = 2;
/// Rounds on one folder; then comes a new one, so that an audit stays short.
const ROUNDS_PER_FOLDER: usize = 20;
/// Rounds after which the upstream is away for once.
const ROUNDS_PER_ABSENCE: usize = 5;
/// The longest that a server lives in a round, in microseconds.
const LIFE_MAX_US: usize = 150_000;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn p2_every_201_survives_kill() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let by_time = u64::try_from(now % 1_000_000_007).expect("it is small");
    let seed = setting("WHARFINGER_KILL_SEED").unwrap_or(by_time);
    let (limit, said) = Limit::of_this_run();
    let replay = format!(
        "WHARFINGER_KILL_SEED={seed} {said} \
         cargo test -p wharfinger --test kill -- p2_every_201_survives_kill --nocapture"
    );
    println!("replay: {replay}");
    let mut random = Random::new(seed);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut done = Done::default();
        while let Some(here) = limit.next(done.rounds) {
            done += Rounds::begin(&mut random).run(here);
        }
        done
    }));
    match ran {
        Ok(done) => {
            println!("{done}");
            // An idle loop proves nothing: with nothing to lose, nothing is lost.
            assert!(done.acknowledged > done.rounds as u64, "hardly anything was answered: {done}");
            assert!(done.pulled > 0 && done.cached > 0, "nothing was cached: {done}");
        }
        Err(panic) => {
            eprintln!("P2 or P3 is broken with seed {seed}; replay: {replay}");
            resume_unwind(panic);
        }
    }
}

/// When to end.
enum Limit {
    Rounds(usize),
    Until(Instant),
}

impl Limit {
    /// Returns that of this run, and the variable that says it.
    fn of_this_run() -> (Self, String) {
        if let Some(seconds) = setting("WHARFINGER_KILL_SECONDS") {
            let until = Instant::now() + Duration::from_secs(seconds);
            return (Self::Until(until), format!("WHARFINGER_KILL_SECONDS={seconds}"));
        }
        let rounds = setting("WHARFINGER_KILL_ROUNDS");
        let rounds = rounds.map_or(ROUNDS, |rounds| rounds.try_into().expect("it fits"));
        (Self::Rounds(rounds), format!("WHARFINGER_KILL_ROUNDS={rounds}"))
    }

    /// Returns how many rounds the next folder has, or `None` at the end.
    fn next(&self, done: usize) -> Option<usize> {
        let left = match self {
            Self::Rounds(rounds) => rounds - done,
            Self::Until(until) if Instant::now() < *until => ROUNDS_PER_FOLDER,
            Self::Until(_) => 0,
        };
        (left > 0).then_some(left.min(ROUNDS_PER_FOLDER))
    }
}

/// What was done.
#[derive(Debug, Default)]
struct Done {
    rounds: usize,
    kills: usize,
    collections: usize,
    acknowledged: u64,
    pulled: u64,
    cached: usize,
}

impl std::ops::AddAssign for Done {
    fn add_assign(&mut self, more: Self) {
        self.rounds += more.rounds;
        self.kills += more.kills;
        self.collections += more.collections;
        self.acknowledged += more.acknowledged;
        self.pulled += more.pulled;
        self.cached += more.cached;
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rounds, {} kills, {} collections killed; {} changes acknowledged and found again; {} bodies \
             pulled, {} found again without the upstream",
            self.rounds, self.kills, self.collections, self.acknowledged, self.pulled, self.cached
        )
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Says whether the program under test can collect what nothing links.
fn has_collector() -> bool {
    command(&["gc", "--help"]).status().expect("the program can be run").success()
}

/// A folder and the clients that push to it, over many lives of its server.
struct Rounds {
    folder: Folder,
    random: Random,
    shared: Pusher,
    pushers: Vec<Pusher>,
    upstream: Arc<Upstream>,
    pullers: Vec<Puller>,
    kills: usize,
    collections: usize,
}

impl Rounds {
    fn begin(random: &mut Random) -> Self {
        let mut random = random.split();
        let pool = Arc::new(Pool::new(&mut random));
        let mut client = |name: &str| Pusher::new(name, "shared", Arc::clone(&pool), random.split());
        let mut shared = client("shared");
        let pushers = (0..CLIENTS).map(|number| client(&format!("team/c{number}"))).collect();
        let folder = Folder::new();
        let server = Launch::on(&folder).start();
        let mut wire = server.connect();
        for content in 0..pool.mountable {
            shared.push_whole(&mut wire, content).expect("nobody kills this server");
        }
        server.kill();
        let upstream = Arc::new(Upstream::start(&mut random));
        let puller = |_| Puller::new(Arc::clone(&upstream), random.split());
        let pullers = (0..PULLERS).map(puller).collect();
        Self { folder, random, shared, pushers, upstream, pullers, kills: 1, collections: 0 }
    }

    /// Runs rounds, and returns what was done.
    fn run(mut self, rounds: usize) -> Done {
        let has_collector = has_collector();
        for round in 1..=rounds {
            if self.random.below(8) == 0 {
                self.kill_at_start();
            }
            if has_collector && self.random.below(4) == 0 {
                self.kill_a_collection();
            }
            if round.is_multiple_of(ROUNDS_PER_ABSENCE) {
                self.audit_without_upstream();
            }
            let server = self.launch().start();
            self.audit(&server);
            self.live(server);
        }
        let server = self.launch().start();
        self.audit(&server);
        self.finish(&server);
        server.kill();
        let cached = self.audit_without_upstream();
        Done {
            rounds,
            kills: self.kills,
            collections: self.collections,
            acknowledged: self.pushers.iter().map(|pusher| pusher.acknowledged).sum(),
            pulled: self.pullers.iter().map(|puller| puller.pulled).sum(),
            cached,
        }
    }

    fn launch(&self) -> Launch<'_> {
        Launch::on(&self.folder).config(&self.upstream.config())
    }

    /// Reads what is cached from a server whose upstream is away, and returns how much that is.
    fn audit_without_upstream(&mut self) -> usize {
        self.upstream.stop();
        let server = self.launch().start();
        let cached = self.pullers.iter_mut().map(|puller| puller.audit(&server)).max();
        server.kill();
        self.upstream.begin_again();
        cached.unwrap_or(0)
    }

    /// Kills the collector of a store that no server has.
    fn kill_a_collection(&mut self) {
        let mut collecting = command(&["gc", "--data"]).arg(self.folder.path("data")).spawn();
        let collecting = collecting.as_mut().expect("the program can be run");
        std::thread::park_timeout(Duration::from_micros(self.random.next() % 40_000));
        // It may have come to its end.
        let _ = collecting.kill();
        collecting.wait().expect("a child can be waited for");
        self.collections += 1;
    }

    /// Kills a server that has not begun to listen, which is a crash of the recovery.
    fn kill_at_start(&mut self) {
        let starting = self.launch().spawn();
        std::thread::park_timeout(Duration::from_micros(self.random.next() % 20_000));
        starting.kill();
    }

    fn audit(&mut self, server: &Server) {
        assert_eq!(self.folder.entries("data/tmp"), Vec::<String>::new(), "a start empties it");
        // Each client may have had one upload in hand at each kill that nobody was told of.
        let told: usize = self.pushers.iter().map(|pusher| pusher.after.uploads.len()).sum();
        let staged = self.folder.entries("data/uploads").len();
        assert!(staged <= told + CLIENTS * self.kills, "{staged} uploads after {} kills", self.kills);
        // A fill that nobody remembers is cleared away.
        let (fills, parked) = (self.folder.entries("data/fills"), self.folder.entries("data/parked"));
        assert!(fills.len() <= parked.len(), "{fills:?} stay, {parked:?} are known");
        audit(server, &mut self.shared, Leniency::Killed);
        for pusher in &mut self.pushers {
            audit(server, pusher, Leniency::Killed);
        }
    }

    /// Lets the clients at a server, and kills it.
    fn live(&mut self, server: Server) {
        let life = Duration::from_micros((1 + self.random.below(LIFE_MAX_US)) as u64);
        let (done, all_done) = channel::<()>();
        let address = server.address;
        std::thread::scope(|scope| {
            for pusher in &mut self.pushers {
                let done = done.clone();
                scope.spawn(move || {
                    let _until_done = done;
                    let stopped = match Connection::open(address) {
                        Ok(mut wire) => traffic(pusher, &mut wire),
                        Err(_) => Stop::Broken,
                    };
                    assert!(matches!(stopped, Stop::Broken), "nothing failed, and yet: {stopped:?}");
                });
            }
            for puller in &mut self.pullers {
                let done = done.clone();
                scope.spawn(move || {
                    let _until_done = done;
                    let stopped = match Connection::open(address) {
                        Ok(mut wire) => puller.traffic(&mut wire),
                        Err(_) => Stop::Broken,
                    };
                    assert!(matches!(stopped, Stop::Broken), "nothing failed, and yet: {stopped:?}");
                });
            }
            drop(done);
            // The clients end before the server only when they have found a fault.
            let _ = all_done.recv_timeout(life);
            server.kill();
        });
        self.kills += 1;
    }

    /// Takes every open upload to its end.
    fn finish(&mut self, server: &Server) {
        let mut wire = server.connect();
        for pusher in &mut self.pushers {
            for path in pusher.before.uploads.keys().cloned().collect::<Vec<_>>() {
                pusher.commit(&mut wire, &path).expect("nobody kills this server");
            }
            audit(server, pusher, Leniency::Killed);
        }
    }
}
