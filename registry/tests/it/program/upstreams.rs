//! Goal: an operator adds, changes and removes upstreams and policies of retention without a restart; what takes
//! one says so, and what cannot be used changes nothing. Method: the program itself before `sim`'s origins, and a
//! file that is rewritten.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sim::origin::{Origin, Running};
use tempfile::TempDir;
use wharfinger::oci::{Algorithm, Hasher};

use super::server::Server;
use crate::proxy::bench::{REPO, image, manifest_path, serve};

struct Stand {
    server: Server,
    folder: TempDir,
}

impl Stand {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &json!({}), &json!([]));
        let server = Server::start(&config(folder.path()), folder.path());
        Self { server, folder }
    }

    fn write(&self, retention: &Value, registries: &Value) {
        write(self.folder.path(), retention, registries);
    }

    /// Checks that a tag is there after garbage was looked for several times.
    async fn outlasts_garbage(&self, tag: &str) {
        for _ in 0..3 {
            self.server.forget_log();
            self.server.tells("garbage was looked for").await;
        }
        assert_eq!(self.server.status("GET", &manifest_path(tag), "").await, 200);
    }

    async fn pulls(&self, reference: &str, expect: u16) {
        self.server.answers("GET", &manifest_path(reference), "", expect).await;
    }
}

fn config(folder: &Path) -> PathBuf {
    folder.join("config.json")
}

fn write(folder: &Path, retention: &Value, registries: &Value) {
    let storage =
        json!({"rootDirectory": "data", "gcDelay": "1s", "gcInterval": "1s", "retention": retention});
    let sync = json!({"registries": registries});
    let text = json!({"storage": storage, "http": {}, "extensions": {"sync": sync}}).to_string();
    fs::write(config(folder), text).unwrap();
}

fn upstream(origin: &Running) -> Value {
    json!({"name": "hub", "urls": [origin.url()], "onDemand": true, "negativeTtl": "1h", "manifestCheckInterval": "1h"})
}

async fn origin(tag: &str, seed: u64) -> Running {
    let origin = Origin::new();
    image(&origin, REPO, tag, &[10], seed);
    serve(&origin).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_come_change_and_go_without_a_restart() {
    let (it, one, two) = (Stand::start(), origin("one", 1).await, origin("two", 2).await);
    it.pulls("one", 404).await;
    it.write(&json!({}), &json!([upstream(&one)]));
    it.pulls("one", 200).await;
    it.pulls("two", 404).await;
    it.write(&json!({}), &json!([upstream(&two)]));
    it.pulls("two", 200).await;
    it.pulls("one", 200).await;
    it.write(&json!({}), &json!([]));
    it.pulls("two", 404).await;
    // What is cached of it is still here.
    let urls = json!(["http://127.0.0.1:1"]);
    let away = json!({"name": "hub", "urls": urls, "onDemand": true, "manifestCheckInterval": "1h", "maxRetries": 0});
    it.write(&json!({}), &json!([away]));
    it.pulls("two", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_changes_nothing_and_what_takes_a_restart_says_so() {
    let (it, one) = (Stand::start(), origin("one", 1).await);
    let certificates = it.folder.path().join("certificates");
    fs::create_dir(&certificates).unwrap();
    let mut careful = upstream(&one);
    careful["certDir"] = json!(certificates);
    fs::write(certificates.join("ca.crt"), "no certificate").unwrap();
    it.write(&json!({}), &json!([careful]));
    it.server.tells("ca.crt").await;
    it.pulls("one", 404).await;
    // It is the file that is mended, not the configuration.
    let authority =
        || rcgen::generate_simple_self_signed(vec!["registry.test".to_owned()]).unwrap().cert.pem();
    fs::write(certificates.join("ca.crt"), authority()).unwrap();
    it.server.hang_up();
    it.pulls("one", 200).await;
    it.server.forget_log();
    fs::write(certificates.join("ca.crt"), authority()).unwrap();
    it.server.tells("the configuration was read again").await;
    let mut apart = upstream(&one);
    apart["storage"] = json!({"rootDirectory": "apart"});
    it.write(&json!({}), &json!([apart]));
    it.server.tells("has changed, which takes a restart").await;
    assert!(it.server.told().contains("extensions.sync.registries"), "{}", it.server.told());
    it.pulls("one", 200).await;
    assert!(!it.folder.path().join("apart").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_of_retention_holds_without_a_restart() {
    let it = Stand::start();
    for tag in ["v1", "dev"] {
        push(&it.server, tag).await;
    }
    let keep = json!([{"patterns": ["^v"]}]);
    it.write(&json!({"delay": "1s", "policies": [{"repositories": ["**"], "keepTags": keep}]}), &json!([]));
    it.pulls("dev", 404).await;
    it.pulls("v1", 200).await;
    assert!(!it.server.told().contains("takes a restart"), "{}", it.server.told());
    it.server.forget_log();
    it.write(&json!({}), &json!([]));
    it.server.tells("the configuration was read again").await;
    push(&it.server, "dev").await;
    it.outlasts_garbage("dev").await;
}

/// What is to hold for another place removes nothing from this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_for_another_store_is_not_carried_out_here() {
    let it = Stand::start();
    push(&it.server, "dev").await;
    let policies = json!([{"repositories": ["**"], "keepTags": [{"patterns": ["^v"]}]}]);
    let retention = json!({"delay": "1s", "policies": policies});
    let storage =
        json!({"rootDirectory": "other", "gcDelay": "1s", "gcInterval": "1s", "retention": retention});
    let text =
        json!({"storage": storage, "http": {}, "extensions": {"sync": {"registries": []}}}).to_string();
    fs::write(config(it.folder.path()), text).unwrap();
    it.server.tells("has changed, which takes a restart").await;
    it.outlasts_garbage("dev").await;
}

async fn push(server: &Server, tag: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (bytes, digest) = (b"{}".to_vec(), Hasher::digest(Algorithm::Sha256, b"{}").to_string());
    let url = format!("{}/v2/{REPO}/blobs/uploads/?digest={digest}", server.url);
    assert_eq!(client.post(url).body(bytes).send().await.unwrap().status().as_u16(), 201);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let config =
        json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": digest});
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []});
    let put = client.put(format!("{}{}", server.url, manifest_path(tag))).header("content-type", media_type);
    assert_eq!(put.body(manifest.to_string()).send().await.unwrap().status().as_u16(), 201);
}
