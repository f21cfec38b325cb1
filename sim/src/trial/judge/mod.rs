//! Which promises a trial broke.
//!
//! `mod.rs` judges what clients saw, `asked` what the upstream was asked: how often, when, and with what.

mod asked;

use std::fmt;

use super::history::{Happened, History, Phase, Seen};
use super::plan::{Happening, Kind, Loss, Op, Plan, Target};
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

/// Judges a trial.
#[must_use]
pub fn judge(plan: &Plan, world: &World, history: &History) -> Vec<Broken> {
    let judge = Judge { plan, world, history };
    let mut broken = Vec::new();
    for seen in &history.seen {
        judge.content(seen, &mut broken);
        judge.statuses(seen, &mut broken);
        judge.unasked(seen, &mut broken);
        judge.cached(seen, &mut broken);
        judge.healing(seen, &mut broken);
        judge.endless(seen, &mut broken);
    }
    judge.cache(&mut broken);
    judge.asked(&mut broken);
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
            // A slice of bytes that are not verified yet is a slice that no digest can check: it is as right as
            // the answers that it was made of.
            Some(206) if !self.was_lied_to(seen.target, seen.to_ms) => {
                let whole = self.world.content(seen.target, 0);
                let slice = seen.range.as_deref().and_then(content_range);
                let is_slice = slice.is_some_and(|(begin, end, size)| {
                    size == whole.len() && whole.get(begin..end) == Some(seen.body.as_slice())
                });
                if !is_slice {
                    say(broken, "P1", seen, "a part is not that part of the content");
                }
            }
            _ => {}
        }
    }

    /// Says whether any answer for these bytes was a lie, until a moment.
    fn was_lied_to(&self, target: Target, until_ms: u64) -> bool {
        self.world.journal().iter().any(|entry| {
            entry.at_ms <= until_ms
                && entry.faults.iter().any(Kind::is_lie)
                && entry.target.is_some_and(|asked| self.is_same(asked, target))
        })
    }

    /// P8: an error says what happened, and 404 that something is not there.
    fn statuses(&self, seen: &Seen, broken: &mut Vec<Broken>) {
        let Some(status) = seen.status else { return };
        // Who reads while the process ends may be told that it does.
        let is_ending = self.meets_restart(seen);
        let is_known = STATUSES.contains(&status) || (status == 500 && is_ending);
        if !is_known {
            say(broken, "P8", seen, "a status that no pull has");
        }
        // Who may push is told that a blob is not here when the upstream cannot be asked: then he pushes it.
        let may_push_it = seen.op == Op::Head && matches!(seen.target, Target::Layer(..));
        if status == 404 && !may_push_it && !self.was_told(seen.target, 404) {
            say(broken, "P8", seen, "404, and no url ever said so");
        }
        if status == 403 && !self.was_told(seen.target, 403) && !self.was_told(seen.target, 401) {
            say(broken, "P8", seen, "403, and no url ever said so");
        }
        if [429, 503].contains(&status) && seen.retry_after.is_none() {
            say(broken, "P8", seen, "no Retry-After");
        }
    }

    /// P8: who is told that the upstream failed has had it asked, unless it is to be left alone.
    fn unasked(&self, seen: &Seen, broken: &mut Vec<Broken>) {
        let is_failure = matches!(seen.status, Some(502 | 504)) && seen.phase == Phase::Faulty;
        if !is_failure || self.may_pause() || self.meets_restart(seen) {
            return;
        }
        let of_it = |it: &&Entry| it.target.is_some_and(|asked| self.is_same(asked, seen.target));
        let entries: Vec<&Entry> =
            self.world.journal().iter().filter(of_it).filter(|it| it.at_ms <= seen.to_ms).collect();
        let is_quick =
            |kind: &Kind| matches!(kind, Kind::Refuse | Kind::Reset | Kind::Status(..) | Kind::Until(..));
        if !entries.iter().all(|it| !it.faults.is_empty() && it.faults.iter().all(is_quick)) {
            return;
        }
        // A question that was on its way when he came is his as well.
        let begun = seen.from_ms.saturating_sub(200 * self.plan.settings.urls as u64);
        if !entries.iter().any(|it| it.at_ms >= begun) {
            say(broken, "P8", seen, "the upstream was not asked");
        }
    }

    /// P7: what was pulled whole is served at once, whatever the upstream does; a tag within `checkTimeout`.
    fn cached(&self, seen: &Seen, broken: &mut Vec<Broken>) {
        let is_kept = self.plan.settings.disk_bytes.is_none();
        if matches!(seen.op, Op::Leave(_)) || !is_kept || self.meets_restart(seen) {
            return;
        }
        let before = self.history.seen.iter().any(|it| {
            it.op == Op::Get
                && self.world.key(it.target) == self.world.key(seen.target)
                && it.status == Some(200)
                && it.whole
                && it.to_ms + COMMIT_MS <= seen.from_ms
                && !self.went_between(it.from_ms, seen.to_ms)
        });
        if !before || self.is_of_unknown_age(seen) {
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

    /// Says whether a cached tag follows a refusal because power loss took the time of its last check: what
    /// nobody knows the age of is older than `deniedStaleMax`.
    fn is_of_unknown_age(&self, seen: &Seen) -> bool {
        let loses =
            |what: Happening| matches!(what, Happening::Kill(Loss::Bytes | Loss::Everything | Loss::Some(_)));
        matches!(seen.target, Target::Tag(_))
            && seen.status == Some(403)
            && self.history.happened.iter().any(|it| loses(it.what) && it.to_ms <= seen.from_ms)
    }

    /// L1: when faults are over, everything comes, and comes right.
    fn healing(&self, seen: &Seen, broken: &mut Vec<Broken>) {
        let is_kept = self.plan.settings.disk_bytes.is_none();
        let is_due = seen.phase == Phase::Healed || (seen.phase == Phase::Down && is_kept);
        if !is_due || (!seen.whole && self.finds_out(seen)) {
            return;
        }
        let digest = self.world.digest(seen.target, seen.from_ms);
        let is_it = seen.digest.as_deref() == Some(digest)
            && (seen.op == Op::Head || seen.body == self.world.content(seen.target, seen.from_ms));
        if seen.status != Some(200) || !seen.whole {
            say(broken, "L1", seen, "it does not come when all is well");
        } else if !is_it {
            say(broken, "L1", seen, "it is not what the upstream has now");
        }
    }

    /// Says whether a reader may be cut because part of an answer that lied was kept: nobody knew, and it is
    /// fetched anew for whoever comes next.
    fn finds_out(&self, seen: &Seen) -> bool {
        let comes_next = |it: &Seen| {
            it.phase == Phase::Healed && it.target == seen.target && it.from_ms >= seen.to_ms && it != seen
        };
        seen.phase == Phase::Healed
            && matches!(seen.target, Target::Layer(..))
            && self.was_lied_to(seen.target, seen.from_ms)
            && self.history.seen.iter().any(comes_next)
    }

    /// L2: every request ends, within what its configuration adds up to.
    fn endless(&self, seen: &Seen, broken: &mut Vec<Broken>) {
        let it = &self.plan.settings;
        let (urls, attempts) = (it.urls as u64, u64::from(it.retries) + 1);
        // The slowest body that is not too slow; a head that is late; what one url may be asked twice.
        let exchange = 150_000 + 3 * it.response_ms + 10_000;
        let attempt = urls * 2 * exchange;
        let wait = it.retry_delay_ms.max(it.on_demand_ms).max(30_000);
        let slices = 600_000 / it.range_max.max(1) + 2;
        let most = (attempts + 1) * (attempt + wait) + slices * urls * (it.response_ms + 10_000);
        let took = seen.to_ms - seen.from_ms;
        if took > most {
            say(broken, "L2", seen, &format!("it took {took} ms, at most {most} are accounted for"));
        }
    }

    /// P3, P6: what is on the disk is right, and a cache is within its bound after it was looked through.
    fn cache(&self, broken: &mut Vec<Broken>) {
        broken.extend(self.history.audit.iter().map(|what| Broken { promise: "P3", what: what.clone() }));
        for eviction in &self.history.evictions {
            let most = self.plan.settings.cache_bytes.unwrap_or(u64::MAX);
            if eviction.left_bytes > most {
                let (left, at) = (eviction.left_bytes, eviction.at_ms);
                let what =
                    format!("a cache of {most} bytes had {left} when it was looked through at {at} ms");
                broken.push(Broken { promise: "P6", what });
            }
        }
        for happened in &self.history.happened {
            if happened.status.is_some_and(|status| ![202, 404].contains(&status)) {
                broken.push(Broken { promise: "P8", what: format!("{happened:?}") });
            }
        }
    }

    /// Says whether nothing was to go wrong with a target.
    fn is_honest(&self, target: Target) -> bool {
        !self.plan.faults.iter().any(|fault| self.is_same(fault.target, target))
    }

    /// Says whether two targets are asked for by the same name, or are the same bytes.
    fn is_same(&self, a: Target, b: Target) -> bool {
        let is_same_layer = matches!((a, b), (Target::Layer(..), Target::Layer(..)))
            && self.world.digest(a, 0) == self.world.digest(b, 0);
        self.world.key(a) == self.world.key(b) || is_same_layer
    }

    /// Says whether urls may be left alone for a while.
    fn may_pause(&self) -> bool {
        self.plan.settings.breaker > 0 || self.plan.faults.iter().any(|fault| fault.kind.pause().is_some())
    }

    fn was_told(&self, target: Target, status: u16) -> bool {
        let key = self.world.key(target);
        self.world.journal().iter().any(|it| {
            it.faults.iter().any(|kind| kind.status() == Some(status))
                && it.target.map(|target| self.world.key(target)) == Some(key)
        })
    }

    /// Says whether something may have gone from the cache in a span of time.
    fn went_between(&self, from_ms: u64, to_ms: u64) -> bool {
        let takes = |it: &&Happened| !it.what.is_restart();
        let met = |it: &Happened| it.from_ms <= to_ms && it.to_ms >= from_ms;
        self.history.happened.iter().filter(takes).any(met)
    }

    /// Says whether a process ended while a client waited.
    fn meets_restart(&self, seen: &Seen) -> bool {
        let restarts = self.history.happened.iter().filter(|it| it.what.is_restart());
        restarts.into_iter().any(|it| it.from_ms <= seen.to_ms + SLACK_MS && it.to_ms >= seen.from_ms)
    }

    fn happened(&self, which: impl Fn(Happening) -> bool) -> usize {
        self.history.happened.iter().filter(|it| which(it.what)).count()
    }
}

/// Reads a `Content-Range`: where the part begins, where it ends, and the size of the whole.
fn content_range(value: &str) -> Option<(usize, usize, usize)> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (begin, last) = range.split_once('-')?;
    Some((begin.parse().ok()?, last.parse::<usize>().ok()? + 1, size.parse().ok()?))
}
