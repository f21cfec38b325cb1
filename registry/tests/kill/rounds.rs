//! Goal: P2 and P3 of the real process: what was answered survives `kill -9` at any moment.
//! Method: clients push, mount, tag, delete and leave uploads open; the server is killed at a
//! random moment and started again on its folder; everything that was ever answered is read.
//!
//! `WHARFINGER_KILL_ROUNDS` says how often, `WHARFINGER_KILL_SEED` with which choices.
//! A seed fixes what the clients do and after how long the server dies, not how the machine
//! schedules them; so a failure may need some runs of its command to come back.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::pushes::{Leniency, Pool, Pusher, Stop, audit, traffic};
use crate::support::{Connection, Folder, Launch, Random, Server};

const ROUNDS: usize = 60;
const CLIENTS: usize = 4;
/// Rounds on one folder; then comes a new one, so that an audit stays short.
const ROUNDS_PER_FOLDER: usize = 20;
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
    let rounds =
        setting("WHARFINGER_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.try_into().expect("it fits"));
    let replay = format!(
        "WHARFINGER_KILL_SEED={seed} WHARFINGER_KILL_ROUNDS={rounds} \
         cargo test -p wharfinger --test kill -- p2_every_201_survives_kill --nocapture"
    );
    println!("replay: {replay}");
    let mut random = Random::new(seed);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let (mut acknowledged, mut left) = (0, rounds);
        while left > 0 {
            let here = left.min(ROUNDS_PER_FOLDER);
            acknowledged += Rounds::begin(&mut random).run(here);
            left -= here;
        }
        acknowledged
    }));
    match ran {
        Ok(acknowledged) => {
            println!("{rounds} kills, {acknowledged} changes acknowledged and found again");
            // An idle loop proves nothing: with nothing to lose, nothing is lost.
            assert!(acknowledged > rounds as u64, "only {acknowledged} in {rounds} rounds");
        }
        Err(panic) => {
            eprintln!("P2 or P3 is broken with seed {seed}; replay: {replay}");
            resume_unwind(panic);
        }
    }
}

/// A folder and the clients that push to it, over many lives of its server.
struct Rounds {
    folder: Folder,
    random: Random,
    shared: Pusher,
    pushers: Vec<Pusher>,
    kills: usize,
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
        Self { folder, random, shared, pushers, kills: 1 }
    }

    /// Runs rounds, and returns how many changes were acknowledged.
    fn run(mut self, rounds: usize) -> u64 {
        for _ in 0..rounds {
            if self.random.below(8) == 0 {
                self.kill_at_start();
            }
            let server = Launch::on(&self.folder).start();
            self.audit(&server);
            self.live(server);
        }
        let server = Launch::on(&self.folder).start();
        self.audit(&server);
        self.finish(&server);
        self.pushers.iter().map(|pusher| pusher.acknowledged).sum()
    }

    /// Kills a server that has not begun to listen, which is a crash of the recovery.
    fn kill_at_start(&mut self) {
        let starting = Launch::on(&self.folder).spawn();
        std::thread::park_timeout(Duration::from_micros(self.random.next() % 20_000));
        starting.kill();
    }

    fn audit(&mut self, server: &Server) {
        assert_eq!(self.folder.entries("data/tmp"), Vec::<String>::new(), "a start empties it");
        // Each client may have had one upload in hand at each kill that nobody was told of.
        let told: usize = self.pushers.iter().map(|pusher| pusher.after.uploads.len()).sum();
        let staged = self.folder.entries("data/uploads").len();
        assert!(staged <= told + CLIENTS * self.kills, "{staged} uploads after {} kills", self.kills);
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
