//! Goal: a push and a fetch that are large enough for parts survive a stop at every request to the bucket: the
//! blob is whole or absent, the push goes on where it stands, and nothing is left over for good.
//!
//! Method: from a request on nothing is answered; that request is lost, carried out, or comes late. Another
//! process goes on over the same bucket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::backend::object::ObjectBackend;
use wharfinger::backend::object::bucket::Bucket;
use wharfinger::backend::object::memory::Fate;
use wharfinger::backend::{Backend, Key};
use wharfinger::clock::Clock;
use wharfinger::store::layout;

use super::bench::{Bench, content};
use crate::proxy::bench::{NAME, REPO, blob_path, routes, serve, upstream};
use crate::support::{Client, Registry, sha256};

const MIB: usize = 1024 * 1024;
/// A part, and an end that is too small for one.
const LEN: usize = 6 * MIB;
const FIRST: usize = LEN - MIB / 2;
const DAY: Duration = Duration::from_secs(24 * 3600);
const FATES: [Fate; 3] = [Fate::SlowDown, Fate::AnswerLost, Fate::Late];

/// Answers the requests before one, lets that meet its fate, and answers no later one; says what it was about.
fn stop(bench: &Bench, at: u64, fate: Fate) -> Arc<Mutex<String>> {
    let about = Arc::new(Mutex::new(String::new()));
    let (mut number, name) = (0, Arc::clone(&about));
    bench.sky.set(move |request| {
        number += 1;
        if number < at {
            Fate::Answered
        } else if number == at {
            request.name.clone_into(&mut name.lock().unwrap());
            fate
        } else {
            Fate::SlowDown
        }
    });
    about
}

/// Pushes in two chunks, as far as it is let; returns where the upload is, and whether the blob was accepted.
async fn push(client: &Client, bytes: &[u8]) -> (Option<String>, bool) {
    let opened = client.call("POST", "/v2/app/blobs/uploads/", &[], "").await;
    if opened.status != 202 {
        return (None, false);
    }
    let at = opened.header("location").to_owned();
    if client.call("PATCH", &at, &[], bytes[..FIRST].to_vec()).await.status != 202 {
        return (Some(at), false);
    }
    let put = format!("{at}?digest={}", sha256(bytes));
    let answer = client.call("PUT", &put, &[], bytes[FIRST..].to_vec()).await;
    (Some(at), answer.status == 201)
}

/// Goes on with an upload where it stands, or begins anew where there is none.
async fn go_on(client: &Client, at: Option<&str>, bytes: &[u8], case: &str) {
    let digest = sha256(bytes);
    if let Some(at) = at {
        let stands = client.get(at).await;
        if stands.status == 204 {
            let last: i64 = stands.header("range").trim_start_matches("0-").parse().unwrap();
            let start = usize::try_from(last + 1).unwrap();
            let put = format!("{at}?digest={digest}");
            let answer = client.call("PUT", &put, &[], bytes[start..].to_vec()).await;
            assert_eq!(answer.status, 201, "{case}: it goes on at {start}: {answer:?}");
            return;
        }
        assert_eq!(stands.status, 404, "{case}: {stands:?}");
    }
    client.push_blob("app", bytes).await;
}

async fn is_whole(client: &Client, bytes: &[u8], case: &str) -> bool {
    let got = client.get(&format!("/v2/app/blobs/{}", sha256(bytes))).await;
    if got.status == 404 {
        return false;
    }
    assert!(got.status == 200 && !got.cut && got.body == bytes, "{case}: {} {}", got.status, got.body.len());
    true
}

