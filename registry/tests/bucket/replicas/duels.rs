//! Goal: a push and the delete of what it needs never both succeed, through whichever processes.
//!
//! *Method*: again and again a manifest is pushed through one process, and at the same moment a blob of it, or
//! the image of an index, is deleted through another. Whatever a process remembers of what another one has
//! deleted is of no use to it.

use std::sync::Arc;

use futures_util::future::join;
use http::Method;
use sim::rng::Rng;

use super::client::{Client, World};
use super::fleet::{Answer, Ask, Config, Fleet};
use super::image::{Blob, Image};
use super::trial::{Place, Trial, over_both};

const NAME: &str = "team/duel";

const fn rounds(place: Place) -> usize {
    match place {
        Place::Folder => 40,
        Place::Bucket => 12,
    }
}

over_both!(p13_a_push_and_the_delete_of_what_it_needs, super::duels);
over_both!(p13_what_another_process_deleted_is_not_relied_on, super::remembered);

struct Duel {
    world: Arc<World>,
    client: Client,
}

impl Duel {
    async fn start(trial: &Trial) -> Option<Self> {
        let fleet = Fleet::start(trial, 2, Config::plain()).await?;
        let mut rng = Rng::labelled(trial.seed, "bases");
        let world = Arc::new(World::new(fleet, &mut rng, &[NAME]));
        let client = Client::new(&world, trial.seed, 0);
        Some(Self { world, client })
    }

    /// Makes an image whose blobs are pushed.
    async fn image(&mut self) -> Arc<Image> {
        let layer = Blob::random(&mut self.client.rng);
        let image = Image::of(&mut self.client.rng, vec![layer]);
        for blob in &image.blobs {
            assert!(self.client.push_blob(NAME, blob).await, "nobody is in its way");
        }
        image
    }

    async fn ask(&self, at: usize, ask: Ask) -> Answer {
        self.world.fleet.ask(at, ask).await.expect("it runs")
    }

    async fn expect(&self, status: u16, path: &str) {
        for at in 0..self.world.fleet.len() {
            let answer = self.world.fleet.get(at, path).await;
            assert_eq!(answer.status, status, "replica {at}: {path}");
        }
    }
}

fn put(image: &Image) -> Ask {
    Ask::new(Method::PUT, format!("/v2/{NAME}/manifests/{}", image.digest))
        .header("content-type", image.media_type)
        .with(image.bytes.clone())
}

fn delete(path: &str) -> Ask {
    Ask::new(Method::DELETE, path)
}

async fn duels(trial: Trial) {
    let Some(mut duel) = Duel::start(&trial).await else { return };
    let mut wins = [0, 0];
    for round in 0..rounds(trial.place) {
        let image = duel.image().await;
        let (pushed, needed) = if round % 2 == 0 {
            (Arc::clone(&image), format!("/v2/{NAME}/blobs/{}", image.blobs[0].digest))
        } else {
            duel.ask(0, put(&image)).await.expect(201);
            (Image::index(&image), format!("/v2/{NAME}/manifests/{}", image.digest))
        };
        let pusher = duel.client.below(2);
        let (push, deleted) =
            join(duel.ask(pusher, put(&pushed)), duel.ask(1 - pusher, delete(&needed))).await;
        let path = format!("/v2/{NAME}/manifests/{}", pushed.digest);
        match (push.status.as_u16(), deleted.status.as_u16()) {
            (201, 405) => {
                wins[0] += 1;
                duel.expect(200, &path).await;
                duel.expect(200, &needed).await;
            }
            (404, 202) => {
                wins[1] += 1;
                duel.expect(404, &path).await;
                duel.expect(404, &needed).await;
            }
            both => panic!("round {round}: the push and the delete were answered {both:?}"),
        }
    }
    println!("{wins:?} pushes and deletes won");
}

async fn remembered(trial: Trial) {
    let Some(mut duel) = Duel::start(&trial).await else { return };
    for at in 0..2 {
        let image = duel.image().await;
        let (blob, path) = (image.blobs[0].digest.clone(), format!("/v2/{NAME}/manifests/{}", image.digest));
        duel.ask(at, put(&image)).await.expect(201);
        // Now each has it in memory.
        duel.expect(200, &path).await;
        duel.expect(200, &format!("/v2/{NAME}/blobs/{blob}")).await;
        duel.ask(1 - at, delete(&path)).await.expect(202);
        duel.expect(404, &path).await;
        duel.ask(at, put(&Image::index(&image))).await.expect(404);
        // Once no manifest needs it, a blob may go too.
        let blob = format!("/v2/{NAME}/blobs/{blob}");
        duel.ask(1 - at, delete(&blob)).await.expect(202);
        duel.expect(404, &blob).await;
        duel.ask(at, put(&image)).await.expect(404);
    }
    let (image, path) = (duel.image().await, format!("/v2/{NAME}/manifests/again"));
    let put = Ask::new(Method::PUT, path.clone())
        .header("content-type", image.media_type)
        .with(image.bytes.clone());
    // What goes with a manifest comes again with it, whoever has deleted it.
    for at in [0, 1, 1, 0, 0, 1] {
        duel.ask(at, put.clone()).await.expect(201);
        duel.expect(200, &path).await;
        let delete = delete(&format!("/v2/{NAME}/manifests/{}", image.digest));
        duel.ask(1 - at, delete).await.expect(202);
        duel.expect(404, &path).await;
    }
}
