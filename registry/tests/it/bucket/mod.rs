//! Goal: the whole registry over a bucket: what it asks of the bucket, and what it answers when that fails.
//!
//! Method: a registry in this process over a bucket in memory, which counts requests and lets each meet the
//! fate that a test wants. What real servers do is in `registry/tests/bucket`.
//!
//! | module | what it holds |
//! |---|---|
//! | `bench` | a registry over a bucket whose fates a test decides |
//! | `budget` | how many requests an operation costs, as docs/buckets.md says |
//! | `faults` | what the client is told of a bucket that fails |
//! | `parts` | pushes and fetches in parts, stopped at every request |
//! | `fills` | fetches from an upstream while the bucket stands still |

mod bench;
mod budget;
mod faults;
mod fills;
mod parts;
