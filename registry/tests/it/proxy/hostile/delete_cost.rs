//! Goal (§6: cost grows with the number of objects, not its square): removing what is cached one by one does not
//! read everything that is cached each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sim::origin::Origin;
use wharfinger::clock::Clock;

use super::bench::{NAME, image, routes, serve, upstream};
use super::hook::Hooked;
use crate::support::Registry;

async fn reads_of_one_delete(others: u64) -> usize {
    let (origin, clock, reads) =
        (serve(&Origin::new()).await, Clock::system(), Arc::new(AtomicUsize::new(0)));
    let hooked = Hooked::new({
        let reads = Arc::clone(&reads);
        move |call, _| {
            if call == "open" {
                reads.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }
    });
    let routes = routes(vec![upstream(NAME, &[&origin.url()])], &clock);
    let client = Registry { disk: Arc::new(hooked), routes, clock, ..Registry::default() }.open().await;
    let mut last = None;
    for number in 0..=others {
        let name = format!("team/app{number}");
        let made = image(origin.origin(), &name, "v1", &[10], number);
        assert_eq!(client.get(&format!("/v2/{name}/manifests/v1")).await.status, 200);
        last = Some((name, made.manifest.digest));
    }
    let (name, digest) = last.unwrap();
    let before = reads.load(Ordering::SeqCst);
    let deleted = client.call("DELETE", &format!("/v2/{name}/manifests/{digest}"), &[], "").await;
    assert_eq!(deleted.status, 202);
    reads.load(Ordering::SeqCst) - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_delete_does_not_read_all_that_is_cached() {
    let (few, many) = (reads_of_one_delete(5).await, reads_of_one_delete(50).await);
    assert!(
        many < few + 20,
        "{few} records are read for a delete beside 5 other repositories, {many} beside 50"
    );
}
