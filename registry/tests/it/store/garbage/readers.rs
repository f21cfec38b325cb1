//! Goal: readers never wait for garbage collection (P9). Method: the collection stands still for good at each of
//! its calls of the backend in turn, without caches; whatever it has in hand then, everything is read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::oci::Reference;
use wharfinger::store::Store;
use wharfinger::store::gc::Clients;
use wharfinger::store::options::{GcOptions, Options};

use super::pace::{Pace, READER};
use super::{backend, request};
use crate::store::contents::{CONTENTS, digest, hosted, tag};
use crate::store::machine::apply;
use crate::store::model::{Op, When, repository};

async fn store(pace: &Pace, clock: &Clock) -> Store {
    let gc = GcOptions { delay: Duration::from_secs(60), ..GcOptions::default() };
    let options = Options { gc, memory_cache_bytes_max: 0, ..Options::default() };
    Store::open(Arc::new(pace.clone()), options, clock.clone()).await.unwrap()
}

/// Prepares a store with an image and much garbage beside it, and lets a collection stand still at a call.
/// Returns whether it had so many calls.
async fn stand_at(call: u64) -> bool {
    let disk = MemoryDisk::new();
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    let pace = Pace::new(backend(&disk).await, clock.clone(), 1);
    let store = store(&pace, &clock).await;
    let push = (0..CONTENTS.blobs.len()).map(|blob| Op::PutBlob(0, blob));
    let more = [
        Op::PutManifest { repository: 0, item: 0, tags: vec![0], when: When::Move },
        Op::PutManifest { repository: 0, item: 1, tags: vec![1], when: When::Move },
        Op::PutManifest { repository: 0, item: 3, tags: vec![], when: When::Move },
        Op::DeleteManifest(0, 1),
        Op::PutBlob(1, 1),
        Op::PutBlob(1, 2),
    ];
    for op in push.chain(more) {
        apply(&store, &op).await;
    }
    clock.advance(Duration::from_secs(3600));
    pace.stand_from(call);
    let collecting = {
        let store = store.clone();
        tokio::spawn(async move { store.collect_garbage(&request(Clients::Served)).await.map(drop) })
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    let stands = pace.calls() >= call;
    assert_ne!(stands, collecting.is_finished(), "it stands at call {call}, or it has ended");
    let reading = READER.scope((), read(&store));
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .unwrap_or_else(|_| panic!("a reader waits: {call}"));
    collecting.abort();
    stands
}

/// Reads an image as a client does, and what stands beside it.
async fn read(store: &Store) {
    let app = repository(0);
    let names = store.tags(&app).await.unwrap();
    let name = tag(&names[0]);
    let manifest = store.manifest(&app, &Reference::Tag(name)).await.unwrap().unwrap();
    let image = CONTENTS.manifests.iter().find(|item| item.digest == manifest.digest).unwrap();
    assert_eq!(manifest.bytes, image.bytes);
    for needed in &image.manifest.references {
        assert!(store.has_blob(&app, &needed.digest).await.unwrap());
        let content = store.open_blob(&app, &needed.digest).await.unwrap().unwrap();
        let chunks: Vec<bytes::Bytes> = content.stream(0, content.size()).try_collect().await.unwrap();
        assert_eq!(digest(&chunks.concat()), needed.digest);
    }
    let referrers = store.referrers(&app, &image.digest, Default::default()).await.unwrap();
    assert_eq!(referrers.descriptors.len(), 1);
    store.repositories(&wharfinger::store::Space::Hosted).await.unwrap();
    // Of garbage on its way out there is an answer too.
    let garbage = digest(&CONTENTS.blobs[2]);
    store.blob_size(&app, &garbage).await.unwrap();
    store.open_blob(&repository(1), &garbage).await.unwrap();
    store.open_blob(&hosted("elsewhere"), &garbage).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn p9_readers_complete_wherever_the_collection_stands() {
    let mut call = 1;
    while stand_at(call).await {
        call += 1;
    }
    assert!(call > 40, "the collection has only {call} calls");
}
