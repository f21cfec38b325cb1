//! Goal: each kind of damage is found once, and nothing beside it; a report changes nothing, a repair makes good
//! what can be, and the next look says the same of what is left.
//!
//! Method: a store of every shape on a disk in memory and on a folder, damaged behind its back; the whole disk
//! before and after.

use std::sync::Arc;

use wharfinger::backend::disk::Disk;
use wharfinger::oci::Digest;
use wharfinger::store::scrub::{Acting, Done};

use super::oracle;
use super::stand::{blob_path, disks, every_shape, files, flip, found, open, scrub, write};
use crate::store::contents::{CONTENTS, digest};

/// What damages a disk.
type Plant = dyn Fn(&Arc<dyn Disk>);

/// Damage, and what is found: kind, key, and what a repair does.
struct Case {
    name: &'static str,
    plant: Box<Plant>,
    expect: Vec<(&'static str, String, Done)>,
}

const APP: &str = "repositories/team/app";
const ALPINE: &str = "upstreams/hub/repositories/library/alpine";

fn below(repository: &str, part: &str, digest: &Digest) -> String {
    format!("{repository}/{part}/{}/{}", digest.algorithm(), digest.hex())
}

fn blob(number: usize) -> Digest {
    digest(&CONTENTS.blobs[number])
}

fn manifest(number: usize) -> Digest {
    CONTENTS.manifests[number].digest
}

fn case(
    name: &'static str,
    plant: impl Fn(&Arc<dyn Disk>) + 'static,
    expect: impl IntoIterator<Item = (&'static str, String, Done)>,
) -> Case {
    Case { name, plant: Box::new(plant), expect: expect.into_iter().collect() }
}

fn remove(path: String) -> impl Fn(&Arc<dyn Disk>) + 'static {
    move |disk| disk.remove(&path).unwrap()
}

fn set(path: String, bytes: &'static [u8]) -> impl Fn(&Arc<dyn Disk>) + 'static {
    move |disk| write(disk, &path, bytes)
}

/// Who lacks a blob that both sides link.
fn lacked(number: usize) -> Vec<(&'static str, String, Done)> {
    let mut lacked = vec![("blob-content", below(APP, "_blobs", &blob(number)), Done::Reported)];
    if number < 2 {
        lacked.push(("blob-content", below("repositories/other", "_blobs", &blob(number)), Done::Reported));
        lacked.push(("blob-content", below(ALPINE, "_blobs", &blob(number)), Done::Removed));
    }
    lacked
}

fn content() -> Vec<Case> {
    let layer = || blob_path(&blob(1));
    let corrupt = || (("corrupt-content"), layer(), Done::Quarantined);
    let signature = || blob_path(&manifest(3));
    let mut cases = vec![
        case(
            "a bit flips",
            |disk| flip(disk, &blob_path(&blob(1)), 4711),
            [vec![corrupt()], lacked(1)].concat(),
        ),
        case(
            "the end is lost",
            |disk| disk.open_writable(&blob_path(&blob(1))).unwrap().set_len(9_999).unwrap(),
            [vec![corrupt()], lacked(1)].concat(),
        ),
        case(
            "all of it is lost",
            |disk| disk.open_writable(&blob_path(&blob(1))).unwrap().set_len(0).unwrap(),
            [vec![corrupt()], lacked(1)].concat(),
        ),
        case(
            "it grows",
            |disk| disk.open_writable(&blob_path(&blob(1))).unwrap().set_len(10_001).unwrap(),
            [vec![corrupt()], lacked(1)].concat(),
        ),
        case("a blob is lost", remove(layer()), lacked(1)),
        case("a blob of one repository is lost", remove(blob_path(&blob(2))), lacked(2)),
    ];
    let manifests = |app, alpine| {
        vec![
            ("manifest-content", below(APP, "_manifests", &manifest(3)), app),
            ("manifest-content", below(ALPINE, "_manifests", &manifest(3)), alpine),
        ]
    };
    let lost = || manifests(Done::Reported, Done::Removed);
    cases.push(case("a manifest is lost", remove(signature()), lost()));
    cases.push(case(
        "a manifest's bit flips",
        move |disk| flip(disk, &blob_path(&manifest(3)), 30),
        [vec![("corrupt-content", signature(), Done::Quarantined)], lost()].concat(),
    ));
    cases
}

fn records() -> Vec<Case> {
    let member = |repository| below(repository, "_blobs", &blob(1));
    let record = |repository, number| below(repository, "_manifests", &manifest(number));
    let needs = |number| ("reference-missing", record(APP, number), Done::Reported);
    vec![
        case("a member is no record", set(member(APP), b"{\"si"), [("record", member(APP), Done::Reported)]),
        case(
            "a cached member is empty",
            set(member(ALPINE), b""),
            [("record", member(ALPINE), Done::Removed)],
        ),
        case(
            "a member says another size",
            set(member(APP), b"{\"size\":9}"),
            [("blob-content", member(APP), Done::Reported)],
        ),
        case("a member is lost", remove(member(APP)), [needs(0), needs(1)]),
        case("a cached member is lost", remove(member(ALPINE)), []),
        case(
            "a child is lost",
            remove(record(APP, 1)),
            [needs(2), ("tag-dangling", format!("{APP}/_tags/v1"), Done::Reported)],
        ),
        case(
            "a manifest's record is no record",
            set(record(APP, 4), b"null"),
            [("record", record(APP, 4), Done::Reported)],
        ),
        case(
            "a cached manifest's record is none",
            set(record(ALPINE, 2), b"null"),
            [("record", record(ALPINE, 2), Done::Removed)],
        ),
        case(
            "a manifest's record forgets what it refers to",
            |disk| {
                let path = below(APP, "_manifests", &manifest(0));
                let text = String::from_utf8(files(disk)[&path].clone()).unwrap();
                let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
                value["references"] = serde_json::json!([]);
                write(disk, &path, value.to_string().as_bytes());
            },
            [("record", record(APP, 0), Done::Restored)],
        ),
        case(
            "a blob is called a manifest",
            |disk| {
                let right = files(disk)[&below(APP, "_manifests", &manifest(0))].clone();
                let right = String::from_utf8(right).unwrap();
                let size = format!("\"size\":{}", CONTENTS.manifests[0].bytes.len());
                let wrong = right.replace(&size, "\"size\":5000");
                write(disk, &below(APP, "_manifests", &blob(2)), wrong.as_bytes());
            },
            [("manifest-syntax", below(APP, "_manifests", &blob(2)), Done::Reported)],
        ),
    ]
}

fn derived() -> Vec<Case> {
    let entry = |repository| {
        let subject = manifest(0);
        format!("{}/{}", below(repository, "_referrers", &subject), manifest(3))
    };
    let stale = || format!("{}/{}", below(APP, "_referrers", &manifest(1)), manifest(0));
    let hint = |number: usize, tag| format!("{}/{tag}", below(APP, "_tagged", &manifest(number)));
    let unknown = || digest(b"nobody has it");
    vec![
        case("a referrer is lost", remove(entry(APP)), [("referrer-missing", entry(APP), Done::Restored)]),
        case("a referrer is no record", set(entry(APP), b"[]"), [("record", entry(APP), Done::Restored)]),
        case("a referrer says something else", set(entry(ALPINE), b"{\"mediaType\":\"a/b\",\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":0}"), [
            ("record", entry(ALPINE), Done::Restored),
        ]),
        case("a referrer leads to nothing", set(stale(), b"{}"), [("referrer-stale", stale(), Done::Removed)]),
        case("a hint is lost", remove(hint(0, "latest")), [
            ("hint-missing", format!("{APP}/_tags/latest"), Done::Restored),
        ]),
        case("a hint leads to nothing", |disk| {
            let path = format!("{}/x", below(APP, "_tagged", &digest(b"nobody has it")));
            write(disk, &path, b"");
        }, [("hint-stale", format!("{}/x", below(APP, "_tagged", &unknown())), Done::Removed)]),
        case("a name is lost", remove("names/team:app".to_owned()), [
            ("name-missing", "names/team:app".to_owned(), Done::Restored),
        ]),
        case("a name leads to nothing", set("names/no:body".to_owned(), b""), [
            ("name-stale", "names/no:body".to_owned(), Done::Removed),
        ]),
        case("a cached name leads to nothing", set("upstreams/hub/names/nobody".to_owned(), b""), [
            ("name-stale", "upstreams/hub/names/nobody".to_owned(), Done::Removed),
        ]),
    ]
}

fn tags() -> Vec<Case> {
    let dangling = format!("{{\"digest\":\"{}\",\"pushedAt\":1}}", digest(b"nobody has it"));
    let plant = move |repository: &'static str| {
        let dangling = dangling.clone();
        move |disk: &Arc<dyn Disk>| write(disk, &format!("{repository}/_tags/x"), dangling.as_bytes())
    };
    let tag = |repository: &str, name: &str| format!("{repository}/_tags/{name}");
    vec![
        case("a tag leads to nothing", plant(APP), [("tag-dangling", tag(APP, "x"), Done::Reported)]),
        case(
            "a cached tag leads to nothing",
            plant(ALPINE),
            [("tag-dangling", tag(ALPINE, "x"), Done::Removed)],
        ),
        case(
            "a tag is no record",
            set(tag(APP, "latest"), b"\0\0"),
            [("record", tag(APP, "latest"), Done::Reported)],
        ),
        case(
            "a cached tag is no record",
            set(tag(ALPINE, "latest"), b""),
            [("record", tag(ALPINE, "latest"), Done::Removed)],
        ),
        case("a tag is lost", remove(tag(APP, "latest")), []),
    ]
}

