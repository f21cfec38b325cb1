//! Goal: the program on a bucket: what it fetches goes to its client and into the bucket of its upstream, a
//! restart goes on from the spool, and clients follow its redirects.

use serde_json::{Value, json};
use sim::digest::Algorithm;
use sim::fault::{At, Fault, Selector};
use wharfinger::backend::object::bucket::Bucket;

use crate::servers::Place;
use crate::servers::moto::Moto;
use crate::support::command::Command;
use crate::support::layout::{Layout, sha256};
use crate::support::program::Berth;
use crate::support::skip;
use crate::support::upstream::{Upstream, entry, sync};

const MIB: usize = 1024 * 1024;

/// An upstream whose cache is in a bucket of its own.
fn cached(upstream: &Upstream, name: &str, prefix: &str, place: &Place) -> Value {
    let mut registry = entry(upstream);
    registry["name"] = json!(name);
    registry["content"] = json!([{"prefix": format!("{prefix}/**")}]);
    registry["storage"] = place.storage();
    registry
}

/// Returns a configuration with these upstreams, whose fetches are staged in a folder of the berth.
fn fetching(berth: &Berth, registries: &[Value]) -> Value {
    let mut config = sync(registries);
    config["extensions"]["sync"]["downloadDir"] = json!(berth.path("downloads"));
    config
}

/// Returns how many blobs and objects of content a bucket has.
async fn held(place: &Place) -> (usize, usize) {
    let client = place.client();
    let below = async |prefix: &str| {
        let names = futures_util::TryStreamExt::try_collect::<Vec<_>>(client.walk(prefix)).await.unwrap();
        names.len()
    };
    (below("blobs").await, below("content").await)
}

/// Waits until a bucket has this.
async fn until_held(place: &Place, wanted: (usize, usize)) {
    let waiting = async {
        while held(place).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "{} has {:?}, not {wanted:?}", place.url, held(place).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_go_to_the_bucket_of_their_upstream() {
    let Some(moto) = Moto::start("fetches_go_to_the_bucket_of_their_upstream").await else { return };
    moto.make("other").await;
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let places = [moto.place().at("s3://other/deep/first"), moto.place().at("s3://other/second")];
    let (berth, wire) = (Berth::new(), reqwest::Client::new());
    let registries =
        [cached(&first, "first", "one", &places[0]), cached(&second, "second", "two", &places[1])];
    let rest = fetching(&berth, &registries);
    let bytes = [sim::rng::Rng::labelled(1, "fetch").bytes(12 * MIB), b"small".to_vec()];
    let program = berth.start(moto.place().storage(), &rest).await;
    for (upstream, name) in [(&first, "one/app"), (&second, "two/app")] {
        for bytes in &bytes {
            let blob = upstream.origin().seed_blob(name, bytes.clone(), Algorithm::Sha256);
            let pulls =
                (0..6).map(|_| wire.get(format!("{}/v2/{name}/blobs/{}", program.url, blob.digest)).send());
            for pulled in futures_util::future::join_all(pulls).await {
                assert!(pulled.unwrap().bytes().await.unwrap() == *bytes, "{name}: {} bytes", bytes.len());
            }
            assert_eq!(upstream.origin().journal().blob_gets(&blob.digest), 1, "one fetch for all of them");
        }
    }
    for place in &places {
        // The small one stands with its key.
        until_held(place, (2, 1)).await;
    }
    assert_eq!(held(&moto.place()).await, (0, 0), "nothing of them is among what is pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_restart_goes_on_from_the_spool() {
    let Some(moto) = Moto::start("p4_a_restart_goes_on_from_the_spool").await else { return };
    let upstream = Upstream::start().await;
    let bytes = sim::rng::Rng::labelled(2, "restart").bytes(12 * MIB);
    let digest = upstream.origin().seed_blob("one/app", bytes.clone(), Algorithm::Sha256).digest;
    moto.make("other").await;
    let place = moto.place().at("s3://other/cache");
    let (berth, wire) = (Berth::new(), reqwest::Client::new());
    let rest = fetching(&berth, &[cached(&upstream, "first", "one", &place)]);
    let stall = Fault::StallBody { at: At::Percent(50), ms: None };
    let stalled = upstream.origin().install(Selector::get("*/blobs/*").suffer(stall));
    let program = berth.start(moto.place().storage(), &rest).await;
    let mut pull = wire.get(format!("{}/v2/one/app/blobs/{digest}", program.url)).send().await.unwrap();
    let mut got = 0;
    while got < 6 * MIB - 64 * 1024 {
        got += pull.chunk().await.unwrap().expect("half of it comes").len();
    }
    // Its reader leaves, since the program would wait for him before it ends.
    drop(pull);
    drop(program);
    drop(stalled);
    let program = berth.start(moto.place().storage(), &rest).await;
    let again = wire.get(format!("{}/v2/one/app/blobs/{digest}", program.url)).send().await.unwrap();
    assert!(again.bytes().await.unwrap() == bytes, "all of it comes");
    let entries = upstream.origin().journal().entries();
    let last = entries.iter().rfind(|entry| entry.is_blob_get(&digest)).expect("it was asked for");
    assert!(last.range.is_some() && last.bytes_sent < 7 * MIB as u64, "only the rest was fetched: {last:?}");
    until_held(&place, (1, 1)).await;
}

/// What is no page of ours: skopeo and curl are sent to the bucket, and get the bytes there.
#[tokio::test(flavor = "multi_thread")]
async fn clients_follow_the_redirects() {
    let test = "clients_follow_the_redirects";
    if !skip::has(test, &["skopeo", "curl", "tar", "gzip"]) {
        return;
    }
    let Some(moto) = Moto::start(test).await else { return };
    let (berth, folder) = (Berth::new(), tempfile::tempdir().unwrap());
    let mut storage = moto.place().storage();
    storage["redirectBlobURL"] = json!(true);
    let program = berth.start(storage, &json!({})).await;
    let local = Layout::create(folder.path().join("local"));
    local.several_layers("1", 7).await;
    let remote = format!("docker://{}/team/app:1", program.authority());
    let skopeo = || Command::new("skopeo").args(["--insecure-policy", "copy", "--all"]);
    skopeo().args(["--dest-tls-verify=false", &local.reference("1"), &remote]).run().await;
    let back = folder.path().join("back");
    skopeo().args(["--src-tls-verify=false", &remote, &format!("oci:{}:1", back.display())]).run().await;
    assert_eq!(Layout::open(back).blobs(), local.blobs());

    let layer = &local.layers()[0];
    let url = format!("{}/v2/team/app/blobs/{layer}", program.url);
    let head = Command::new("curl")
        .args(["--silent", "--include", "--output", "-", &url])
        .run()
        .await
        .to_lowercase();
    assert!(head.starts_with("http/1.1 307"), "{head}");
    assert!(head.contains(&format!("location: {}", moto.url)), "{head}");
    let file = folder.path().join("layer");
    let path = file.display().to_string();
    Command::new("curl").args(["--silent", "--fail", "--location", "--output", &path, &url]).run().await;
    assert_eq!(sha256(&std::fs::read(&file).unwrap()), *layer);
    // A range, and what stands with its key, are sent from here.
    let part = reqwest::Client::new().get(&url).header("range", "bytes=0-9").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap().len()), (206, 10));
    let small = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let config =
        small.get(format!("{}/v2/team/app/blobs/{}", program.url, local.image_id())).send().await.unwrap();
    assert_eq!(config.status(), 200);
}
