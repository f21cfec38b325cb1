//! What the trials really met: a run in which nothing happened proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use sim::trial::{Happening, Kind, Op, Phase, Plan, World};

use crate::drive::Run;

/// How often each fault happened to what, and what clients saw.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    faults: BTreeMap<(&'static str, &'static str), u64>,
    outcomes: BTreeMap<(&'static str, String), u64>,
    asked: BTreeMap<&'static str, u64>,
    marks: BTreeMap<&'static str, u64>,
}

/// Every fault that a plan may have.
const KINDS: [&str; 19] = [
    "refuse",
    "reset",
    "silence",
    "late",
    "status",
    "retry-after",
    "reset-at",
    "cut-at",
    "short-at",
    "stall-at",
    "flip-at",
    "length",
    "html",
    "false-digest",
    "no-range",
    "drip",
    "retry-after-date",
    "shift",
    "other",
];

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Refuse => "refuse",
        Kind::Reset => "reset",
        Kind::Silence => "silence",
        Kind::Late(_) => "late",
        Kind::Status(_, None) => "status",
        Kind::Status(_, Some(_)) => "retry-after",
        Kind::ResetAt(_) => "reset-at",
        Kind::CutAt(_) => "cut-at",
        Kind::ShortAt(_) => "short-at",
        Kind::StallAt(_) => "stall-at",
        Kind::FlipAt(_) => "flip-at",
        Kind::Length(_) => "length",
        Kind::Html => "html",
        Kind::FalseDigest => "false-digest",
        Kind::NoRange => "no-range",
        Kind::Drip(_) => "drip",
        Kind::Until(..) => "retry-after-date",
        Kind::Shift(_) => "shift",
        Kind::Other(_) => "other",
    }
}

fn op(op: Op) -> &'static str {
    match op {
        Op::Get => "get",
        Op::Head => "head",
        Op::Range(..) => "range",
        Op::Leave(_) => "leave",
    }
}

impl Coverage {
    /// Counts a trial: a fault when it happened, not when it was planned.
    pub(crate) fn count(&mut self, plan: &Plan, run: &Run) {
        let world = run.world.lock().unwrap();
        self.mark(plan, run, &world);
        for entry in world.journal() {
            let method = match entry.range {
                _ if entry.method == "HEAD" => "HEAD",
                Some((_, Some(_))) => "slice",
                Some(_) => "resume",
                None => "GET",
            };
            *self.asked.entry(method).or_default() += 1;
            for kind in &entry.faults {
                *self.faults.entry((name(kind), method)).or_default() += 1;
            }
            if entry.faults.len() > 1 {
                *self.marks.entry("several faults in one answer").or_default() += 1;
            }
        }
        for seen in run.history.seen.iter().filter(|it| it.phase == Phase::Faulty) {
            let end = match (seen.status, seen.whole) {
                (None, _) => "left".to_owned(),
                (Some(status @ (200 | 206)), false) => format!("{status} cut"),
                (Some(status), _) => status.to_string(),
            };
            *self.outcomes.entry((op(seen.op), end)).or_default() += 1;
        }
    }

    /// Counts what a run without it would prove nothing about.
    fn mark(&mut self, plan: &Plan, run: &Run, world: &World) {
        let happened = &run.history.happened;
        let mut mark = |name: &'static str, count: usize| {
            *self.marks.entry(name).or_default() += count as u64;
        };
        let evictions = run.history.evictions.iter();
        mark("evictions that left something", evictions.filter(|it| it.left_bytes > 0).count());
        mark("purges of what was here", happened.iter().filter(|it| it.status == Some(202)).count());
        let ends = |which: fn(&Happening) -> bool| happened.iter().filter(|it| which(&it.what)).count();
        mark("restarts", ends(|it| *it == Happening::Restart));
        mark("kills", ends(|it| matches!(it, Happening::Kill(_))));
        // The first thing that the next process asks of a blob is the rest of it.
        let resumed = |it: &&sim::trial::Happened| {
            let entries = || world.journal().iter().filter(|entry| entry.at_ms >= it.to_ms);
            let first = |entry: &&sim::trial::Entry| {
                entries().find(|other| other.method == "GET" && other.target == entry.target) == Some(*entry)
            };
            let is_rest =
                |entry: &&sim::trial::Entry| entry.method == "GET" && matches!(entry.range, Some((_, None)));
            it.what.is_restart() && entries().filter(is_rest).any(|entry| first(&entry))
        };
        mark("restarts after which a fill went on", happened.iter().filter(resumed).count());
        mark("tokens", world.tokens().len());
        let is_passed = plan.settings.disk_bytes.is_some();
        let alone = world.journal().iter().filter(|it| is_passed && matches!(it.range, Some((_, Some(_)))));
        mark("parts for readers whom a full disk left behind", alone.count());
    }

    /// Fails when so many seeds met less than they must.
    pub(crate) fn check(&self, seeds: u64) {
        if seeds < 300 {
            return;
        }
        for kind in KINDS {
            assert!(self.faults.contains_key(&(kind, "GET")), "{kind} never happened");
        }
        for end in ["200", "200 cut", "502", "503", "504", "404", "403"] {
            assert!(self.outcomes.contains_key(&("get", end.to_owned())), "no GET ended with {end}");
        }
        for method in ["GET", "HEAD", "resume", "slice"] {
            assert!(self.asked.get(method).is_some_and(|count| *count >= seeds / 10), "too little {method}");
        }
        for (mark, count) in &self.marks {
            assert!(*count >= seeds / 200, "{mark}: only {count}");
        }
        let whole = self.outcomes[&("get", "200".to_owned())];
        assert!(whole >= seeds * 2, "only {whole} pulls came whole");
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((kind, method), count) in &self.faults {
            writeln!(f, "{count:8} {kind} at {method}")?;
        }
        for ((op, end), count) in &self.outcomes {
            writeln!(f, "{count:8} {op} → {end}")?;
        }
        for (name, count) in self.asked.iter().chain(&self.marks) {
            writeln!(f, "{count:8} {name}")?;
        }
        Ok(())
    }
}
