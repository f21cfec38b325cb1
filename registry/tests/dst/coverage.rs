//! What the trials really met: a run in which nothing happened proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use sim::trial::{Kind, Op, Phase, Plan};

use crate::drive::Run;

/// How often each fault happened to what, and what clients saw.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    faults: BTreeMap<(&'static str, &'static str), u64>,
    outcomes: BTreeMap<(&'static str, String), u64>,
}

/// Every fault that a plan may have.
const KINDS: [&str; 16] = [
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
    pub(crate) fn count(&mut self, _: &Plan, run: &Run) {
        for entry in run.world.lock().unwrap().journal() {
            let Some(kind) = &entry.fault else { continue };
            let method = if entry.method == "HEAD" { "HEAD" } else { "GET" };
            *self.faults.entry((name(kind), method)).or_default() += 1;
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
        Ok(())
    }
}
