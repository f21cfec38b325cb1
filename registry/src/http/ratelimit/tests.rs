//! Goal: a bucket gives what its rate says and never more, whatever the clock and other threads do,
//! and a refusal of one limit costs the others nothing. Method: properties against a bucket that
//! counts its level, which is the plain way to say the same; tables where one moment shows it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use tokio::time::Instant;

use super::{Bucket, NANOS_PER_SECOND, RateLimit};
use crate::http::options::{Rates, Verb};

fn rate(rate: u32) -> NonZeroU32 {
    NonZeroU32::new(rate).unwrap()
}

/// A bucket as one would draw it: a level, and when it was looked at last.
struct Model {
    /// In nanoseconds of refilling, so that it needs no fractions.
    level: u64,
    last: u64,
    interval: u64,
    depth: u64,
}

impl Model {
    fn new(rate: u32) -> Self {
        let interval = NANOS_PER_SECOND.div_ceil(rate.into());
        let depth = interval * u64::from(rate);
        Self { level: depth, last: 0, interval, depth }
    }

    fn take(&mut self, now: u64) -> Result<(), Duration> {
        self.level = self.depth.min(self.level + (now - self.last));
        self.last = now;
        match self.level.checked_sub(self.interval) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => Err(Duration::from_nanos(self.interval - self.level)),
        }
    }
}

/// Rates of all sizes, those that divide no second among them.
fn rates() -> impl Strategy<Value = u32> {
    prop_oneof![1..12_u32, 12..5_000_u32, 999_000..=1_000_000_u32]
}

/// Pauses, in thousandths of the time in which a token is refilled: mostly shorter than one, at
/// times long enough to fill the bucket.
fn pauses() -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![5 => 0..200_u64, 3 => 200..3_000_u64, 1 => 900_000..2_000_000_u64], 1..300)
}

proptest! {
    #[test]
    fn it_is_the_bucket_that_one_would_draw(rate in rates(), pauses in pauses()) {
        let (bucket, mut model, mut now) = (Bucket::new(super::tests::rate(rate)), Model::new(rate), 0);
        for pause in pauses {
            now += bucket.interval * pause / 1000;
            let at = Duration::from_nanos(now);
            let expect = model.take(now);
            prop_assert_eq!(bucket.look(at), expect, "looking at {}", now);
            prop_assert_eq!(bucket.take(at), expect, "at {}", now);
        }
    }

    /// Said without a model: no span of time has more than its length's worth and a burst.
    #[test]
    fn no_span_has_more_than_the_rate_and_a_burst(rate in rates(), pauses in pauses()) {
        let (bucket, mut now, mut taken) = (Bucket::new(super::tests::rate(rate)), 0, Vec::new());
        for pause in pauses {
            now += bucket.interval * pause / 1000;
            if bucket.take(Duration::from_nanos(now)).is_ok() {
                taken.push(now);
            }
        }
        for (index, from) in taken.iter().enumerate() {
            for (count, to) in (1_u128..).zip(&taken[index..]) {
                let most = u128::from(rate) * u128::from(to - from) / u128::from(NANOS_PER_SECOND);
                prop_assert!(count <= most + u128::from(rate), "{count} from {from} to {to}");
            }
        }
    }

    /// Whoever waits as long as it was told is served.
    #[test]
    fn the_wait_that_is_told_is_enough(rate in rates(), pauses in pauses()) {
        let (bucket, mut now) = (Bucket::new(super::tests::rate(rate)), Duration::ZERO);
        for pause in pauses {
            now += Duration::from_nanos(bucket.interval * pause / 1000);
            if let Err(wait) = bucket.take(now) {
                prop_assert!(!wait.is_zero() && wait <= Duration::from_secs(1), "{wait:?}");
                prop_assert!(bucket.look(now + wait - Duration::from_nanos(1)).is_err());
                now += wait;
                prop_assert_eq!(bucket.take(now), Ok(()));
            }
        }
    }

    /// A clock that goes anywhere shuts nobody out: two buckets' worth of time later there is a
    /// token, and no moment has more of them than a bucket and the one that a step back begins with.
    #[test]
    fn a_clock_that_goes_back_is_harmless(
        rate in rates(),
        moments in vec((0..=u64::MAX / 2, 0..4_u32), 1..20),
    ) {
        let bucket = Bucket::new(super::tests::rate(rate));
        for (now, tries) in moments {
            let now = Duration::from_nanos(now);
            let taken = (0..tries).filter(|_| bucket.take(now).is_ok()).count();
            prop_assert!(taken <= rate as usize + 1, "{taken} at {now:?}");
            if let Err(wait) = bucket.look(now) {
                prop_assert!(wait <= Duration::from_secs(3), "{wait:?}");
                prop_assert_eq!(bucket.look(now + wait), Ok(()));
            }
        }
    }
}

