//! Many names: what a page costs, and that pages neither skip nor repeat.
//!
//! | module | what it holds |
//! |---|---|
//! | `counts` | operations of the backend, by the meter that the server has |
//! | `start` | what opening a store costs |
//! | `pages` | what a page costs once its list was read |
//! | `walks` | walks through all names, also while others push and delete |

mod counts;
mod pages;
mod start;
mod walks;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use wharfinger::auth::{self, Access};
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::backend::metered::Metered;
use wharfinger::clock::Clock;
use wharfinger::http::App;
use wharfinger::http::options::Options;
use wharfinger::oci::{Algorithm, Hasher, Manifest, RepositoryName, Tag};
use wharfinger::repository::{Repositories, Stores};
use wharfinger::store::manifests::{NewManifest, References, Tagging};
use wharfinger::store::{RepositoryKey, Store, options};
use wharfinger::upstream::Routes;

use crate::support::Client;

/// The repository with many tags.
const LARGE: &str = "large/app";

/// Opens a store on a disk, behind a meter, with caches of so many bytes.
async fn open(disk: &MemoryDisk, memory_cache_bytes_max: u64) -> Store {
    let backend = FsBackend::open(Arc::new(disk.clone()), Durability::Unsynced).await.unwrap();
    let options = options::Options {
        memory_cache_bytes_max,
        missing_in_image: options::Missing::Accept,
        ..options::Options::default()
    };
    Store::open(Arc::new(Metered::new(Arc::new(backend))), options, Clock::system()).await.unwrap()
}

/// Puts a server before a store.
fn serve(store: Store) -> Client {
    let stores = Stores::new(store, HashMap::new(), HashMap::new());
    let repositories = wharfinger::repository::options::Options::default();
    let repositories = Repositories::new(stores, Routes::default(), repositories, Clock::system());
    let access = Access::new(&auth::options::Options::default()).unwrap();
    Client(App::new(repositories, access, Options::default()))
}

/// Fills a disk: small repositories with tags each, and one with many.
async fn fill(repositories: usize, tags: usize, large_tags: usize) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let store = open(&disk, options::Options::default().memory_cache_bytes_max).await;
    for number in 0..repositories {
        push(&store, &small(number), 0, (0..tags).map(tag).collect()).await;
    }
    push(&store, LARGE, 0, (0..large_tags).map(tag).collect()).await;
    disk
}

/// Names a small repository; in an order that is not that of the numbers.
fn small(number: usize) -> String {
    format!("team-{}/app-{number}", number % 7)
}

/// Names a tag of 40 characters, as long as a commit.
fn tag(number: usize) -> String {
    format!("v{number:05}-{:0>33}", number * 7919 % 100_000)
}

/// Pushes an image of this number under tags.
async fn push(store: &Store, to: &str, image: usize, tags: Vec<String>) {
    let config = Hasher::digest(Algorithm::Sha256, b"{}").to_string();
    let bytes = Bytes::from(
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
            "layers": [],
            "annotations": {"image": image.to_string()},
        })
        .to_string(),
    );
    let new = NewManifest {
        manifest: Manifest::parse(&bytes, None).unwrap(),
        digest: Hasher::digest(Algorithm::Sha256, &bytes),
        bytes,
        tags: tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect(),
        tagging: Tagging::Move,
        references: References::Required,
    };
    store.put_manifest(&key(to), new).await.unwrap();
}

fn key(name: &str) -> RepositoryKey {
    RepositoryKey::hosted(RepositoryName::parse(name).unwrap())
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 16) % sides as u64).unwrap()
    }
}

/// Returns the names of a page, and the path of the next one.
async fn page(client: &Client, path: &str, list: &str) -> (Vec<String>, Option<String>) {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let body = answer.json();
    let names = body[list].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let link = answer.header("link");
    let next = link.strip_prefix('<').and_then(|link| link.split_once('>')).map(|(path, _)| path.to_owned());
    (names.collect(), next)
}
