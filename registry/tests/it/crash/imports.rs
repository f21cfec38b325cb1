//! Goal: an import that a power cut ends anywhere leaves nothing half imported, and the next one brings the
//! rest, without copying what is there.
//!
//! Method: a layout with everything in it is imported once for each operation of the disk, stopped before it;
//! on every sort of loss a new store is audited byte by byte, and the import runs again; that is cut in turn.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use wharfinger::backend::faulty::{Fault, FaultyDisk};
use wharfinger::backend::memory::{Loss, MemoryDisk};
use wharfinger::store::{RepositoryKey, Space, Store};
use wharfinger::transfer::Report;

use super::cut::SEEDS;
use super::planted::{Wrong, WrongDisk};
use super::recovery::Wrap;
use super::steps;
use crate::store::audit::{self, Fact, Violation, World};
use crate::store::contents::{CONTENTS, hosted};
use crate::transfer::layout::Layout;
use crate::transfer::{options, take_in};

/// Writes what the tests store as a layout: two images, an index, and what is about an image.
fn written(folder: &Path) -> Layout {
    let mut layout = Layout::create(folder);
    for bytes in &CONTENTS.blobs {
        layout.blob("a/layer", bytes);
    }
    let tags = [Some("v1"), None, Some("all"), None, Some("about"), Some("odd")];
    for (item, tag) in CONTENTS.manifests.iter().zip(tags) {
        let media_type = item.manifest.media_type.as_str();
        layout.blob(media_type, &item.bytes);
        let (digest, size) = (item.digest.to_string(), item.bytes.len());
        layout.name(&json!({"mediaType": media_type, "digest": digest, "size": size}), tag);
    }
    layout
}

fn repositories() -> Vec<RepositoryKey> {
    vec![hosted("app")]
}

async fn bring(store: &Store, layout: &Layout) -> Result<Report, String> {
    let report =
        take_in(store, &layout.folder, &options("app")).await.map_err(|error| format!("{error:?}"))?;
    if report.failures.is_empty() { Ok(report) } else { Err(format!("{:?}", report.failures)) }
}

/// Imports onto a disk that stops before its nth operation; says how many there were, and what was reported.
async fn stopped(
    disk: &MemoryDisk,
    wrap: Wrap<'_>,
    layout: &Layout,
    at: u64,
) -> (u64, Result<Report, String>) {
    let faulty = FaultyDisk::new(Arc::new(disk.clone()), at, Fault::Stop);
    let brought = match steps::open(wrap(Arc::new(faulty.clone()))).await {
        Ok(store) => bring(&store, layout).await,
        Err(error) => Err(format!("{error:?}")),
    };
    (faulty.operations(), brought)
}

async fn opened(disk: &MemoryDisk) -> Result<Store, Violation> {
    let store = steps::open(Arc::new(disk.clone())).await;
    store.map_err(|error| Violation::new("P2", format!("the store does not start again: {error:?}")))
}

/// Looks at what is there, and imports what is not.
async fn recover(disk: &MemoryDisk, layout: &Layout, whole: &World) -> Result<(), Violation> {
    let store = opened(disk).await?;
    let found = audit::observe(&store, &repositories()).await?;
    if let Some(fact) = found.keys().find(|fact| !whole.contains_key(fact)) {
        return Err(Violation::new("P3", format!("{fact:?} is there, and nobody has it")));
    }
    let report = bring(&store, layout).await.map_err(|error| Violation::new("P2", error))?;
    let count = |of: fn(&Fact) -> bool| found.keys().filter(|fact| of(fact)).count() as u64;
    let blobs = count(|fact| matches!(fact, Fact::Blob(..)));
    let manifests = count(|fact| matches!(fact, Fact::Manifest(..)));
    let tags = count(|fact| matches!(fact, Fact::Tag(..)));
    let all = |of: fn(&Fact) -> bool| whole.keys().filter(|fact| of(fact)).count() as u64;
    let expected = (
        all(|fact| matches!(fact, Fact::Manifest(..))) - manifests,
        all(|fact| matches!(fact, Fact::Tag(..))) - tags,
    );
    if report.blobs > CONTENTS.blobs.len() as u64 - blobs || (report.manifests, report.tags) > expected {
        return Err(Violation::new("P2", format!("what was there was copied again: {report:?}, {found:?}")));
    }
    all_is_there(&disk.after_power_cut(Loss::Everything), whole).await
}

