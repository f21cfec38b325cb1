//! Goal: what is pushed through any process is there through all of them; what was deleted stays deleted, and
//! nothing else goes.
//!
//! *Method*: clients push new images and those of others, with tags of their own and tags of all, in two
//! repositories that share layers; meanwhile they look at tags and lists. In one test they delete as well.

use std::sync::Arc;

use futures_util::future::join_all;
use sim::rng::Rng;

use super::audit::audit;
use super::client::{Client, World};
use super::fleet::{Config, Fleet};
use super::trial::{Place, Trial, over_both};

const CLIENTS: usize = 6;
/// How many changes must be accepted, however many steps that takes.
const CHANGES_MIN: usize = 3 * CLIENTS;
/// A client that has done so much is in a test that stands still.
const STEPS_MAX: usize = 200;

/// How much each client does: a bucket of moto's answers some hundred requests a second.
const fn steps(place: Place) -> usize {
    match place {
        Place::Folder => 30,
        Place::Bucket => 7,
    }
}

/// Says whether a client goes on that has done so much.
fn goes_on(world: &World, place: Place, done: usize) -> bool {
    done < steps(place) || (done < STEPS_MAX && world.accepted() < CHANGES_MIN)
}

async fn world(trial: &Trial) -> Option<Arc<World>> {
    let fleet = Fleet::start(trial, 3, Config::plain()).await?;
    let mut rng = Rng::labelled(trial.seed, "bases");
    Some(Arc::new(World::new(fleet, &mut rng, &["team/app", "team/web"])))
}

over_both!(p13_what_was_accepted_is_everywhere, super::pushes);
over_both!(p13_what_was_deleted_stays_deleted, super::deletes);

async fn pushes(trial: Trial) {
    let Some(world) = world(&trial).await else { return };
    let clients = (0..CLIENTS).map(async |number| {
        let mut client = Client::new(&world, trial.seed, number);
        for _ in (0..).take_while(|done| goes_on(&world, trial.place, *done)) {
            let (to, tag) = (client.somewhere(), client.tag());
            match client.below(8) {
                0..4 => drop(client.push_new(to, Some(tag)).await),
                4 => client.push_again(Some(tag)).await,
                5 => drop(client.push_new(to, None).await),
                6 => client.list(to).await,
                _ => client.pull_tag(to, tag).await,
            }
        }
    });
    join_all(clients).await;
    let found = audit(&world).await;
    assert!(found.tags > 0 && found.manifests > 0, "{found:?}");
    assert!(world.accepted() >= CHANGES_MIN, "only {} changes were accepted", world.accepted());
}

async fn deletes(trial: Trial) {
    let Some(world) = world(&trial).await else { return };
    let clients = (0..CLIENTS).map(async |number| {
        let mut client = Client::new(&world, trial.seed, number);
        for _ in (0..).take_while(|done| goes_on(&world, trial.place, *done)) {
            let (to, tag) = (client.somewhere(), client.tag());
            match client.below(12) {
                0..3 => drop(client.push_new(to, Some(tag)).await),
                3..5 => client.push_again(Some(tag)).await,
                5..7 => client.delete_tag(to, tag).await,
                7..9 => delete_some_manifest(&mut client).await,
                9 => client.list(to).await,
                _ => client.pull_tag(to, tag).await,
            }
        }
    });
    join_all(clients).await;
    audit(&world).await;
    assert!(world.accepted() >= CHANGES_MIN, "only {} changes were accepted", world.accepted());
}

async fn delete_some_manifest(client: &mut Client) {
    if let Some((of, image)) = client.known() {
        client.delete_manifest(of, &image.digest).await;
    }
}
