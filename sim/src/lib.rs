//! A flaky-upstream simulator and resilience test for any pull-through registry, over real sockets.
//!
//! An honest [`origin`] registry serves made-up images; [`fault`]s make it lie, stall and break;
//! [`traffic`] pulls through the proxy under test; [`validate`] judges what came back against what the
//! origin held. [`scenario`]s put these together, [`run`] carries them out on one [`stand`] and [`fleet`] on
//! several at once, [`figures`] count and [`report`] writes down.
//!
//! [`trial`] is the other half, for a cache in the same process: a whole life in virtual time, made of a seed.
//!
//! This crate shares no code with the registry: a misreading of the specification there must not be
//! repeated here. It is seeded, but not deterministic: the operating system schedules the sockets.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub mod cli;
pub mod digest;
pub mod fault;
pub mod figures;
pub mod fleet;
pub mod origin;
pub mod report;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod stand;
pub mod traffic;
pub mod trial;
pub mod validate;

/// Locks; a panic elsewhere while the lock was held leaves nothing here half-changed that matters.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
