//! All that each process says, once nobody changes anything: it is the same, and what the history asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, stream};

use super::client::{World, see_list, see_tag};
use super::history::Act;
use super::image::{Blob, Image};

/// Requests at once.
const AT_ONCE: usize = 8;

/// What a process says of a repository.
#[derive(Debug, Default, PartialEq, Eq)]
struct View {
    listed: Vec<String>,
    tags: BTreeMap<String, Option<String>>,
    manifests: BTreeMap<String, bool>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tags: usize,
    pub(super) manifests: usize,
    pub(super) blobs: usize,
}

/// Asks every process for everything.
pub(super) async fn audit(world: &World) -> Found {
    let mut found = Found::default();
    for of in 0..world.histories.len() {
        let images = images_of(world, of);
        let mut views = Vec::new();
        for at in world.fleet.running() {
            views.push((at, look(world, of, at, &images).await));
        }
        for (at, view) in &views {
            let (first, expected) = &views[0];
            assert_eq!(view, expected, "replicas {at} and {first} say different things");
            for tag in &view.listed {
                let there = view.tags.get(tag).cloned().flatten();
                assert!(there.is_some(), "replica {at} lists {tag}, which is not there");
            }
        }
        let (_, view) = &views[0];
        let live: Vec<&Arc<Image>> = images.values().filter(|image| view.manifests[&image.digest]).collect();
        found.tags += view.listed.len();
        found.manifests += live.len();
        for at in world.fleet.running() {
            found.blobs += read_blobs(world, of, at, &live).await;
        }
    }
    world.histories.iter().for_each(super::history::History::judge);
    println!("{found:?} after {} changes", world.accepted());
    found
}

/// Returns every image that anybody began to push into a repository.
fn images_of(world: &World, of: usize) -> BTreeMap<String, Arc<Image>> {
    let images = world.images.lock().unwrap();
    let here = images.iter().filter(|(to, _)| *to == of);
    here.map(|(_, image)| (image.digest.clone(), Arc::clone(image))).collect()
}

async fn look(world: &World, of: usize, at: usize, images: &BTreeMap<String, Arc<Image>>) -> View {
    let listed = see_list(world, of, at).await.expect("it runs");
    let named: BTreeSet<String> = world.histories[of].tags().into_iter().chain(listed.clone()).collect();
    let tags = stream::iter(named).map(|tag| async move {
        let digest = see_tag(world, of, at, tag.clone()).await;
        (tag, digest)
    });
    let tags = tags.buffer_unordered(AT_ONCE).collect().await;
    let manifests = stream::iter(images.values()).map(|image| see_manifest(world, of, at, image));
    let manifests = manifests.buffer_unordered(AT_ONCE).collect().await;
    View { listed, tags, manifests }
}

async fn see_manifest(world: &World, of: usize, at: usize, image: &Image) -> (String, bool) {
    let (history, begun) = (&world.histories[of], Instant::now());
    let answer = world.fleet.get(at, &format!("/v2/{}/manifests/{}", history.repository, image.digest)).await;
    let is_there = answer.status == 200;
    assert!(is_there || answer.status == 404, "replica {at}: {answer:?}");
    assert!(!is_there || answer.body == image.bytes, "replica {at}: {} has other bytes", image.digest);
    history.answered(Act::SawManifest { digest: image.digest.clone(), is_there }, at, begun);
    (image.digest.clone(), is_there)
}

/// Reads each blob that a manifest needs which is there, and returns how many they are.
async fn read_blobs(world: &World, of: usize, at: usize, live: &[&Arc<Image>]) -> usize {
    let needed: BTreeMap<&str, &Arc<Blob>> =
        live.iter().flat_map(|image| image.blobs.iter().map(|blob| (blob.digest.as_str(), blob))).collect();
    let name = &world.histories[of].repository;
    let reads = stream::iter(needed.into_values()).map(async |blob| {
        let answer = world.fleet.get(at, &format!("/v2/{name}/blobs/{}", blob.digest)).await;
        assert_eq!(answer.status, 200, "replica {at} has lost {}, which a manifest needs", blob.digest);
        assert!(answer.body == blob.bytes, "replica {at}: {} has other bytes", blob.digest);
    });
    reads.buffer_unordered(AT_ONCE).count().await
}
