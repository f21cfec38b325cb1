//! Goal: what an operation costs in requests to the bucket is what docs/buckets.md says: a bucket bills
//! each, and each takes its time. Method: a bucket in memory counts them; the table of the document is held
//! against the counts, and printed as it should be when it is not.

use std::collections::BTreeMap;
use std::fmt::Write;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use wharfinger::store::options::Writers;

use super::bench::{Bench, content};
use crate::support::{Client, image, sha256};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// The sizes of blobs: one that stands with its key, one of one part, one of several.
const SIZES: [(usize, &str); 3] = [(16 * KIB, "16 KiB"), (4 * MIB, "4 MiB"), (20 * MIB, "20 MiB")];
const DOCUMENT: &str = include_str!("../../../../docs/buckets.md");
/// Between these lines of the document is the table.
const MARKS: (&str, &str) = ("<!-- the call budget: from here -->\n", "<!-- to here -->\n");
const HEAD: &str = "| operation | requests | of which |\n|---|---|---|\n";

/// What was counted, and the lines of the table.
struct Ledger {
    bench: Bench,
    lines: String,
}

impl Ledger {
    /// Counts what some work asks of the bucket, beside what was asked before.
    fn count<'a, T>(
        &'a mut self,
        what: impl Into<String>,
        work: impl Future<Output = T> + 'a,
    ) -> LocalBoxFuture<'a, T> {
        let what: String = what.into();
        async move {
            self.bench.bucket.take_counts();
            let done = work.await;
            let counts: BTreeMap<_, _> = self.bench.bucket.take_counts();
            let total: u64 = counts.values().sum();
            let each = counts.iter().map(|(operation, count)| format!("{operation} {count}"));
            let each: Vec<String> = each.collect();
            let each = if each.is_empty() { "none".to_owned() } else { each.join(", ") };
            writeln!(self.lines, "| {what} | {total} | {each} |").unwrap();
            done
        }
        .boxed_local()
    }
}

/// Pushes a blob as docker does: a POST, a PATCH with all of it, a PUT without a body.
async fn push_as_docker(client: &Client, bytes: &[u8]) {
    let opened = client.call("POST", "/v2/app/blobs/uploads/", &[], "").await;
    assert_eq!(opened.status, 202);
    let patched = client.call("PATCH", opened.header("location"), &[], bytes.to_vec()).await;
    assert_eq!(patched.status, 202);
    let put = format!("{}?digest={}", patched.header("location"), sha256(bytes));
    assert_eq!(client.call("PUT", &put, &[], "").await.status, 201);
}

/// Pushes a blob with a POST and a PUT that has all of it.
async fn push_at_once(client: &Client, bytes: &[u8]) {
    let opened = client.call("POST", "/v2/app/blobs/uploads/", &[], "").await;
    assert_eq!(opened.status, 202);
    let put = format!("{}?digest={}", opened.header("location"), sha256(bytes));
    assert_eq!(client.call("PUT", &put, &[], bytes.to_vec()).await.status, 201);
}

async fn get(client: &Client, path: &str) {
    let answer = client.get(path).await;
    assert!(answer.status == 200 && !answer.cut, "{path}: {answer:?}");
}

/// Pushes blobs of several sizes, and returns the digests of three of them and their sizes.
async fn pushes(ledger: &mut Ledger, client: &Client) -> Vec<(String, usize)> {
    let mut layers = Vec::new();
    for (seed, (size, text)) in SIZES.iter().enumerate() {
        let bytes = content(*size, seed as u64);
        ledger.count(format!("push a blob of {text}: POST, PUT"), push_at_once(client, &bytes)).await;
        layers.push((sha256(&bytes), *size));
    }
    for (seed, (size, text)) in SIZES.iter().enumerate() {
        let bytes = content(*size, 10 + seed as u64);
        ledger
            .count(format!("push a blob of {text}: POST, PATCH, PUT"), push_as_docker(client, &bytes))
            .await;
    }
    let again = content(4 * MIB, 1);
    ledger.count("push a blob of 4 MiB that is there", push_at_once(client, &again)).await;
    layers
}

async fn pulls(ledger: &mut Ledger, manifest: &Value, layers: &[(&str, usize)]) {
    let (cold, tagged) = (ledger.bench.open().await, "/v2/app/manifests/v1");
    ledger.count("GET a manifest by tag, cold", get(&cold, tagged)).await;
    ledger.count("GET a manifest by tag, again", get(&cold, tagged)).await;
    let by_digest = format!("/v2/app/manifests/{}", sha256(manifest.to_string().as_bytes()));
    ledger.count("GET a manifest by digest, again", get(&cold, &by_digest)).await;
    for ((_, text), (digest, _)) in SIZES.iter().zip(layers) {
        let path = format!("/v2/app/blobs/{digest}");
        ledger.count(format!("GET a blob of {text}"), get(&cold, &path)).await;
    }
    let there = format!("/v2/app/blobs/{}", layers[1].0);
    let absent = format!("/v2/app/blobs/{}", sha256(b"absent"));
    let head = cold.call("HEAD", &there, &[], "");
    assert_eq!(ledger.count("HEAD a blob", head).await.status, 200);
    let head = cold.call("HEAD", &absent, &[], "");
    assert_eq!(ledger.count("HEAD a blob that is not there", head).await.status, 404);
    ledger.count("list the tags, cold", get(&cold, "/v2/app/tags/list")).await;
    ledger.count("list the tags, again", get(&cold, "/v2/app/tags/list")).await;
}

async fn table(writers: Writers) -> String {
    let mut ledger = Ledger { bench: Bench { writers, ..Bench::new() }, lines: String::new() };
    let bench = ledger.bench.clone();
    ledger.count("start on an empty bucket", bench.open()).await;
    let client = ledger.count("start", bench.open()).await;
    let layers = pushes(&mut ledger, &client).await;
    let layers: Vec<(&str, usize)> = layers.iter().map(|(digest, size)| (digest.as_str(), *size)).collect();
    let config = client.push_blob("app", b"{}").await;
    let (first, other) = (image(&[(&config, 2)], &layers), image(&[(&config, 2)], &layers[..2]));
    let pushed = client.push_manifest("app", "v1", &first);
    assert_eq!(ledger.count("push a manifest of 3 layers with a tag", pushed).await.status, 201);
    let moved = client.push_manifest("app", "v1", &other);
    assert_eq!(ledger.count("push another manifest, which moves the tag", moved).await.status, 201);
    pulls(&mut ledger, &other, &layers).await;
    let deleted = client.call("DELETE", "/v2/app/manifests/v1", &[], "");
    assert_eq!(ledger.count("delete a tag", deleted).await.status, 202);
    ledger.lines
}

#[tokio::test(start_paused = true)]
async fn the_document_says_what_operations_cost() {
    let (shared, alone) = (table(Writers::Several).await, table(Writers::One).await);
    let mut expected = format!("{HEAD}{shared}");
    let differing: String = alone
        .lines()
        .zip(shared.lines())
        .filter(|(alone, shared)| alone != shared)
        .map(|(alone, _)| format!("{alone}\n"))
        .collect();
    if !differing.is_empty() {
        write!(expected, "\nWith `storage.shared: false` these differ:\n\n{HEAD}{differing}").unwrap();
    }
    let said = DOCUMENT.split_once(MARKS.0).and_then(|(_, rest)| rest.split_once(MARKS.1));
    let (said, _) = said.expect("the document has the marks of its table");
    assert!(said == expected, "docs/buckets.md is to say, between its marks:\n{expected}");
}
