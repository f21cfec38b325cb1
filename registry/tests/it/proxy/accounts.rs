//! Goal (P11): an upstream that asks who is there is told, in the way that it asks for, once for all layers;
//! its account goes to nobody else.
//! Method: origins with accounts, by password and by token; a blob host of their own; a file of accounts.

use std::path::PathBuf;

use sim::fault::{Fault, Selector};
use sim::origin::{Access, Account, BlobHost, Origin, Right, Running, Scheme, TokenOptions};
use tempfile::TempDir;
use wharfinger::clock::Clock;
use wharfinger::upstream::options::CredentialSource;

use super::bench::{NAME, REPO, blob_path, image, manifest_path, registry, serve, upstream};
use crate::support::Client;

/// An origin that only alice may read.
fn guarded(scheme: Scheme) -> Origin {
    let rights = vec![Right::to_everything()];
    let alice = Account { name: "alice".into(), password: "of alice".into(), rights };
    Origin::guarded(Access { scheme, accounts: vec![alice], anonymous: Vec::new() })
}

fn tokens() -> Scheme {
    Scheme::Bearer(TokenOptions::default())
}

/// A registry that has an account for the origin.
struct Stand {
    origin: Running,
    client: Client,
    file: PathBuf,
    _folder: TempDir,
}

async fn stand(scheme: Scheme, password: &str) -> Stand {
    let origin = serve(&guarded(scheme)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accounts.json");
    write(&file, &origin.addr().to_string(), password);
    let mut options = upstream(NAME, &[&origin.url()]);
    options.credentials = CredentialSource::File(file.clone());
    let client = registry(vec![options], &Clock::system()).await;
    Stand { origin, client, file, _folder: folder }
}

fn write(file: &PathBuf, host: &str, password: &str) {
    let accounts = serde_json::json!({host: {"username": "alice", "password": password}});
    std::fs::write(file, accounts.to_string()).unwrap();
}

#[tokio::test]
async fn a_private_image_is_pulled_with_the_account() {
    for scheme in [Scheme::Basic, tokens()] {
        let text = format!("{scheme:?}");
        let it = stand(scheme, "of alice").await;
        let made = image(it.origin.origin(), REPO, "v1", &[10, 100_000], 1);
        assert_eq!(it.client.get(&manifest_path("v1")).await.status, 200, "{text}");
        for blob in made.blobs() {
            let answer = it.client.get(&blob_path(&blob.digest)).await;
            assert!(answer.status == 200 && !answer.cut, "{text}: {answer:?}");
        }
        // What the upstream wants is known after the first refusal.
        let entries = it.origin.origin().journal().entries();
        let refused = entries.iter().filter(|entry| entry.status == Some(401)).count();
        assert_eq!(refused, 1, "{text}");
    }
}

#[tokio::test]
async fn a_wrong_account_is_denied_and_a_renewed_one_is_used() {
    for scheme in [Scheme::Basic, tokens()] {
        let text = format!("{scheme:?}");
        let it = stand(scheme, "wrong").await;
        image(it.origin.origin(), REPO, "v1", &[10], 1);
        assert_eq!(it.client.get(&manifest_path("v1")).await.status, 403, "{text}");
        write(&it.file, &it.origin.addr().to_string(), "of alice");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        std::fs::File::options().write(true).open(&it.file).unwrap().set_modified(later).unwrap();
        assert_eq!(it.client.get(&manifest_path("v1")).await.status, 200, "{text}");
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_an_honest_error() {
    let it = stand(Scheme::Basic, "of alice").await;
    image(it.origin.origin(), REPO, "v1", &[10], 1);
    std::fs::write(&it.file, "{\"hunter2\"").unwrap();
    let answer = it.client.get(&manifest_path("v1")).await;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 502, "{body}");
    assert!(!body.contains("hunter2") && !body.contains("accounts.json"), "p11: {body}");
}

#[tokio::test]
async fn p4_a_token_is_fetched_once_for_all_layers() {
    let it = stand(tokens(), "of alice").await;
    let made = image(it.origin.origin(), REPO, "v1", &[100; 20], 1);
    let _slow = it.origin.origin().install(Selector::any("*token*").suffer(Fault::Latency { ms: 50 }));
    let pulls = made.layers.iter().map(|layer| {
        let (client, path) = (it.client.clone(), blob_path(&layer.digest));
        async move { client.get(&path).await }
    });
    for answer in futures_util::future::join_all(pulls).await {
        assert_eq!(answer.status, 200);
    }
    let entries = it.origin.origin().journal().entries();
    let fetched = entries.iter().filter(|entry| entry.path.contains("token")).count();
    assert_eq!(fetched, 1, "{:?}", super::bench::asked(&entries));
}

#[tokio::test]
async fn p11_no_account_and_no_token_goes_along_a_redirect() {
    for scheme in [Scheme::Basic, tokens()] {
        let text = format!("{scheme:?}");
        let it = stand(scheme, "of alice").await;
        let made = image(it.origin.origin(), REPO, "v1", &[100_000], 1);
        let host = it.origin.origin().serve("127.0.0.1:0").await.unwrap();
        it.origin.origin().redirect_blobs(Some(BlobHost::Address(host.url())));
        let answer = it.client.get(&blob_path(&made.layers[0].digest)).await;
        assert!(answer.status == 200 && !answer.cut, "{text}: the host refuses who is logged in");
        let entries = it.origin.origin().journal().entries();
        let told = entries.iter().filter(|entry| entry.path.starts_with("/storage/"));
        assert_eq!(told.map(|entry| entry.authorized).collect::<Vec<_>>(), [false], "{text}");
    }
}

#[tokio::test]
async fn p11_an_account_belongs_to_one_host() {
    let (private, public) = (serve(&guarded(Scheme::Basic)).await, serve(&Origin::new()).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accounts.json");
    write(&file, &private.addr().to_string(), "of alice");
    let mut options = upstream(NAME, &[&public.url(), &private.url()]);
    options.credentials = CredentialSource::File(file);
    let client = registry(vec![options], &Clock::system()).await;
    image(private.origin(), REPO, "v1", &[10], 1);
    assert_eq!(client.get(&manifest_path("v1")).await.status, 200);
    assert!(public.origin().journal().entries().iter().all(|entry| !entry.authorized));
}
