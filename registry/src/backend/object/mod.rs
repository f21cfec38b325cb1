//! Buckets: a [`Backend`](super::Backend) over an object store.
//!
//! A bucket replaces objects whole, cannot rename, and answers requests that it carries out much later. So
//! no object is ever overwritten or deleted without a condition on what it was, content is uploaded under a
//! name of its own before its digest is known, and what a digest stands for is a small object that points
//! there. See `docs/adr/0013-buckets-hold-pointers.md`.
//!
//! | file | what it is |
//! |---|---|
//! | `bucket` | what is asked of a bucket |
//! | `envelope` | what stands in an object |
//! | `records` | [`ObjectBackend`]: records, conditions, lists |
//! | `condemn` | content on its way out |
//! | `keys` | the names of objects that no key of the store leads to |
//! | `upload` | content on its way into the bucket, in parts |
//! | `stage` | pushes: what was uploaded of them, and their tail |
//! | `spool` | fills: written to a folder for their readers, and uploaded beside |
//! | `read` | reading content |
//! | `reclaim` | what nothing leads to any more |
//! | `probe` | whether a bucket honours conditions |
//! | `client` | the object stores of S3, Google and Azure as a bucket |
//! | `options` | which bucket, and how to reach it |
//! | `memory` | a bucket in memory, which can lose answers and carry out requests late |

pub mod bucket;
pub mod client;
mod condemn;
mod envelope;
mod keys;
pub mod memory;
pub mod options;
pub mod probe;
mod read;
mod reclaim;
mod records;
mod spool;
mod stage;
mod upload;

pub use records::{ObjectBackend, Roots};

#[cfg(test)]
mod tests;
