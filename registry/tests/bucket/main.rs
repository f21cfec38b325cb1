//! Stores in buckets of real servers.
//!
//! *Goal*: what the bucket in memory promises of buckets holds of servers that others wrote: what is asked of
//! them, what they answer, what they do with conditions, and what becomes of a push when they are away.
//!
//! *Method*: each test starts servers of its own on free ports of this machine, with folders of their own, and
//! ends them. moto keeps S3's conditions, s3s-fs (in this process) S3's signatures, Azurite is Azure's blobs.
//! A server before moto changes requests or answers on their way where no server misbehaves on demand. The
//! runner installs what is not built here; a test that misses it says that it is skipped, and fails where
//! everything is prepared.
//!
//! | module | what it holds |
//! |---|---|
//! | `servers` | moto, s3s-fs, Azurite, and a lens before them |
//! | `support` | what is shared with the end-to-end tests, and the program on a bucket |
//! | `contract` | the contract of a backend, the probe, and each method of a bucket |
//! | `refusals` | buckets that are not there, wrong secrets, servers that honour no conditions |
//! | `outages` | servers that stop in the middle, are too busy, or break off |
//! | `registry` | the conformance suite on a bucket |
//! | `process` | the program on a bucket: fills, restarts, redirects |
//! | `replicas` | two and three of the program on one bucket, and on one folder |

#![cfg(test)]
// A test holds the whole server in its future.
#![recursion_limit = "256"]

mod contract;
mod outages;
mod process;
mod refusals;
mod registry;
mod replicas;
mod servers;
mod support;
