//! What two writers do to one store.

use super::steps::Step::{self, *};
use crate::store::contents::hosted;

/// What two writers do to a store.
pub(super) struct Duel {
    pub(super) name: &'static str,
    pub(super) before: Vec<Step>,
    pub(super) writers: [Vec<Step>; 2],
    /// Taken when both are done; all of it must succeed.
    pub(super) after: Vec<Step>,
}

/// Returns the duel with this name.
pub(super) fn duel(name: &str) -> Duel {
    all().into_iter().chain(collections()).find(|duel| duel.name == name).expect("a duel has this name")
}

/// Returns every duel of who pushes and deletes.
pub(super) fn all() -> Vec<Duel> {
    pushes().into_iter().chain(deletes()).collect()
}

fn between(
    name: &'static str,
    before: Vec<Step>,
    first: Vec<Step>,
    second: Vec<Step>,
    after: Vec<Step>,
) -> Duel {
    Duel { name, before, writers: [first, second], after }
}

fn blobs() -> Vec<Step> {
    (0..=3).map(|blob| Push(hosted("team/app"), blob)).collect()
}

fn image(tags: &'static [&'static str]) -> Vec<Step> {
    [blobs(), vec![Put(hosted("team/app"), 0, tags)]].concat()
}

fn pushes() -> Vec<Duel> {
    let (app, other) = (|| hosted("team/app"), || hosted("other"));
    vec![
        between("same blob, two repositories", vec![], vec![Push(app(), 1)], vec![Push(other(), 1)], vec![]),
        between("same blob, one repository", vec![], vec![Push(app(), 1)], vec![Push(app(), 1)], vec![]),
        between(
            "a manifest on layers of another",
            vec![Push(app(), 0)],
            vec![Push(app(), 1)],
            vec![PutSoon(app(), 0, &["v1"])],
            vec![],
        ),
        between(
            "an index on images of another",
            blobs(),
            vec![Put(app(), 0, &[]), Put(app(), 1, &[])],
            vec![PutSoon(app(), 2, &["v1"])],
            vec![],
        ),
        between(
            "a mount of what another pushes",
            vec![],
            vec![Push(app(), 1)],
            vec![Mount { from: app(), to: other(), blob: 1 }, Mount { from: app(), to: other(), blob: 1 }],
            vec![],
        ),
        between("one tag", image(&[]), vec![Put(app(), 0, &["v1"])], vec![Put(app(), 1, &["v1"])], vec![]),
        between(
            "one manifest, two tags",
            blobs(),
            vec![Put(app(), 0, &["a", "b"])],
            vec![Put(app(), 0, &["b", "c"])],
            vec![DeleteManifest(app(), 0)],
        ),
    ]
}

fn collections() -> Vec<Duel> {
    let (app, other, old) = (|| hosted("team/app"), || hosted("other"), || hosted("old/app"));
    let old_blobs = (0..=3).map(|blob| Push(old(), blob)).collect::<Vec<_>>();
    vec![
        between(
            "blobs collected under a manifest",
            blobs(),
            vec![Collect],
            vec![Put(app(), 0, &["v1"])],
            vec![Collect],
        ),
        between(
            "content collected under a push",
            [image(&[]), vec![DeleteManifest(app(), 0)]].concat(),
            vec![Collect],
            vec![Push(other(), 1), Push(app(), 1)],
            vec![Collect],
        ),
        between(
            "a tag judged and moved",
            [old_blobs, vec![Put(old(), 0, &["dev"])]].concat(),
            vec![Collect],
            vec![Put(old(), 1, &["dev"]), Put(old(), 0, &["v1"])],
            vec![Collect],
        ),
    ]
}

fn deletes() -> Vec<Duel> {
    let app = || hosted("team/app");
    vec![
        between(
            "a blob deleted under a manifest",
            blobs(),
            vec![DeleteBlob(app(), 1)],
            vec![Put(app(), 0, &["v1"])],
            vec![],
        ),
        between(
            "a tag deleted and pushed",
            image(&["v1"]),
            vec![DeleteTag(app(), "v1")],
            vec![Put(app(), 0, &["v1"])],
            vec![DeleteManifest(app(), 0)],
        ),
        between(
            "a manifest deleted and pushed",
            image(&["v1", "v2"]),
            vec![DeleteManifest(app(), 0), DeleteBlob(app(), 1)],
            vec![Put(app(), 0, &["v1"])],
            vec![],
        ),
        between(
            "a blob deleted with its manifest",
            image(&[]),
            vec![DeleteManifest(app(), 0)],
            vec![DeleteBlob(app(), 1), DeleteBlob(app(), 1)],
            vec![],
        ),
        between(
            "a tag and its manifest deleted",
            image(&["v1"]),
            vec![DeleteTag(app(), "v1")],
            vec![DeleteManifest(app(), 0)],
            vec![],
        ),
    ]
}
