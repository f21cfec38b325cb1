//! Goal: a source that lies is refused with words that say what and where, and leaves nothing that a client
//! could see. Method: a table of lies, each written to a disk and imported.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};
use wharfinger::oci::Algorithm;
use wharfinger::store::Space;

use super::layout::{INDEX, LAYER, Layout, MANIFEST, digest_of, pack};
use super::{chain, options, store, take_in};

/// Imports a source that is to be refused, and looks at what that leaves.
async fn check(path: &Path, expected: &str) {
    let store = store().await;
    let said = match take_in(&store, path, &options("app")).await {
        Err(error) => chain(&error),
        Ok(report) => {
            let failures = report.failures.iter().map(|failure| chain(&failure.error));
            failures.collect::<Vec<_>>().join("\n")
        }
    };
    assert!(said.contains(expected), "{} gives {said:?}, not {expected:?}", path.display());
    let names = store.repositories(&Space::Hosted).await.unwrap();
    assert_eq!(names.len(), 0, "{expected}: something is seen");
}

/// Writes a layout with one image, lets `spoil` change it, and imports it as a folder and, if that can be
/// packed, as a tar.
async fn check_layout(expected: &str, spoil: impl FnOnce(&mut Layout, &Value)) {
    let root = tempfile::tempdir().unwrap();
    let (mut layout, image) = Layout::with_image(root.path().join("layout"), "v1");
    spoil(&mut layout, &image);
    check(&layout.folder, expected).await;
    let file = root.path().join("layout.tar");
    pack(&layout.folder, &file);
    check(&file, expected).await;
}

/// The same, for what a tar cannot hold.
async fn check_folder(expected: &str, spoil: impl FnOnce(&Layout, &Value)) {
    let root = tempfile::tempdir().unwrap();
    let (layout, image) = Layout::with_image(root.path().join("layout"), "v1");
    spoil(&layout, &image);
    check(&layout.folder, expected).await;
}

fn layer_of(layout: &Layout) -> PathBuf {
    layout.path(&crate::store::contents::digest(b"v1"))
}

#[tokio::test]
async fn p1_bytes_that_are_not_what_their_digest_says() {
    check_layout("has the digest sha256:", |layout, _| fs::write(layer_of(layout), b"V1").unwrap()).await;
    check_layout("has 3 bytes, not 2", |layout, _| fs::write(layer_of(layout), b"v1!").unwrap()).await;
    check_layout("has 1 bytes, not 2", |layout, _| fs::write(layer_of(layout), b"v").unwrap()).await;
    check_layout("which is not there", |layout, _| fs::remove_file(layer_of(layout)).unwrap()).await;
    check_layout("has the digest sha256:", |layout, image| {
        let path = layout.path(&digest_of(image));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("\"schemaVersion\":2", "\"schemaVersion\":3")).unwrap();
    })
    .await;
    check_layout("bytes, not 5", |layout, image| {
        *layout = Layout::create(layout.folder.clone());
        let mut lying = image.clone();
        lying["size"] = 5.into();
        layout.name(&lying, Some("v1"));
    })
    .await;
    check_layout("has the digest sha512:", |layout, _| {
        *layout = Layout::create(layout.folder.clone());
        let layer = layout.blob_by(Algorithm::Sha512, LAYER, b"sha512");
        fs::write(layout.path(&digest_of(&layer)), b"sha51?").unwrap();
        let body = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": layer, "layers": []});
        let image = layout.blob(MANIFEST, body.to_string().as_bytes());
        layout.name(&image, Some("v1"));
    })
    .await;
}

