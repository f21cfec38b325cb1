//! Goal (P2, P8): a disk that became read-only, or that this process may no longer write to, costs pushes and
//! nothing else; the log says so once and what to do, and when it is mended all goes on without a restart.
//! Method: a disk that forbids what such a disk forbids, for as long as the test wants.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;

use crate::support::disk::{Call, Calls, RuledDisk};
use crate::support::log::Log;
use crate::support::{Answer, Client, Registry, image, sha256};

/// What is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// The file system was mounted for reading.
    ReadOnly,
    /// The folders belong to somebody else now.
    Foreign,
}

pub(crate) const LOCKS: [Lock; 2] = [Lock::ReadOnly, Lock::Foreign];

impl Lock {
    fn check(self, call: Call) -> io::Result<()> {
        match (self, call) {
            (Self::ReadOnly, Call::Name | Call::Bytes) => {
                Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
            }
            // What is open already may be written.
            (Self::Foreign, Call::Name) => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
            _ => Ok(()),
        }
    }

    /// What the log says is to be done.
    fn advice(self) -> &'static str {
        match self {
            Self::ReadOnly => "mount it for writing",
            Self::Foreign => "give this process the right to write",
        }
    }
}

/// A disk that can be locked.
pub(crate) fn lockable(lock: Lock, below: &MemoryDisk) -> (Arc<dyn Disk>, Arc<AtomicBool>) {
    let is_locked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_locked);
    let rule = move |call| if asked.load(Ordering::SeqCst) { lock.check(call) } else { Ok(()) };
    (Arc::new(RuledDisk::new(Arc::new(below.clone()), Calls::AtOnce, rule)), is_locked)
}

/// Holds a log against what it must say while a disk is locked: that once, and what failed.
pub(crate) fn assert_told_once(lock: Lock, logged: &str, requests_failed: usize) {
    let lines = |words: &str| logged.lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("the store takes nothing more"), 1, "{lock:?}: {logged}");
    assert_eq!(lines(lock.advice()), 1, "{lock:?}: {logged}");
    assert_eq!(lines("a request failed"), requests_failed, "{lock:?}: {logged}");
    assert_eq!(lines("ERROR") + lines(" WARN"), 1 + requests_failed, "{lock:?}: {logged}");
}

const ROUNDS: usize = 3;

async fn pulls(client: &Client, manifest: &Value, when: &str) {
    let (by_digest, config) = (sha256(manifest.to_string().as_bytes()), sha256(b"{}"));
    for (path, body) in [
        ("/v2/app/manifests/v1".to_owned(), manifest.to_string()),
        (format!("/v2/app/manifests/{by_digest}"), manifest.to_string()),
        (format!("/v2/app/blobs/{}", sha256(b"layer")), "layer".to_owned()),
        (format!("/v2/app/blobs/{config}"), "{}".to_owned()),
        ("/v2/app/tags/list".to_owned(), r#"{"name":"app","tags":["v1"]}"#.to_owned()),
    ] {
        let answer = client.get(&path).await;
        assert!(answer.status == 200 && !answer.cut && answer.body == body, "{when} {path}: {answer:?}");
    }
}

/// Sends every sort of request that changes something.
async fn changes(client: &Client) -> Vec<(&'static str, Answer)> {
    let fresh = format!("/v2/app/blobs/uploads/?digest={}", sha256(b"fresh"));
    let other = image(&[(&sha256(b"{}"), 2)], &[]);
    let mount = format!("/v2/other/blobs/uploads/?mount={}&from=app", sha256(b"layer"));
    vec![
        ("POST", client.call("POST", "/v2/app/blobs/uploads/", &[], "").await),
        ("POST with a digest", client.call("POST", &fresh, &[], "fresh").await),
        ("POST with a mount", client.call("POST", &mount, &[], "").await),
        ("PUT", client.push_manifest("second", "v2", &other).await),
        ("DELETE", client.call("DELETE", "/v2/second/manifests/v2", &[], "").await),
    ]
}

#[tokio::test]
async fn p2_p8_a_locked_disk_costs_pushes_alone_and_until_it_is_mended() {
    for lock in LOCKS {
        let below = MemoryDisk::new();
        let (disk, is_locked) = lockable(lock, &below);
        let client = Registry { disk, ..Registry::default() }.open().await;
        let (manifest, _) = client.push_image("app", "v1", b"layer").await;
        client.push_image("second", "v2", b"layer").await;
        // Under way when it is locked.
        let opened = client.call("POST", "/v2/app/blobs/uploads/", &[], "").await;
        let session = opened.header("location").to_owned();
        assert_eq!(client.call("PATCH", &session, &[], "lay").await.status, 202);

        let (log, _listening) = Log::listen();
        is_locked.store(true, Ordering::SeqCst);
        let mut failed = 0;
        for _ in 0..ROUNDS {
            pulls(&client, &manifest, "locked").await;
            for (what, answer) in changes(&client).await {
                assert_eq!(
                    (answer.status.as_u16(), answer.code().as_str()),
                    (500, "UNKNOWN"),
                    "{lock:?} {what}"
                );
                failed += 1;
            }
        }
        assert_told_once(lock, &log.take(), failed);

        is_locked.store(false, Ordering::SeqCst);
        for (what, answer) in changes(&client).await {
            assert!(answer.status.is_success(), "{lock:?} {what}: {answer:?}");
        }
        assert_eq!(log.take().matches("the store can be written to again").count(), 1, "{lock:?}");
        pulls(&client, &manifest, "mended").await;
        let rest = format!("{session}?digest={}", sha256(b"layers"));
        let closed = client.call("PUT", &rest, &[], "ers").await;
        assert_eq!(closed.status, 201, "{lock:?}: {closed:?}");
        let again = Registry { disk: Arc::new(below), ..Registry::default() }.open().await;
        pulls(&again, &manifest, "after a restart").await;
        let blob = again.get(&format!("/v2/app/blobs/{}", sha256(b"layers"))).await;
        assert_eq!(blob.body, "layers", "{lock:?}");
    }
}
