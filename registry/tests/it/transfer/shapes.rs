//! Goal: what others keep on a disk comes in as it is there: the folders of a zot and of a distribution, layouts
//! with and without names, once and again. Method: folders written by hand, in the form that those programs
//! write, imported into a store in memory.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use wharfinger::oci::{Digest, Tag};
use wharfinger::store::options::{Missing, Options};
use wharfinger::store::{RepositoryKey, Space, Store};
use wharfinger::transfer::import::Existing;
use wharfinger::transfer::{Error, Report};

use super::images::observe;
use super::layout::{Layout, MANIFEST, digest_of};
use super::{chain, options, store, store_with, take_in};
use crate::store::contents::hosted;

async fn tag(store: &Store, repository: &str, tag: &str) -> Option<Digest> {
    let entry = store.tag(&hosted(repository), &Tag::parse(tag).unwrap()).await.unwrap();
    entry.map(|entry| entry.digest)
}

async fn catalog(store: &Store) -> Vec<String> {
    store.repositories(&Space::Hosted).await.unwrap().iter().map(ToString::to_string).collect()
}

fn failures(report: &Report) -> Vec<String> {
    let text =
        |failure: &wharfinger::transfer::Failure| format!("{}: {}", failure.what, chain(&failure.error));
    report.failures.iter().map(text).collect()
}

// === zot ===

#[tokio::test]
async fn a_zot_brings_every_repository_with_its_tags() {
    let root = tempfile::tempdir().unwrap();
    let (mut app, image) = Layout::with_image(root.path().join("team/app"), "v1");
    app.name(&image, Some("latest"));
    let index = app.index(std::slice::from_ref(&image));
    app.name(&index, Some("all"));
    let signature = app.image(b"signature", &json!({"subject": image, "artifactType": "a/signature"}));
    app.name(&signature, None);
    let (_, nested) = Layout::with_image(root.path().join("team/app/nested"), "v2");
    let (_, single) = Layout::with_image(root.path().join("single"), "v3");
    // What is zot's own, and would be a layout if anybody looked.
    Layout::with_image(root.path().join("_trivy/cache"), "no");
    Layout::with_image(root.path().join("team/app/.sync/0f0e"), "no");
    fs::create_dir_all(root.path().join("team/app/.uploads/0f0e")).unwrap();
    fs::write(root.path().join("cache.db"), b"\0").unwrap();

    let store = store().await;
    let report = take_in(&store, root.path(), &options("")).await.unwrap();
    assert_eq!(failures(&report), [""; 0]);
    assert_eq!((report.repositories, report.manifests, report.tags), (3, 5, 5));
    assert_eq!(catalog(&store).await, ["single", "team/app", "team/app/nested"]);
    for (repository, name, descriptor) in [
        ("team/app", "v1", &image),
        ("team/app", "latest", &image),
        ("team/app", "all", &index),
        ("team/app/nested", "v2", &nested),
        ("single", "v3", &single),
    ] {
        assert_eq!(tag(&store, repository, name).await, Some(digest_of(descriptor)), "{repository}:{name}");
    }
    let about = store.referrers(&hosted("team/app"), &digest_of(&image), Default::default()).await.unwrap();
    assert_eq!(about.descriptors[0].digest, digest_of(&signature));

    let report = take_in(&store, root.path(), &options("mirror")).await.unwrap();
    assert_eq!((failures(&report).len(), report.blobs), (0, 0), "the bytes are shared");
    assert!(catalog(&store).await.contains(&"mirror/team/app/nested".to_owned()));
}

