//! Validators: one promise, one file. Each is a pure function from what was seen to a verdict.
//!
//! | module | promise |
//! |---|---|
//! | `content` | P1: no response completes with wrong bytes |
//! | `one_fetch` | P4: a cold blob is fetched from upstream once |
//! | `first_byte` | P5: bytes arrive while the origin still sends |
//! | `bounded` | P6: the origin is not asked more often than clients and retries explain |
//! | `schedule` | P6: attempts are as many, and as far apart, as the target is configured to make |
//! | `breaker` | P6: an origin that fails again and again is left alone |
//! | `outage` | P7: what is cached is served while the origin is away or broken |
//! | `statuses` | P8: errors are honest |
//! | `isolation` | P10: a repository's content is read through that repository only |
//! | `secrets` | P11: no secret reaches another host, and no client's secret the origin |
//! | `freshness` | L3: a tag that moved shows what it names now |
//! | `ends` | L2: every request ends |
//! | `completes` | L1: what must succeed does |

mod bounded;
mod breaker;
mod completes;
mod content;
mod ends;
mod first_byte;
mod freshness;
mod isolation;
mod one_fetch;
mod outage;
#[cfg(test)]
mod planted;
mod schedule;
mod secrets;
mod statuses;
mod verdict;

pub use self::verdict::{Evidence, Finding, Ruling, Validator, Verdict, judge};
