//! Goal: what is quarantined is answered as absent, kept, and healed by whoever has it; a run that was broken off
//! goes on; bytes have their pace.
//!
//! Method: a store on a disk in memory, damaged while it is open; the clock is paused.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::oci::{Algorithm, Reference};
use wharfinger::store::scrub::{Acting, By, Done, From, Kind, Options};
use wharfinger::store::{Error, Store};

use super::stand::{Heard, blob_path, every_shape, files, fill, flip, found, open, push, put, scrub, write};
use crate::store::contents::{CONTENTS, cached, digest, hosted};

async fn stand() -> (Arc<dyn Disk>, Store) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let store = open(&disk).await;
    every_shape(&store).await;
    (disk, store)
}

async fn read(store: &Store, repository: &wharfinger::store::RepositoryKey, blob: usize) -> Option<Vec<u8>> {
    let content = store.open_blob(repository, &digest(&CONTENTS.blobs[blob])).await.unwrap()?;
    let chunks: Vec<bytes::Bytes> = content.stream(0, content.size()).try_collect().await.unwrap();
    Some(chunks.concat())
}

#[tokio::test]
async fn p2_what_was_pushed_and_is_corrupt_is_absent_until_it_is_pushed_again() {
    let (disk, store) = stand().await;
    let (app, layer) = (hosted("team/app"), digest(&CONTENTS.blobs[1]));
    for round in 1..=2 {
        flip(&disk, &blob_path(&layer), round);
        scrub(&store, Acting::Repair).await;
        let opened = store.open_blob(&app, &layer).await;
        assert!(matches!(opened, Err(Error::BlobUnknown { .. })), "round {round}: {opened:?}");
        assert!(!store.has_blob(&app, &layer).await.unwrap(), "a client that asks first pushes again");
        assert!(!store.mount_blob(&app, &hosted("third"), &layer).await.unwrap(), "and cannot mount it");
        push(&store, &app, &CONTENTS.blobs[1], Algorithm::Sha256).await;
        assert_eq!(read(&store, &app, 1).await.unwrap(), CONTENTS.blobs[1]);
        // Whoever else had it has it again.
        assert_eq!(read(&store, &hosted("other"), 1).await.unwrap(), CONTENTS.blobs[1]);
        assert_eq!(found(&scrub(&store, Acting::Report).await), [""; 0], "round {round}");
    }
    let kept = files(&disk);
    let kept: Vec<_> = kept.iter().filter(|(path, _)| path.starts_with("quarantine/")).collect();
    assert_eq!(kept.len(), 4, "what went wrong twice is kept twice, each with its record");
    for (path, bytes) in kept.iter().filter(|(path, _)| path.ends_with("/record")) {
        let record: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(record["foundAt"], 1_700_000_000_000_u64);
        assert_eq!(
            (record["digest"].as_str(), record["size"].as_u64()),
            (Some(&*layer.to_string()), Some(10_000))
        );
        let actual = path.split('/').nth(3).unwrap();
        assert_eq!(record["actual"], format!("sha256:{actual}"));
        assert!(record["why"].as_str().unwrap().starts_with("a scrub found bytes"));
    }
}

#[tokio::test]
async fn p2_a_manifest_that_is_corrupt_is_absent_until_it_is_pushed_again() {
    let (disk, store) = stand().await;
    let (app, item) = (hosted("team/app"), &CONTENTS.manifests[1]);
    flip(&disk, &blob_path(&item.digest), 40);
    // As after a start: memory has none of it.
    let store = {
        drop(store);
        open(&disk).await
    };
    scrub(&store, Acting::Repair).await;
    for reference in [Reference::Digest(item.digest), Reference::Tag(crate::store::contents::tag("v1"))] {
        let found = store.manifest(&app, &reference).await;
        assert!(matches!(found, Err(Error::ManifestUnknown { .. })), "{found:?}");
    }
    // An index that needs it is not taken before it is whole.
    let references = wharfinger::store::manifests::References::Required;
    let index = CONTENTS.manifests[2].pushed(vec![], wharfinger::store::manifests::Tagging::Move, references);
    let refused = store.put_manifest(&app, index).await;
    assert!(matches!(refused, Err(Error::ReferencesMissing { .. })), "{refused:?}");
    put(&store, &app, 1, &[]).await;
    let served = store.manifest(&app, &Reference::Digest(item.digest)).await.unwrap().unwrap();
    assert_eq!(served.bytes, item.bytes);
    assert_eq!(found(&scrub(&store, Acting::Report).await), [""; 0]);
}