/// Days pass, and what nothing leads to is removed. What was begun, and not written down, has no parts: a rule
/// of the bucket may give it up.
async fn assert_nothing_is_left(bench: &Bench, unknown: usize, case: &str) {
    let spool = FsBackend::open(Arc::new(MemoryDisk::new()), Durability::Synced).await.unwrap();
    let backend = ObjectBackend::new(Arc::new(bench.bucket.clone()), Arc::new(spool), layout::ROOTS);
    let uploads = Key::new("uploads");
    for upload in backend.list(&uploads).await.unwrap() {
        backend.sweep(&uploads.child(&upload)).await.unwrap();
    }
    for _ in 0..3 {
        bench.bucket.pass(DAY * 2);
        backend.reclaim(DAY).await.unwrap();
    }
    assert!(bench.bucket.uploads() <= unknown, "{case}: uploads in parts");
    let left: Vec<String> = bench.bucket.walk("content").map_ok(|it| it.name).try_collect().await.unwrap();
    assert_eq!(left.len(), 1, "{case}: {left:?}");
    let own = |name: &&String| ["multiparts/", "tails/", "orphans/"].iter().any(|it| name.starts_with(it));
    assert_eq!(bench.bucket.names().iter().find(own), None, "{case}");
}

/// What the client does who was not told that his blob was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoesOn,
    BeginsAnew,
}

/// Stops a push at a request, lets another process finish it, and looks; says whether the push was accepted.
async fn stop_a_push(bytes: &[u8], at: u64, fate: Fate, then: Then) -> bool {
    let case = format!("{fate:?} at {at}, {then:?}");
    let bench = Bench::new();
    let client = bench.open().await;
    let about = stop(&bench, at, fate);
    let (upload, accepted) = push(&client, bytes).await;
    drop(client);
    // What was under way in the process that is gone.
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    bench.sky.clear();
    if at.is_multiple_of(2) {
        bench.bucket.land();
    }
    let client = bench.open().await;
    assert!(is_whole(&client, bytes, &case).await || !accepted, "{case}: it was accepted");
    let upload = upload.filter(|_| then == Then::GoesOn);
    go_on(&client, upload.as_deref(), bytes, &case).await;
    bench.bucket.land();
    let was_mark = about.lock().unwrap().starts_with("multiparts/");
    assert_nothing_is_left(&bench, usize::from(was_mark), &case).await;
    assert!(is_whole(&bench.open().await, bytes, &case).await, "{case}: it was accepted at last");
    accepted
}

#[tokio::test(start_paused = true)]
async fn p2_p3_a_push_in_parts_survives_a_stop_at_any_request() {
    let bytes = content(LEN, 3);
    let mut at = 0;
    let mut all_accepted = false;
    while !all_accepted {
        at += 1;
        all_accepted = true;
        for fate in FATES {
            for then in [Then::GoesOn, Then::BeginsAnew] {
                all_accepted &= stop_a_push(&bytes, at, fate, then).await;
            }
        }
    }
    assert!(at > 12, "a push has more requests than {at}");
}

#[tokio::test]
async fn p3_a_fetch_in_parts_survives_a_stop_at_any_request() {
    let bytes = content(LEN, 4);
    for at in 1..16 {
        for fate in FATES {
            let case = format!("{fate:?} at {at}");
            let bench = Bench::new();
            let origin = serve(&sim::origin::Origin::new()).await;
            let digest =
                origin.origin().seed_blob(REPO, bytes.clone(), sim::digest::Algorithm::Sha256).digest;
            let open = || {
                let clock = Clock::system();
                let routes = routes(vec![upstream(NAME, &[&origin.url()])], &clock);
                Registry { routes, clock, ..bench.registry() }.open_both()
            };
            let (client, repositories) = open().await;
            let _about = stop(&bench, at, fate);
            let first = client.get(&blob_path(&digest)).await;
            let is_right = first.status == 200 && !first.cut && first.body == bytes;
            assert!(is_right || first.status == 503, "{case}: {} {}", first.status, first.body.len());
            repositories.close(Duration::from_secs(5)).await;
            bench.sky.clear();
            bench.bucket.land();
            let (client, repositories) = open().await;
            for _ in 0..2 {
                let again = client.get(&blob_path(&digest)).await;
                assert!(again.status == 200 && !again.cut && again.body == bytes, "{case}: {}", again.status);
            }
            repositories.close(Duration::from_secs(5)).await;
        }
    }
}
