//! Goal (P1; "no key is accepted and does nothing"): `verifyOnRead` of a store of its own holds there.

use std::collections::HashMap;
use std::sync::Arc;

use sim::digest::Algorithm;
use sim::origin::Origin;
use wharfinger::auth::{self, Access};
use wharfinger::backend::disk::Disk;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::http::App;
use wharfinger::repository::{Repositories, Stores};
use wharfinger::store::Store;
use wharfinger::store::options::Options as StoreOptions;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, upstream};
use crate::support::Client;

async fn store(disk: &MemoryDisk, verify_on_read: bool) -> Store {
    let backend = FsBackend::open(Arc::new(disk.clone()), Durability::Synced).await.unwrap();
    let options = StoreOptions { verify_on_read, ..StoreOptions::default() };
    Store::open(Arc::new(backend), options, Clock::system()).await.unwrap()
}

#[tokio::test]
async fn p1_a_store_of_its_own_verifies_what_it_is_told_to() {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let (main, hub) = (MemoryDisk::new(), MemoryDisk::new());
    // extensions.sync.registries[0].storage: {"rootDirectory": …, "verifyOnRead": true}
    let by_upstream = HashMap::from([(NAME.to_owned(), store(&hub, true).await)]);
    let stores = Stores::new(store(&main, false).await, HashMap::new(), by_upstream);
    let routes = routes(vec![upstream(NAME, &[&origin.url()])], &clock);
    let repositories = Repositories::new(stores, routes, Default::default(), clock);
    let client = Client(App::new(
        repositories,
        Access::new(&auth::options::Options::default()).unwrap(),
        Default::default(),
    ));
    let bytes = content(300_000, 1);
    let digest = origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
    assert_eq!(client.get(&blob_path(&digest)).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let hex = digest.to_string().split_once(':').unwrap().1.to_owned();
    hub.open_writable(&format!("blobs/sha256/{}/{hex}", &hex[..2])).unwrap().write_at(1000, b"rot").unwrap();
    let answer = client.get(&blob_path(&digest)).await;
    assert!(answer.cut || answer.body == bytes, "{}: rotten bytes came whole", answer.status);
}
