//! Goal (P6): a removal that is broken off, because a client leaves or the server stops, leaves no content that nothing
//! will ever remove or count.

use super::bench::{REPO, blob_path, image, manifest_path, until};
use super::hook::{Bounded, bytes_below, gated};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_purge_whose_client_leaves_gives_the_room_back_in_the_end() {
    let (hooked, gate) = gated("remove", "blobs/");
    let Bounded { origin, client, repositories, hub } = Bounded::of_nothing(&hooked).await;
    let made = image(origin.origin(), REPO, "v1", &[100_000, 100_000, 100_000], 1);
    assert_eq!(client.get(&manifest_path("v1")).await.status, 200);
    for blob in made.blobs() {
        assert_eq!(client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    gate.arm();
    let purge = tokio::spawn({
        let client = client.clone();
        async move { client.call("DELETE", &format!("/v2/{REPO}/_wharfinger/cache"), &[], "").await.status }
    });
    until("content is being removed", || gate.waiting() > 0).await;
    purge.abort();
    let _ = purge.await;
    gate.open();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    // The bound is one byte: everything that is cached is to go.
    let counted = repositories.evict(&hub).await.unwrap();
    let on_disk = bytes_below(&hooked, "blobs");
    assert_eq!((counted, on_disk), (0, 0), "content that is in no count and that no removal will look at");
}
