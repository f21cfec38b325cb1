//! What clients saw of a trial.

use super::plan::{Happening, Op, Target};

/// Which part of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Things go wrong.
    Faulty,
    /// All faults are over.
    Healed,
    /// The upstream is away, and everything was pulled before.
    Down,
}

/// One request of a client, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// When it was asked.
    pub phase: Phase,
    /// For what.
    pub target: Target,
    /// How.
    pub op: Op,
    /// When it began and ended, in milliseconds.
    pub from_ms: u64,
    /// When it ended.
    pub to_ms: u64,
    /// The status; none when the client left before there was one.
    pub status: Option<u16>,
    /// `Docker-Content-Digest`.
    pub digest: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// `Content-Range`.
    pub range: Option<String>,
    /// The body as far as it came.
    pub body: Vec<u8>,
    /// Whether it came to its end.
    pub whole: bool,
}

/// Something that happened to the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// What.
    pub what: Happening,
    /// When it began, in milliseconds.
    pub from_ms: u64,
    /// When it was over.
    pub to_ms: u64,
    /// The status of what an operator asked for.
    pub status: Option<u16>,
}

/// A cache that was brought within its bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// How many bytes it had afterwards.
    pub left_bytes: u64,
}

/// Everything that clients saw, in the order in which it ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The requests.
    pub seen: Vec<Seen>,
    /// What happened to the cache.
    pub happened: Vec<Happened>,
    /// When it was brought within its bound.
    pub evictions: Vec<Eviction>,
    /// What is wrong with the disk in the end.
    pub audit: Vec<String>,
}

impl History {
    /// Returns one line for each request: two runs of a plan have the same.
    ///
    /// Requests that ended in the same millisecond stand in the order of their text: which of those that wait
    /// for one thing is woken first is chance, and must not matter. What a client still sees of a process that
    /// ends at that moment is left out for the same reason.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        let ends = |at_ms: u64| {
            self.happened.iter().any(|it| it.what.is_restart() && (it.from_ms..=it.to_ms).contains(&at_ms))
        };
        let line = |it: &Seen| {
            if ends(it.to_ms) {
                return format!(
                    "{:>8} {:>8} {:?} {:?} {:?}, as the process ended",
                    it.from_ms, it.to_ms, it.phase, it.target, it.op
                );
            }
            format!(
                "{:>8} {:>8} {:?} {:?} {:?} {:?} {} {}",
                it.from_ms,
                it.to_ms,
                it.phase,
                it.target,
                it.op,
                it.status,
                it.body.len(),
                it.whole
            )
        };
        let mut lines: Vec<(u64, String)> = self.seen.iter().map(|it| (it.to_ms, line(it))).collect();
        lines.sort();
        lines.into_iter().map(|(_, line)| line).collect()
    }
}
