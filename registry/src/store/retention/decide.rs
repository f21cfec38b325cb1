//! What a policy lets go of a repository: a pure function.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::oci::{Algorithm, Digest, Tag};
use crate::store::options::retention::{Policy, Rule};
use crate::store::tags::TagEntry;

/// What there is in a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its tags.
    pub tags: BTreeMap<Tag, TagEntry>,
    /// Its manifests.
    pub manifests: BTreeMap<Digest, Facts>,
}

/// What is known of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// When it was last pushed.
    pub pushed_at: Timestamp,
    /// When it was last pulled, as far as that is known.
    pub pulled_at: Option<Timestamp>,
    /// What it is about.
    pub subject: Option<Digest>,
    /// What it needs.
    pub references: Vec<Digest>,
}

/// When a policy is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The present.
    pub now: Timestamp,
    /// Since when pulls are written down: what was pulled before is not known, and counts as pulled then.
    pub pulls_known_since: Timestamp,
    /// How old a manifest must be to go.
    pub delay: Duration,
}

/// What goes, in the order in which it must.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// The tags.
    pub tags: BTreeSet<Tag>,
    /// The manifests, each after those that need it.
    pub manifests: Vec<Digest>,
}

/// How often it is looked again at what is needed by nothing any more; what stands deeper goes in a later run.
const ROUNDS_MAX: usize = 16;

/// Decides what goes.
///
/// A tag stays when any rule keeps it, or when there is none. Tags that stand for what is about a manifest
/// (cosign's, and those of the referrers tag schema) are no names that people gave: they go with their subject,
/// as referrers do. A manifest stays while a tag that stays points at it, or a manifest that stays needs it.
pub fn decide(policy: &Policy, contents: &Contents, moment: Moment) -> Decision {
    let judge = Judge { policy, contents, moment };
    let mut decision = Decision { tags: judge.unkept_tags(), manifests: Vec::new() };
    let mut gone = BTreeSet::new();
    let kept = judge.kept_untagged(&decision.tags);
    for _ in 0..ROUNDS_MAX {
        decision.tags.extend(judge.tags_without_subject(&gone));
        let going = judge.manifests(&decision.tags, &gone, &kept);
        if going.is_empty() {
            break;
        }
        gone.extend(going.iter().copied());
        decision.manifests.extend(going);
    }
    decision
}

/// Returns what a tag is about that is none of people's names: `sha256-<hex>`, perhaps with `.sig` and the like.
fn subject_of(tag: &Tag) -> Option<Digest> {
    let (algorithm, rest) = tag.as_str().split_once('-')?;
    let hex = rest.split_once('.').map_or(rest, |(hex, _)| hex);
    Digest::from_hex(Algorithm::parse(algorithm)?, hex).ok()
}

/// A policy before what it is applied to.
struct Judge<'a> {
    policy: &'a Policy,
    contents: &'a Contents,
    moment: Moment,
}

/// What a rule looks at.
struct Candidate<T> {
    thing: T,
    pushed_at: Timestamp,
    pulled_at: Option<Timestamp>,
}

