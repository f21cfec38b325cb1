//! Garbage collection: what goes, what stays, and who may be in the middle of what meanwhile.
//!
//! | module | what it holds |
//! |---|---|
//! | `rules` | what goes and what stays, case by case |
//! | `pace` | a backend whose calls take virtual time, as a seed decides, or stand still for good |
//! | `retention` | what a policy lets go |
//! | `pushes` | pushes and deletes that race the collection, over thousands of seeds |
//! | `readers` | readers while the collection stands still at each of its calls |
//!
//! Planted, with the feature `mutants` and the variable `WHARFINGER_MUTANT`: MU77 does not wait for `gcDelay`, MU78
//! claims nothing, MU79 removes content before its links (each caught by `pushes`, MU78 by the duel `blobs collected
//! under a manifest` too), MU80 deletes a tag whatever it has become (`retention`).

mod pace;
mod pushes;
mod readers;
mod retention;
mod rules;

use std::sync::Arc;

use wharfinger::backend::memory::MemoryDisk;
use wharfinger::backend::{Backend, Key};

pub(crate) use super::collecting::request;
pub(crate) use super::machine::put_blob;

/// Opens a backend on a disk in memory.
pub(crate) async fn backend(disk: &MemoryDisk) -> Arc<dyn Backend> {
    use wharfinger::backend::fs::{Durability, FsBackend};
    Arc::new(FsBackend::open(Arc::new(disk.clone()), Durability::Synced).await.unwrap())
}

/// Returns every key of a store, but for its version.
async fn keys(backend: &dyn Backend) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for name in backend.list(&Key::new(&folder)).await.unwrap() {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            match backend.size(&Key::new(&path)).await.unwrap() {
                Some(_) if path == "wharfinger.json" => {}
                Some(_) => found.push(path),
                None => folders.push(path),
            }
        }
    }
    found.sort_unstable();
    found
}
