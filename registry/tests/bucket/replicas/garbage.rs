//! Goal: garbage collection in every process at once takes nothing that a manifest needs which any of them has
//! accepted; and garbage goes.
//!
//! *Method*: garbage is looked for every second, and is what is older than that. Clients push images that share
//! layers, leave blobs without a manifest, delete manifests and push the same again, until enough was removed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use sim::rng::Rng;

use super::audit::audit;
use super::client::{Client, World};
use super::fleet::{Config, Fleet};
use super::image::Blob;
use super::trial::{Place, Trial, over_both};

const DELAY: Duration = Duration::from_secs(1);
/// When it is an error that no garbage has gone: many times what it takes.
const PATIENCE: Duration = Duration::from_secs(45);
/// Links, and pieces of content, that are to go.
const GONE_MIN: f64 = 5.0;

const fn clients(place: Place) -> usize {
    match place {
        Place::Folder => 4,
        Place::Bucket => 3,
    }
}

over_both!(p13_garbage_is_collected_beside_pushes, super::collect);

async fn collect(trial: Trial) {
    let storage = json!({"gc": true, "gcDelay": "1s", "gcInterval": "1s"});
    let config = Config { storage, ..Config::plain() };
    let Some(fleet) = Fleet::start(&trial, 3, config).await else { return };
    let mut rng = Rng::labelled(trial.seed, "bases");
    let world = World::new(fleet, &mut rng, &["team/app", "team/web"]);
    // A process makes links young again that are older than half of it when it tells of them.
    let world = Arc::new(World { told: Some(DELAY / 2), ..world });
    let began = Instant::now();
    let mut gone = (0.0, 0.0);
    let mut clients: Vec<Client> =
        (0..clients(trial.place)).map(|number| Client::new(&world, trial.seed, number)).collect();
    while gone.0 < GONE_MIN || gone.1 < GONE_MIN {
        join_all(clients.iter_mut().map(step)).await;
        gone = (removed(&world, "link").await, removed(&world, "content").await);
        assert!(began.elapsed() < PATIENCE, "of links and content {gone:?} went");
    }
    println!("{gone:?} links and pieces of content went in {:?}", began.elapsed());
    audit(&world).await;
}

async fn removed(world: &World, kind: &str) -> f64 {
    let kind = format!("kind=\"{kind}\"");
    world.fleet.metric(&["wharfinger_gc_removed_objects_total", &kind]).await
}

async fn step(client: &mut Client) {
    let (to, tag) = (client.somewhere(), client.tag());
    match client.below(8) {
        0..2 => drop(client.push_new(to, Some(tag)).await),
        2..4 => client.push_again(Some(tag)).await,
        4..6 => {
            let name = client.world.histories[to].repository.clone();
            let blob = Blob::random(&mut client.rng);
            client.push_blob(&name, &blob).await;
        }
        _ => {
            if let Some((of, image)) = client.known() {
                client.delete_manifest(of, &image.digest).await;
            }
        }
    }
}
