//! Goal: beside pushes, deletes, pulls and fetches a scrub finds nothing that is not wrong, loses nothing, and
//! heals with them what is.
//!
//! Method: tasks on few names in several threads, with a scrub after another beside them; then the same while
//! bits flip.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::oci::{Algorithm, Reference};
use wharfinger::store::manifests::{References, Tagging};
use wharfinger::store::scrub::{Acting, Finding, From, Options};
use wharfinger::store::{Error, Store};

use super::stand::{Heard, blob_path, every_shape, fill, flip, found, open, push, put, scrub};
use crate::store::contents::{CONTENTS, cached, digest, hosted, tag};

/// How often each task does what it does.
const ROUNDS: usize = 150;

async fn pushes(store: Store, seed: usize) {
    let app = hosted("team/app");
    for round in 0..ROUNDS {
        let blob = (round + seed) % 4;
        push(&store, &app, &CONTENTS.blobs[blob], Algorithm::Sha256).await;
        let item = [0, 3, 1, 4, 2, 5][round % 6];
        let new = CONTENTS.manifests[item].pushed(vec![tag("v1")], Tagging::Move, References::Required);
        match store.put_manifest(&app, new).await {
            Ok(()) | Err(Error::ReferencesMissing { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn deletes(store: Store) {
    let app = hosted("team/app");
    for round in 0..ROUNDS {
        let manifest = &CONTENTS.manifests[(round * 5) % 6].digest;
        let blob = digest(&CONTENTS.blobs[round % 4]);
        let outcomes = [
            store.delete_tag(&app, &tag("v1")).await,
            store.delete_manifest(&app, manifest).await,
            store.delete_blob(&app, &blob).await,
        ];
        for outcome in outcomes {
            match outcome {
                Ok(())
                | Err(
                    Error::TagUnknown { .. }
                    | Error::ManifestUnknown { .. }
                    | Error::BlobUnknown { .. }
                    | Error::Referenced { .. },
                ) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

async fn fetches(store: Store) {
    let alpine = cached("library/alpine");
    for round in 0..ROUNDS {
        fill(&store, &alpine, round % 3).await;
        put(&store, &alpine, round % 4, &["latest"]).await;
        if round % 3 == 0 {
            let blob = digest(&CONTENTS.blobs[round % 3]);
            store.remove_cached_blobs(&alpine, [blob]).await.unwrap();
            store.remove_cached_manifest(&alpine, &CONTENTS.manifests[round % 4].digest).await.unwrap();
            store.collect(CONTENTS.digests()).await.unwrap();
        }
    }
}

async fn pulls(store: Store, may_be_lost: bool) {
    for round in 0..ROUNDS {
        let item = &CONTENTS.manifests[round % 6];
        for repository in [hosted("team/app"), cached("library/alpine")] {
            match store.manifest(&repository, &Reference::Digest(item.digest)).await {
                Ok(Some(served)) => assert!(served.bytes == item.bytes, "P1"),
                Ok(None) => {}
                Err(error) if may_be_lost => drop(error),
                Err(error) => panic!("{error:?}"),
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn scrubs(store: Store, stop: Arc<AtomicBool>) -> (usize, Vec<Finding>) {
    let (mut runs, mut findings) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) || runs == 0 {
        let options = Options { bytes_per_second: None, acting: Acting::Repair, from: From::Beginning };
        findings.extend(store.scrub(options, &Heard::default()).await.findings);
        runs += 1;
    }
    (runs, findings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p9_beside_everything_else_a_scrub_finds_nothing() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let store = open(&disk).await;
    every_shape(&store).await;
    let stop = Arc::new(AtomicBool::new(false));
    let scrubbing = tokio::spawn(scrubs(store.clone(), Arc::clone(&stop)));
    let tasks = [
        tokio::spawn(pushes(store.clone(), 0)),
        tokio::spawn(pushes(store.clone(), 2)),
        tokio::spawn(deletes(store.clone())),
        tokio::spawn(fetches(store.clone())),
        tokio::spawn(pulls(store.clone(), false)),
    ];
    for task in tasks {
        task.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let (runs, findings) = scrubbing.await.unwrap();
    assert!(runs > 3, "{runs} scrubs were beside them");
    assert_eq!(findings, []);
    assert_eq!(found(&scrub(&open(&disk).await, Acting::Report).await), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p1_p2_while_bits_flip_pushes_and_scrubs_heal_together() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let store = open(&disk).await;
    every_shape(&store).await;
    let stop = Arc::new(AtomicBool::new(false));
    let scrubbing = tokio::spawn(scrubs(store.clone(), Arc::clone(&stop)));
    let damaging = tokio::spawn({
        let (disk, stop) = (Arc::clone(&disk), Arc::clone(&stop));
        async move {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                let digests = CONTENTS.digests();
                let path = blob_path(&digests[round % digests.len()]);
                // Gone at the moment, or empty, is no matter.
                let is_there =
                    matches!(disk.stat(&path), Ok(wharfinger::backend::disk::Stat::File(len)) if len > 10);
                if is_there && let Ok(file) = disk.open_writable(&path) {
                    let byte = file.read_at(3, 1).unwrap();
                    if let [byte] = byte[..] {
                        file.write_at(3, &[byte ^ 1]).unwrap();
                    }
                }
                round += 1;
                tokio::task::yield_now().await;
            }
        }
    });
    let tasks = [
        tokio::spawn(pushes(store.clone(), 1)),
        tokio::spawn(fetches(store.clone())),
        tokio::spawn(pulls(store.clone(), true)),
    ];
    for task in tasks {
        task.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    damaging.await.unwrap();
    let (_, findings) = scrubbing.await.unwrap();
    assert!(findings.iter().any(|it| it.kind.name() == "corrupt-content"), "something was found");
    // What is corrupt now goes, and whoever has it brings it again.
    flip(&disk, &blob_path(&digest(&CONTENTS.blobs[0])), 0);
    scrub(&store, Acting::Repair).await;
    let app = hosted("team/app");
    for bytes in &CONTENTS.blobs {
        push(&store, &app, bytes, Algorithm::Sha256).await;
    }
    push(&store, &hosted("team/app/below"), &CONTENTS.blobs[2], Algorithm::Sha512).await;
    for item in [0, 1, 2, 3, 4, 5] {
        put(&store, &app, item, &[]).await;
    }
    for store in [store, open(&disk).await] {
        scrub(&store, Acting::Repair).await;
        assert_eq!(found(&scrub(&store, Acting::Report).await), [""; 0]);
    }
}
