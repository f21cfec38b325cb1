//! Goal (P6): manifests that arrive make a cache be looked at as blobs do, and not within an hour.

use std::time::Duration;

use sim::origin::Origin;
use wharfinger::clock::Clock;
use wharfinger::upstream::options::CacheBound;

use super::bench::{NAME, REPO, image, manifest_path, routes, serve, upstream};
use crate::support::Registry;

#[tokio::test]
async fn p6_manifests_make_a_cache_be_looked_at() {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let mut options = upstream(NAME, &[&origin.url()]);
    options.cache = CacheBound { bytes_max: Some(2_000), age_max: None };
    let registry = Registry { routes: routes(vec![options], &clock), clock, ..Registry::default() };
    let (client, repositories) = registry.open_both().await;
    let keeping = tokio::spawn({
        let repositories = repositories.clone();
        async move { repositories.keep_within_bounds().await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut digests = Vec::new();
    for seed in 0..20 {
        digests.push(image(origin.origin(), REPO, &format!("v{seed}"), &[10], seed).manifest.digest);
        assert_eq!(client.get(&manifest_path(format!("v{seed}"))).await.status, 200);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    origin.stop().await;
    let mut here = 0;
    for digest in &digests {
        here += usize::from(client.get(&manifest_path(digest)).await.status == 200);
    }
    keeping.abort();
    assert!(here < 10, "{here} manifests are here, several times the bound, three seconds later");
}
