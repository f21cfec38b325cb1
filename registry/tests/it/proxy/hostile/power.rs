//! Goal (P2): evictions and purges that the disk has half forgotten take nothing of what was answered 201.

use std::sync::Arc;

use sim::origin::Origin;
use wharfinger::backend::memory::{Loss, MemoryDisk};
use wharfinger::clock::Clock;
use wharfinger::upstream::Upstream;
use wharfinger::upstream::options::CacheBound;
use wharfinger::upstream::reqwest_transport::ReqwestTransport;

use super::bench::{NAME, image, routes, serve, upstream};
use crate::support::{self, Registry, sha256};

#[tokio::test]
async fn p2_power_loss_after_evictions() {
    let (origin, clock, disk) = (serve(&Origin::new()).await, Clock::system(), MemoryDisk::journaled());
    let mut options = upstream(NAME, &[&origin.url()]);
    options.cache = CacheBound { bytes_max: Some(1), age_max: None };
    let hub =
        Upstream::new(options.clone(), Arc::new(ReqwestTransport::new(&options).unwrap()), clock.clone());
    let open = |disk: MemoryDisk| {
        Registry {
            disk: Arc::new(disk),
            routes: routes(vec![options.clone()], &clock),
            clock: clock.clone(),
            ..Registry::default()
        }
        .open_both()
    };
    let (client, repositories) = open(disk.clone()).await;
    let mut promised = Vec::new();
    for round in 0..6_u64 {
        let name = format!("team/r{round}");
        let made = image(origin.origin(), &name, "base", &[70_000], round % 2);
        let layer = origin.origin().content(&made.layers[0].digest).unwrap();
        for _ in 0..2 {
            client.get(&format!("/v2/{name}/manifests/base")).await;
            for blob in made.blobs() {
                client.get(&format!("/v2/{name}/blobs/{}", blob.digest)).await;
            }
            if round % 3 == 0 {
                repositories.evict(&hub).await.unwrap();
            }
        }
        match round % 3 {
            0 => {
                client.push_blob(&format!("own/p{round}"), &layer).await;
                promised.push(format!("/v2/own/p{round}/blobs/{}", sha256(&layer)));
            }
            _ => {
                let config = client.push_blob(&name, b"{}").await;
                let digest = sha256(&layer);
                let manifest = support::image(&[(&config, 2)], &[(&digest, layer.len())]);
                assert_eq!(client.push_manifest(&name, "mine", &manifest).await.status, 201);
                promised.push(format!("/v2/{name}/blobs/{digest}"));
                promised.push(format!("/v2/{name}/manifests/{}", sha256(manifest.to_string().as_bytes())));
            }
        }
        repositories.evict(&hub).await.unwrap();
    }
    origin.stop().await;
    let losses = [Loss::Everything, Loss::Bytes, Loss::Nothing].into_iter().chain((0..60).map(Loss::Some));
    for loss in losses {
        let (client, _) = open(disk.after_power_cut(loss)).await;
        for path in &promised {
            let answer = client.get(path).await;
            let digest = path.rsplit('/').next().unwrap();
            assert!(
                answer.status == 200 && sha256(&answer.body) == digest,
                "{loss:?}: {path} {}",
                answer.status
            );
        }
    }
}