#[tokio::test]
async fn a_zot_that_shares_blobs_on_the_disk_is_read() {
    let root = tempfile::tempdir().unwrap();
    let (first, image) = Layout::with_image(root.path().join("first"), "v1");
    // As on a disk: hard links.
    let (second, _) = Layout::with_image(root.path().join("second"), "v1");
    // As copied out of a bucket: empty files for what the first has, and for what is in a folder for all.
    let (third, _) = Layout::with_image(root.path().join("third"), "v1");
    let (fourth, other) = Layout::with_image(root.path().join("fourth"), "v4");
    let shared = root.path().join("_blobstore");
    let blobs = |layout: &Layout| fs::read_dir(layout.folder.join("blobs/sha256")).unwrap();
    for entry in blobs(&second) {
        let path = entry.unwrap().path();
        fs::remove_file(&path).unwrap();
        fs::hard_link(first.folder.join("blobs/sha256").join(path.file_name().unwrap()), &path).unwrap();
    }
    for entry in blobs(&third) {
        fs::write(entry.unwrap().path(), b"").unwrap();
    }
    for entry in blobs(&fourth) {
        let path = entry.unwrap().path();
        let to = shared.join("blobs/sha256").join(path.file_name().unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(&path, to).unwrap();
        fs::write(path, b"").unwrap();
    }
    let store = store().await;
    let report = take_in(&store, root.path(), &options("")).await.unwrap();
    assert_eq!(failures(&report), [""; 0]);
    // One configuration and two layers, whoever has them.
    assert_eq!((report.repositories, report.blobs), (4, 3));
    let seen = observe(&store, &hosted("first")).await;
    assert_eq!(observe(&store, &hosted("second")).await, seen);
    assert_eq!(observe(&store, &hosted("third")).await, seen);
    assert_eq!(tag(&store, "third", "v1").await, Some(digest_of(&image)));
    assert_eq!(tag(&store, "fourth", "v4").await, Some(digest_of(&other)));
}

#[tokio::test]
async fn what_cannot_be_taken_hinders_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    Layout::with_image(root.path().join("Not_A_Name"), "v1");
    let (broken, _) = Layout::with_image(root.path().join("broken"), "v1");
    fs::write(broken.folder.join("index.json"), "no JSON").unwrap();
    let (mut half, image) = Layout::with_image(root.path().join("half"), "v1");
    let lost = half.image(b"lost", &json!({}));
    fs::remove_file(half.path(&digest_of(&lost))).unwrap();
    half.name(&lost, Some("lost"));
    let (store, good) = (store().await, Layout::with_image(root.path().join("zeta"), "v1").1);

    let report = take_in(&store, root.path(), &options("")).await.unwrap();
    let said = failures(&report);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with("Not_A_Name: \"Not_A_Name\" is not the name of a repository"), "{said:?}");
    assert!(said[1].contains("broken/index.json cannot be read: expected ident"), "{said:?}");
    let lost = digest_of(&lost);
    assert_eq!(said[2], format!("half:lost: half:lost needs {lost}, which is not there"));
    assert_eq!(catalog(&store).await, ["half", "zeta"]);
    assert_eq!(tag(&store, "half", "v1").await, Some(digest_of(&image)));
    assert_eq!(tag(&store, "half", "lost").await, None);
    assert_eq!(tag(&store, "zeta", "v1").await, Some(digest_of(&good)));
}

// === distribution ===

/// Writes the folder of a distribution; what is written below it is relative to `docker/registry/v2`.
struct Distribution<'a>(&'a Path);

impl Distribution<'_> {
    fn write(&self, below: &str, bytes: &[u8]) {
        let path = self.0.join("docker/registry/v2").join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn content(&self, bytes: &[u8]) -> Value {
        let digest = crate::store::contents::digest(bytes);
        let hex = digest.hex();
        self.write(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), bytes);
        json!({"mediaType": "a/layer", "digest": digest.to_string(), "size": bytes.len()})
    }

    fn link(&self, repository: &str, folder: &str, descriptor: &Value) {
        let digest = digest_of(descriptor);
        let below = format!("repositories/{repository}/{folder}/sha256/{}/link", digest.hex());
        self.write(&below, digest.to_string().as_bytes());
    }

    fn tag(&self, repository: &str, tag: &str, descriptor: &Value) {
        let text = descriptor["digest"].as_str().unwrap();
        self.write(&format!("repositories/{repository}/_manifests/tags/{tag}/current/link"), text.as_bytes());
    }

    /// Writes an image of a repository that does not say what it is.
    fn image(&self, repository: &str, layer: &[u8]) -> Value {
        let (config, layer) = (self.content(b"{}"), self.content(layer));
        self.link(repository, "_layers", &config);
        self.link(repository, "_layers", &layer);
        let body = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        let image = self.content(body.to_string().as_bytes());
        self.link(repository, "_manifests/revisions", &image);
        image
    }
}

