//! Object stores that others wrote, each with one empty bucket.
//!
//! | module | what it holds |
//! |---|---|
//! | `moto` | S3 with its conditions |
//! | `strict` | S3 with its signatures, in this process |
//! | `azurite` | Azure's blobs |
//! | `lens` | a server before another one that changes what passes |

pub(crate) mod azurite;
pub(crate) mod lens;
pub(crate) mod moto;
pub(crate) mod strict;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::backend::object::ObjectBackend;
use wharfinger::backend::object::bucket::Bucket;
use wharfinger::backend::object::client::Client;
use wharfinger::backend::object::options::BucketOptions;
use wharfinger::store::layout;

use crate::support::skip;

/// The name of the bucket of each server.
pub(crate) const BUCKET: &str = "harbour";

/// How to reach a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) settings: BTreeMap<String, String>,
}

impl Place {
    /// Makes one of an address and settings.
    pub(crate) fn new(url: &str, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self { url: url.to_owned(), settings: settings.collect() }
    }

    /// Makes one of a bucket that speaks S3.
    pub(crate) fn s3(endpoint: &str, access_key: &str, secret: &str) -> Self {
        let settings = [
            ("endpoint", endpoint),
            ("region", "us-east-1"),
            ("access_key_id", access_key),
            ("secret_access_key", secret),
            ("allow_http", "true"),
        ];
        Self::new(&format!("s3://{BUCKET}"), &settings)
    }

    /// Returns the same with another setting.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Returns the same with another address.
    pub(crate) fn at(mut self, url: &str) -> Self {
        self.url = url.to_owned();
        self
    }

    /// Returns a client of it.
    pub(crate) fn client(&self) -> Client {
        Client::new(BucketOptions::new(&self.url, self.settings.clone()).unwrap()).unwrap()
    }

    /// Returns a backend over it, with a spool of its own.
    pub(crate) async fn backend(&self) -> ObjectBackend {
        over(Arc::new(self.client())).await
    }

    /// Returns the section `storage` of a configuration that names it.
    pub(crate) fn storage(&self) -> Value {
        json!({"bucket": {"url": self.url, "options": self.settings}})
    }
}

/// Returns a backend over a bucket, with a spool of its own.
pub(crate) async fn over(bucket: Arc<dyn Bucket>) -> ObjectBackend {
    let spool = FsBackend::open(Arc::new(MemoryDisk::new()), Durability::Synced).await.unwrap();
    ObjectBackend::new(bucket, Arc::new(spool), layout::ROOTS)
}

/// Returns where the runner has installed a program of a server; without it the test is skipped, or fails
/// where everything is prepared.
fn installed(test: &str, program: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WHARFINGER_SERVERS")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers"), PathBuf::from);
    let path = folder.join(program);
    if path.is_file() {
        return Some(path);
    }
    let prepared = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!prepared, "{test} needs {}, and everything must be installed here", path.display());
    skip::skip(test, &format!("not installed: {program}; `cargo xtask servers` installs it"));
    None
}

/// Returns a port that nothing listens on now, for programs that cannot choose one, or must come back on it.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
