//! Goal: whatever `n` and `last` are, pages neither skip nor repeat a name; and a name that is there all
//! the time is seen exactly once while others come, move and go. Method: the real dispatch over memory,
//! walks with many sizes of pages, against what is known to be there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Dice, LARGE, fill, key, open, page, push, serve, small, tag};
use crate::support::Client;
use wharfinger::oci::Tag;
use wharfinger::store::Store;
use wharfinger::store::options::Options;

const SMALL: usize = 200;
const LARGE_TAGS: usize = 20_000;

/// Walks a list from its beginning, doing something between pages.
async fn walk(client: &Client, path: &str, list: &str, between: impl AsyncFn()) -> Vec<String> {
    let (mut seen, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(at) = next {
        let (names, after) = page(client, &at, list).await;
        assert!(!names.is_empty() || after.is_none(), "{at}: a page of nothing leads on");
        seen.extend(names);
        next = after;
        between().await;
    }
    seen
}

/// Asks for pages after random places, those that are names and those that are not.
async fn ask_anywhere(client: &Client, path: &str, list: &str, all: &[String]) {
    let mut dice = Dice(all.len() as u64 * 31 + 1);
    for _ in 0..200 {
        let (n, at) = (dice.roll(1_500), dice.roll(all.len()));
        let name = &all[at];
        let last = match dice.roll(4) {
            0 => name.clone(),
            1 => format!("{name}0"),
            2 => name[..name.len() - 1].to_owned(),
            _ => ["", "zzz", "A"][dice.roll(3)].to_owned(),
        };
        let (names, next) = page(client, &format!("{path}?n={n}&last={last}"), list).await;
        let after: Vec<&String> = all.iter().filter(|name| **name > last).collect();
        assert_eq!(names.iter().collect::<Vec<_>>(), after[..n.min(after.len())], "n={n} last={last}");
        assert_eq!(next.is_some(), n > 0 && n < after.len(), "n={n} last={last}: {next:?}");
    }
}

#[tokio::test]
async fn every_walk_sees_every_name_once() {
    let disk = fill(SMALL, 50, LARGE_TAGS).await;
    for cache_bytes in [0, Options::default().memory_cache_bytes_max] {
        let client = serve(open(&disk, cache_bytes).await);
        let mut names: Vec<String> = (0..SMALL).map(small).chain([LARGE.to_owned()]).collect();
        names.sort_unstable();
        for n in [1, 2, 13, 100, 200, 201, 202, 5_000] {
            let seen = walk(&client, &format!("/v2/_catalog?n={n}"), "repositories", async || {}).await;
            assert_eq!(seen, names, "n={n}");
        }
        ask_anywhere(&client, "/v2/_catalog", "repositories", &names).await;
        for (name, count, sizes) in
            [(small(3), 50, [1, 7, 49, 50]), (LARGE.to_owned(), LARGE_TAGS, [997, 5_000, 9_999, 10_000])]
        {
            let mut tags: Vec<String> = (0..count).map(tag).collect();
            tags.sort_unstable();
            let path = format!("/v2/{name}/tags/list");
            for n in sizes {
                let seen = walk(&client, &format!("{path}?n={n}"), "tags", async || {}).await;
                assert!(seen == tags, "{name} n={n}: {} of {count}", seen.len());
            }
            ask_anywhere(&client, &path, "tags", &tags).await;
        }
    }
}

/// Pushes, moves and deletes a tag or a repository; those of odd numbers come and go, those of even ones stay.
async fn disturb(store: &Store, dice: &mut Dice, tags: usize) {
    let odd = tag(dice.roll(tags / 2) * 2 + 1);
    match dice.roll(4) {
        0 => push(store, LARGE, dice.roll(3), vec![odd]).await,
        1 => drop(store.delete_tag(&key(LARGE), &Tag::parse(&odd).unwrap()).await),
        // What stays may move.
        2 => push(store, LARGE, dice.roll(3), vec![tag(dice.roll(tags / 2) * 2)]).await,
        _ => {
            let name = small(1_000 + dice.roll(40));
            let digests = store.manifest_digests(&key(&name)).await.unwrap();
            match digests.first() {
                None => push(store, &name, 0, vec![tag(1)]).await,
                Some(digest) => drop(store.delete_manifest(&key(&name), digest).await),
            }
        }
    }
}

/// What was there all the time was seen exactly once, and everything in order.
fn assert_seen(seen: &[String], stayed: &BTreeSet<String>, what: &str) {
    assert!(seen.is_sorted_by(|a, b| a < b), "{what}: a name twice, or out of order");
    let seen: BTreeSet<&String> = seen.iter().collect();
    let missed: Vec<&String> = stayed.iter().filter(|name| !seen.contains(name)).collect();
    assert!(missed.is_empty(), "{what}: skipped {missed:?}");
}

fn stayed(tags: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let names = (0..SMALL).map(small).chain([LARGE.to_owned()]).collect();
    (names, (0..tags).step_by(2).map(tag).collect())
}

#[tokio::test]
async fn what_stays_is_seen_once_while_others_come_and_go_between_pages() {
    let tags = 400;
    let disk = fill(SMALL, 1, tags).await;
    let (names, stay) = stayed(tags);
    for cache_bytes in [0, Options::default().memory_cache_bytes_max] {
        let store = open(&disk, cache_bytes).await;
        let client = serve(store.clone());
        let dice = tokio::sync::Mutex::new(Dice(cache_bytes + 99));
        let between = async || {
            let mut dice = dice.lock().await;
            for _ in 0..3 {
                disturb(&store, &mut dice, tags).await;
            }
        };
        for n in [1, 3, 17, 150] {
            let seen = walk(&client, &format!("/v2/{LARGE}/tags/list?n={n}"), "tags", between).await;
            assert_seen(&seen, &stay, &format!("tags, n={n}"));
            let seen = walk(&client, &format!("/v2/_catalog?n={n}"), "repositories", between).await;
            assert_seen(&seen, &names, &format!("catalog, n={n}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_stays_is_seen_once_while_others_come_and_go_at_the_same_time() {
    let tags = 400;
    let disk = fill(SMALL, 1, tags).await;
    let (names, stay) = stayed(tags);
    let store = open(&disk, Options::default().memory_cache_bytes_max).await;
    let (client, ended) = (serve(store.clone()), Arc::new(AtomicBool::new(false)));
    let disturbers = [1_u64, 2].map(|seed| {
        let (store, ended, mut dice) = (store.clone(), Arc::clone(&ended), Dice(seed * 7_919));
        tokio::spawn(async move {
            while !ended.load(Ordering::SeqCst) {
                disturb(&store, &mut dice, tags).await;
                tokio::task::yield_now().await;
            }
        })
    });
    for n in [1, 3, 17, 150] {
        let seen = walk(&client, &format!("/v2/{LARGE}/tags/list?n={n}"), "tags", async || {}).await;
        assert_seen(&seen, &stay, &format!("tags, n={n}"));
        let seen = walk(&client, &format!("/v2/_catalog?n={n}"), "repositories", async || {}).await;
        assert_seen(&seen, &names, &format!("catalog, n={n}"));
    }
    ended.store(true, Ordering::SeqCst);
    for disturber in disturbers {
        disturber.await.unwrap();
    }
    // At rest, what the caches say is what is there.
    let again = open(&disk, 0).await;
    assert_eq!(store.tags(&key(LARGE)).await.unwrap(), again.tags(&key(LARGE)).await.unwrap());
}