#[tokio::test]
async fn a_distribution_brings_tags_revisions_and_no_more_than_its_links() {
    let root = tempfile::tempdir().unwrap();
    let folder = Distribution(root.path());
    let image = folder.image("team/app", b"layer");
    folder.tag("team/app", "v1", &image);
    let untagged = folder.image("team/app", b"before");
    let mut child = image.clone();
    child["mediaType"] = MANIFEST.into();
    let index = folder.content(json!({"schemaVersion": 2, "manifests": [child]}).to_string().as_bytes());
    folder.link("team/app", "_manifests/revisions", &index);
    folder.tag("team/app", "all", &index);
    // Deleted: folders without a link.
    fs::create_dir_all(
        root.path().join("docker/registry/v2/repositories/team/app/_manifests/tags/old/current"),
    )
    .unwrap();
    let revisions = root.path().join("docker/registry/v2/repositories/team/app/_manifests/revisions/sha256");
    fs::create_dir_all(revisions.join("0".repeat(64))).unwrap();
    // A layer of another repository, which this one has no link to.
    let stolen = folder.image("thief", b"other");
    let hex = digest_of(&folder.content(b"other")).hex();
    let link = root.path().join(format!("docker/registry/v2/repositories/thief/_layers/sha256/{hex}/link"));
    fs::remove_file(link).unwrap();
    folder.tag("thief", "v1", &stolen);
    folder.image("owner", b"other");
    // A link that was cut short.
    folder.write("repositories/owner/_manifests/tags/cut/current/link", b"sha256:0123");

    let store = store().await;
    let report = take_in(&store, root.path(), &options("")).await.unwrap();
    let said = failures(&report);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("owner: ") && said[0].ends_with("cut/current/link does not name a digest"));
    let (by, needed) = (digest_of(&stolen), format!("sha256:{hex}"));
    assert_eq!(said[1], format!("thief:v1: {by} needs {needed}, which is not there"));
    assert_eq!(catalog(&store).await, ["owner", "team/app"]);
    let expected = [digest_of(&image), digest_of(&untagged), digest_of(&index)];
    for digest in store.manifest_digests(&hosted("team/app")).await.unwrap() {
        assert!(expected.contains(&digest));
    }
    assert_eq!(tag(&store, "team/app", "v1").await, Some(expected[0]));
    assert_eq!(tag(&store, "team/app", "all").await, Some(expected[2]));
    assert_eq!((report.manifests, report.manifests_here), (4, 0), "none is counted twice");
}

// === layouts and tags ===

#[tokio::test]
async fn a_tag_names_the_only_image() {
    let root = tempfile::tempdir().unwrap();
    let (mut layout, image) = Layout::with_image(root.path().join("one"), "of-its-own");
    let (store, mut wanted) = (store().await, options("app"));
    wanted.tag = Some(Tag::parse("mine").unwrap());
    take_in(&store, &layout.folder, &wanted).await.unwrap();
    assert_eq!(tag(&store, "app", "mine").await, Some(digest_of(&image)));
    assert_eq!(tag(&store, "app", "of-its-own").await, None);

    let other = layout.image(b"other", &json!({}));
    layout.name(&other, Some("second"));
    let refused = take_in(&store, &layout.folder, &wanted).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, Error::Ambiguous { .. }), "{said}");
    assert!(said.contains("of-its-own, second; give a NAME without a tag to import all"), "{said}");

    // Names as podman writes them, and names that have no tag in them.
    let mut named = Layout::create(root.path().join("named"));
    named.name(&image, Some("docker.io/library/app:1.2"));
    named.name(&other, Some("just a title"));
    let (from, to) = (layout.folder.join("blobs"), named.folder.join("blobs"));
    fs::remove_dir(&to).unwrap();
    fs::rename(from, to).unwrap();
    let report = take_in(&store, &named.folder, &options("named")).await.unwrap();
    assert_eq!((failures(&report).len(), report.tags, report.manifests), (0, 1, 2));
    assert_eq!(tag(&store, "named", "1.2").await, Some(digest_of(&image)));
}

#[tokio::test]
async fn a_tag_that_is_here_stays_unless_it_may_be_moved() {
    let root = tempfile::tempdir().unwrap();
    let (first, here) = Layout::with_image(root.path().join("first"), "v1");
    let mut second = Layout::create(root.path().join("second"));
    let new = second.image(b"new", &json!({}));
    second.name(&new, Some("v1"));
    let store = store().await;
    take_in(&store, &first.folder, &options("app")).await.unwrap();
    let report = take_in(&store, &second.folder, &options("app")).await.unwrap();
    let (here, new) = (digest_of(&here), digest_of(&new));
    let expected =
        format!("app:v1: the tag v1 is here and points at {here}, not at {new}; --overwrite moves it");
    assert_eq!(failures(&report), [expected]);
    assert_eq!(tag(&store, "app", "v1").await, Some(here));
    assert_eq!(report.manifests, 0, "what would have had the tag is not here either");

    let mut moving = options("app");
    moving.existing = Existing::Move;
    let report = take_in(&store, &second.folder, &moving).await.unwrap();
    assert_eq!((failures(&report).len(), tag(&store, "app", "v1").await), (0, Some(new)));
}

