//! Goal (P2): a DELETE that names an upstream's namespace never touches what was pushed under the bare name.

use super::bench::{Bench, NAME};

async fn delete(bench: &Bench, path: &str) -> u16 {
    bench.client.call("DELETE", path, &[], "").await.status.as_u16()
}

#[tokio::test]
async fn p2_a_delete_with_a_claimed_ns_leaves_the_hosted_name_alone() {
    let bench = Bench::with(|options| options.namespaces = Some(vec!["docker.io".to_owned()])).await;
    let _ = NAME;
    let (_, digest) = bench.client.push_image("own/app", "v1", b"layer").await;
    // Nothing is cached of docker.io/own/app: there is nothing to purge.
    let status = delete(&bench, "/v2/own/app/manifests/v1?ns=docker.io").await;
    let here = bench.client.get("/v2/own/app/manifests/v1").await.status.as_u16();
    assert_eq!((status, here), (404, 200), "the hosted tag was deleted");
    let status = delete(&bench, &format!("/v2/own/app/manifests/{digest}?ns=docker.io")).await;
    let here = bench.client.get(&format!("/v2/own/app/manifests/{digest}")).await.status.as_u16();
    assert_eq!((status, here), (404, 200), "the hosted manifest was deleted");
}

#[tokio::test]
async fn p2_a_blob_delete_with_a_claimed_ns_leaves_the_hosted_name_alone() {
    let bench = Bench::with(|options| options.namespaces = Some(vec!["docker.io".to_owned()])).await;
    let digest = bench.client.push_blob("own/app", b"layer").await;
    let status = delete(&bench, &format!("/v2/own/app/blobs/{digest}?ns=docker.io")).await;
    bench.running.stop().await;
    let here = bench.client.get(&format!("/v2/own/app/blobs/{digest}")).await.status.as_u16();
    assert_eq!((status, here), (404, 200), "the hosted blob was deleted");
}
