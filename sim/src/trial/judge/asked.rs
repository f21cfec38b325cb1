//! What the upstream was asked: how often (P4, P6), when (P6), and with what (P11).

use std::collections::{BTreeMap, BTreeSet};

use super::super::history::{Phase, Seen};
use super::super::plan::{Kind, Op, Target};
use super::super::world::{Entry, HEAD_MS_MAX};
use super::{Broken, Judge, SLACK_MS};

/// What may pass between a request's turn and its arrival: a token, and a redirect.
const ON_ITS_WAY_MS: u64 = 8 * HEAD_MS_MAX;

/// Requests for one thing at one url, in order.
type ByUrl<'t> = BTreeMap<(usize, Target), Vec<&'t Entry>>;

fn broke(broken: &mut Vec<Broken>, promise: &'static str, what: String) {
    broken.push(Broken { promise, what });
}

/// Says whether it asks for a bounded part of a blob, apart from its fill.
fn is_slice(entry: &Entry) -> bool {
    matches!(entry.range, Some((_, Some(_))))
}

fn is_fetch(entry: &Entry) -> bool {
    entry.method == "GET" && !is_slice(entry)
}

impl Judge<'_> {
    pub(super) fn asked(&self, broken: &mut Vec<Broken>) {
        self.fetches(broken);
        self.tokens(broken);
        for leak in self.world.leaks() {
            broke(broken, "P11", format!("a token was shown to another host: {leak}"));
        }
        let healed =
            self.history.seen.iter().filter(|it| it.phase != Phase::Faulty).map(|it| it.from_ms).min();
        let entries: Vec<&Entry> =
            self.world.journal().iter().filter(|it| healed.is_none_or(|healed| it.at_ms < healed)).collect();
        let mut by_url = ByUrl::new();
        for entry in entries.iter().filter(|it| is_fetch(it)) {
            let Some(target) = entry.target else { continue };
            by_url.entry((entry.url, self.world.key(target))).or_default().push(entry);
        }
        self.counts(&by_url, broken);
        self.schedules(&entries, &by_url, broken);
        self.delays(&entries, &by_url, broken);
        self.slices(&entries, broken);
        self.definite(&entries, broken);
        self.left_alone(&entries, broken);
    }

    /// P4: what no fault happened to is fetched once, however many ask; once more after it went.
    fn fetches(&self, broken: &mut Vec<Broken>) {
        let mut gets: BTreeMap<Target, usize> = BTreeMap::new();
        for entry in self.world.journal().iter().filter(|it| is_fetch(it)) {
            let Some(target @ (Target::Layer(..) | Target::Manifest(_))) = entry.target else { continue };
            *gets.entry(self.world.key(target)).or_default() += 1;
        }
        if self.plan.settings.disk_bytes.is_some() || !self.is_calm() {
            return;
        }
        let most = 1 + self.happened(|_| true);
        for (target, count) in gets {
            if count > most && self.is_honest(target) {
                broke(
                    broken,
                    "P4",
                    format!("{target:?} was fetched {count} times, at most {most} times was due"),
                );
            }
        }
    }

    /// P4: a token that lives is used by all who want something of its repository.
    fn tokens(&self, broken: &mut Vec<Broken>) {
        let mut latest: BTreeMap<(usize, &str), u64> = BTreeMap::new();
        for token in self.world.tokens() {
            let before = latest.insert((token.url, &token.scope), token.at_ms);
            let Some(before) = before.filter(|at| token.at_ms < at + self.plan.settings.token_ms) else {
                continue;
            };
            let restarted = |it: &&super::Happened| {
                it.what.is_restart() && it.to_ms >= before && it.from_ms <= token.at_ms
            };
            if !self.history.happened.iter().any(|it| restarted(&it)) {
                broke(broken, "P4", format!("a token was asked for at {before} ms, and again: {token:?}"));
            }
        }
    }

    /// P6: no more attempts than clients and their schedules account for.
    fn counts(&self, by_url: &ByUrl<'_>, broken: &mut Vec<Broken>) {
        for ((url, target), entries) in by_url {
            let clients = self.wishes(*target).count() as u64;
            // Wrong bytes that may have come from elsewhere are fetched once more.
            let lies = |it: &&Entry| it.faults.iter().any(Kind::is_lie);
            let again = match target {
                Target::Layer(..) => {
                    let of_it = |it: &&Entry| it.target.is_some_and(|asked| self.is_same(asked, *target));
                    self.world.journal().iter().filter(of_it).filter(lies).count() as u64
                }
                _ => 0,
            };
            let most = clients * (u64::from(self.plan.settings.retries) + 1) + again;
            let count = entries.len() as u64;
            if count > most {
                let what = format!("url {url} was asked {count} times for {target:?} by {clients} requests");
                broke(broken, "P6", what);
            }
        }
    }

    /// Returns the requests that may have a target fetched.
    fn wishes(&self, target: Target) -> impl Iterator<Item = &Seen> {
        let is_manifest = !matches!(target, Target::Layer(..));
        self.history.seen.iter().filter(move |it| {
            it.phase == Phase::Faulty && self.is_same(it.target, target) && (is_manifest || it.op != Op::Head)
        })
    }

    /// P6: no fewer attempts than the schedule has, where every one of them failed in a way that passes.
    fn schedules(&self, entries: &[&Entry], by_url: &ByUrl<'_>, broken: &mut Vec<Broken>) {
        let settings = &self.plan.settings;
        if settings.urls > 1 || settings.disk_bytes.is_some() || self.plan.has_restarts() || self.may_pause()
        {
            return;
        }
        for ((_, target), asked) in by_url {
            let all_fail =
                asked.iter().all(|it| !it.faults.is_empty() && it.faults.iter().all(Kind::is_passing));
            let least = u64::from(settings.retries) + 1;
            if all_fail && !self.has_head(entries, *target) && (asked.len() as u64) < least {
                let what = format!("{target:?} was asked for {} times, {least} were configured", asked.len());
                broke(broken, "P6", what);
            }
        }
    }

    fn has_head(&self, entries: &[&Entry], target: Target) -> bool {
        let key = self.world.key(target);
        entries.iter().any(|it| it.method == "HEAD" && it.target.is_some_and(|it| self.world.key(it) == key))
    }

    /// P6: between two attempts of a schedule is the time that was configured, unless somebody came.
    fn delays(&self, entries: &[&Entry], by_url: &ByUrl<'_>, broken: &mut Vec<Broken>) {
        let delay = self.plan.settings.retry_delay_ms;
        if self.plan.settings.disk_bytes.is_some() {
            return;
        }
        for ((url, target), asked) in by_url {
            if self.has_head(entries, *target) {
                continue;
            }
            for pair in asked.windows(2) {
                let (before, after) = (pair[0].at_ms, pair[1].at_ms);
                let has_failed = !pair[0].faults.is_empty() && pair[0].faults.iter().all(Kind::is_passing);
                // An attempt that somebody had for himself stands between two of the schedule.
                let is_due = |earlier: &&Entry| {
                    earlier.at_ms <= before && after + ON_ITS_WAY_MS >= earlier.at_ms + delay
                };
                if !has_failed || asked.iter().any(is_due) {
                    continue;
                }
                // Who came since has an attempt of his own; of several who wait, one may have come late to it;
                // and who read a part may have gone on to the whole.
                let came =
                    self.wishes(*target).any(|it| it.from_ms + SLACK_MS > before && it.from_ms <= after);
                let waiting = || self.wishes(*target).filter(|it| it.from_ms <= after && it.to_ms >= before);
                let part = waiting().any(|it| matches!(it.op, Op::Range(..)));
                if !came && !part && waiting().count() <= 1 {
                    let what = format!(
                        "url {url} was asked for {target:?} at {before} ms and {after} ms, {delay} ms were configured"
                    );
                    broke(broken, "P6", what);
                }
            }
        }
    }

    /// P4, P6: parts of a blob are no longer than configured, and no more than what was read.
    fn slices(&self, entries: &[&Entry], broken: &mut Vec<Broken>) {
        let most = self.plan.settings.range_max;
        let mut counts: BTreeMap<(usize, Target), u64> = BTreeMap::new();
        for entry in entries {
            let (Some(target), Some((from, Some(last)))) = (entry.target, entry.range) else { continue };
            if last + 1 - from > most {
                broke(broken, "P6", format!("a part of {target:?} had {} bytes", last + 1 - from));
            }
            *counts.entry((entry.url, self.world.key(target))).or_default() += 1;
        }
        if self.plan.settings.disk_bytes.is_some() {
            // Who is left behind by what is not kept reads alone.
            return;
        }
        for ((url, target), count) in counts {
            let size = self.world.content(target, 0).len() as u64;
            let due = |it: &Seen| match it.op {
                Op::Range(from, to) => {
                    let read = size * u64::from(to.min(1000).saturating_sub(from)) / 1000;
                    // One that lies about its size may be asked for more than there is.
                    read.div_ceil(most) + 2 + 2000_u64.div_ceil(most)
                }
                _ => 0,
            };
            let most: u64 = self.wishes(target).map(due).sum();
            if count > most {
                broke(
                    broken,
                    "P4",
                    format!("url {url} was asked for {count} parts of {target:?}, {most} were due"),
                );
            }
        }
    }

    /// What is not there, or not for us, is not asked for again until somebody wants it; a schedule that an
    /// earlier failure began goes on beside it.
    fn definite(&self, entries: &[&Entry], broken: &mut Vec<Broken>) {
        if self.plan.settings.urls > 1 {
            return;
        }
        let mut refused: BTreeMap<Target, u64> = BTreeMap::new();
        let mut scheduled: BTreeSet<Target> = BTreeSet::new();
        for entry in entries.iter().filter(|it| is_fetch(it)) {
            let Some(target) = entry.target.map(|target| self.world.key(target)) else { continue };
            if scheduled.contains(&target) {
                continue;
            }
            if let Some(at) = refused.remove(&target) {
                let wanted = |it: &&Seen| {
                    // Who reads a part goes on to the whole when no more parts are to be had.
                    let goes_on = matches!(it.op, Op::Range(..)) && it.to_ms >= entry.at_ms;
                    self.is_same(it.target, target)
                        && it.from_ms <= entry.at_ms
                        && (it.from_ms > at || goes_on)
                };
                // Who came while it was being refused asks at once when the refusal is there.
                let soon = entry.at_ms <= at + SLACK_MS + ON_ITS_WAY_MS;
                if !soon && !self.history.seen.iter().any(|it| wanted(&it)) {
                    let what =
                        format!("{target:?} was asked for again at {} ms, and nobody wanted it", entry.at_ms);
                    broke(broken, "P6", what);
                }
            }
            let is_refusal = |kind: &Kind| matches!(kind.status(), Some(400 | 401 | 403 | 404));
            if entry.faults.iter().any(is_refusal) {
                refused.insert(target, entry.at_ms);
            } else if !entry.faults.is_empty() {
                scheduled.insert(target);
            }
        }
    }

    /// A url that said Retry-After is not asked until then.
    fn left_alone(&self, entries: &[&Entry], broken: &mut Vec<Broken>) {
        let forgotten: Vec<u64> =
            self.history.happened.iter().filter(|it| it.what.is_restart()).map(|it| it.from_ms).collect();
        for entry in entries {
            let Some(pause) = entry.faults.iter().find_map(Kind::pause) else { continue };
            // What was on its way when the answer came does not count. A date has no milliseconds.
            let (from, to) = (entry.at_ms + SLACK_MS + ON_ITS_WAY_MS, entry.at_ms + pause * 1000);
            let is_date = entry.faults.iter().any(|kind| matches!(kind, Kind::Until(..)));
            let to = if is_date { to / 1000 * 1000 } else { to };
            // What a process was told dies with it.
            let to = forgotten.iter().filter(|it| **it >= entry.at_ms).fold(to, |to, it| to.min(*it));
            let early = entries.iter().find(|it| it.url == entry.url && it.at_ms > from && it.at_ms < to);
            if let Some(early) = early {
                let what = format!(
                    "url {} said at {} ms to wait {pause} s, and was asked at {} ms",
                    entry.url, entry.at_ms, early.at_ms
                );
                broke(broken, "P6", what);
            }
        }
    }

    /// Says whether no fault could make the urls pause each other's objects.
    fn is_calm(&self) -> bool {
        self.plan.faults.iter().all(|fault| {
            let is_trouble = matches!(
                fault.kind,
                Kind::Silence | Kind::Refuse | Kind::Reset | Kind::Late(_) | Kind::Status(500.., _)
            );
            fault.kind.pause().is_none() && !is_trouble
        })
    }
}
