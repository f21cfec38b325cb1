//! What the benches share: a registry in memory with one image in it.

use std::sync::Arc;

use wharfinger::auth::{self, Access};
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::http::{App, options::Options};
use wharfinger::repository::{self, Repositories};
use wharfinger::store::{self, Store};
use wharfinger::upstream::Routes;

/// Opens a registry in memory.
///
/// # Panics
///
/// When it cannot be opened, which is a mistake of this program.
pub async fn registry() -> App {
    let backend =
        FsBackend::open(Arc::new(MemoryDisk::new()), Durability::Synced).await.expect("memory opens");
    let options = store::options::Options::default();
    let store = Store::open(Arc::new(backend), options, Clock::system()).await.expect("memory opens");
    let options = repository::options::Options::default();
    let repositories = Repositories::new(store, Routes::default(), options, Clock::system());
    let access = Access::new(&auth::options::Options::default()).expect("no rules are no mistake");
    App::new(repositories, access, Options::default())
}
