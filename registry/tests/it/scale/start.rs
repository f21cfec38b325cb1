//! Goal: a start costs the same, however much is stored; what goes on after it costs one look for each
//! repository, and none for a tag. Method: the operations of the backend are counted.

use super::counts::Counts;
use super::{fill, open, push, small};

const CACHE_BYTES: u64 = 32 << 20;

#[tokio::test]
async fn a_start_costs_the_same_however_much_is_stored() {
    let counts = Counts::default();
    let _counting = metrics::set_default_local_recorder(&counts);
    let mut costs = Vec::new();
    for (repositories, tags, large_tags) in [(1, 1, 1), (200, 50, 20_000)] {
        let disk = fill(repositories, tags, large_tags).await;
        counts.take();
        let store = open(&disk, CACHE_BYTES).await;
        costs.push(counts.take());
        drop(store);
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0].values().sum::<u64>() <= 4, "{costs:?}");
}

#[tokio::test]
async fn the_look_at_all_marks_costs_one_list_for_each_repository() {
    let counts = Counts::default();
    let _counting = metrics::set_default_local_recorder(&counts);
    let disk = fill(200, 5, 2_000).await;
    let store = open(&disk, CACHE_BYTES).await;
    counts.take();
    store.unmark_empty_names().await.unwrap();
    let cost = counts.take();
    // The upstreams, the names, and the manifests of each.
    assert_eq!(cost, [("list".to_owned(), 2 + 201)].into(), "nothing is read, and nothing is written");
}

#[tokio::test]
async fn the_mark_of_an_empty_repository_is_still_taken_away() {
    let disk = fill(3, 1, 1).await;
    let store = open(&disk, CACHE_BYTES).await;
    let name = small(1);
    let digest = store.manifest_digests(&super::key(&name)).await.unwrap()[0];
    // As a crash between the last manifest and its mark leaves it.
    wharfinger::backend::disk::Disk::remove(
        &disk,
        &format!("repositories/{name}/_manifests/sha256/{}", digest.hex()),
    )
    .unwrap();
    let store = open(&disk, CACHE_BYTES).await;
    store.unmark_empty_names().await.unwrap();
    let names = store.repositories(&wharfinger::store::Space::Hosted).await.unwrap();
    let names: Vec<&str> = names.iter().map(wharfinger::oci::RepositoryName::as_str).collect();
    assert!(!names.contains(&name.as_str()) && names.len() == 3, "{names:?}");
    push(&store, &name, 0, vec!["v1".to_owned()]).await;
    assert_eq!(store.repositories(&wharfinger::store::Space::Hosted).await.unwrap().len(), 4);
}
