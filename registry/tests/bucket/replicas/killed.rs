//! Goal: a process that is killed takes nothing with it that it, or another one, has accepted; the others go on,
//! and when it is started again it sees everything.
//!
//! *Method*: clients push, delete and look; after some of that, one process is killed, and after some more, and
//! an audit of the others, it is started again. What it had claimed stands in nobody's way: no digest that it
//! was working on is deleted later.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use sim::rng::Rng;

use super::audit::audit;
use super::client::{Client, World};
use super::fleet::{Config, Fleet};
use super::trial::{Place, Trial, over_both};

const CLIENTS: usize = 5;
/// A client that has done so much before anything was killed is in a test that stands still.
const STEPS_MAX: usize = 200;

/// Returns how many steps each client does after the kill.
const fn steps(place: Place) -> usize {
    match place {
        Place::Folder => 12,
        Place::Bucket => 5,
    }
}

over_both!(p13_a_killed_process_takes_nothing_with_it, super::kill);

async fn kill(trial: Trial) {
    let Some(fleet) = Fleet::start(&trial, 3, Config::plain()).await else { return };
    let mut rng = Rng::labelled(trial.seed, "kill");
    let world = Arc::new(World::new(fleet, &mut rng, &["team/app", "team/web"]));
    // A repository that becomes empty is looked at alone, which a claim that is left would be in the way of.
    let mut first = Client::new(&world, trial.seed, CLIENTS);
    for to in 0..2 {
        first.push_new(to, Some("first".to_owned())).await;
    }
    let kill = Kill::new(&mut rng);
    join_all(
        (0..CLIENTS).map(|number| work(Client::new(&world, trial.seed, number), &kill, steps(trial.place))),
    )
    .await;
    assert_eq!(world.fleet.running().len(), 2);
    audit(&world).await;
    let (before, after) = (kill.done().expect("it was killed"), world.accepted());
    assert!(after > before, "of {after} changes none was accepted after the kill");
    let victim = kill.victim;
    world.fleet.restart(victim).await;
    audit(&world).await;
    let mut last = Client::new(&world, trial.seed, CLIENTS + 1);
    for to in 0..2 {
        last.push_new(to, Some("last".to_owned())).await;
    }
    audit(&world).await;
}

/// Does steps until the kill, and so many after it.
async fn work(mut client: Client, kill: &Kill, after: usize) {
    let mut own = Own::default();
    for _ in 0..STEPS_MAX {
        if kill.done().is_some() {
            break;
        }
        own.step(&mut client).await;
        kill.consider(&client.world);
    }
    for _ in 0..after {
        own.step(&mut client).await;
    }
}

/// Who is killed, and when: after so many changes, however long these take.
#[derive(Debug)]
struct Kill {
    victim: usize,
    changes: usize,
    /// How many changes were accepted before it.
    done: Mutex<Option<usize>>,
}

impl Kill {
    fn new(rng: &mut Rng) -> Self {
        let victim = usize::try_from(rng.below(3)).unwrap();
        let changes = CLIENTS + 1 + usize::try_from(rng.below(CLIENTS as u64)).unwrap();
        Self { victim, changes, done: Mutex::default() }
    }

    fn done(&self) -> Option<usize> {
        *self.done.lock().unwrap()
    }

    fn consider(&self, world: &World) {
        let mut done = self.done.lock().unwrap();
        let accepted = world.accepted();
        if done.is_none() && accepted >= self.changes {
            world.fleet.kill(self.victim);
            *done = Some(accepted);
        }
    }
}

/// What a client has pushed and may delete: nobody else pushes it.
#[derive(Default)]
struct Own(BTreeSet<(usize, String)>);

impl Own {
    async fn step(&mut self, client: &mut Client) {
        let (to, tag) = (client.somewhere(), client.tag());
        match client.below(8) {
            0..4 => {
                let running = client.world.fleet.running();
                let image = client.push_new(to, Some(tag)).await;
                // The claim of a push that was cut stands for minutes.
                if running == client.world.fleet.running() {
                    self.0.insert((to, image.digest.clone()));
                }
            }
            4 => {
                if let Some((of, digest)) = self.0.pop_first() {
                    client.delete_manifest(of, &digest).await;
                }
            }
            5 => client.list(to).await,
            _ => client.pull_tag(to, tag).await,
        }
    }
}
