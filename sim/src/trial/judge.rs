//! Which promises a trial broke.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::history::{History, Phase, Seen};
use super::plan::{Kind, Op, Plan, Target};
use super::world::{Entry, World};
use crate::digest::Digest;

/// How long after a pull ended its content may need to be visible to the next one.
const COMMIT_MS: u64 = 50;
/// What may pass besides waiting for the upstream.
const SLACK_MS: u64 = 50;
/// Statuses that a pull may have.
const STATUSES: [u16; 9] = [200, 206, 403, 404, 416, 429, 502, 503, 504];

/// A promise that was broken, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its number, such as `P1`; `L1` for what heals, `L2` for what ends.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// Judges a trial; no more than the first few breaches of each promise.
#[must_use]
pub fn judge(plan: &Plan, world: &World, history: &History) -> Vec<Broken> {
    let judge = Judge { plan, world, history };
    let mut broken = Vec::new();
    for seen in &history.seen {
        judge.content(seen, &mut broken);
        judge.statuses(seen, &mut broken);
        judge.cached(seen, &mut broken);
        judge.healing(seen, &mut broken);
    }
    judge.fetches(&mut broken);
    judge.attempts(&mut broken);
    broken
}

struct Judge<'t> {
    plan: &'t Plan,
    world: &'t World,
    history: &'t History,
}

fn say(broken: &mut Vec<Broken>, promise: &'static str, seen: &Seen, what: &str) {
    let what = format!(
        "{:?} {:?} at {} ms, {:?}: {what} (status {:?}, {} bytes, whole: {})",
        seen.op,
        seen.target,
        seen.from_ms,
        seen.phase,
        seen.status,
        seen.body.len(),
        seen.whole
    );
    broken.push(Broken { promise, what });
}

