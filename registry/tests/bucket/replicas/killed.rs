//! Goal: a process that is killed takes nothing with it that it, or another one, has accepted; the others go on,
//! and when it is started again it sees everything.
//!
//! *Method*: clients push, delete and look; after some of that, one process is killed, and after some more, and
//! an audit of the others, it is started again. What it had claimed stands in nobody's way: no digest that it
//! was working on is deleted later.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use sim::rng::Rng;
use tokio::sync::Notify;

use super::audit::audit;
use super::client::{Client, World};
use super::fleet::{Config, Fleet};
use super::trial::{Place, Trial, over_both};

const CLIENTS: usize = 5;

const fn steps(place: Place) -> usize {
    match place {
        Place::Folder => 24,
        Place::Bucket => 8,
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
    let victim = usize::try_from(rng.below(3)).unwrap();
    let steps = steps(trial.place);
    let fatal = steps / 3 + usize::try_from(rng.below(steps as u64 / 3)).unwrap();
    let now = Notify::new();
    let clients = (0..CLIENTS).map(|number| {
        let mut client = Client::new(&world, trial.seed, number);
        let now = &now;
        async move {
            let mut own = Own::default();
            for at in 0..steps {
                if number == 0 && at == fatal {
                    now.notify_one();
                }
                own.step(&mut client).await;
            }
        }
    });
    let killer = async {
        now.notified().await;
        world.fleet.kill(victim);
        world.accepted()
    };
    let (before, _) = join(killer, join_all(clients)).await;
    assert_eq!(world.fleet.running().len(), 2);
    audit(&world).await;
    let after = world.accepted();
    assert!(before > CLIENTS && after > before, "{before} changes, and {after} in the end");
    world.fleet.restart(victim).await;
    audit(&world).await;
    let mut last = Client::new(&world, trial.seed, CLIENTS + 1);
    for to in 0..2 {
        last.push_new(to, Some("last".to_owned())).await;
    }
    audit(&world).await;
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
