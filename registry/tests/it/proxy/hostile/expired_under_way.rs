//! Goal (P4): what stood still for long and is gone on with now is not removed from under its fetch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sim::digest::Algorithm;
use sim::fault::{At, Fault, Selector};
use sim::origin::Origin;
use wharfinger::auth::{self, Access};
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::http::App;
use wharfinger::repository::{Repositories, Stores};
use wharfinger::store::Store;

use super::bench::{NAME, REPO, blob_path, content, routes, serve, until, upstream};
use crate::support::Client;

#[tokio::test]
async fn p4_what_is_gone_on_with_does_not_expire() {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::manual(Timestamp::from_millis(1_000_000)));
    let backend = FsBackend::open(Arc::new(MemoryDisk::new()), Durability::Synced).await.unwrap();
    let store = Store::open(Arc::new(backend), Default::default(), clock.clone()).await.unwrap();
    let routes = routes(vec![upstream(NAME, &[&origin.url()])], &clock);
    let stores = Stores::new(store.clone(), HashMap::new(), HashMap::new());
    let repositories = Repositories::new(stores, routes, Default::default(), clock.clone());
    let client = Client(App::new(
        repositories,
        Access::new(&auth::options::Options::default()).unwrap(),
        Default::default(),
    ));
    let bytes = content(2_000_000, 1);
    let digest = origin.origin().seed_blob(REPO, bytes.clone(), Algorithm::Sha256).digest;
    let cut =
        origin.origin().install(Selector::get("*/blobs/*").suffer(Fault::Truncate { at: At::Percent(50) }));
    assert!(client.get(&blob_path(&digest)).await.cut);
    drop(cut);
    // The server was off for two days, say.
    clock.advance(Duration::from_secs(48 * 3600));
    let slow =
        origin.origin().install(Selector::get("*/blobs/*").suffer(Fault::Drip { bytes: 64 * 1024, ms: 30 }));
    let sent = origin.origin().journal().blob_bytes_sent(&digest);
    let pull = tokio::spawn({
        let (client, path) = (client.clone(), blob_path(&digest));
        async move { client.get(&path).await }
    });
    until("it goes on", || origin.origin().journal().blob_bytes_sent(&digest) > sent).await;
    let expired = store.expire_fills().await.unwrap();
    let answer = pull.await.unwrap();
    drop(slow);
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes);
    let gets = origin.origin().journal().blob_gets(&digest);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(client.get(&blob_path(&digest)).await.status, 200);
    assert_eq!(
        origin.origin().journal().blob_gets(&digest),
        gets,
        "it was fetched to its end and is not here: {expired} expired under way"
    );
}
