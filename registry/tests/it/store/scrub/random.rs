//! Goal: a scrub of any damaged store reports exactly the damage; a repair leaves exactly what only a push can
//! make good, and touches no truth.
//!
//! Method: a store of every shape whose files are removed, cut, extended, overwritten and flipped at random, and
//! others' files put between them; an oracle over the files says what is wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::sync::OnceCell;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::store::scrub::{Acting, Report};

use super::oracle;
use super::stand::{Files, every_shape, files, found, open, scrub, write};

/// What happens to a file.
#[derive(Debug, Clone)]
enum Harm {
    Removed,
    Cut(prop::sample::Index),
    Extended(u8),
    Flipped(prop::sample::Index, u8),
    Overwritten(Vec<u8>),
    Joined,
}

fn harm() -> impl Strategy<Value = (prop::sample::Index, Harm)> {
    let harm = prop_oneof![
        Just(Harm::Removed),
        any::<prop::sample::Index>().prop_map(Harm::Cut),
        any::<u8>().prop_map(Harm::Extended),
        (any::<prop::sample::Index>(), 0_u8..8).prop_map(|(at, bit)| Harm::Flipped(at, bit)),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Harm::Overwritten),
        Just(Harm::Joined),
    ];
    (any::<prop::sample::Index>(), harm)
}

fn do_harm(disk: &Arc<dyn Disk>, at: &prop::sample::Index, harm: &Harm) {
    let all = files(disk);
    let paths: Vec<&String> = all.keys().filter(|path| *path != "wharfinger.json").collect();
    let path = paths[at.index(paths.len())];
    let mut bytes = all[path].clone();
    match harm {
        Harm::Removed => return disk.remove(path).unwrap(),
        Harm::Joined => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            return write(disk, &format!("{folder}/~note"), b"?");
        }
        Harm::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
        Harm::Extended(byte) => bytes.push(*byte),
        Harm::Flipped(..) if bytes.is_empty() => bytes.push(0),
        Harm::Flipped(at, bit) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Harm::Overwritten(with) => bytes.clone_from(with),
    }
    write(disk, path, &bytes);
}

static SOUND: OnceCell<Files> = OnceCell::const_new();

async fn sound() -> &'static Files {
    let make = || async {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        every_shape(&open(&disk).await).await;
        files(&disk)
    };
    SOUND.get_or_init(make).await
}

/// One of a kind at a place may stand for several of the same.
fn places(report: &Report) -> Vec<String> {
    found(report).into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// What was pushed, but for what a manifest's content says again.
fn truth(files: &Files) -> Files {
    let is_truth = |path: &str| {
        path.starts_with("repositories/")
            && ["/_blobs/", "/_tags/", "/_gone/"].iter().any(|it| path.contains(it))
    };
    files
        .iter()
        .filter(|(path, _)| is_truth(path))
        .map(|(path, bytes)| (path.clone(), bytes.clone()))
        .collect()
}

async fn check(harms: &[(prop::sample::Index, Harm)]) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    for (path, bytes) in sound().await {
        write(&disk, path, bytes);
    }
    for (at, harm) in harms {
        do_harm(&disk, at, harm);
    }
    let store = open(&disk).await;
    let before = files(&disk);
    assert_eq!(places(&scrub(&store, Acting::Report).await), oracle::expect(&before));
    assert!(files(&disk) == before, "a report changes nothing");
    let repaired = scrub(&store, Acting::Repair).await;
    let after = files(&disk);
    assert_eq!(truth(&after), truth(&before), "what was pushed is not touched");
    let left = oracle::expect(&after);
    assert_eq!(places(&scrub(&store, Acting::Report).await), left, "what is left is found again");
    let unsettled = repaired.findings.iter().filter(|it| !it.done.is_settled());
    let unsettled: BTreeSet<String> = unsettled.map(|it| format!("{} {}", it.kind, it.key)).collect();
    assert_eq!(left, unsettled.into_iter().collect::<Vec<_>>(), "and is what the repair has said");
    assert!(
        !left.iter().any(|it| it.starts_with("corrupt-content")),
        "P1: nothing corrupt is where it could be served"
    );
    // Whatever was wrong bytes is in quarantine, byte for byte.
    let kept: BTreeSet<&Vec<u8>> = after.values().collect();
    for (path, bytes) in before.iter().filter(|(path, _)| path.starts_with("blobs/")) {
        assert!(kept.contains(bytes), "the bytes of {path} are kept");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn p1_p3_a_scrub_of_any_damaged_store_reports_exactly_the_damage(harms in prop::collection::vec(harm(), 0..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&harms));
    }
}
