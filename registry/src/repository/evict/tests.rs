//! Goal: the bound holds, the least used goes first, and nothing that is needed goes. Method: properties over
//! small caches, and a table of the edges.

use proptest::prelude::*;

use super::*;
use crate::oci::{Algorithm, Hasher};

fn digest(text: &str) -> Digest {
    Hasher::digest(Algorithm::Sha256, text.as_bytes())
}

fn manifest(text: &str, used_at: u64, blobs: &[&str]) -> CachedManifest {
    CachedManifest {
        digest: digest(text),
        size: 1,
        references: blobs.iter().map(|blob| digest(blob)).collect(),
        used_at: Timestamp::from_millis(used_at * 1000),
        is_mirrored: false,
    }
}

/// A repository's name, its manifests, its blobs and their sizes.
type Here<'a> = (&'a str, Vec<CachedManifest>, &'a [(&'a str, u64)]);

fn cache(of: &[Here<'_>]) -> BTreeMap<RepositoryName, Cached> {
    let content = |manifests: &Vec<CachedManifest>, blobs: &[(&str, u64)]| Cached {
        manifests: manifests.clone(),
        blobs: blobs.iter().map(|(text, size)| (digest(text), *size)).collect(),
    };
    of.iter()
        .map(|(name, manifests, blobs)| (RepositoryName::parse(name).unwrap(), content(manifests, blobs)))
        .collect()
}

fn bytes(bytes_max: u64) -> CacheBound {
    CacheBound { bytes_max: Some(bytes_max), age_max: None }
}

fn gone(all: &BTreeMap<RepositoryName, Cached>, bound: CacheBound, now: u64, candidates: &[&str]) -> String {
    let going = plan(all, bound, Timestamp::from_millis(now * 1000));
    let is_gone = |text: &&&str| {
        going.values().any(|it| it.manifests.contains(&digest(text)) || it.blobs.contains(&digest(text)))
    };
    candidates.iter().filter(is_gone).copied().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_least_used_goes_first_and_shared_bytes_stay() {
    let one = || manifest("one", 1, &["base", "x"]);
    let two = || manifest("two", 2, &["base", "y"]);
    let here = [("base", 100), ("x", 50), ("y", 50)];
    let names = ["one", "two", "base", "x", "y", "z"];
    let all = cache(&[("a", vec![one(), two()], &here)]);
    assert_eq!(gone(&all, bytes(202), 9, &names), "", "it fits");
    assert_eq!(gone(&all, bytes(201), 9, &names), "one x");
    assert_eq!(gone(&all, bytes(100), 9, &names), "one two base x y");
    let pinned = CachedManifest { is_mirrored: true, ..one() };
    let all = cache(&[("a", vec![pinned, two()], &here)]);
    assert_eq!(gone(&all, bytes(51), 9, &names), "", "what was mirrored is kept beside the bound");
    assert_eq!(gone(&all, bytes(50), 9, &names), "two y", "and stays");
    // The same bytes for two repositories count once, and go with the last.
    let all = cache(&[("a", vec![one()], &here[..2]), ("b", vec![two()], &[("base", 100), ("y", 50)])]);
    assert_eq!(gone(&all, bytes(202), 9, &names), "");
    assert_eq!(gone(&all, bytes(201), 9, &names), "one base x");
    // What no manifest needs goes first.
    let all = cache(&[("a", vec![one()], &[("base", 100), ("x", 50), ("z", 60)])]);
    assert_eq!(gone(&all, bytes(200), 9, &names), "z");
}

#[test]
fn age_counts_from_the_last_pull() {
    let all = cache(&[("a", vec![manifest("one", 1, &["x"]), manifest("two", 5, &[])], &[("x", 9)])]);
    let age = |seconds| CacheBound { bytes_max: None, age_max: Some(Duration::from_secs(seconds)) };
    assert_eq!(gone(&all, age(8), 9, &["one", "two", "x"]), "");
    assert_eq!(gone(&all, age(7), 9, &["one", "two", "x"]), "one x");
    assert_eq!(gone(&all, age(3), 9, &["one", "two", "x"]), "one two x");
}

proptest! {
    #[test]
    fn the_bound_holds_and_nothing_needed_goes(
        manifests in proptest::collection::vec((0..4_usize, 0..9_u64, proptest::collection::vec(0..12_usize, 0..5), any::<bool>()), 0..14),
        max in 0..400_u64,
    ) {
        let mut all: BTreeMap<RepositoryName, Cached> = BTreeMap::new();
        for (number, (repository, used_at, blobs, is_mirrored)) in manifests.iter().enumerate() {
            let name = RepositoryName::parse(&format!("r{repository}")).unwrap();
            let content = all.entry(name).or_default();
            let blobs: Vec<String> = blobs.iter().map(|blob| format!("b{blob}")).collect();
            for blob in &blobs {
                content.blobs.insert(digest(blob), 10);
            }
            let texts: Vec<&str> = blobs.iter().map(String::as_str).collect();
            let made = manifest(&format!("m{number}"), *used_at, &texts);
            content.manifests.push(CachedManifest { is_mirrored: *is_mirrored, ..made });
        }
        let before = all.clone();
        for (name, going) in plan(&before, bytes(max), Timestamp::from_millis(0)) {
            prop_assert!(before[&name].manifests.iter().all(|it| !it.is_mirrored || !going.manifests.contains(&it.digest)));
            take_out(all.get_mut(&name), &going);
        }
        let has_evictable = all.values().any(|content| content.manifests.iter().any(|it| !it.is_mirrored));
        prop_assert!(size(&all) <= max || !has_evictable, "{} of {max}", size(&all));
        for content in all.values() {
            let here: BTreeSet<&Digest> = content.blobs.keys().collect();
            prop_assert!(content.manifests.iter().flat_map(|it| &it.references).all(|it| here.contains(it)));
        }
        // Nobody goes while somebody stays who was used before.
        let used = |all: &BTreeMap<RepositoryName, Cached>| -> Vec<u64> {
            let evictable = all.values().flat_map(|content| &content.manifests).filter(|it| !it.is_mirrored);
            let mut used: Vec<u64> = evictable.map(|it| it.used_at.since(Timestamp::from_millis(0)).as_secs()).collect();
            used.sort_unstable();
            used
        };
        let (was, stays) = (used(&before), used(&all));
        prop_assert_eq!(&was[was.len() - stays.len()..], &stays[..]);
    }
}
