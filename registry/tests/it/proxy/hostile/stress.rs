//! Goal (P2, P3): what was answered 201 is there, whatever was evicted, purged and cancelled beside it; and no hosted
//! link is without content.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sim::origin::Origin;
use wharfinger::backend::disk::Disk;
use wharfinger::clock::Clock;
use wharfinger::upstream::Upstream;
use wharfinger::upstream::options::CacheBound;
use wharfinger::upstream::reqwest_transport::ReqwestTransport;

use super::bench::{NAME, image, routes, serve, upstream};
use super::hook::Hooked;
use crate::support::{self, Registry, sha256};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_answered_is_there() {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let spin = Arc::new(AtomicU64::new(1));
    let hooked = Hooked::new({
        let spin = Arc::clone(&spin);
        move |_, _| {
            // Shakes the order.
            let n = spin.fetch_add(0x9E37_79B9, Ordering::Relaxed);
            if n % 7 == 0 {
                std::thread::sleep(Duration::from_micros(n % 900));
            }
            Ok(())
        }
    });
    let mut options = upstream(NAME, &[&origin.url()]);
    options.cache = CacheBound { bytes_max: Some(1), age_max: None };
    let hub = Arc::new(Upstream::new(
        options.clone(),
        Arc::new(ReqwestTransport::new(&options).unwrap()),
        clock.clone(),
    ));
    let registry = Registry {
        disk: Arc::new(hooked.clone()),
        routes: routes(vec![options], &clock),
        clock,
        ..Registry::default()
    };
    let (client, repositories) = registry.open_both().await;
    let names: u64 = 60;
    let mut layers = Vec::new();
    for n in 0..names {
        let made = image(origin.origin(), &format!("team/r{n}"), "base", &[2000, 70_000], n % 3);
        layers.extend(
            made.blobs().map(|it| (it.digest.to_string(), origin.origin().content(&it.digest).unwrap())),
        );
    }
    let layers = Arc::new(layers);
    let promised: Arc<Mutex<Vec<String>>> = Arc::default();
    let seconds: u64 = std::env::var("R40_SECONDS").ok().and_then(|it| it.parse().ok()).unwrap_or(5);
    let end = std::time::Instant::now() + Duration::from_secs(seconds);
    let tasks = (0..8_u64).map(|task| {
        let (client, repositories, hub, layers, promised) = (
            client.clone(),
            repositories.clone(),
            Arc::clone(&hub),
            Arc::clone(&layers),
            Arc::clone(&promised),
        );
        tokio::spawn(async move {
            let mut seed = task * 7919 + 13;
            let mut roll = move |sides: u64| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                (seed >> 11) % sides
            };
            let mut round = 0;
            while std::time::Instant::now() < end {
                round += 1;
                let (n, patience) = (roll(names), Duration::from_micros(200 + roll(20_000)));
                let (op, pushes, leaves) = (roll(8), roll(3) == 0, roll(2) == 0);
                let layer = layers[roll(layers.len() as u64) as usize].clone();
                let name = format!("team/r{n}");
                let work = async {
                    match op {
                        0 | 1 => {
                            client.get(&format!("/v2/{name}/manifests/base")).await;
                            client.get(&format!("/v2/{name}/blobs/{}", layer.0)).await;
                        }
                        2 => {
                            let own = format!("own/p{task}x{round}");
                            client.push_blob(&own, &layer.1).await;
                            promised.lock().unwrap().push(format!("/v2/{own}/blobs/{}", layer.0));
                            let to = format!("own/m{task}x{round}");
                            let path = format!("/v2/{to}/blobs/uploads/?mount={}&from={own}", layer.0);
                            if client.call("POST", &path, &[], "").await.status == 201 {
                                promised.lock().unwrap().push(format!("/v2/{to}/blobs/{}", layer.0));
                            }
                        }
                        3 | 4 => {
                            let config = client.push_blob(&name, b"{}").await;
                            let manifest = support::image(&[(&config, 2)], &[(&layer.0, layer.1.len())]);
                            let digest = sha256(manifest.to_string().as_bytes());
                            if pushes && client.push_manifest(&name, "mine", &manifest).await.status == 201 {
                                let mut promised = promised.lock().unwrap();
                                promised.push(format!("/v2/{name}/blobs/{}", layer.0));
                                promised.push(format!("/v2/{name}/manifests/{digest}"));
                            }
                        }
                        5 | 6 => drop(repositories.evict(&hub).await),
                        _ => drop(
                            client.call("DELETE", &format!("/v2/{name}/_wharfinger/cache"), &[], "").await,
                        ),
                    }
                };
                let _ =
                    tokio::time::timeout(if leaves { patience } else { Duration::from_secs(9) }, work).await;
            }
            round
        })
    });
    let rounds: u64 = futures_util::future::join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    tokio::time::sleep(Duration::from_millis(500)).await;
    origin.stop().await;
    let promised = promised.lock().unwrap().clone();
    let mut lost = Vec::new();
    for path in &promised {
        let answer = client.get(path).await;
        let digest = path.rsplit('/').next().unwrap();
        if answer.status != 200 || answer.cut || sha256(&answer.body) != digest {
            lost.push((path, answer.status));
        }
    }
    // And no hosted link without content.
    let mut hollow = Vec::new();
    let mut folders = vec!["repositories".to_owned()];
    while let Some(folder) = folders.pop() {
        for child in hooked.disk.entries(&folder).unwrap_or_default() {
            let path = format!("{folder}/{child}");
            if folder.ends_with("/_blobs/sha256") {
                if hooked.disk.stat(&format!("blobs/sha256/{}/{child}", &child[..2])).is_err() {
                    hollow.push(path);
                }
            } else {
                folders.push(path);
            }
        }
    }
    println!("{rounds} rounds, {} promises, {} lost, {} hollow", promised.len(), lost.len(), hollow.len());
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(hollow.is_empty(), "hollow: {hollow:?}");
}
