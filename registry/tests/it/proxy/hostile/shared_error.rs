//! Goal (P8, P10): that another repository of the upstream cannot have a blob is no answer for this one, where the
//! upstream has just confirmed it.

use sim::digest::Algorithm;
use sim::fault::{Fault, Selector};

use super::bench::{Bench, REPO, blob_path, content, until};

const OTHER: &str = "team/other";

#[tokio::test]
async fn p8_the_failure_of_another_repository_is_not_ours() {
    for (status, late) in [(None, 300), (Some(403), 300), (Some(500), 300)] {
        let bench = Bench::new().await;
        // Only OTHER has it; whoever asks for it in REPO is told 404, late.
        let bytes = content(200_000, 1);
        let blob = bench.origin.seed_blob(OTHER, bytes.clone(), Algorithm::Sha256);
        let slow = bench
            .origin
            .install(Selector::any(&format!("/v2/{REPO}/blobs/*")).suffer(Fault::Latency { ms: late }));
        let refuse = status.map(|status| {
            let fault = Fault::Status { status, retry_after: None };
            bench.origin.install(Selector::any(&format!("/v2/{REPO}/blobs/*")).suffer(fault))
        });
        let stranger = tokio::spawn({
            let (client, path) = (bench.client.clone(), blob_path(&blob.digest));
            async move { client.get(&path).await }
        });
        until("the other repository is being asked", || {
            bench.origin.journal().passed().0 > 0 || slow.fired() > 0
        })
        .await;
        let answer = bench.client.get(&format!("/v2/{OTHER}/blobs/{}", blob.digest)).await;
        assert!(
            answer.status == 200 && !answer.cut && answer.body == bytes,
            "{status:?}: the upstream has it in {OTHER}, and the client is told {}",
            answer.status
        );
        drop(refuse);
        stranger.await.unwrap();
    }
}
