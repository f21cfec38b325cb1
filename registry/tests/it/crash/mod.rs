//! Crash prefixes: pushes, tag moves, deletes and starts, cut at every operation of the disk.
//!
//! | module | what it holds |
//! |---|---|
//! | `steps` | what a client asks for, one step at a time |
//! | `ledger` | what was answered, and so what may be found |
//! | `scenarios` | the sequences of steps |
//! | `recovery` | what is asked of a store that starts again |
//! | `cut` | a power cut before every operation, and in the start after it |
//! | `bucket` | the same in a bucket: a stop, or a fault, at every request |
//! | `errors` | a full or failing disk at every operation |
//! | `scrub_duels` | a repair and a writer, one operation at a time |
//! | `scrubs` | a repair, cut at every operation |
//! | `imports` | an import, cut at every operation, and run again |
//! | `planted` | wrong protocols, which the audit must catch |
//! | `turns`, `duels`, `writers` | two writers, one operation at a time, in an order that a seed decides |
//! | `trusting` | wrong protocols of two writers |
//!
//! A failure prints one command that replays its case: the variable `WHARFINGER_CRASH` names the
//! only case to run.

mod bucket;
mod cut;
mod duels;
mod errors;
mod imports;
mod ledger;
mod planted;
mod recovery;
mod scenarios;
mod scrub_duels;
mod scrubs;
mod steps;
mod trusting;
mod turns;
mod writers;
