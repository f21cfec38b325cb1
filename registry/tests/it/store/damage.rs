//! Goal: what the disk has lost is never served as whole, and a push heals it; what a crash has
//! left half done is put right. Method: a store over a disk in memory whose files are changed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::oci::{Algorithm, Digest, Hasher, Manifest, MediaType, Reference, RepositoryName, Tag};
use wharfinger::store::manifests::{NewManifest, References, Tagging};
use wharfinger::store::uploads::{Chunk, UploadRef};
use wharfinger::store::{Error, RepositoryKey, Space, Store};

async fn open(disk: &MemoryDisk) -> Store {
    let backend = FsBackend::open(Arc::new(disk.clone()), Durability::Synced).await.unwrap();
    Store::open(Arc::new(backend), Default::default(), Clock::system()).await.unwrap()
}

fn app() -> RepositoryKey {
    RepositoryKey::hosted(RepositoryName::parse("app").unwrap())
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}/{}", &digest.hex()[..2], digest.hex())
}

async fn push(store: &Store, bytes: &'static [u8]) -> Digest {
    let (repository, owner) = (app(), "me".to_owned());
    let digest = Hasher::digest(Algorithm::Sha256, bytes);
    let id = store.open_upload(&repository, &owner, None).await.unwrap();
    let upload = UploadRef { repository, id, owner };
    let chunk = Chunk { start: None, len: None, blob_bytes_max: u64::MAX };
    let body = futures_util::stream::iter([Ok(Bytes::from_static(bytes))]).boxed();
    store.commit_upload(&upload, chunk, body, &digest).await.unwrap();
    digest
}

fn new(body: &str, media_type: &str, tag: &str) -> NewManifest {
    let manifest = Manifest::parse(body.as_bytes(), MediaType::parse(media_type).as_ref()).unwrap();
    NewManifest {
        manifest,
        bytes: Bytes::copy_from_slice(body.as_bytes()),
        digest: Hasher::digest(Algorithm::Sha256, body.as_bytes()),
        tags: vec![Tag::parse(tag).unwrap()],
        tagging: Tagging::Move,
        references: References::Required,
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

#[tokio::test]
async fn p1_a_manifest_whose_bits_have_flipped_is_not_served() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    let manifest = new(EMPTY, INDEX, "v1");
    let digest = manifest.digest;
    store.put_manifest(&app(), manifest).await.unwrap();
    disk.open_writable(&path(&digest)).unwrap().write_at(20, b"X").unwrap();
    let found = open(&disk).await.manifest(&app(), &Reference::Digest(digest)).await;
    assert!(matches!(found, Err(Error::Damaged { .. })), "{found:?}");
}

#[tokio::test]
async fn a_blob_that_was_lost_is_absent_and_a_push_heals_it() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    let digest = push(&store, b"layer").await;
    for cut in [Some(2), None] {
        match cut {
            Some(len) => disk.open_writable(&path(&digest)).unwrap().set_len(len).unwrap(),
            None => disk.remove(&path(&digest)).unwrap(),
        }
        assert!(!store.has_blob(&app(), &digest).await.unwrap(), "a client that asks first pushes again");
        assert!(matches!(store.open_blob(&app(), &digest).await, Err(Error::Damaged { .. })));
        push(&store, b"layer").await;
        assert!(store.has_blob(&app(), &digest).await.unwrap());
        assert_eq!(store.open_blob(&app(), &digest).await.unwrap().unwrap().size(), 5);
    }
}

#[tokio::test]
async fn p3_what_is_called_a_manifest_must_be_one() {
    let store = open(&MemoryDisk::new()).await;
    let blob = push(&store, b"{}").await;
    let child =
        format!(r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{blob}","size":2}}"#);
    let refused =
        store.put_manifest(&app(), new(&EMPTY.replace("[]", &format!("[{child}]")), INDEX, "v1")).await;
    assert!(matches!(refused, Err(Error::ReferencesMissing { .. })), "{refused:?}");
    assert!(!store.repository_exists(&app()).await.unwrap(), "a refused push leaves no mark");
    let layer = child.replace("vnd.oci.image.manifest.v1+json", "vnd.oci.image.layer.v1.tar");
    store.put_manifest(&app(), new(&EMPTY.replace("[]", &format!("[{layer}]")), INDEX, "v1")).await.unwrap();
}

#[tokio::test]
async fn a_mark_that_a_crash_has_left_is_taken_away() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    store.put_manifest(&app(), new(EMPTY, INDEX, "v1")).await.unwrap();
    disk.create("names/gone").unwrap();
    let store = open(&disk).await;
    store.unmark_empty_names().await.unwrap();
    let names = store.repositories(&Space::Hosted).await.unwrap();
    assert_eq!(*names, [RepositoryName::parse("app").unwrap()]);
}

#[tokio::test]
async fn p12_a_repository_whose_mark_is_lost_is_there() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    assert!(!store.repository_exists(&app()).await.unwrap());
    store.put_manifest(&app(), new(EMPTY, INDEX, "v1")).await.unwrap();
    assert!(store.repository_exists(&app()).await.unwrap());
    disk.remove("names/app").unwrap();
    assert!(open(&disk).await.repository_exists(&app()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_side_by_side_leave_nothing_that_is_needed_by_nothing() {
    for round in 0..20 {
        let store = open(&MemoryDisk::new()).await;
        let layer = push(&store, b"layer").await;
        let mut digests = Vec::new();
        for number in 0..8 {
            let child = format!(
                r#"{{"mediaType":"a/b","digest":"{layer}","size":5,"annotations":{{"n":"{number}"}}}}"#
            );
            let manifest = new(&EMPTY.replace("[]", &format!("[{child}]")), INDEX, "v1");
            digests.push(manifest.digest);
            store.put_manifest(&app(), manifest).await.unwrap();
        }
        let deletes = digests.iter().map(|digest| {
            let (store, digest) = (store.clone(), *digest);
            tokio::spawn(async move { store.delete_manifest(&app(), &digest).await })
        });
        for deleted in futures_util::future::join_all(deletes).await {
            deleted.unwrap().unwrap();
        }
        store.delete_blob(&app(), &layer).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(!store.repository_exists(&app()).await.unwrap());
    }
}
