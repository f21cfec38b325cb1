//! What shall happen to the bytes of one response: the chosen byte faults, sorted out for the pipe.

use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, Hit};

/// How far a paced body may run ahead of its rate, to make up for a timer that fired late.
const PACE_BURST: Duration = Duration::from_millis(5);

/// How a connection ends before its response does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// FIN: the peer reads an end of stream.
    Fin,
    /// RST: the peer reads an error.
    Reset,
}

/// The byte faults of one response with positions in its body; each keeps its hit, to be fired when it happens.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    cut: Option<(u64, Cut, &'a Hit)>,
    stalls: Vec<(u64, Option<Duration>, &'a Hit)>,
    corruptions: Vec<(u64, &'a Hit)>,
    drip: Option<(u64, Duration, &'a Hit)>,
    pace: Option<(Pace, &'a Hit)>,
}

/// A bucket of tokens, told by the time at which it will be full again.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    /// When what was sent so far would be through.
    through: Instant,
}

impl Pace {
    fn of(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), through: Instant::now() }
    }

    /// Counts `sent` bytes, and returns when the link has carried them.
    fn carry(&mut self, sent: u64, now: Instant) -> Instant {
        let earliest = now.checked_sub(PACE_BURST).unwrap_or(now);
        let took = Duration::from_secs_f64(sent as f64 / self.bytes_per_second as f64);
        self.through = self.through.max(earliest) + took;
        self.through
    }
}

/// Returns how the connection ends instead of an answer, if a chosen fault wants that, and counts it.
pub(super) fn cut_before_head(hits: &[Hit]) -> Option<Cut> {
    hits.iter().find_map(|hit| {
        let cut = match hit.fault() {
            Fault::ResetHeaders => Cut::Reset,
            Fault::CloseHeaders => Cut::Fin,
            _ => return None,
        };
        hit.fire();
        Some(cut)
    })
}

impl<'a> Wire<'a> {
    /// Sorts out the byte faults for a body of `length` bytes. Of several cuts the earliest counts.
    pub(super) fn of(hits: &'a [Hit], length: u64) -> Self {
        let mut wire =
            Self { cut: None, stalls: Vec::new(), corruptions: Vec::new(), drip: None, pace: None };
        for hit in hits {
            match hit.fault() {
                Fault::Truncate { at } => wire.cut_at(at.of(length), Cut::Fin, hit),
                Fault::Reset { at } => wire.cut_at(at.of(length), Cut::Reset, hit),
                Fault::Corrupt { at } => wire.corruptions.push((at.of(length), hit)),
                Fault::StallBody { at, ms } => {
                    wire.stalls.push((at.of(length), ms.map(Duration::from_millis), hit));
                }
                Fault::Drip { bytes, ms } => {
                    wire.drip = Some(((*bytes).max(1), Duration::from_millis(*ms), hit));
                }
                Fault::Pace { bytes_per_second } => wire.pace = Some((Pace::of(*bytes_per_second), hit)),
                _ => {}
            }
        }
        wire.stalls.retain(|(at, ..)| *at < length);
        wire.stalls.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        wire.cut = wire.cut.filter(|(at, ..)| *at < length);
        wire
    }

    /// Returns the cut that is due after `sent` bytes, and counts it.
    pub(super) fn cut_due(&self, sent: u64) -> Option<Cut> {
        let (_, cut, hit) = self.cut.filter(|(at, ..)| *at == sent)?;
        hit.fire();
        Some(cut)
    }

    /// Takes the stall that is due after `sent` bytes, and counts it. The inner `None` never ends.
    pub(super) fn take_stall_due(&mut self, sent: u64) -> Option<Option<Duration>> {
        let (_, pause, hit) = self.stalls.pop_if(|(at, ..)| *at == sent)?;
        hit.fire();
        Some(pause)
    }

    /// Returns how many bytes may be sent after `sent` before something happens.
    pub(super) fn quiet_bytes(&self, sent: u64, length: u64) -> u64 {
        let cut = self.cut.map(|(at, ..)| at);
        let stall = self.stalls.last().map(|(at, ..)| *at);
        let end = [cut, stall].into_iter().flatten().fold(length, u64::min);
        let quiet = end - sent;
        self.drip.map_or(quiet, |(bytes, ..)| quiet.min(bytes))
    }

    /// Spoils the bytes of `piece`, which begins at body offset `sent`.
    pub(super) fn corrupt(&self, sent: u64, piece: &mut [u8]) {
        for (at, hit) in &self.corruptions {
            let inside = at.checked_sub(sent).and_then(|offset| usize::try_from(offset).ok());
            if let Some(byte) = inside.and_then(|offset| piece.get_mut(offset)) {
                *byte ^= 0xff;
                hit.fire();
            }
        }
    }

    /// Returns the pause after a piece of a dripping body, and counts it.
    pub(super) fn drip_pause(&self) -> Option<Duration> {
        let (_, pause, hit) = self.drip?;
        hit.fire();
        Some(pause)
    }

    /// Returns until when a paced body waits after a piece of `sent` bytes, and counts it.
    pub(super) fn pace_due(&mut self, sent: u64) -> Option<Instant> {
        let (pace, hit) = self.pace.as_mut()?;
        hit.fire();
        Some(pace.carry(sent, Instant::now()))
    }

    fn cut_at(&mut self, at: u64, cut: Cut, hit: &'a Hit) {
        if self.cut.is_none_or(|(earlier, ..)| at < earlier) {
            self.cut = Some((at, cut, hit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_makes_up_for_little() {
        let begun = Instant::now();
        let mut pace = Pace { bytes_per_second: 1_000_000, through: begun };
        let after = |ms| begun + Duration::from_millis(ms);
        assert_eq!(pace.carry(10_000, begun), after(10));
        // Late by less than a burst, which is made up for; then by more.
        assert_eq!(pace.carry(10_000, after(12)), after(20));
        assert_eq!(pace.carry(10_000, after(100)), after(105));
    }
}
