//! Goal: the first page of a list reads it once, every further page reads nothing, and neither does a page
//! after a push that adds no name. Method: the operations of the backend are counted.

use std::collections::BTreeMap;

use super::counts::Counts;
use super::{Dice, LARGE, fill, open, page, push, serve, tag};
use wharfinger::store::options::Options;

/// What a list of so many tags of 40 characters may take of the cache, with the default that holds for 100,000.
fn cache_bytes(tags: u64) -> u64 {
    Options::default().memory_cache_bytes_max * tags / 100_000
}

fn lists(cost: &BTreeMap<String, u64>) -> u64 {
    cost.get("list").copied().unwrap_or_default()
}

#[tokio::test]
async fn once_scanned_a_page_of_tags_costs_no_operation() {
    let counts = Counts::default();
    let _counting = metrics::set_default_local_recorder(&counts);
    let disk = fill(1, 1, 20_000).await;
    let client = serve(open(&disk, cache_bytes(20_000)).await);
    counts.take();
    let path = format!("/v2/{LARGE}/tags/list?n=100");
    let (first, _) = page(&client, &path, "tags").await;
    assert_eq!(first.len(), 100);
    let cost = counts.take();
    // Whether there is such a repository, and its tags.
    assert_eq!(cost, [("list".to_owned(), 1), ("size".to_owned(), 1)].into());
    // As many as make the cache settle, which drops what is too large for it.
    let mut dice = Dice(7);
    for _ in 0..2_000 {
        let last = tag(dice.roll(20_000));
        let (names, _) = page(&client, &format!("{path}&last={last}"), "tags").await;
        assert!(names.iter().all(|name| *name > last));
    }
    assert_eq!(counts.take(), BTreeMap::new(), "the list is kept, and nothing else is asked");
}

#[tokio::test]
async fn a_push_that_adds_no_tag_costs_the_next_page_no_scan() {
    let counts = Counts::default();
    let _counting = metrics::set_default_local_recorder(&counts);
    let disk = fill(1, 1, 2_000).await;
    let store = open(&disk, Options::default().memory_cache_bytes_max).await;
    let client = serve(store.clone());
    let path = format!("/v2/{LARGE}/tags/list?n=100");
    page(&client, &path, "tags").await;
    for (image, name, scans) in [(1, tag(5), 0), (2, tag(1_999), 0), (3, "zz-new".to_owned(), 1)] {
        push(&store, LARGE, image, vec![name]).await;
        counts.take();
        page(&client, &path, "tags").await;
        assert_eq!(lists(&counts.take()), scans, "after image {image}");
    }
    let (all, _) = page(&client, &format!("/v2/{LARGE}/tags/list"), "tags").await;
    assert_eq!((all.len(), all.last().map(String::as_str)), (2_001, Some("zz-new")));
}

#[tokio::test]
async fn once_scanned_a_page_of_the_catalog_costs_no_operation() {
    let counts = Counts::default();
    let _counting = metrics::set_default_local_recorder(&counts);
    let disk = fill(200, 1, 1).await;
    let client = serve(open(&disk, Options::default().memory_cache_bytes_max).await);
    counts.take();
    let (first, mut next) = page(&client, "/v2/_catalog?n=7", "repositories").await;
    assert_eq!(counts.take(), [("list".to_owned(), 1)].into());
    let mut seen = first.len();
    while let Some(path) = next {
        let (names, after) = page(&client, &path, "repositories").await;
        (seen, next) = (seen + names.len(), after);
    }
    assert_eq!(seen, 201);
    assert_eq!(counts.take(), BTreeMap::new());
}
