//! Goal: two fetches of one blob never write into one file. Method: one that is taken up twice.

use std::sync::Arc;

use bytes::Bytes;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::oci::{Algorithm, Hasher, RepositoryName};
use wharfinger::store::options::Options;
use wharfinger::store::{RepositoryKey, Space, Store};

#[tokio::test]
async fn what_a_fetch_goes_on_with_is_nobody_elses() {
    let backend = super::garbage::backend(&MemoryDisk::new()).await;
    let store = Store::open(backend, Options::default(), Clock::system()).await.unwrap();
    let repository = RepositoryKey {
        space: Space::Upstream(Arc::from("hub")),
        name: RepositoryName::parse("team/app").unwrap(),
    };
    let digest = Hasher::digest(Algorithm::Sha256, b"both parts");
    let (mut hasher, mut first) =
        (Hasher::new(Algorithm::Sha256), store.begin_fill(&repository, &digest).await.unwrap());
    first.append(vec![Bytes::from_static(b"both ")]).await.unwrap();
    hasher.update(b"both ");
    first.park(&hasher, 5, Some(10)).await.unwrap();
    let taken = || async { store.take_up_fill(&repository, &digest).await.unwrap().map(|it| it.file.len()) };
    assert_eq!(taken().await, None, "it is being written");
    first.append(vec![Bytes::from_static(b"parts")]).await.unwrap();
    assert_eq!(first.len(), 10);
    drop(first);
    let second = store.take_up_fill(&repository, &digest).await.unwrap().unwrap();
    assert_eq!((second.file.len(), second.size), (5, Some(10)), "to what is known of it");
    assert_eq!(taken().await, None, "the second goes on with it");
    drop(second);
    assert_eq!(taken().await, Some(5));
}