fn foreign() -> Vec<Case> {
    let places = [
        "note.txt",
        "blobs/note",
        "blobs/sha256/zz",
        "blobs/sha256/00/note",
        "quarantine/note",
        "quarantine/sha256/note",
        "system/note",
        "uploads/note",
        "names/No:Body",
        "repositories/_blobs",
        "repositories/Team",
        "repositories/file",
        "repositories/team/app/_foo",
        "repositories/team/app/_blobs/md5",
        "repositories/team/app/_blobs/sha256/12",
        "repositories/team/app/_manifests/sha256/12",
        "repositories/team/app/_tags/~",
        "repositories/team/app/_tagged/sha256/12",
        "repositories/team/app/_referrers/sha256/12",
        "upstreams/hub/note",
        "upstreams/hub/held/sha256/12",
        "upstreams/hub/repositories/library/alpine/_checked/~",
        "upstreams/hub/repositories/library/alpine/_pulled/12",
    ];
    let expect = places.map(|place| ("foreign", place.to_owned(), Done::Reported));
    let plant = move |disk: &Arc<dyn Disk>| places.iter().for_each(|place| write(disk, place, b"?"));
    vec![case("files of others", plant, expect)]
}

async fn check(case: &Case) {
    for (disk, folder) in disks() {
        let place = if folder.is_some() { "folder" } else { "memory" };
        let what = format!("{} in {place}", case.name);
        every_shape(&open(&disk).await).await;
        (case.plant)(&disk);
        let mut expect: Vec<String> =
            case.expect.iter().map(|(kind, key, _)| format!("{kind} {key}")).collect();
        expect.sort_unstable();
        // A start has its own remains taken away first.
        let store = open(&disk).await;
        let before = files(&disk);
        assert_eq!(oracle::expect(&before), expect, "{what}: the oracle agrees");
        let report = scrub(&store, Acting::Report).await;
        assert_eq!(found(&report), expect, "{what}: a report");
        assert!(files(&disk) == before, "{what}: a report changes nothing");
        assert_eq!(report.unsettled(), report.total(), "{what}");
        let report = scrub(&store, Acting::Repair).await;
        let done: Vec<_> =
            report.findings.iter().map(|it| (it.kind.name(), it.key.to_string(), it.done)).collect();
        let mut wanted = case.expect.clone();
        wanted.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        let mut sorted = done.clone();
        sorted.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        assert_eq!(sorted, wanted, "{what}: a repair");
        let left: Vec<String> = wanted
            .iter()
            .filter(|it| !it.2.is_settled())
            .map(|(kind, key, _)| format!("{kind} {key}"))
            .collect();
        for (store, when) in [(store, "the same process"), (open(&disk).await, "the next process")] {
            let report = scrub(&store, Acting::Report).await;
            let mut left = left.clone();
            left.sort_unstable();
            assert_eq!(found(&report), left, "{what}: what is left, in {when}");
        }
    }
}

#[tokio::test]
async fn a_sound_store_of_every_shape_has_no_findings() {
    check(&case("nothing", |_| {}, [])).await;
}

#[tokio::test]
async fn p1_content_that_is_wrong_is_found_and_moved_aside() {
    for case in content() {
        check(&case).await;
    }
}

#[tokio::test]
async fn records_that_lie_are_found() {
    for case in records() {
        check(&case).await;
    }
}

#[tokio::test]
async fn p12_what_is_derived_is_rebuilt() {
    for case in derived() {
        check(&case).await;
    }
}

#[tokio::test]
async fn p3_tags_that_lead_to_nothing_are_found() {
    for case in tags() {
        check(&case).await;
    }
}

#[tokio::test]
async fn files_of_others_are_found_and_left_alone() {
    for case in foreign() {
        check(&case).await;
    }
}
