//! Validators: one promise, one file. Each is a pure function from what was seen to a verdict.
//!
//! | module | promise |
//! |---|---|
//! | `content` | P1: no response completes with wrong bytes |
//! | `one_fetch` | P4: a cold blob is fetched from upstream once |
//! | `first_byte` | P5: bytes arrive while the origin still sends |
//! | `outage` | P7: what is cached is served while the origin is away |
//! | `statuses` | P8: errors are honest |
//! | `completes` | L1: what must succeed does |

mod completes;
mod content;
mod first_byte;
mod one_fetch;
mod outage;
mod statuses;
mod verdict;

pub use self::verdict::{Evidence, Finding, Ruling, Validator, Verdict, judge};