impl Judge<'_> {
    /// Returns the tags of people that no rule keeps.
    fn unkept_tags(&self) -> BTreeSet<Tag> {
        let named = self.contents.tags.iter().filter(|(tag, _)| subject_of(tag).is_none());
        let mut unkept: BTreeSet<Tag> = named.map(|(tag, _)| tag.clone()).collect();
        if self.policy.keep_tags.is_empty() {
            return BTreeSet::new();
        }
        let all = unkept.clone();
        for rule in &self.policy.keep_tags {
            let candidates = all.iter().filter(|tag| rule.has(tag)).map(|tag| {
                let entry = self.contents.tags[tag];
                let pulled_at = self.contents.manifests.get(&entry.digest).and_then(|facts| facts.pulled_at);
                Candidate { thing: tag, pushed_at: entry.pushed_at, pulled_at }
            });
            for kept in self.kept(&rule.rule, candidates.collect()) {
                unkept.remove(kept);
            }
        }
        unkept
    }

    /// Returns the tags whose subject is not there, where those go.
    fn tags_without_subject(&self, gone: &BTreeSet<Digest>) -> Vec<Tag> {
        let goes = |(tag, entry): &(&Tag, &TagEntry)| {
            let is_here =
                |subject: &Digest| self.contents.manifests.contains_key(subject) && !gone.contains(subject);
            self.policy.delete_referrers
                && self.is_old(entry.pushed_at)
                && subject_of(tag).is_some_and(|subject| !is_here(&subject))
        };
        self.contents.tags.iter().filter(goes).map(|(tag, _)| tag.clone()).collect()
    }

    /// Returns the manifests that a rule keeps though no tag points at them.
    fn kept_untagged(&self, gone_tags: &BTreeSet<Tag>) -> BTreeSet<Digest> {
        let Some(rule) = &self.policy.keep_untagged else { return BTreeSet::new() };
        let needed = self.needed(gone_tags, &BTreeSet::new());
        let untagged = self
            .contents
            .manifests
            .iter()
            .filter(|(digest, facts)| facts.subject.is_none() && !needed.contains(digest));
        let candidates = untagged.map(|(digest, facts)| Candidate {
            thing: *digest,
            pushed_at: facts.pushed_at,
            pulled_at: facts.pulled_at,
        });
        self.kept(rule, candidates.collect()).into_iter().collect()
    }

    /// Returns the manifests that go, now that some are gone.
    fn manifests(
        &self,
        gone_tags: &BTreeSet<Tag>,
        gone: &BTreeSet<Digest>,
        kept: &BTreeSet<Digest>,
    ) -> Vec<Digest> {
        let needed = self.needed(gone_tags, gone);
        let is_here =
            |digest: &Digest| self.contents.manifests.contains_key(digest) && !gone.contains(digest);
        let goes = |(digest, facts): &(&Digest, &Facts)| {
            let is_free = !gone.contains(digest) && !needed.contains(digest) && self.is_old(facts.pushed_at);
            is_free
                && match &facts.subject {
                    Some(subject) => self.policy.delete_referrers && !is_here(subject),
                    None => self.policy.delete_untagged && !kept.contains(digest),
                }
        };
        self.contents.manifests.iter().filter(goes).map(|(digest, _)| *digest).collect()
    }

    /// Returns what tags that stay point at, and manifests that stay need.
    fn needed(&self, gone_tags: &BTreeSet<Tag>, gone: &BTreeSet<Digest>) -> BTreeSet<Digest> {
        let tagged = self.contents.tags.iter().filter(|(tag, _)| !gone_tags.contains(*tag));
        let staying = self.contents.manifests.iter().filter(|(digest, _)| !gone.contains(digest));
        let referred = staying.flat_map(|(_, facts)| facts.references.iter().copied());
        tagged.map(|(_, entry)| entry.digest).chain(referred).collect()
    }

    fn is_old(&self, pushed_at: Timestamp) -> bool {
        self.moment.now.since(pushed_at) >= self.moment.delay
    }

    /// Returns what a rule keeps of what it looks at.
    fn kept<T: Clone + Ord>(&self, rule: &Rule, mut candidates: Vec<Candidate<T>>) -> BTreeSet<T> {
        let Moment { now, pulls_known_since, .. } = self.moment;
        if *rule == Rule::default() {
            return candidates.into_iter().map(|it| it.thing).collect();
        }
        let is_within = |it: &Candidate<T>| {
            let pulled_at = it.pulled_at.map_or(pulls_known_since, |at| at.max(pulls_known_since));
            rule.pushed_within.is_some_and(|within| now.since(it.pushed_at) <= within)
                || rule.pulled_within.is_some_and(|within| now.since(pulled_at) <= within)
        };
        let mut kept: BTreeSet<T> =
            candidates.iter().filter(|it| is_within(it)).map(|it| it.thing.clone()).collect();
        // Of what is as old the first by name, so that every run decides alike.
        candidates.sort_by(|a, b| a.thing.cmp(&b.thing));
        candidates.sort_by_key(|it| Reverse(it.pushed_at));
        let pushed = rule.most_recently_pushed.unwrap_or_default();
        kept.extend(candidates.iter().take(pushed).map(|it| it.thing.clone()));
        if let Some(pulled) = rule.most_recently_pulled {
            // Before pulls have been noted for a while, nobody knows what is pulled again and again.
            let knows_little = now.since(pulls_known_since) < self.moment.delay;
            let pulled = if knows_little { usize::MAX } else { pulled };
            // What was never pulled comes last, what was pushed last among it first; what was pulled before pulls
            // were noted without a gap counts as what was not.
            candidates.sort_by_key(|it| Reverse(it.pulled_at.filter(|at| *at >= pulls_known_since)));
            kept.extend(candidates.iter().take(pulled).map(|it| it.thing.clone()));
        }
        kept
    }
}

#[cfg(test)]
mod tests;
