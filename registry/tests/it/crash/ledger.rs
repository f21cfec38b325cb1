//! What was answered, and so what may be found after a crash.
//!
//! Of every fact it keeps the values that may be found: the last one answered, and those of steps
//! that were begun and not answered. Steps may overlap; of two that did, either may have come last.

use std::collections::{BTreeMap, BTreeSet};

use wharfinger::oci::{Digest, Tag};

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
    is_collection: bool,
    /// The values that its answer makes impossible.
    replaces: BTreeMap<Fact, Values>,
}

impl Ledger {
    /// Notes that a step begins, and returns its number.
    pub(super) fn begin(&mut self, step: &Step) -> usize {
        let changes = self.changes(step);
        let mut replaces = BTreeMap::new();
        let is_collected = self.begun.values().any(|begun| begun.is_collection);
        for (fact, value) in &changes {
            let mut overlapping: Values =
                self.begun.values().flat_map(|begun| begun.value_of(fact)).collect();
            // To a collection that is under way everything is old.
            let is_mortal = matches!(fact, Fact::Blob(..)) || is_below_old(fact);
            overlapping.extend((is_collected && is_mortal).then_some(None));
            let before = self.allowed.entry(fact.clone()).or_insert_with(|| Values::from([None]));
            replaces.insert(fact.clone(), before.difference(&overlapping).copied().collect());
            before.insert(*value);
            before.extend((is_collected && is_mortal).then_some(None));
            for begun in self.begun.values_mut() {
                begun.replaces.get_mut(fact).map(|values| values.remove(value));
            }
        }
        self.next += 1;
        self.begun.insert(self.next, Begun { changes, is_collection: *step == Step::Collect, replaces });
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

    /// Returns what a collection may remove: what retention lets go below `old`, and the blobs that nothing needs.
    fn garbage(&self) -> Vec<(Fact, Option<Digest>)> {
        let may_be = |fact: &Fact| self.allowed.get(fact).is_some_and(|it| it.iter().any(Option::is_some));
        let is_there = |fact: &Fact| self.allowed.get(fact).is_some_and(|it| it.iter().all(Option::is_some));
        let goes = |name: &Tag| !name.as_str().starts_with('v');
        let mut gone: Vec<Fact> = Vec::new();
        let (mut tagged, mut needed) = (BTreeSet::new(), BTreeSet::new());
        for fact in self.allowed.keys().filter(|fact| may_be(fact)) {
            match fact {
                Fact::Tag(_, name) if is_below_old(fact) && goes(name) => gone.push(fact.clone()),
                // What else it may point at was never sure to stay.
                Fact::Tag(of, _) if is_there(fact) && self.allowed[fact].len() == 1 => {
                    tagged.extend(self.allowed[fact].iter().flatten().map(|digest| (of.clone(), *digest)));
                }
                Fact::Tag(..) | Fact::Blob(..) | Fact::Manifest(..) => {}
            }
        }
        for fact in self.allowed.keys().filter(|fact| may_be(fact)) {
            let Fact::Manifest(of, digest) = fact else { continue };
            let stays = !is_below_old(fact) || tagged.contains(&(of.clone(), *digest));
            if stays && is_there(fact) {
                let item = CONTENTS.manifests.iter().find(|item| item.digest == *digest);
                let references = &item.expect("it was pushed").manifest.references;
                needed.extend(references.iter().map(|it| (of.clone(), it.digest)));
            } else if !stays {
                gone.push(fact.clone());
            }
        }
        let unneeded = self.allowed.keys().filter(|fact| match fact {
            Fact::Blob(of, digest) => may_be(fact) && !needed.contains(&(of.clone(), *digest)),
            _ => false,
        });
        gone.extend(unneeded.cloned());
        gone.into_iter().map(|fact| (fact, None)).collect()
    }

    fn changes(&self, step: &Step) -> Vec<(Fact, Option<Digest>)> {
        let blob = |blob: &usize| digest(&CONTENTS.blobs[*blob]);
        match step {
            Step::Push(repository, number)
            | Step::Mount { to: repository, blob: number, .. }
            | Step::Fill(repository, number) => {
                vec![(Fact::Blob(repository.clone(), blob(number)), Some(blob(number)))]
            }
            Step::Collect => self.garbage(),
            // What they change is known only with the upload: the caller says it with `Push`.
            Step::Open { .. } | Step::Patch { .. } | Step::Close { .. } => Vec::new(),
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

/// Says whether a fact is of a repository of which retention lets go.
fn is_below_old(fact: &Fact) -> bool {
    let (Fact::Blob(of, _) | Fact::Manifest(of, _) | Fact::Tag(of, _)) = fact;
    of.name.as_str().starts_with("old/")
}

impl Begun {
    fn value_of(&self, fact: &Fact) -> Option<Option<Digest>> {
        self.changes.iter().find(|(changed, _)| changed == fact).map(|(_, value)| *value)
    }
}
