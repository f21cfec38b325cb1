//! Goal: a redirect is followed so far and no farther, and takes nothing to another host that is not its to see.
//! Method: origins that say byte for byte where to go, and keep what they were sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use wharfinger::clock::Clock;
use wharfinger::upstream::options::CredentialSource;

use super::bench::{NAME, REPO, blob_path, content, registry, upstream};
use super::scripted::{Scripted, Step, response};
use crate::support::{Client, sha256};

fn to(location: &str) -> Vec<Step> {
    let head =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    vec![Step::Send(head.into_bytes())]
}

fn denied(challenge: &str) -> Vec<Step> {
    let head =
        format!("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: {challenge}\r\ncontent-length: 0\r\n\r\n");
    vec![Step::Send(head.into_bytes())]
}

/// The same machine by another name: to whoever sends a secret, another host.
fn by_name(origin: &Scripted) -> String {
    origin.url().replace("127.0.0.1", "localhost")
}

fn authorizations(origin: &Scripted) -> Vec<String> {
    let line = |head: String| {
        let field = head.lines().find(|line| line.to_lowercase().starts_with("authorization:"));
        field.map(str::to_owned)
    };
    origin.heads().into_iter().filter_map(line).collect()
}

#[tokio::test]
async fn redirects_that_go_in_a_circle_end() {
    // Two hosts that send on to each other, and one that sends to itself.
    let first = Scripted::start(|_| to("/elsewhere")).await;
    let back = format!("{}/back", first.url());
    let second = Scripted::start(move |_| to(&back)).await;
    let away = format!("{}/away", by_name(&second));
    let third =
        Scripted::start(move |line| if line.contains("/back") { to("/v2/") } else { to(&away) }).await;
    let client: Client = registry(vec![upstream(NAME, &[third.url()])], &Clock::system()).await;
    let answer = client.get(&blob_path(sha256(b"x"))).await;
    assert_eq!(answer.status, 502);
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(body.contains("too many redirects"), "{body}");
    let asked = [first.heads().len(), second.heads().len(), third.heads().len()];
    assert_eq!(asked.iter().sum::<usize>(), 6, "one request and five redirects: {asked:?}");
}

#[tokio::test]
async fn p11_another_host_gets_no_authorization() {
    let bytes = content(100_000, 1);
    for challenge in ["Basic realm=\"x\"", "Bearer realm=\"REALM/token\",service=\"x\""] {
        let body = bytes.clone();
        let store = Scripted::start(move |_| response("content-length: 100000\r\n", &body)).await;
        // The store is reached by name; the registry and its token service are one, reached by address.
        let target = format!("{}/content?signed=yes", by_name(&store));
        let (realm, asked) = (Arc::new(OnceLock::<String>::new()), AtomicUsize::new(0));
        let (own, told) = (Arc::clone(&realm), challenge.to_owned());
        let origin = Scripted::start(move |line| {
            if line.contains("/token") {
                return response("content-length: 16\r\n", br#"{"token": "tok"}"#);
            }
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => denied(&told.replace("REALM", own.get().unwrap())),
                _ => to(&target),
            }
        })
        .await;
        realm.set(origin.url().to_owned()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("accounts.json");
        let host = origin.url().trim_start_matches("http://");
        let accounts = serde_json::json!({host: {"username": "robot", "password": "hunter2"}});
        std::fs::write(&file, accounts.to_string()).unwrap();
        let mut options = upstream(NAME, &[origin.url()]);
        options.credentials = CredentialSource::File(file);
        let client = registry(vec![options], &Clock::system()).await;
        let answer = client.get(&format!("/v2/{REPO}/blobs/{}", sha256(&bytes))).await;
        assert!(
            answer.status == 200 && !answer.cut && answer.body == bytes,
            "{challenge}: {}",
            answer.status
        );
        assert!(!authorizations(&origin).is_empty(), "{challenge}");
        assert_eq!(store.heads().len(), 1, "{challenge}");
        assert_eq!(authorizations(&store), [""; 0], "{challenge}");
    }
}