#[tokio::test]
async fn p3_a_tag_that_leads_to_nothing_is_kept_and_leads_nowhere() {
    let (disk, store) = stand().await;
    let (app, item) = (hosted("team/app"), &CONTENTS.manifests[2]);
    let all = crate::store::contents::tag("all");
    disk.remove(&format!("repositories/team/app/_manifests/sha256/{}", item.digest.hex())).unwrap();
    let store = {
        drop(store);
        open(&disk).await
    };
    let report = scrub(&store, Acting::Repair).await;
    assert_eq!(found(&report), ["tag-dangling repositories/team/app/_tags/all"]);
    assert!(store.manifest(&app, &Reference::Tag(all.clone())).await.unwrap().is_none(), "404");
    put(&store, &app, 2, &[]).await;
    let served = store.manifest(&app, &Reference::Tag(all)).await.unwrap().unwrap();
    assert_eq!(served.digest, item.digest, "a push of the manifest brings it back");
    assert_eq!(found(&scrub(&store, Acting::Report).await), [""; 0]);
}

#[tokio::test]
async fn a_manifest_that_is_in_memory_heals_its_content() {
    let (disk, store) = stand().await;
    let (app, item) = (hosted("team/app"), &CONTENTS.manifests[1]);
    for (harm, kind) in [("flipped", Kind::CorruptContent), ("lost", Kind::ManifestContent)] {
        store.manifest(&app, &Reference::Digest(item.digest)).await.unwrap().unwrap();
        match kind {
            Kind::CorruptContent => flip(&disk, &blob_path(&item.digest), 40),
            _ => disk.remove(&blob_path(&item.digest)).unwrap(),
        }
        let report = scrub(&store, Acting::Repair).await;
        let done: Vec<_> = report.findings.iter().map(|it| (it.kind, it.done)).collect();
        assert_eq!(done, [(kind, Done::Restored)], "{harm}");
        assert_eq!(files(&disk)[&blob_path(&item.digest)], item.bytes, "{harm}");
        assert_eq!(found(&scrub(&store, Acting::Report).await), [""; 0]);
    }
}

#[tokio::test]
async fn what_was_cached_is_let_go_of_or_fetched_at_once() {
    let (disk, store) = stand().await;
    let (alpine, layer) = (cached("library/alpine"), digest(&CONTENTS.blobs[0]));
    let manifest = CONTENTS.manifests[0].digest;
    for upstream in [None, Some(store.clone())] {
        let has_upstream = upstream.is_some();
        flip(&disk, &blob_path(&layer), 1);
        flip(&disk, &blob_path(&manifest), 40);
        let store = {
            let _ = &store;
            open(&disk).await
        };
        let heard = Heard { upstream: upstream.map(|_| store.clone()), ..Heard::default() };
        let options = Options { bytes_per_second: None, acting: Acting::Repair, from: From::Beginning };
        let report = store.scrub(options, &heard).await;
        let of_cache: Vec<_> = report
            .findings
            .iter()
            .filter(|it| it.repository.as_ref() == Some(&alpine))
            .map(|it| (it.kind, it.done))
            .collect();
        let done = if has_upstream { Done::Refetched } else { Done::Removed };
        assert_eq!(of_cache, [(Kind::BlobContent, done), (Kind::ManifestContent, done)]);
        assert_eq!(read(&store, &alpine, 0).await.is_some(), has_upstream);
        let served = store.manifest(&alpine, &Reference::Digest(manifest)).await.unwrap();
        assert_eq!(served.is_some(), has_upstream);
        // A pull brings it again.
        fill(&store, &alpine, 0).await;
        put(&store, &alpine, 0, &["latest"]).await;
        assert_eq!(read(&store, &alpine, 0).await.unwrap(), CONTENTS.blobs[0]);
        // The bytes are shared: what was pushed has them again too.
        assert_eq!(found(&scrub(&store, Acting::Report).await), [""; 0]);
    }
}

#[tokio::test]
async fn p9_a_reader_under_way_reads_what_he_opened_to_its_end() {
    let (disk, store) = stand().await;
    let layer = digest(&CONTENTS.blobs[1]);
    let mut wrong = CONTENTS.blobs[1].to_vec();
    wrong[77] ^= 4;
    flip(&disk, &blob_path(&layer), 77);
    let opened = store.open_blob(&hosted("team/app"), &layer).await.unwrap().unwrap();
    let mut chunks = opened.stream(0, opened.size());
    scrub(&store, Acting::Repair).await;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.try_next().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    // A GET that hashes what it sends cuts it off; whoever reads a digest checks it.
    assert!(bytes == wrong);
}

