//! Goal (P4, P6): a client that asks for a far range and does not read it keeps nobody else from the upstream.

use std::time::Duration;

use super::bench::{Bench, Listening, Wire, blob_path, read_at_least};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn p6_a_client_that_does_not_read_its_range_holds_no_lane() {
    let bench = Bench::with(|options| {
        options.requests_max = 1;
        options.range_wait = 1024;
        options.range_fetch_max = 64 * MIB as u64;
        options.response_timeout = Duration::from_secs(4);
    })
    .await;
    let (large, _) = bench.blob(48 * MIB, 1);
    let (small, bytes) = bench.blob(100_000, 2);
    let listening = Listening::start(&bench.client).await;
    let mut stalled =
        listening.open(Wire::Http1, &blob_path(&large.digest), &[("range", "bytes=1000000-")]).await;
    read_at_least(&mut stalled, 10).await;
    // It reads no further. Longer than any of the upstream's patience:
    tokio::time::sleep(Duration::from_secs(6)).await;
    let answer = listening.get(&blob_path(&small.digest)).await;
    assert!(answer.status == 200 && answer.body == bytes, "everybody else is told {}", answer.status);
}