#[test]
fn a_bucket_is_full_at_first_and_never_fuller() {
    for size in [1, 3, 5, 1000] {
        let bucket = Bucket::new(rate(size));
        for seconds in [0, 1, 1000] {
            let now = Duration::from_secs(seconds) + Duration::from_micros(seconds);
            let taken = (0..2 * size).filter(|_| bucket.take(now).is_ok()).count();
            assert_eq!(taken, size as usize, "of {size} after {seconds} s");
        }
    }
}

#[test]
fn the_ends_of_time_are_answered() {
    let bucket = Bucket::new(rate(2));
    for now in [Duration::MAX, Duration::from_nanos(u64::MAX), Duration::ZERO] {
        assert_eq!(bucket.take(now), Ok(()), "{now:?}");
    }
    // The step back to zero began anew with one token, which is gone.
    assert_eq!(bucket.take(Duration::from_nanos(1)), Err(Duration::from_nanos(499_999_999)));
}

/// Late by a little, as a thread is that was overtaken: it takes from the same bucket.
#[test]
fn who_is_overtaken_gets_nothing_more() {
    let bucket = Bucket::new(rate(5));
    let (late, now) = (Duration::from_secs(9), Duration::from_millis(9_100));
    assert_eq!((0..5).filter(|_| bucket.take(now).is_ok()).count(), 5);
    assert_eq!(bucket.take(late), Err(Duration::from_millis(300)));
    assert_eq!(bucket.take(now), Err(Duration::from_millis(200)));
}

/// Each takes until there is nothing left, and together they get what is there. Threads that lose
/// each other's tokens show only where they meet often, so there are many tokens.
#[test]
fn threads_share_a_bucket() {
    let (bucket, size, threads) = (Bucket::new(rate(1_000_000)), 1_000_000, 4);
    let (now, barrier) = (Duration::from_secs(7), std::sync::Barrier::new(threads));
    let taken: usize = std::thread::scope(|scope| {
        let take = || {
            barrier.wait();
            std::iter::repeat_with(|| bucket.take(now)).take_while(Result::is_ok).count()
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, size);
}

fn limit(all: Option<u32>, methods: &[(Verb, u32)], start: Instant) -> Option<RateLimit> {
    let methods: BTreeMap<_, _> = methods.iter().map(|(verb, of)| (*verb, rate(*of))).collect();
    RateLimit::new(&Rates { all: all.map(rate), methods }, start)
}

#[test]
fn nothing_is_counted_where_nothing_is_limited() {
    assert!(limit(None, &[], Instant::now()).is_none());
}

#[test]
fn methods_have_their_own_and_share_the_common_one() {
    let start = Instant::now();
    let limit = limit(Some(4), &[(Verb::Put, 2), (Verb::Delete, 9)], start).unwrap();
    let foreign = Method::from_bytes(b"FOO").unwrap();
    let passed = |method: &Method, at: u64| limit.take(method, start + Duration::from_millis(at)).is_ok();
    // Its own limit lets two through, and what it refuses is not taken from the common one.
    assert_eq!([(); 5].map(|()| passed(&Method::PUT, 0)), [true, true, false, false, false]);
    assert_eq!([passed(&Method::GET, 0), passed(&foreign, 0), passed(&Method::HEAD, 0)], [true, true, false]);
    // Refused by the common one, and not counted for its own, which has one token again.
    assert_eq!([(); 5].map(|()| passed(&Method::DELETE, 0)), [false; 5]);
    assert_eq!([passed(&Method::GET, 250), passed(&Method::GET, 500)], [true, true]);
    assert_eq!([(); 3].map(|()| passed(&Method::PUT, 500)), [false; 3]);
    assert_eq!([passed(&Method::PUT, 750), passed(&Method::PUT, 1000)], [true, true]);
    assert_eq!([(); 4].map(|()| passed(&Method::DELETE, 2000)), [true; 4]);
}

#[test]
fn a_request_from_before_the_start_is_answered() {
    let start = Instant::now();
    let limit = limit(Some(1), &[], start + Duration::from_secs(60)).unwrap();
    assert_eq!(limit.take(&Method::GET, start), Ok(()));
    assert!(limit.take(&Method::GET, start).is_err());
}
