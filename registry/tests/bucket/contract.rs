//! Goal: each server keeps the contract of a backend through the client that is used, and each method of a
//! bucket does what the bucket in memory says of it: parts, ranges, pages, removals, signed links.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};
use wharfinger::backend::contract;
use wharfinger::backend::object::bucket::{Bucket, Put};
use wharfinger::backend::object::client::Client;
use wharfinger::backend::object::probe::{Conditions, probe};

use crate::servers::Place;
use crate::servers::azurite::Azurite;
use crate::servers::moto::Moto;
use crate::servers::strict::Strict;

const MIB: usize = 1024 * 1024;
/// More than one page of any server's list, which has at most 1,000 names, or 5,000.
const MANY: usize = 1_100;

fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| (at % 251) as u8).collect()
}

async fn read(client: &Client, name: &str, start: u64, end: u64) -> Bytes {
    let all = client.stream(name, start..end).try_fold(BytesMut::new(), |mut all, bytes| {
        all.extend_from_slice(&bytes);
        std::future::ready(Ok(all))
    });
    all.await.unwrap().freeze()
}

/// The contract of a backend, and everything that is asked of a server.
async fn check(place: &Place) {
    for place in [place, &place.clone().at(&format!("{}/some/where", place.url))] {
        contract::run(&place.backend().await).await;
    }
    check_bucket(place).await;
    let (client, name) = (place.client(), "p/twice");
    let upload = client.begin(name).await.unwrap();
    for _ in 0..2 {
        client.abort(name, &upload).await.unwrap();
    }
}

async fn check_bucket(place: &Place) {
    let client = place.client();
    assert_eq!(probe(&client).await.unwrap(), Conditions::Honoured, "{}", place.url);
    conditions(&client).await;
    parts(&client).await;
    ranges(&client).await;
    pages(&client).await;
}

async fn conditions(client: &Client) {
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let first = client.put("c/one", text("1"), Put::New).await.unwrap().expect("it is new");
    assert_eq!(client.put("c/one", text("2"), Put::New).await.unwrap(), None, "it is there");
    let second =
        client.put("c/one", text("2"), Put::Over(first.clone())).await.unwrap().expect("it is the first");
    assert_eq!(client.put("c/one", text("3"), Put::Over(first)).await.unwrap(), None, "it is the second");
    let object = client.get("c/one", None).await.unwrap().expect("it is there");
    assert_eq!((object.bytes, object.size, object.version), (text("2"), 1, second.clone()));
    client.remove(vec!["c/one".to_owned()]).await.unwrap();
    assert_eq!(client.put("c/one", text("3"), Put::Over(second)).await.unwrap(), None, "it is gone");
    assert_eq!(client.get("c/one", None).await.unwrap(), None);
    assert_eq!(client.size("c/one").await.unwrap(), None);
}

/// An object of two parts, and uploads that are given up.
async fn parts(client: &Client) {
    let bytes = pattern(6 * MIB + 1);
    let upload = client.begin("p/large").await.unwrap();
    let mut tags = Vec::new();
    for (number, part) in [bytes.slice(..5 * MIB), bytes.slice(5 * MIB..)].into_iter().enumerate() {
        tags.push(client.part("p/large", &upload, number, part).await.unwrap());
    }
    assert_eq!(client.size("p/large").await.unwrap(), None, "it is not there before all of it is");
    client.complete("p/large", &upload, &tags).await.unwrap();
    assert_eq!(client.size("p/large").await.unwrap(), Some(bytes.len() as u64));
    assert_eq!(read(client, "p/large", 0, bytes.len() as u64).await, bytes);
    let upload = client.begin("p/none").await.unwrap();
    client.part("p/none", &upload, 0, bytes.slice(..5 * MIB)).await.unwrap();
    client.abort("p/none", &upload).await.unwrap();
    assert_eq!(client.size("p/none").await.unwrap(), None);
    let link = client.link("p/large", Duration::from_secs(60)).await.unwrap().expect("it can be signed");
    let fetched = reqwest::Client::new().get(link).send().await.unwrap();
    assert_eq!(fetched.status(), 200, "anybody can follow a link");
    assert_eq!(fetched.bytes().await.unwrap(), bytes);
}

async fn ranges(client: &Client) {
    let bytes = pattern(100_000);
    client.put("r/one", bytes.clone(), Put::Any).await.unwrap();
    for (start, end) in [(0, 1), (0, 100_000), (99_999, 100_000), (17, 70_000)] {
        assert_eq!(read(client, "r/one", start, end).await, bytes.slice(start as usize..end as usize));
    }
    for max in [1, 100_000, 200_000] {
        let object = client.get("r/one", Some(max)).await.unwrap().expect("it is there");
        assert_eq!((object.bytes.len() as u64, object.size), (max.min(100_000), 100_000), "the first {max}");
    }
    client.put("r/empty", Bytes::new(), Put::Any).await.unwrap();
    assert_eq!(client.size("r/empty").await.unwrap(), Some(0));
}

/// Lists that need several pages, and a removal of as many.
async fn pages(client: &Client) {
    let names: Vec<String> = (0..MANY).map(|number| format!("l/{number:04}/x")).collect();
    let puts = stream::iter(names.clone()).map(|name| async move {
        client.put(&name, Bytes::from_static(b"x"), Put::Any).await.unwrap();
    });
    puts.buffer_unordered(16).collect::<Vec<()>>().await;
    client.put("l/file", Bytes::from_static(b"12"), Put::Any).await.unwrap();
    let children = client.children("l").await.unwrap();
    assert_eq!((children.prefixes.len(), children.objects), (MANY, vec![("file".to_owned(), 2)]));
    let mut walked: Vec<String> = client.walk("l").map_ok(|meta| meta.name).try_collect().await.unwrap();
    walked.sort_unstable();
    assert_eq!(walked.len(), MANY + 1);
    assert_eq!(walked[..MANY], names);
    client.remove(names.iter().cloned().chain(["l/never-there".to_owned()]).collect()).await.unwrap();
    let left: Vec<String> = client.walk("l").map_ok(|meta| meta.name).try_collect().await.unwrap();
    assert_eq!(left, ["l/file"]);
    assert!(client.children("no/such").await.unwrap().prefixes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_keeps_the_contract() {
    let Some(moto) = Moto::start("moto_keeps_the_contract").await else { return };
    check(&moto.place()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_server_takes_what_is_signed() {
    // Not the contract: what is only a prefix is a folder there, and asking for it an error of the server.
    let strict = Strict::start().await;
    check_bucket(&strict.place()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_keeps_the_contract() {
    let Some(azurite) = Azurite::start("azurite_keeps_the_contract").await else { return };
    check(&azurite.place()).await;
}
