//! Goal (P3, P8): a client that leaves while a blob is being linked leaves no link without content.
//! Method: the link's record is held up on the disk, the client leaves, the content is evicted, the link comes.

use wharfinger::backend::disk::Disk;

use super::bench::{REPO, blob_path, image, manifest_path, until};
use super::hook::{Bounded, gated};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_client_that_leaves_a_push_leaves_no_link_without_content() {
    let hosted = format!("repositories/{REPO}/_blobs/");
    let (disk, gate) = gated("rename", &hosted);
    let Bounded { origin, client, repositories, hub } = Bounded::of_nothing(&disk).await;
    let made = image(origin.origin(), REPO, "base", &[100_000], 1);
    let manifest = client.get(&manifest_path("base")).await;
    for blob in made.blobs() {
        assert_eq!(client.get(&blob_path(&blob.digest)).await.status, 200);
    }
    gate.arm();
    let push = tokio::spawn({
        let (client, manifest) = (client.clone(), manifest.json());
        async move { client.push_manifest(REPO, "mine", &manifest).await.status }
    });
    until("the first blob is being linked", || gate.waiting() > 0).await;
    push.abort();
    assert!(push.await.unwrap_err().is_cancelled(), "the client has left");
    // It waits for the link, or has no need to.
    let evicting = tokio::spawn(async move { repositories.evict(&hub).await.map(drop) });
    gate.open();
    evicting.await.unwrap().unwrap();
    let links = || disk.disk.entries(&format!("{hosted}sha256")).unwrap_or_default();
    until("the link is there", || !links().is_empty()).await;
    let link = links().remove(0);
    assert!(
        disk.disk.stat(&format!("blobs/sha256/{}/{link}", &link[..2])).is_ok(),
        "a hosted link without content"
    );
    for blob in made.blobs() {
        let answer = client.get(&blob_path(&blob.digest)).await;
        assert_eq!(answer.status, 200, "p8: the upstream has it: {answer:?}");
    }
}
