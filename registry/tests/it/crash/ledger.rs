//! What was answered, and so what may be found after a crash.
//!
//! Of every fact it keeps the values that may be found: the last one answered, and those of steps
//! that were begun and not answered. Steps may overlap; of two that did, either may have come last.

use std::collections::{BTreeMap, BTreeSet};

use wharfinger::oci::Digest;

use super::steps::Step;
use crate::store::audit::{Fact, Violation, World};
use crate::store::contents::{CONTENTS, digest, tag};

type Values = BTreeSet<Option<Digest>>;

/// What may be found.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    allowed: BTreeMap<Fact, Values>,
    begun: BTreeMap<usize, Begun>,
    next: usize,
}

/// A step under way.
#[derive(Debug, Clone)]
struct Begun {
    changes: Vec<(Fact, Option<Digest>)>,
    /// The values that its answer makes impossible.
    replaces: BTreeMap<Fact, Values>,
}

impl Ledger {
    /// Notes that a step begins, and returns its number.
    pub(super) fn begin(&mut self, step: &Step) -> usize {
        let changes = self.changes(step);
        let mut replaces = BTreeMap::new();
        for (fact, value) in &changes {
            let overlapping: Values = self.begun.values().flat_map(|begun| begun.value_of(fact)).collect();
            let before = self.allowed.entry(fact.clone()).or_insert_with(|| Values::from([None]));
            replaces.insert(fact.clone(), before.difference(&overlapping).copied().collect());
            before.insert(*value);
            for begun in self.begun.values_mut() {
                begun.replaces.get_mut(fact).map(|values| values.remove(value));
            }
        }
        self.next += 1;
        self.begun.insert(self.next, Begun { changes, replaces });
        self.next
    }

    /// Notes that a step was answered with success.
    pub(super) fn answer(&mut self, number: usize) {
        let begun = self.begun.remove(&number).expect("it was begun");
        for (fact, value) in begun.changes {
            let allowed = self.allowed.get_mut(&fact).expect("it was noted when it began");
            for replaced in &begun.replaces[&fact] {
                allowed.remove(replaced);
            }
            allowed.insert(value);
        }
    }

    /// Notes that a step failed: it may have been done or not.
    pub(super) fn fail(&mut self, number: usize) {
        self.begun.remove(&number);
    }

    /// Holds what was found against what was answered.
    pub(super) fn check(&self, found: &World) -> Result<(), Violation> {
        for (fact, allowed) in &self.allowed {
            let value = found.get(fact).copied();
            if !allowed.contains(&value) {
                let what = format!("{fact:?} is {value:?} and may only be one of {allowed:?}");
                return Err(Violation::new("P2", what));
            }
        }
        match found.keys().find(|fact| !self.allowed.contains_key(fact)) {
            Some(fact) => Err(Violation::new("P3", format!("nobody asked for {fact:?}, which is there"))),
            None => Ok(()),
        }
    }

    fn changes(&self, step: &Step) -> Vec<(Fact, Option<Digest>)> {
        let blob = |blob: &usize| digest(&CONTENTS.blobs[*blob]);
        match step {
            Step::Push(repository, number)
            | Step::Mount { to: repository, blob: number, .. }
            | Step::Fill(repository, number) => {
                vec![(Fact::Blob(repository.clone(), blob(number)), Some(blob(number)))]
            }
            // What they change is known only with the upload: the caller says it with `Push`.
            Step::Open { .. } | Step::Patch { .. } | Step::Close { .. } => Vec::new(),
            // What it takes away was nobody's.
            Step::Collect => Vec::new(),
            Step::Put(repository, item, tags) | Step::PutSoon(repository, item, tags) => {
                let digest = CONTENTS.manifests[*item].digest;
                let manifest = (Fact::Manifest(repository.clone(), digest), Some(digest));
                let tags = tags.iter().map(|name| (Fact::Tag(repository.clone(), tag(name)), Some(digest)));
                std::iter::once(manifest).chain(tags).collect()
            }
            Step::DeleteTag(repository, name) => vec![(Fact::Tag(repository.clone(), tag(name)), None)],
            Step::DeleteBlob(repository, number) => {
                vec![(Fact::Blob(repository.clone(), blob(number)), None)]
            }
            Step::DeleteManifest(repository, item) => {
                let digest = CONTENTS.manifests[*item].digest;
                let points_at_it = |fact: &Fact, values: &Values| {
                    matches!(fact, Fact::Tag(of, _) if of == repository) && values.contains(&Some(digest))
                };
                let tags = self.allowed.iter().filter(|(fact, values)| points_at_it(fact, values));
                let tags = tags.map(|(fact, _)| (fact.clone(), None));
                std::iter::once((Fact::Manifest(repository.clone(), digest), None)).chain(tags).collect()
            }
        }
    }
}

impl Begun {
    fn value_of(&self, fact: &Fact) -> Option<Option<Digest>> {
        self.changes.iter().find(|(changed, _)| changed == fact).map(|(_, value)| *value)
    }
}
