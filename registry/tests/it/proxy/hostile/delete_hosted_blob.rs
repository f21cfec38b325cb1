//! Goal (P2): a DELETE of a blob that was answered 202 has deleted the pushed one, though the same is cached.

use super::bench::{Bench, REPO, blob_path};

#[tokio::test]
async fn p2_a_blob_that_was_pushed_is_what_a_delete_deletes() {
    let bench = Bench::new().await;
    let (blob, bytes) = bench.blob(100_000, 1);
    assert_eq!(bench.client.get(&blob_path(&blob.digest)).await.status, 200, "cached");
    bench.client.push_blob(REPO, &bytes).await;
    assert_eq!(bench.client.call("DELETE", &blob_path(&blob.digest), &[], "").await.status, 202);
    bench.running.stop().await;
    let status = bench.client.get(&blob_path(&blob.digest)).await.status.as_u16();
    assert_ne!(status, 200, "it was deleted, and is served from what was pushed");
}