#[tokio::test]
async fn one_tag_on_two_images_is_no_tag_of_the_second() {
    let root = tempfile::tempdir().unwrap();
    let (mut layout, first) = Layout::with_image(root.path().join("two"), "v1");
    let second = layout.image(b"second", &json!({}));
    layout.name(&second, Some("v1"));
    let store = store().await;
    for _ in 0..2 {
        let report = take_in(&store, &layout.folder, &options("app")).await.unwrap();
        assert_eq!(failures(&report).len(), 1);
        assert_eq!(tag(&store, "app", "v1").await, Some(digest_of(&first)));
    }
}

#[tokio::test]
async fn an_index_without_all_of_its_images_is_taken_where_that_is_allowed() {
    let root = tempfile::tempdir().unwrap();
    let mut layout = Layout::create(root.path().join("sparse"));
    let (here, gone) = (layout.image(b"here", &json!({})), layout.image(b"gone", &json!({})));
    fs::remove_file(layout.path(&digest_of(&gone))).unwrap();
    let index = layout.index(&[here, gone.clone()]);
    layout.name(&index, Some("v1"));
    let strict = store().await;
    let said = failures(&take_in(&strict, &layout.folder, &options("app")).await.unwrap());
    let (index, gone) = (digest_of(&index), digest_of(&gone));
    assert_eq!(said, [format!("app:v1: {index} needs {gone}, which is not there")]);
    assert_eq!(tag(&strict, "app", "v1").await, None);

    let sparse = store_with(Options { missing_in_index: Missing::Accept, ..Options::default() }).await;
    let said = failures(&take_in(&sparse, &layout.folder, &options("app")).await.unwrap());
    assert_eq!((said.len(), tag(&sparse, "app", "v1").await), (0, Some(index)));
}

#[tokio::test]
async fn p10_naming_a_digest_is_not_having_its_bytes() {
    let root = tempfile::tempdir().unwrap();
    let (secret, image) = Layout::with_image(root.path().join("secret"), "v1");
    let store = store().await;
    take_in(&store, &secret.folder, &options("secret")).await.unwrap();
    let layer = crate::store::contents::digest(b"v1");
    let thief = Layout::with_image(root.path().join("thief"), "v1").0;
    for (bytes, expected) in [(None, "which is not there"), (Some(b"v2"), "has the digest")] {
        match bytes {
            None => fs::remove_file(thief.path(&layer)).unwrap(),
            Some(bytes) => fs::write(thief.path(&layer), bytes).unwrap(),
        }
        let report = take_in(&store, &thief.folder, &options("thief")).await.unwrap();
        let said = failures(&report);
        assert!(said.len() == 1 && said[0].contains(expected), "{said:?}");
        assert_eq!(store.blob_size(&hosted("thief"), &layer).await.unwrap(), None);
        assert_eq!(tag(&store, "thief", "v1").await, None);
    }
    assert_eq!(tag(&store, "secret", "v1").await, Some(digest_of(&image)));
}

#[tokio::test]
async fn an_import_heals_what_the_disk_has_lost() {
    use wharfinger::backend::disk::Disk;
    use wharfinger::backend::fs::{Durability, FsBackend};
    use wharfinger::backend::memory::MemoryDisk;
    let (root, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let (layout, image) = Layout::with_image(root.path().join("one"), "v1");
    let repository: RepositoryKey = hosted("app");
    let open = async || {
        let backend = FsBackend::open(std::sync::Arc::new(disk.clone()), Durability::Synced).await.unwrap();
        Store::open(std::sync::Arc::new(backend), Options::default(), wharfinger::clock::Clock::system())
            .await
            .unwrap()
    };
    take_in(&open().await, &layout.folder, &options("app")).await.unwrap();
    let (layer, image) = (crate::store::contents::digest(b"v1"), digest_of(&image));
    for digest in [layer, image] {
        let path = format!("blobs/sha256/{}/{}", &digest.hex()[..2], digest.hex());
        disk.open_writable(&path).unwrap().set_len(1).unwrap();
    }
    let store = open().await;
    let report = take_in(&store, &layout.folder, &options("app")).await.unwrap();
    assert_eq!((failures(&report).len(), report.blobs, report.blobs_here), (0, 1, 1));
    observe(&store, &repository).await;
}
