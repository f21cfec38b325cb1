//! How many requests a second are answered at all: a limit of the whole server, and of single
//! methods.
//!
//! It asks nobody and reads nothing, so that a refusal costs less than any answer. It knows no
//! client: fairness among them is not its matter.
//!
//! *Spec:* `spec.md#error-codes` (TOOMANYREQUESTS).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use super::options::{Rates, Verb};

/// The limits of a server.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// From where the buckets count.
    start: Instant,
    all: Option<Bucket>,
    /// A handful, so that looking through them is the quickest way.
    methods: Box<[(Verb, Bucket)]>,
}

impl RateLimit {
    /// Makes the limits, full, or `None` where nothing is limited.
    pub(super) fn new(rates: &Rates, start: Instant) -> Option<Self> {
        let all = rates.all.map(Bucket::new);
        let methods: Box<_> = rates.methods.iter().map(|(verb, rate)| (*verb, Bucket::new(*rate))).collect();
        (all.is_some() || !methods.is_empty()).then_some(Self { start, all, methods })
    }

    /// Takes a request of a method.
    ///
    /// A request that one limit refuses counts for no other: a flood of pushes that exceeds its own
    /// rate leaves the common one to the pulls.
    ///
    /// *Errors:* how long the limit that refuses it will go on to.
    pub(super) fn take(&self, method: &Method, now: Instant) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.start);
        let verb = Verb::parse(method);
        let own = self.methods.iter().find(|(limited, _)| Some(*limited) == verb);
        if let Some((_, own)) = own {
            // Asked first and taken last. Where others take the common one in between, this request
            // has counted for its method in vain, which errs on the side of the limit.
            self.all.as_ref().map_or(Ok(()), |all| all.look(now))?;
            own.take(now)?;
        }
        self.all.as_ref().map_or(Ok(()), |all| all.take(now))
    }
}

/// A token bucket that holds a second's worth, in one word.
///
/// *Shape:* instead of a level and the time at which it held, it keeps the moment at which it would
/// be full again: each token taken puts that moment off by the time in which one is refilled. It is
/// empty when the moment is a whole bucket's refilling away.
///
/// In any span of time it gives at most `rate` tokens a second, and a bucket's worth beside.
#[derive(Debug)]
struct Bucket {
    /// In nanoseconds from the start.
    full_at: AtomicU64,
    /// How long one token is refilled, in nanoseconds; rounded up, so that the rate is never exceeded.
    interval: u64,
    /// How long all of them are.
    depth: u64,
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl Bucket {
    fn new(rate: NonZeroU32) -> Self {
        let rate = u64::from(rate.get());
        let interval = NANOS_PER_SECOND.div_ceil(rate);
        Self { full_at: AtomicU64::new(0), interval, depth: interval * rate }
    }

    /// Takes a token.
    ///
    /// `now` is the time since the start; it may be older than that of an earlier call, since
    /// threads overtake each other.
    ///
    /// *Errors:* how long until there is a token again.
    fn take(&self, now: Duration) -> Result<(), Duration> {
        // The word is all there is to agree on, so no order beside its own is needed.
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let mut full_at = self.full_at.load(failure);
        loop {
            let next = self.without_one(full_at, now)?;
            match self.full_at.compare_exchange_weak(full_at, next, success, failure) {
                Ok(_) => return Ok(()),
                // Somebody else's went through, which can happen at most a bucket's worth of times.
                Err(found) => full_at = found,
            }
        }
    }

    /// Says whether [`take`](Self::take) would find a token, and takes none.
    fn look(&self, now: Duration) -> Result<(), Duration> {
        self.without_one(self.full_at.load(Ordering::Relaxed), now).map(drop)
    }

    /// Returns when it would be full again with one token less.
    fn without_one(&self, full_at: u64, now: Duration) -> Result<u64, Duration> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let empty = now.saturating_add(self.depth);
        // Threads are late by less than a bucket's worth. More means that the clock has gone back,
        // and to wait until it is where it was could take for ever; the bucket starts anew with one token.
        if full_at > empty.saturating_add(self.depth) {
            return Ok(empty);
        }
        let next = full_at.max(now).saturating_add(self.interval);
        if next > empty { Err(Duration::from_nanos(next - empty)) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests;
