//! Goal: an export that ends early names nothing that is not there, takes nothing away, and writes nowhere
//! else. Method: damaged content, full pipes, and folders with something in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharfinger::backend::disk::Disk;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::Clock;
use wharfinger::oci::{Digest, Reference, Tag};
use wharfinger::store::Store;
use wharfinger::store::options::Options;
use wharfinger::transfer::Error;
use wharfinger::transfer::export::{Destination, export};

use super::images::{Images, observe};
use super::layout::{Layout, digest_of};
use super::round_trip::put_out;
use super::{Heard, chain, options, take_in};
use crate::store::contents::{digest, hosted};

/// A store with an image `app:v1`, whose layer is the text `v1`.
async fn stored(disk: &MemoryDisk) -> Store {
    let store = opened(disk).await;
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::with_image(root.path().join("one"), "v1").0;
    take_in(&store, &layout.folder, &options("app")).await.unwrap();
    store
}

async fn opened(disk: &MemoryDisk) -> Store {
    let backend = FsBackend::open(Arc::new(disk.clone()), Durability::Synced).await.unwrap();
    Store::open(Arc::new(backend), Options::default(), Clock::system()).await.unwrap()
}

async fn refused(store: &Store, destination: Destination) -> Error {
    export(store, &hosted("app"), None, destination, &Heard::default()).await.unwrap_err()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Changes a byte of content in a store, or mends it.
fn write_into(disk: &MemoryDisk, digest: &Digest, bytes: &[u8]) {
    let path = format!("blobs/sha256/{}/{}", &digest.hex()[..2], digest.hex());
    disk.open_writable(&path).unwrap().write_at(0, bytes).unwrap();
}

#[tokio::test]
async fn p1_damaged_content_does_not_leave() {
    let (disk, root) = (MemoryDisk::new(), tempfile::tempdir().unwrap());
    let (store, layer) = (stored(&disk).await, digest(b"v1"));
    let (tree, file) = (root.path().join("tree"), root.path().join("file.tar"));
    fs::write(&file, "the export of yesterday").unwrap();
    write_into(&disk, &layer, b"V");
    for destination in [Destination::Folder(tree.clone()), Destination::Tar(file.clone())] {
        let said = refused(&store, destination).await.to_string();
        assert!(said.contains(&format!("app@{layer} has the digest sha256:")), "{said}");
    }
    assert!(!tree.join("index.json").exists(), "nothing is named");
    assert!(!tree.join(format!("blobs/sha256/{}", layer.hex())).exists());
    assert_eq!(names(&tree), ["blobs", "oci-layout"]);
    assert_eq!(names(root.path()), ["file.tar", "tree"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "the export of yesterday");

    write_into(&disk, &layer, b"v");
    put_out(&store, &hosted("app"), None, Destination::Folder(tree.clone())).await;
    put_out(&store, &hosted("app"), None, Destination::Tar(file.clone())).await;
    for path in [tree, file] {
        let other = opened(&MemoryDisk::new()).await;
        take_in(&other, &path, &options("app")).await.unwrap();
        assert_eq!(observe(&other, &hosted("app")).await, observe(&store, &hosted("app")).await);
    }
}

#[tokio::test]
async fn a_layout_is_gone_on_with() {
    let (disk, root) = (MemoryDisk::new(), tempfile::tempdir().unwrap());
    let store = stored(&disk).await;
    let (mut layout, theirs) = Layout::with_image(root.path().join("there"), "theirs");
    let old = layout.image(b"old", &serde_json::json!({}));
    layout.name(&old, Some("v1"));
    // A blob that another program has left half written, and one of the right length with other bytes.
    let layer = layout.folder.join(format!("blobs/sha256/{}", digest(b"v1").hex()));
    for wrong in [&b"v"[..], b"v2"] {
        fs::write(&layer, wrong).unwrap();
        put_out(&store, &hosted("app"), None, Destination::Folder(layout.folder.clone())).await;
        assert_eq!(fs::read(&layer).unwrap(), b"v1");
    }
    let other = opened(&MemoryDisk::new()).await;
    let report = take_in(&other, &layout.folder, &options("all")).await.unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let seen = observe(&other, &hosted("all")).await;
    assert_eq!(seen["tag theirs"], digest_of(&theirs).to_string(), "it is still there");
    assert_eq!(seen["tag v1"], observe(&store, &hosted("app")).await["tag v1"], "and this one has moved");
}

#[tokio::test]
async fn nothing_else_is_written_to() {
    let (disk, root) = (MemoryDisk::new(), tempfile::tempdir().unwrap());
    let store = stored(&disk).await;
    let folder = |name: &str| -> PathBuf {
        let path = root.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let check = async |path: PathBuf, tar: bool, expected: &str| {
        let destination = if tar { Destination::Tar(path) } else { Destination::Folder(path) };
        let said = chain(&refused(&store, destination).await);
        assert!(said.contains(expected), "{said}");
    };

    let full = folder("full");
    fs::write(full.join("letter"), "dear").unwrap();
    check(full.clone(), false, "has something in it and is no OCI image layout").await;
    assert_eq!(names(&full), ["letter"]);
    check(root.path().join("no/such"), false, "mkdir of").await;
    check(full.join("letter"), false, "open of").await;
    check(root.path().join("no/such.tar"), true, "open of").await;

    // Links that somebody has laid where the export writes.
    let victim = root.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let laid = folder("laid");
    std::os::unix::fs::symlink(&victim, laid.join(".wharfinger-export")).unwrap();
    put_out(&store, &hosted("app"), None, Destination::Folder(laid.clone())).await;
    std::os::unix::fs::symlink(&victim, root.path().join(".wharfinger-export-x.tar")).unwrap();
    check(root.path().join("x.tar"), true, "open of").await;
    let away = folder("away");
    fs::write(away.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    std::os::unix::fs::symlink(&full, away.join("blobs")).unwrap();
    check(away, false, "is a symbolic link").await;
    assert_eq!((fs::read_to_string(&victim).unwrap().as_str(), names(&full).len()), ("precious", 1));

    // Another export at the same time.
    let busy = folder("busy");
    let held = fs::File::open(&busy).unwrap();
    held.lock().unwrap();
    check(busy.clone(), false, "is written to by another export").await;
    drop(held);
    put_out(&store, &hosted("app"), None, Destination::Folder(busy)).await;
}

#[tokio::test]
async fn what_is_not_here_is_said_before_anything_is_made() {
    let (disk, root) = (MemoryDisk::new(), tempfile::tempdir().unwrap());
    let store = stored(&disk).await;
    let gone = Reference::Digest(digest(b"gone"));
    let tag = Reference::Tag(Tag::parse("v2").unwrap());
    for (name, reference, expected) in [
        ("app", Some(&tag), "app:v2 is not here".to_owned()),
        ("app", Some(&gone), format!("app@{gone} is not here")),
        ("other", None, "other is not here".to_owned()),
    ] {
        let to = Destination::Folder(root.path().join("new"));
        let refused = export(&store, &hosted(name), reference, to, &Heard::default()).await.unwrap_err();
        assert!(refused.to_string().starts_with(&expected), "{refused}");
        assert_eq!(names(root.path()), [""; 0]);
    }
}

/// Takes so many bytes, and then no more.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_stream_that_ends_early_is_an_error_wherever_it_ends() {
    let disk = MemoryDisk::new();
    let store = opened(&disk).await;
    Images::random(7).push(&store, &hosted("app")).await;
    let mut room = 0;
    loop {
        let out = Destination::Stream(Box::new(Full(room)));
        match export(&store, &hosted("app"), None, out, &Heard::default()).await {
            Err(Error::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::StorageFull),
            Err(other) => panic!("{other:?}"),
            Ok(_) => break,
        }
        room += if room < 8192 { 256 } else { 20_000 };
    }
    assert!(room > 8192, "it was cut in many places: {room}");
}