impl Judge<'_> {
    /// P1: what comes whole is right.
    fn content(&self, seen: &Seen, broken: &mut Vec<Broken>) {
        if seen.op == Op::Head || !seen.whole {
            return;
        }
        match seen.status {
            Some(200) => {
                let versions = self.world.versions(seen.target, seen.to_ms);
                if !versions.contains(&seen.body.as_slice()) {
                    say(broken, "P1", seen, "a whole body is not the content");
                }
                let own = Digest::sha256_of(&seen.body).to_string();
                if seen.digest.as_ref() != Some(&own) {
                    say(broken, "P1", seen, "the digest in the header is not the body's");
                }
            }
            // A slice of bytes that are not verified yet is a slice that no digest can check.
            Some(206) if self.is_honest(seen.target) => {
                let whole = self.world.content(seen.target, 0);
                let range = seen.range.as_deref().and_then(|it| it.strip_prefix("bytes "));
                let begin = range.and_then(|it| it.split('-').next()?.parse::<usize>().ok());
                let is_slice = begin.is_some_and(|it| whole[it.min(whole.len())..].starts_with(&seen.body));
                if !is_slice {
                    say(broken, "P1", seen, "a part is not that part of the content");
                }
            }
            _ => {}
        }
    }

    /// P8: an error says what happened, and 404 that something is not there.
    fn statuses(&self, seen: &Seen, broken: &mut Vec<Broken>) {
        let Some(status) = seen.status else { return };
        if !STATUSES.contains(&status) {
            say(broken, "P8", seen, "a status that no pull has");
        }
        if status == 404 && !self.was_told(seen.target, 404) {
            say(broken, "P8", seen, "404, and no url ever said so");
        }
        if status == 403 && !self.was_told(seen.target, 403) && !self.was_told(seen.target, 401) {
            say(broken, "P8", seen, "403, and no url ever said so");
        }
        if [429, 503].contains(&status) && seen.retry_after.is_none() {
            say(broken, "P8", seen, "no Retry-After");
        }
    }

    /// P7: what was pulled whole is served at once, whatever the upstream does; a tag within `checkTimeout`.
    fn cached(&self, seen: &Seen, broken: &mut Vec<Broken>) {
        if matches!(seen.op, Op::Leave(_)) {
            return;
        }
        let before = self.history.seen.iter().any(|it| {
            it.op == Op::Get
                && self.world.key(it.target) == self.world.key(seen.target)
                && it.status == Some(200)
                && it.whole
                && it.to_ms + COMMIT_MS <= seen.from_ms
        });
        if !before {
            return;
        }
        let took = seen.to_ms - seen.from_ms;
        let patience = if matches!(seen.target, Target::Tag(_)) { self.plan.settings.check_ms } else { 0 };
        if ![Some(200), Some(206), Some(416)].contains(&seen.status) || !seen.whole {
            say(broken, "P7", seen, "it was pulled before, and is not served");
        } else if took > patience + SLACK_MS {
            say(broken, "P7", seen, &format!("it was pulled before, and took {took} ms"));
        }
    }

    /// L1: when faults are over, everything comes, and comes right.
    fn healing(&self, seen: &Seen, broken: &mut Vec<Broken>) {
        if seen.phase == Phase::Faulty {
            return;
        }
        if seen.status != Some(200) || !seen.whole {
            say(broken, "L1", seen, "it does not come when all is well");
        } else if seen.body != self.world.content(seen.target, seen.from_ms) {
            say(broken, "L1", seen, "it is not what the upstream has now");
        }
    }

    /// P4: what no fault happened to is fetched once, however many ask.
    fn fetches(&self, broken: &mut Vec<Broken>) {
        let mut gets: BTreeMap<Target, usize> = BTreeMap::new();
        for entry in self.world.journal().iter().filter(|it| it.method == "GET") {
            let Some(target @ (Target::Layer(..) | Target::Manifest(_))) = entry.target else { continue };
            *gets.entry(self.world.key(target)).or_default() += 1;
        }
        for (target, count) in gets {
            if count > 1 && self.is_honest(target) && self.is_calm() {
                broken.push(Broken { promise: "P4", what: format!("{target:?} was fetched {count} times") });
            }
        }
    }

    /// P6: no more attempts than clients and their schedules account for; none after an answer that will not
    /// change; none while a url wants to be left alone.
    fn attempts(&self, broken: &mut Vec<Broken>) {
        let healed =
            self.history.seen.iter().filter(|it| it.phase != Phase::Faulty).map(|it| it.from_ms).min();
        let entries: Vec<&Entry> =
            self.world.journal().iter().filter(|it| healed.is_none_or(|healed| it.at_ms < healed)).collect();
        self.counts(&entries, broken);
        self.definite(&entries, broken);
        self.left_alone(&entries, broken);
    }

    fn counts(&self, entries: &[&Entry], broken: &mut Vec<Broken>) {
        let mut asked: BTreeMap<(usize, Target), u64> = BTreeMap::new();
        for entry in entries.iter().filter(|it| it.method == "GET") {
            let Some(target) = entry.target else { continue };
            *asked.entry((entry.url, self.world.key(target))).or_default() += 1;
        }
        for ((url, target), count) in asked {
            let fetches = |it: &&Seen| {
                let is_manifest = !matches!(target, Target::Layer(..));
                it.phase == Phase::Faulty
                    && self.is_wish_for(it.target, target)
                    && (is_manifest || it.op != Op::Head)
            };
            let clients = self.history.seen.iter().filter(fetches).count() as u64;
            // After wrong bytes of several urls a blob is fetched once more from one of them.
            let of_each =
                if matches!(target, Target::Layer(..)) && self.plan.settings.urls > 1 { 2 } else { 1 };
            let most = clients * (u64::from(self.plan.settings.retries) + 1) * of_each;
            if count > most {
                let what = format!("url {url} was asked {count} times for {target:?} by {clients} requests");
                broken.push(Broken { promise: "P6", what });
            }
        }
    }

    /// Says whether who wants one thing may have another fetched: a layer on its way for one repository is
    /// on its way for all that have it.
    fn is_wish_for(&self, wanted: Target, asked: Target) -> bool {
        let is_same_layer = matches!((wanted, asked), (Target::Layer(..), Target::Layer(..)))
            && self.world.digest(wanted, 0) == self.world.digest(asked, 0);
        self.world.key(wanted) == asked || is_same_layer
    }

    /// What is not there, or not for us, is not asked for again until somebody wants it; a schedule that an
    /// earlier failure began goes on beside it.
    fn definite(&self, entries: &[&Entry], broken: &mut Vec<Broken>) {
        if self.plan.settings.urls > 1 {
            return;
        }
        let mut refused: BTreeMap<Target, u64> = BTreeMap::new();
        let mut scheduled: BTreeSet<Target> = BTreeSet::new();
        for entry in entries.iter().filter(|it| it.method == "GET") {
            let Some(target) = entry.target.map(|target| self.world.key(target)) else { continue };
            if scheduled.contains(&target) {
                continue;
            }
            if let Some(at) = refused.remove(&target) {
                let wanted = |it: &&Seen| {
                    self.is_wish_for(it.target, target) && it.from_ms > at && it.from_ms <= entry.at_ms
                };
                // Who came while it was being refused asks at once when the refusal is there.
                let soon = entry.at_ms <= at + SLACK_MS;
                if !soon && !self.history.seen.iter().any(|it| wanted(&it)) {
                    let what =
                        format!("{target:?} was asked for again at {} ms, and nobody wanted it", entry.at_ms);
                    broken.push(Broken { promise: "P6", what });
                }
            }
            match entry.fault {
                Some(Kind::Status(400 | 401 | 403 | 404, _)) => drop(refused.insert(target, entry.at_ms)),
                Some(_) => drop(scheduled.insert(target)),
                None => {}
            }
        }
    }

    /// A url that said Retry-After is not asked until then.
    fn left_alone(&self, entries: &[&Entry], broken: &mut Vec<Broken>) {
        for entry in entries {
            let Some(Kind::Status(_, Some(seconds))) = entry.fault else { continue };
            // What was on its way when the answer came does not count.
            let (from, to) = (entry.at_ms + SLACK_MS, entry.at_ms + seconds * 1000);
            let early = entries.iter().find(|it| it.url == entry.url && it.at_ms > from && it.at_ms < to);
            if let Some(early) = early {
                let what = format!(
                    "url {} said at {} ms to wait {seconds} s, and was asked at {} ms",
                    entry.url, entry.at_ms, early.at_ms
                );
                broken.push(Broken { promise: "P6", what });
            }
        }
    }

    /// Says whether nothing was to go wrong with a target.
    fn is_honest(&self, target: Target) -> bool {
        let key = self.world.key(target);
        !self.plan.faults.iter().any(|fault| self.world.key(fault.target) == key)
    }

    /// Says whether no fault could make the urls pause each other's objects.
    fn is_calm(&self) -> bool {
        self.plan.faults.iter().all(|fault| {
            !matches!(fault.kind, Kind::Status(_, Some(_)) | Kind::Silence | Kind::Refuse | Kind::Reset)
                && !matches!(fault.kind, Kind::Status(500.., _))
        })
    }

    fn was_told(&self, target: Target, status: u16) -> bool {
        let key = self.world.key(target);
        let told: BTreeSet<Target> = self
            .world
            .journal()
            .iter()
            .filter(|it| matches!(it.fault, Some(Kind::Status(code, _)) if code == status))
            .filter_map(|it| it.target.map(|target| self.world.key(target)))
            .collect();
        told.contains(&key)
    }
}