#[tokio::test]
async fn p9_readers_wait_for_no_scrub_wherever_it_stands_still() {
    let (disk, store) = stand().await;
    flip(&disk, &blob_path(&digest(&CONTENTS.blobs[0])), 1);
    flip(&disk, &blob_path(&CONTENTS.manifests[3].digest), 40);
    let (app, alpine) = (hosted("team/app"), cached("library/alpine"));
    let (heard, mut stood) = (Heard::default(), 0);
    let options = Options { bytes_per_second: None, acting: Acting::Repair, from: From::Beginning };
    let mut run = Box::pin(store.scrub(options, &heard));
    while futures_util::poll!(run.as_mut()).is_pending() {
        let reading = async {
            assert_eq!(read(&store, &app, 2).await.unwrap(), CONTENTS.blobs[2]);
            assert_eq!(read(&store, &alpine, 1).await.unwrap(), CONTENTS.blobs[1]);
            let reference = Reference::Tag(crate::store::contents::tag("v1"));
            assert!(store.manifest(&app, &reference).await.unwrap().is_some());
            // What is wrong is absent, or not yet.
            _ = store.open_blob(&app, &digest(&CONTENTS.blobs[0])).await;
            _ = store.manifest(&app, &Reference::Digest(CONTENTS.manifests[3].digest)).await;
            store.tags(&app).await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("a reader waits for a scrub");
        stood += 1;
        // What runs to its end has its turn.
        tokio::task::yield_now().await;
    }
    assert!(stood > 30, "it stood still {stood} times");
    assert!(heard.findings.lock().unwrap().len() > 2);
}

/// Scrubs until so many objects were looked at, and is broken off.
async fn broken_off(store: &Store, by: By, objects: u64) {
    let heard = Arc::new(Heard::default());
    let (watch, scrubbed) = (Arc::clone(&heard), store.clone());
    let options = slow(by);
    let run = tokio::spawn(async move { scrubbed.scrub(options, &*watch).await });
    while heard.progress.lock().unwrap().last().is_none_or(|it| it.objects < objects) {
        assert!(!run.is_finished());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
}

fn slow(by: By) -> Options {
    let from = From::WhereItStood(by);
    Options { bytes_per_second: Some(1000), acting: Acting::Repair, from }
}

#[tokio::test(start_paused = true)]
async fn a_scrub_that_was_broken_off_goes_on_where_it_stood() {
    let (disk, store) = stand().await;
    let whole = scrub(&store, Acting::Report).await;
    assert_eq!(store.scrubbed_at().await, None);
    broken_off(&store, By::Server, 5).await;
    assert_eq!(store.scrubbed_at().await, None, "it has not ended");
    let store = {
        drop(store);
        open(&disk).await
    };
    let heard = Heard::default();
    let report = store.scrub(slow(By::Server), &heard).await;
    let after = report.resumed_after.clone().expect("it has gone on");
    let first = heard.progress.lock().unwrap()[0];
    assert!((3..=5).contains(&first.objects), "it began after {after}, with {first:?}");
    assert_eq!(
        (report.objects, report.bytes),
        (whole.objects, whole.bytes),
        "nothing is left out, or counted twice"
    );
    assert!(store.scrubbed_at().await.is_some());
    let report = store.scrub(slow(By::Server), &Heard::default()).await;
    assert_eq!(report.resumed_after, None, "what has ended begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_only_where_its_own_sort_stood() {
    let (disk, store) = stand().await;
    broken_off(&store, By::Server, 5).await;
    let report = store.scrub(slow(By::Command), &Heard::default()).await;
    assert_eq!(report.resumed_after, None, "what a server found it has told its log");
    broken_off(&store, By::Server, 5).await;
    let report = scrub(&store, Acting::Report).await;
    assert_eq!(report.resumed_after, None);
    write(&disk, "system/scrub", b"\0\0\0");
    let report = store.scrub(slow(By::Server), &Heard::default()).await;
    assert_eq!(report.resumed_after, None, "what power loss has left of it costs a scrub");
}

#[tokio::test(start_paused = true)]
async fn bytes_and_records_have_their_pace() {
    let (_, store) = stand().await;
    let whole = scrub(&store, Acting::Report).await;
    let begun = tokio::time::Instant::now();
    let options = Options { bytes_per_second: Some(1000), acting: Acting::Report, from: From::Beginning };
    store.scrub(options, &Heard::default()).await;
    // Records are counted too, so that many small ones do not take the disk.
    assert!(begun.elapsed() > Duration::from_secs(whole.bytes / 1000 + 20 * 4), "{:?}", begun.elapsed());
    assert!(whole.bytes > 15_000);
}