#[tokio::test]
async fn indexes_that_cannot_be_read() {
    let written = |text: &'static str| {
        move |layout: &mut Layout, _: &Value| fs::write(layout.folder.join("index.json"), text).unwrap()
    };
    check_layout("index.json cannot be read: expected value", written("<html>")).await;
    check_layout("index.json cannot be read: EOF", written("")).await;
    check_layout("index.json cannot be read: invalid type", written(r#"{"manifests": 7}"#)).await;
    check_layout("index.json cannot be read: missing field", written(r#"{"manifests": [{}]}"#)).await;
    check_layout("index.json is not there", |layout, _| {
        fs::remove_file(layout.folder.join("index.json")).unwrap();
    })
    .await;
    check_folder("bytes, more than the", |layout, _| {
        let file = fs::File::options().write(true).open(layout.folder.join("index.json")).unwrap();
        file.set_len(65 * 1024 * 1024).unwrap();
    })
    .await;
    // Annotations are many and small: only one of them is kept.
    check_layout("names \"md5:1\" of the type", |layout, _| {
        let many: serde_json::Map<String, Value> = (0..1000).map(|n| (n.to_string(), json!(""))).collect();
        let entry = json!({"mediaType": MANIFEST, "digest": "md5:1", "size": 1, "annotations": many});
        fs::write(layout.folder.join("index.json"), json!({"manifests": [entry]}).to_string()).unwrap();
    })
    .await;
    check_layout("index.json has more than 100000 manifests", |layout, image| {
        let index = json!({"schemaVersion": 2, "manifests": vec![image; 100_001]});
        fs::write(layout.folder.join("index.json"), index.to_string()).unwrap();
    })
    .await;
    for digest in ["sha256:../../../../etc/passwd", "md5:00", "", "sha256:ABCD"] {
        check_layout("which is no digest or type that is known", |layout, image| {
            *layout = Layout::create(layout.folder.clone());
            let mut lying = image.clone();
            lying["digest"] = digest.into();
            layout.name(&lying, Some("v1"));
        })
        .await;
    }
    check_layout("has the layout version \"2.0.0\", not 1.0.0", |layout, _| {
        fs::write(layout.folder.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    })
    .await;
}

#[tokio::test]
async fn manifests_that_are_none() {
    let named = |media_type: &'static str, bytes: String| {
        move |layout: &mut Layout, _: &Value| {
            *layout = Layout::create(layout.folder.clone());
            let manifest = layout.blob(media_type, bytes.as_bytes());
            layout.name(&manifest, Some("v1"));
        }
    };
    check_layout("cannot be taken as a manifest", named(MANIFEST, "no JSON".to_owned())).await;
    check_layout("cannot be taken as a manifest", named(INDEX, "[".repeat(10_000))).await;
    let twice = r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
    check_layout("stands twice in one object", named(INDEX, twice.to_owned())).await;
    check_layout("more than the 65536 that are read", named(MANIFEST, " ".repeat(65_537))).await;
    let other = json!({"schemaVersion": 2, "mediaType": MANIFEST, "manifests": []}).to_string();
    check_layout("cannot be taken as a manifest", named(INDEX, other)).await;
}

#[tokio::test]
async fn indexes_in_indexes_end_somewhere() {
    let nested = |depth: usize| {
        move |layout: &mut Layout, image: &Value| {
            *layout = Layout::create(layout.folder.clone());
            let mut at = image.clone();
            for _ in 0..depth {
                // Twice: each level would double the work.
                at = layout.index(&[at.clone(), at]);
            }
            layout.name(&at, Some("v1"));
        }
    };
    check_layout("is nested in more than 8 indexes", nested(9)).await;
    let root = tempfile::tempdir().unwrap();
    let (mut layout, image) = Layout::with_image(root.path().join("layout"), "v1");
    nested(8)(&mut layout, &image);
    let report = take_in(&store().await, &layout.folder, &options("app")).await.unwrap();
    assert_eq!((report.failures.len(), report.manifests), (0, 9));
}

#[tokio::test]
async fn p10_links_and_devices_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    // The right bytes: only the link is wrong.
    fs::write(&secret, b"v1").unwrap();
    check_folder("is a symbolic link", |layout, _| {
        fs::remove_file(layer_of(layout)).unwrap();
        symlink(&secret, layer_of(layout)).unwrap();
    })
    .await;
    check_folder("is a symbolic link", |layout, _| {
        let blobs = layout.folder.join("blobs");
        fs::rename(&blobs, outside.path().join("blobs")).unwrap();
        symlink(outside.path().join("blobs"), blobs).unwrap();
    })
    .await;
    check_folder("is a symbolic link", |layout, _| {
        let index = layout.folder.join("index.json");
        fs::rename(&index, outside.path().join("index.json")).unwrap();
        symlink(outside.path().join("index.json"), index).unwrap();
    })
    .await;
    check_folder("is not a file", |layout, _| {
        fs::remove_file(layer_of(layout)).unwrap();
        fs::create_dir(layer_of(layout)).unwrap();
    })
    .await;
    check_folder("is not a file", |layout, _| {
        fs::remove_file(layer_of(layout)).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, layer_of(layout), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    })
    .await;
}

#[tokio::test]
async fn repositories_behind_links_are_not_left_out_in_silence() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Layout::with_image(root.path().join("here"), "v1");
    Layout::with_image(elsewhere.path().join("moved"), "v1");
    symlink(elsewhere.path(), root.path().join("_own")).unwrap();
    symlink(elsewhere.path().join("moved/index.json"), root.path().join("file")).unwrap();
    let report = take_in(&store().await, root.path(), &options("app")).await.unwrap();
    assert_eq!((report.repositories, report.failed), (1, 0), "neither is a repository");
    symlink(elsewhere.path().join("moved"), root.path().join("moved")).unwrap();
    check(root.path(), "moved is a symbolic link, and links are not followed; `cp -rL`").await;
}

#[tokio::test]
async fn what_is_no_source_at_all() {
    let root = tempfile::tempdir().unwrap();
    check(&root.path().join("absent"), "absent is not there").await;
    check(root.path(), "is neither an OCI image layout").await;
    fs::write(root.path().join("wharfinger.json"), r#"{"layout": 1}"#).unwrap();
    check(root.path(), "is a store of wharfinger").await;
    let fifo = root.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    check(&fifo, "is not a file or a folder").await;
}

// === tars ===

/// Writes a tar with the files of a layout, and `entries` before them.
fn tar_with(path: &Path, entries: impl FnOnce(&mut Builder<fs::File>)) {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::with_image(root.path().join("layout"), "v1").0;
    let mut tar = Builder::new(fs::File::create(path).unwrap());
    entries(&mut tar);
    tar.append_dir_all("", &layout.folder).unwrap();
    tar.finish().unwrap();
}

/// Appends an entry whose path is written as it is given.
fn entry(tar: &mut Builder<fs::File>, path: &[u8], kind: EntryType, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

#[tokio::test]
async fn p10_tars_that_leave_themselves() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("a.tar");
    for path in ["../evil", "blobs/../../evil", "/etc/passwd", "blobs/sha256/.."] {
        tar_with(&file, |tar| entry(tar, path.as_bytes(), EntryType::Regular, b"evil"));
        check(&file, "leaves the archive").await;
    }
    // By a name before the entry, in both forms.
    tar_with(&file, |tar| {
        entry(tar, b"././@LongLink", EntryType::GNULongName, b"../evil\0");
        entry(tar, b"good", EntryType::Regular, b"evil");
    });
    check(&file, "leaves the archive").await;
    tar_with(&file, |tar| {
        entry(tar, b"pax", EntryType::XHeader, b"16 path=../evil\n");
        entry(tar, b"good", EntryType::Regular, b"evil");
    });
    check(&file, "leaves the archive").await;
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing was unpacked");
}

#[tokio::test]
async fn p10_links_in_tars_are_not_followed() {
    let root = tempfile::tempdir().unwrap();
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo, EntryType::Char] {
        let (layout, _) = Layout::with_image(root.path().join("layout"), "v1");
        let layer = layer_of(&layout);
        fs::remove_file(&layer).unwrap();
        let file = root.path().join("a.tar");
        let mut tar = Builder::new(fs::File::create(&file).unwrap());
        tar.append_dir_all("", &layout.folder).unwrap();
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        let below = layer.strip_prefix(&layout.folder).unwrap();
        tar.append_link(&mut header, below, "/etc/hostname").unwrap();
        tar.finish().unwrap();
        check(&file, "is not a file").await;
    }
}

#[tokio::test]
async fn tars_that_are_broken() {
    let root = tempfile::tempdir().unwrap();
    let (file, good) = (root.path().join("a.tar"), root.path().join("good.tar"));
    tar_with(&good, |_| {});
    let bytes = fs::read(&good).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
    };
    changed(&|bytes| bytes.clear());
    check(&file, "it is too short to be a tar").await;
    changed(&|bytes| bytes.fill(0));
    check(&file, "it is no tar").await;
    changed(&|bytes| bytes[0] ^= 1);
    check(&file, "it is no tar, or damaged at byte 0").await;
    for (magic, form) in [(&[0x1f, 0x8b][..], "gzip"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstd")] {
        changed(&|bytes| bytes[..magic.len()].copy_from_slice(magic));
        check(&file, &format!("it is compressed ({form}); unpack it first")).await;
    }
    // A size that lies: more than there is, and more than there can be.
    tar_with(&file, |tar| {
        let mut header = Header::new_gnu();
        header.set_path("big").unwrap();
        header.set_size(1 << 40);
        header.set_cksum();
        tar.append(&header, &b""[..]).unwrap();
    });
    check(&file, "it is cut short: an entry of 1099511627776 bytes").await;
    tar_with(&file, |tar| {
        entry(tar, b"pax", EntryType::XHeader, b"29 size=18446744073709551615\n");
        entry(tar, b"good", EntryType::Regular, b"evil");
    });
    check(&file, "it is cut short").await;
    tar_with(&file, |tar| entry(tar, b"pax", EntryType::XHeader, &vec![b' '; 1024 * 1024 + 1]));
    check(&file, "a name or extension has 1048577 bytes").await;
    tar_with(&file, |tar| entry(tar, b"index.json", EntryType::Regular, b"{}"));
    check(&file, "the entry index.json stands twice in it").await;
}

/// Wherever a tar is cut, nothing panics and nothing is believed that is not whole.
#[tokio::test]
async fn a_tar_that_is_cut_anywhere_gives_nothing_or_all() {
    let root = tempfile::tempdir().unwrap();
    let (file, good) = (root.path().join("a.tar"), root.path().join("good.tar"));
    tar_with(&good, |_| {});
    let bytes = fs::read(&good).unwrap();
    let (mut refused, mut taken) = (0, 0);
    for end in (0..bytes.len()).step_by(256) {
        fs::write(&file, &bytes[..end]).unwrap();
        let store = store().await;
        let imported = take_in(&store, &file, &options("app")).await;
        let is_whole = imported.is_ok_and(|report| report.failures.is_empty());
        let names = store.repositories(&Space::Hosted).await.unwrap();
        assert_eq!(names.len(), usize::from(is_whole), "cut at {end}");
        *(if is_whole { &mut taken } else { &mut refused }) += 1;
    }
    // Without its end of zeros it is whole all the same.
    assert!(refused > 10 && taken > 0, "{refused} were refused, {taken} taken");
}

#[tokio::test]
async fn what_an_older_docker_saves_is_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("a.tar");
    let mut tar = Builder::new(fs::File::create(&file).unwrap());
    entry(&mut tar, b"manifest.json", EntryType::Regular, b"[]");
    tar.finish().unwrap();
    check(&file, "skopeo copy docker-archive:FILE oci-archive:OTHER.tar:TAG").await;
    let mut tar = Builder::new(fs::File::create(&file).unwrap());
    entry(&mut tar, b"letter", EntryType::Regular, b"dear");
    tar.finish().unwrap();
    check(&file, "it has no `oci-layout`").await;
}

/// A blob that stands twice is, as for every reader of tars, the last one; and it is hashed.
#[tokio::test]
async fn p1_of_a_blob_that_stands_twice_the_bytes_are_right() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("a.tar");
    let hex = crate::store::contents::digest(b"v1").hex();
    let path = format!("blobs/sha256/{hex}");
    tar_with(&file, |tar| entry(tar, path.as_bytes(), EntryType::Regular, b"V1"));
    let report = take_in(&store().await, &file, &options("app")).await.unwrap();
    assert_eq!(report.failures.len(), 0);
    let layout = Layout::with_image(root.path().join("layout"), "v1").0;
    let mut tar = Builder::new(fs::File::create(&file).unwrap());
    tar.append_dir_all("", &layout.folder).unwrap();
    entry(&mut tar, path.as_bytes(), EntryType::Regular, b"V1");
    tar.finish().unwrap();
    check(&file, "has the digest").await;
}
