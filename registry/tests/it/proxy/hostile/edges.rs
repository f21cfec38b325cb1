//! Goal: what no blob has is 416, and costs no fetch of the whole.

use super::bench::{Bench, blob_path};

const KIB: usize = 1024;

#[tokio::test]
async fn ranges_at_the_ends_of_numbers() {
    for asked in [
        "bytes=18446744073709551615-",
        "bytes=18446744073709551614-",
        "bytes=18446744073709551615-18446744073709551615",
        "bytes=-0",
        "bytes=0-18446744073709551615",
        "bytes=-18446744073709551615",
    ] {
        let bench = Bench::with(|options| {
            options.range_wait = 100 * KIB as u64;
            options.range_fetch_max = 200 * KIB as u64;
        })
        .await;
        let (blob, bytes) = bench.blob(1000 * KIB, 1);
        let answer = bench.client.call("GET", &blob_path(&blob.digest), &[("range", asked)], "").await;
        let expect = if asked.contains("=0-") || asked.contains("=-1") { 206 } else { 416 };
        assert_eq!(answer.status.as_u16(), expect, "{asked}");
        if expect == 206 {
            assert!(!answer.cut && answer.body == bytes, "{asked}");
        } else {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let whole = bench
                .origin
                .journal()
                .entries()
                .iter()
                .filter(|it| it.is_blob_get(&blob.digest) && it.range.is_none())
                .count();
            assert_eq!(whole, 0, "{asked}: the whole is fetched for a range that no blob has");
        }
    }
}
