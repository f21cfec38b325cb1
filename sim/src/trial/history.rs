//! What clients saw of a trial.

use super::plan::{Op, Target};

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

/// Everything that clients saw, in the order in which it ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The requests.
    pub seen: Vec<Seen>,
}

impl History {
    /// Returns one line for each request: two runs of a plan have the same.
    ///
    /// Requests that ended in the same millisecond stand in the order of their text: which of those that wait
    /// for one thing is woken first is chance, and must not matter.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        let line = |it: &Seen| {
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
