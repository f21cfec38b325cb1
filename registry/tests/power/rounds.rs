//! Goal: P2 and P3 of the real server on real disks: what it has answered is there after the power went at any
//! moment, and a server whose disk has gone answers nothing that it cannot keep.
//! Method: clients push, mount, tag, delete and leave uploads open, others pull from an upstream; the file system
//! is shut down under the server at a random moment, which is killed later; then it is mounted again, another
//! server starts, and everything that was ever answered is read.
//!
//! `WHARFINGER_POWER_ROUNDS` says how often, `WHARFINGER_POWER_SEED` with which choices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::machine::Test;
use crate::pushes::{Leniency, Pool, Puller, Pusher, Stop, Upstream, audit, traffic};
use crate::support::{Connection, Folder, Launch, Random, Server, Skip};
use crate::volume::{Cut, FileSystem, Volume};

const ROUNDS: u64 = 10;
const CLIENTS: usize = 4;
/// Rounds after which the upstream is away for once.
const ROUNDS_PER_ABSENCE: u64 = 5;
/// The longest that the power lasts in a round, in microseconds.
const LIFE_MAX_US: usize = 300_000;
/// How long clients go on after it: what they are answered then must be there as well.
const AFTERLIFE: Duration = Duration::from_millis(30);

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// A file system and the clients of the servers on it.
struct Rounds {
    volume: Volume,
    folder: Folder,
    random: Random,
    shared: Pusher,
    pushers: Vec<Pusher>,
    upstream: Arc<Upstream>,
    puller: Puller,
}

impl Rounds {
    fn begin(file_system: FileSystem, mut random: Random) -> Self {
        let pool = Arc::new(Pool::new(&mut random));
        let mut client = |name: &str| Pusher::new(name, "shared", Arc::clone(&pool), random.split());
        let mut shared = client("shared");
        let pushers = (0..CLIENTS).map(|number| client(&format!("team/c{number}"))).collect();
        let upstream = Arc::new(Upstream::start(&mut random));
        let puller = Puller::new(Arc::clone(&upstream), random.split());
        let (volume, folder) = (Volume::new(file_system), Folder::new());
        let server = Launch::on(&folder).data(volume.path().join("data")).start();
        let mut wire = server.connect();
        for content in 0..pool.mountable {
            shared.push_whole(&mut wire, content).expect("nothing fails yet");
        }
        drop(server);
        Self { volume, folder, random, shared, pushers, upstream, puller }
    }

    fn start(&self) -> Server {
        Launch::on(&self.folder).config(&self.upstream.config()).data(self.volume.path().join("data")).start()
    }

    /// Lets the clients at a server, and cuts the power.
    fn live(&mut self, cut: Cut) {
        let server = self.start();
        let life = Duration::from_micros((1 + self.random.below(LIFE_MAX_US)) as u64);
        let (address, has_power) = (server.address, AtomicBool::new(true));
        let (done, all_done) = channel::<()>();
        let check = &|stopped: &Stop| {
            let is_dead = !has_power.load(Ordering::SeqCst);
            assert!(is_dead, "the power was on, and yet: {stopped:?}");
        };
        std::thread::scope(|scope| {
            for pusher in &mut self.pushers {
                let done = done.clone();
                scope.spawn(move || {
                    let _until_done = done;
                    check(
                        &Connection::open(address)
                            .map_or(Stop::Broken, |mut wire| traffic(pusher, &mut wire)),
                    );
                });
            }
            let puller = &mut self.puller;
            scope.spawn(move || {
                check(&Connection::open(address).map_or(Stop::Broken, |mut wire| puller.traffic(&mut wire)));
            });
            drop(done);
            // The clients end before it only when they have found a fault.
            let _ = all_done.recv_timeout(life);
            has_power.store(false, Ordering::SeqCst);
            self.volume.shut_down(cut).unwrap_or_else(|Skip(reason)| panic!("{reason}"));
            let _ = all_done.recv_timeout(AFTERLIFE);
            server.kill();
        });
        self.volume.start_again();
    }

    fn audit(&mut self) {
        let server = self.start();
        for pusher in std::iter::once(&mut self.shared).chain(&mut self.pushers) {
            audit(&server, pusher, Leniency::PowerCut);
        }
    }

    fn audit_without_upstream(&mut self) -> usize {
        self.upstream.stop();
        let cached = self.puller.audit(&self.start());
        self.upstream.begin_again();
        cached
    }

    fn run(&mut self, rounds: u64) -> usize {
        for round in 0..rounds {
            let cut = if round % 2 == 0 { Cut::LogLost } else { Cut::LogFlushed };
            self.live(cut);
            if round % ROUNDS_PER_ABSENCE == 0 {
                self.audit_without_upstream();
            }
            self.audit();
        }
        self.audit_without_upstream()
    }
}

fn check(name: &'static str, file_systems: &'static [FileSystem]) {
    Test { name, file_systems }.run(|_| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let by_time = u64::try_from(now % 1_000_000_007).expect("it is small");
        let seed = setting("WHARFINGER_POWER_SEED").unwrap_or(by_time);
        let rounds = setting("WHARFINGER_POWER_ROUNDS").unwrap_or(ROUNDS);
        println!(
            "replay: WHARFINGER_POWER_SEED={seed} WHARFINGER_POWER_ROUNDS={rounds} \
             cargo test -p wharfinger --test power -- {name} --nocapture"
        );
        let mut all = Rounds::begin(file_systems[0], Random::new(seed));
        let cached = all.run(rounds);
        let acknowledged: u64 = all.pushers.iter().map(|pusher| pusher.acknowledged).sum();
        println!(
            "{rounds} power cuts under load; {acknowledged} changes acknowledged and found again; {} bodies \
             pulled, {cached} found again without the upstream",
            all.puller.pulled
        );
        assert!(acknowledged > rounds && all.puller.pulled > 0, "hardly anything was answered");
    });
}

#[test]
fn p2_p3_a_server_on_ext4() {
    check("rounds::p2_p3_a_server_on_ext4", &[FileSystem::Ext4]);
}

#[test]
fn p2_p3_a_server_on_xfs() {
    check("rounds::p2_p3_a_server_on_xfs", &[FileSystem::Xfs]);
}
