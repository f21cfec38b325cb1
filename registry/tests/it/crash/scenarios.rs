//! The sequences of steps that are cut.

use wharfinger::oci::Algorithm;
use wharfinger::store::RepositoryKey;

use super::steps::Step::{self, *};
use crate::store::contents::{cached, hosted};

/// A sequence of steps on a store that others have prepared.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Taken by an earlier process, which was killed.
    pub(super) before: Vec<Step>,
    /// Taken after a start, and cut.
    pub(super) steps: Vec<Step>,
}

/// Returns the scenario with this name.
pub(super) fn scenario(name: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.name == name).expect("a scenario has this name")
}

/// Returns every scenario.
pub(super) fn all() -> Vec<Scenario> {
    [blobs(), uploads(), manifests(), deletes(), collections()].into_iter().flatten().collect()
}

fn blobs() -> Vec<Scenario> {
    let (app, other, cache) = (|| hosted("team/app"), || hosted("other"), || cached("library/alpine"));
    vec![
        Scenario { name: "start", before: vec![], steps: vec![] },
        Scenario { name: "start again", before: vec![Push(app(), 1)], steps: vec![] },
        Scenario { name: "push", before: vec![], steps: vec![Push(app(), 1)] },
        Scenario {
            name: "push twice",
            before: vec![Push(app(), 0)],
            steps: vec![Push(app(), 1), Push(other(), 1), Push(app(), 1), Push(app(), 3)],
        },
        Scenario {
            name: "mount",
            before: vec![Push(app(), 1)],
            steps: vec![Mount { from: app(), to: other(), blob: 1 }, DeleteBlob(app(), 1)],
        },
        Scenario {
            name: "cache",
            before: vec![],
            steps: vec![
                Put(cache(), 2, &["latest"]),
                Put(cache(), 0, &[]),
                Fill(cache(), 0),
                Fill(cache(), 1),
            ],
        },
    ]
}

fn uploads() -> Vec<Scenario> {
    let app = || hosted("team/app");
    let open = |hint| Open { upload: 0, repository: app(), blob: 1, hint };
    let patch = |upto| Patch { upload: 0, upto };
    let close = || Close { upload: 0 };
    vec![
        Scenario {
            name: "chunks",
            before: vec![],
            steps: vec![open(None), patch(4_000), patch(9_000), close()],
        },
        Scenario {
            name: "chunks with sha512",
            before: vec![open(Some(Algorithm::Sha512)), patch(100)],
            steps: vec![patch(8_192), close()],
        },
        Scenario {
            name: "chunks of an earlier process",
            before: vec![open(None), patch(5_000)],
            steps: vec![patch(8_000), close(), Push(app(), 0)],
        },
        Scenario {
            name: "two uploads",
            before: vec![open(None), patch(4_096)],
            steps: vec![
                Open { upload: 1, repository: hosted("other"), blob: 1, hint: None },
                Patch { upload: 1, upto: 10_000 },
                patch(10_000),
                Close { upload: 1 },
                close(),
            ],
        },
    ]
}

fn manifests() -> Vec<Scenario> {
    let app = || hosted("team/app");
    let pushed = || (0..=3).map(|blob| Push(app(), blob)).collect::<Vec<_>>();
    let with = |more: Vec<Step>| [pushed(), more].concat();
    vec![
        Scenario { name: "manifest", before: pushed(), steps: vec![Put(app(), 0, &["v1"])] },
        Scenario {
            name: "manifest with tags",
            before: pushed(),
            steps: vec![Put(app(), 0, &["v1", "v1.0", "latest"])],
        },
        Scenario {
            name: "subject",
            before: pushed(),
            steps: vec![Put(app(), 3, &[]), Put(app(), 0, &["v1"]), Put(app(), 4, &["att"])],
        },
        Scenario {
            name: "index",
            before: with(vec![Put(app(), 0, &[])]),
            steps: vec![Put(app(), 1, &["arm"]), Put(app(), 2, &["v1"]), Put(app(), 5, &[])],
        },
        Scenario {
            name: "tag move",
            before: with(vec![Put(app(), 0, &["v1"])]),
            steps: vec![Put(app(), 1, &["v1"]), Put(app(), 0, &["v1"])],
        },
    ]
}

fn collections() -> Vec<Scenario> {
    let (app, other, old) = (|| hosted("team/app"), || hosted("other"), || hosted("old/app"));
    let pushed = |to: fn() -> RepositoryKey| (0..=3).map(move |blob| Push(to(), blob));
    vec![
        Scenario {
            name: "collect",
            before: pushed(|| hosted("team/app"))
                .chain([
                    Push(other(), 1),
                    Push(other(), 2),
                    Put(app(), 0, &["v1"]),
                    Put(app(), 1, &[]),
                    Put(app(), 3, &["sig"]),
                    DeleteManifest(app(), 3),
                    DeleteManifest(app(), 1),
                ])
                .collect(),
            steps: vec![Collect, Push(app(), 2), Put(app(), 1, &["v2"]), Collect],
        },
        Scenario {
            name: "retain",
            before: pushed(|| hosted("old/app"))
                .chain([
                    Put(old(), 0, &["v1", "dev"]),
                    Put(old(), 1, &["dev-2"]),
                    Put(old(), 3, &[]),
                    Push(other(), 1),
                ])
                .collect(),
            steps: vec![Collect, Push(old(), 2), Put(old(), 1, &["v2"]), Collect],
        },
    ]
}

fn deletes() -> Vec<Scenario> {
    let app = || hosted("team/app");
    let pushed =
        |tags| (0..=3).map(|blob| Push(app(), blob)).chain([Put(app(), 0, tags)]).collect::<Vec<_>>();
    let with = |tags, more: Vec<Step>| [pushed(tags), more].concat();
    vec![
        Scenario {
            name: "tag delete",
            before: pushed(&["v1", "v2"]),
            steps: vec![DeleteTag(app(), "v1"), DeleteTag(app(), "v2"), Put(app(), 0, &["v1"])],
        },
        Scenario {
            name: "manifest delete",
            before: with(&["v1", "v2", "v3"], vec![Put(app(), 3, &["sig"]), Put(app(), 1, &["v3"])]),
            steps: vec![
                DeleteManifest(app(), 3),
                DeleteManifest(app(), 0),
                DeleteBlob(app(), 3),
                DeleteManifest(app(), 1),
                DeleteBlob(app(), 1),
            ],
        },
        Scenario {
            name: "blob delete",
            before: vec![Push(app(), 1), Push(app(), 2)],
            steps: vec![DeleteBlob(app(), 1), DeleteBlob(app(), 2), Push(app(), 1)],
        },
        Scenario {
            name: "delete and push again",
            before: pushed(&["v1"]),
            steps: vec![DeleteManifest(app(), 0), Put(app(), 0, &["v1"]), DeleteTag(app(), "v1")],
        },
    ]
}
