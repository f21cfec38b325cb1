//! Scrub: looks at every stored byte and at the structure of every repository, and answers for what it finds.
//!
//! It runs beside everything else: readers never wait for it, and it claims a digest only while it acts on it
//! or looks a second time. What comes or goes meanwhile is no finding: whatever looks wrong is looked at again
//! under the claims that pushes and removals take (`store/claims.rs`).
//!
//! | file | what it is |
//! |---|---|
//! | `finding` | what can be wrong, and what was done about it |
//! | `run` | one run: its options, its progress, its report |
//! | `pace` | how fast bytes are read |
//! | `content` | the walk over all content |
//! | `tree` | the walk over the repositories of every space, and files that are none of ours |
//! | `blobs`, `manifests`, `tags`, `referrers` | what a repository holds |
//!
//! Content that is wrong is moved aside by `store/quarantine.rs`.

mod blobs;
mod content;
pub mod finding;
mod manifests;
mod pace;
mod referrers;
pub mod run;
mod tags;
mod tree;

/// What a watch is told, so that it need not know the layer below.
pub use crate::oci::Digest;
pub use finding::{Done, Finding, Kind};
pub use run::{Acting, By, From, Lost, Options, Phase, Progress, Report, Watch};
