//! How many requests a second are answered at all: of each client, of its single methods, and of the
//! whole server.
//!
//! It asks nobody and reads nothing, so that a refusal costs less than any answer.
//!
//! *Spec:* `spec.md#error-codes` (TOOMANYREQUESTS).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use super::options::{Options, Rates, Verb};
use crate::auth::Source;

/// Clients whose rates are kept at once; the one that has been silent for longest begins anew beyond it.
const CLIENTS_MAX: u64 = 65_536;
/// How long those of a silent client are: after a second they are as new ones.
const CLIENT_LIFE: Duration = Duration::from_secs(60);

/// The limits of the server and of its clients.
#[derive(Debug)]
pub(super) struct Limits {
    server: Option<RateLimit>,
    clients: Option<Clients>,
}

/// Rates that each client has for itself.
#[derive(Debug)]
struct Clients {
    rates: Rates,
    start: Instant,
    limits: Cache<Source, Arc<RateLimit>>,
}

impl Limits {
    /// Makes the limits, full.
    pub(super) fn new(options: &Options, start: Instant) -> Self {
        let rates = Rates { all: options.requests_per_second_max, ..Rates::default() };
        let limits = Cache::builder().max_capacity(CLIENTS_MAX).eviction_policy(EvictionPolicy::lru());
        let limits = limits.time_to_idle(CLIENT_LIFE).build();
        let is_limited = options.rates != Rates::default();
        let clients = is_limited.then(|| Clients { rates: options.rates.clone(), start, limits });
        Self { server: RateLimit::new(&rates, start), clients }
    }

    /// Takes a request of a method from a client.
    ///
    /// What the client's own limit refuses does not count for the server, nor the other way round.
    ///
    /// *Errors:* how long the limit that refuses it will go on to.
    pub(super) fn take(&self, from: Source, method: &Method, now: Instant) -> Result<(), Duration> {
        if let Some(server) = &self.server {
            server.look(now).inspect_err(|_| count_refused("server"))?;
        }
        self.take_of_client(from, method, now)?;
        match &self.server {
            Some(server) => server.take(method, now).inspect_err(|_| count_refused("server")),
            None => Ok(()),
        }
    }

    /// Takes a request for a page of metrics from a client. The server's own limit does not count it: that is when
    /// somebody wants to look.
    ///
    /// *Errors:* as of [`take`](Self::take).
    pub(super) fn take_page(&self, from: Source, method: &Method, now: Instant) -> Result<(), Duration> {
        self.take_of_client(from, method, now)
    }

    fn take_of_client(&self, from: Source, method: &Method, now: Instant) -> Result<(), Duration> {
        let Some(clients) = &self.clients else { return Ok(()) };
        clients.take(from, method, now).inspect_err(|_| count_refused("client"))
    }
}

fn count_refused(limit: &'static str) {
    metrics::counter!("wharfinger_http_requests_limited_total", "limit" => limit).increment(1);
}

impl Clients {
    fn take(&self, from: Source, method: &Method, now: Instant) -> Result<(), Duration> {
        let made = || RateLimit::new(&self.rates, self.start).map(Arc::new);
        match self.limits.optionally_get_with(from, made) {
            Some(limit) => limit.take(method, now),
            None => Ok(()),
        }
    }
}

/// The limits of one, and of its methods.
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

    /// Says whether the common limit has a request left, and takes none.
    fn look(&self, now: Instant) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.start);
        self.all.as_ref().map_or(Ok(()), |all| all.look(now))
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
