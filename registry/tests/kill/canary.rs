//! Goal: the audit that the other tests rely on sees what it is there to see.
//! Method: after the script of all kinds of writes, every file that a promise rests on is taken
//! away, cut short or changed in one byte, and the audit must fail each time; so it is with what a
//! cache holds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pushes::{Leniency, Pool, Puller, Pusher, Upstream, audit, script};
use crate::support::{Folder, Launch, Random, digest_of, eventually};

/// Files that something else is derived from or found by, or that only say when.
const BESIDE: [&str; 4] = ["wharfinger.lock", "wharfinger.json", "/names/", "/_tagged/"];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            files(&path, found);
        } else if !BESIDE.iter().any(|name| path.display().to_string().contains(name)) {
            found.push(path);
        }
    }
}

#[test]
fn the_audit_sees_what_is_lost() {
    let folder = Folder::new();
    let mut random = Random::new(17);
    let mut pusher = Pusher::new("team/app", "shared", Arc::new(Pool::new(&mut random)), random);
    let server = Launch::on(&folder).start();
    script(&mut pusher, &mut server.connect()).expect("nothing is cut");
    server.kill();
    let mut found = Vec::new();
    files(&folder.path("data"), &mut found);
    let mut damages = 0;
    for file in &found {
        let sound = std::fs::read(file).expect("a file can be read");
        let content = file.display().to_string().contains("/data/blobs/").then(|| digest_of(&sound));
        // What was deleted stays on the disk until it is collected.
        let is_needed = content.as_ref().is_none_or(|digest| {
            pusher.before.blobs.contains_key(digest) || pusher.before.manifests.contains_key(digest)
        });
        std::fs::remove_file(file).expect("a file can be removed");
        check(&folder, &mut pusher, file, "is gone", is_needed);
        damages += 1;
        if content.is_some() && is_needed {
            let mut changed = sound.clone();
            changed[sound.len() / 2] ^= 1;
            std::fs::write(file, changed).expect("a file can be written");
            check(&folder, &mut pusher, file, "has another byte", true);
            std::fs::write(file, &sound[1..]).expect("a file can be written");
            check(&folder, &mut pusher, file, "is shorter", true);
            damages += 2;
        }
        std::fs::write(file, sound).expect("a file can be written");
    }
    let server = Launch::on(&folder).start();
    audit(&server, &mut pusher, Leniency::Killed);
    assert!(damages >= 10, "{found:?}");
}

fn check(folder: &Folder, pusher: &mut Pusher, file: &Path, damage: &str, must_fail: bool) {
    let server = Launch::on(folder).start();
    let believed = pusher.before.clone();
    let failed = catch_unwind(AssertUnwindSafe(|| audit(&server, pusher, Leniency::Killed))).is_err();
    assert_eq!(failed, must_fail, "{} {damage}", file.display());
    pusher.before = believed.clone();
    pusher.after = believed;
    server.kill();
}

#[test]
fn the_audit_sees_what_a_cache_lost() {
    let folder = Folder::new();
    let mut random = Random::new(18);
    let upstream = Arc::new(Upstream::start(&mut random));
    let start = || Launch::on(&folder).config(&upstream.config()).start();
    let mut puller = Puller::new(Arc::clone(&upstream), random);
    let server = start();
    puller.pull_one(&mut server.connect()).expect("nothing fails");
    upstream.stop();
    // A manifest, a configuration and three layers: the last is stored after it was served.
    eventually("the image was cached", || (puller.audit(&server) == 5).then_some(()));
    server.kill();
    let mut found = Vec::new();
    files(&folder.path("data/blobs"), &mut found);
    assert_eq!(found.len(), 5, "{found:?}");
    let mut fails = || catch_unwind(AssertUnwindSafe(|| puller.audit(&start()))).is_err();
    for file in &found {
        let sound = std::fs::read(file).expect("a file can be read");
        std::fs::remove_file(file).expect("a file can be removed");
        assert!(fails(), "{} is gone", file.display());
        let mut changed = sound.clone();
        changed[sound.len() / 2] ^= 1;
        std::fs::write(file, changed).expect("a file can be written");
        assert!(fails(), "{} has another byte", file.display());
        std::fs::write(file, sound).expect("a file can be written");
    }
    assert!(!fails(), "all is there again");
}
