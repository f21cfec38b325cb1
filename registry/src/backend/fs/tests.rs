//! Goal: every disk under the folder backend keeps the contract, and one process holds a folder.
//! Method: the contract suite over the operating system's disk, memory, and the decorators.

use std::sync::Arc;

use super::*;
use crate::backend::contract;
use crate::backend::disk::OsDisk;
use crate::backend::error::OpenError;
use crate::backend::faulty::{Fault, FaultyDisk};
use crate::backend::memory::MemoryDisk;
use crate::backend::metered::Metered;

async fn open(disk: impl Disk) -> FsBackend {
    FsBackend::open(Arc::new(disk), Durability::Synced).await.unwrap()
}

#[tokio::test]
async fn a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract::run(&open(OsDisk::open(folder.path()).unwrap()).await).await;
}

#[tokio::test]
async fn a_folder_without_commit_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(OsDisk::open(folder.path()).unwrap());
    contract::run(&FsBackend::open(disk, Durability::Unsynced).await.unwrap()).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract::run(&open(MemoryDisk::new()).await).await;
    contract::run(&open(MemoryDisk::journaled()).await).await;
}

#[tokio::test]
async fn the_decorators_keep_the_contract() {
    contract::run(&open(FaultyDisk::new(Arc::new(MemoryDisk::new()), 0, Fault::Stop)).await).await;
    contract::run(&Metered::new(Arc::new(open(MemoryDisk::new()).await))).await;
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = OsDisk::open(folder.path()).unwrap();
    assert!(matches!(OsDisk::open(folder.path()), Err(OpenError::Held { .. })));
    drop(first);
    assert!(OsDisk::open(folder.path()).is_ok(), "the lock goes with its holder");
}

#[tokio::test]
async fn what_an_unfinished_write_left_is_removed_at_start() {
    let disk = MemoryDisk::new();
    drop(open(disk.clone()).await);
    disk.create("tmp/7").unwrap();
    drop(open(disk.clone()).await);
    assert!(disk.entries("tmp").unwrap().is_empty());
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing_visible() {
    let disk = FaultyDisk::new(Arc::new(MemoryDisk::new()), 0, Fault::Stop);
    open(disk.clone()).await.write(&Key::new("a/b"), Bytes::from_static(b"x"), When::Always).await.unwrap();
    let steps = disk.operations();
    for at in 1..=steps {
        let memory = MemoryDisk::new();
        let faulty = FaultyDisk::new(Arc::new(memory.clone()), at, Fault::Error(io::ErrorKind::StorageFull));
        let Ok(backend) = FsBackend::open(Arc::new(faulty), Durability::Synced).await else { continue };
        let written = backend.write(&Key::new("a/b"), Bytes::from_static(b"x"), When::Always).await;
        assert!(matches!(written, Err(Error::Full { .. })), "operation {at} of {steps} said full");
        assert_eq!(disk_files(&memory, "tmp"), 0, "no temporary file stays after operation {at}");
    }
}

fn disk_files(disk: &MemoryDisk, path: &str) -> usize {
    disk.entries(path).map_or(0, |names| names.len())
}