async fn all_is_there(disk: &MemoryDisk, whole: &World) -> Result<(), Violation> {
    let found = audit::observe(&opened(disk).await?, &repositories()).await?;
    match whole.iter().find(|(fact, digest)| found.get(fact) != Some(digest)) {
        Some((fact, _)) => Err(Violation::new("P2", format!("{fact:?} was imported and is not there"))),
        None => Ok(()),
    }
}

/// Returns the first case that breaks a promise, or how many cuts there were.
async fn cut_everywhere(wrap: Wrap<'_>) -> Result<u64, String> {
    let folder = tempfile::tempdir().unwrap();
    let layout = written(folder.path());
    let whole = {
        let store = opened(&MemoryDisk::journaled()).await.unwrap();
        let report = bring(&store, &layout).await.unwrap();
        assert_eq!((report.manifests, report.blobs, report.tags), (6, 4, 4));
        audit::observe(&store, &repositories()).await.unwrap()
    };
    assert_eq!(whole.len(), 6 + 4 + 4);
    let mut cuts = 0;
    for at in 1.. {
        let disk = MemoryDisk::journaled();
        let (operations, brought) = stopped(&disk, wrap, &layout, at).await;
        let some = (0..SEEDS).map(|seed| Loss::Some(at * SEEDS + seed + 1));
        let losses = [Loss::Everything, Loss::Bytes, Loss::Nothing].into_iter().chain(some);
        for (number, loss) in losses.enumerate() {
            let case = |violation| format!("cut before {at}, {loss:?}: {violation}");
            let found = disk.after_power_cut(loss);
            if brought.is_ok() {
                all_is_there(&found, &whole).await.map_err(case)?;
            }
            if at % (3 + SEEDS) == number as u64 {
                // The second import is cut, too, here or there.
                let again = found.after_power_cut(Loss::Nothing);
                let _ = stopped(&again, wrap, &layout, 1 + (at * 7) % 97).await.1;
                recover(&again.after_power_cut(loss), &layout, &whole).await.map_err(case)?;
            }
            recover(&found, &layout, &whole).await.map_err(case)?;
            cuts += 1;
        }
        if operations < at {
            assert!(brought.is_ok(), "{brought:?}");
            break;
        }
    }
    Ok(cuts)
}

#[tokio::test]
async fn p2_p3_an_import_survives_a_cut_anywhere() {
    let cuts = cut_everywhere(&|disk| disk).await.unwrap_or_else(|violation| panic!("{violation}"));
    assert!(cuts > 500, "hardly anything was tried: {cuts}");
}

/// The same cuts find what is wrong, if anything is.
#[tokio::test]
async fn p2_p3_the_cuts_of_an_import_find_planted_mistakes() {
    for wrong in [Wrong::FileNeverSynced, Wrong::FolderNeverSynced, Wrong::FileSyncedAfterRename] {
        let wrap: Wrap<'_> = &|below| Arc::new(WrongDisk { below, wrong });
        assert!(cut_everywhere(wrap).await.is_err(), "{wrong:?} was not found");
    }
}

/// A disk that is full for a moment costs one import.
#[tokio::test]
async fn p2_p3_an_import_that_fails_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let layout = written(folder.path());
    let mut failed = 0;
    for at in 1.. {
        let disk = MemoryDisk::journaled();
        let faulty =
            FaultyDisk::new(Arc::new(disk.clone()), at, Fault::Error(std::io::ErrorKind::StorageFull));
        let Ok(store) = steps::open(Arc::new(faulty.clone())).await else { continue };
        let first = bring(&store, &layout).await;
        let operations = faulty.operations();
        failed += u64::from(first.is_err());
        audit::observe(&store, &repositories()).await.unwrap_or_else(|violation| panic!("{at}: {violation}"));
        if operations < at {
            first.unwrap();
            break;
        }
        bring(&store, &layout).await.unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(store.repositories(&Space::Hosted).await.unwrap().len(), 1);
    }
    assert!(failed > 50, "{failed}");
}
