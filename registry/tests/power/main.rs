//! The power goes: ext4 and XFS in files of their own, and a store on them that is stopped at every system call.
//!
//! It needs root, loop devices, strace and xfsprogs; a test that this machine cannot run says so in the file that
//! `WHARFINGER_SKIPS` names. What clients ask for, and what they may find, is that of `it`'s crash prefixes and of
//! `kill`'s clients.
//!
//! | module | what it holds |
//! |---|---|
//! | `machine` | what a test needs of the machine, and its own view of what is mounted |
//! | `volume` | a file system in a file, whose power can be cut |
//! | `writer` | the process that writes, and tells what was answered |
//! | `witness` | the process that hears it, and stops the other at a system call |
//! | `places` | every system call of a scenario, with the power cut at each: P2, P3 |
//! | `planted` | the mistake of this process, which one of the cuts must find |
//! | `rounds` | the real server under load, and the power cut at random: P2, P3 |

#![cfg(test)]
#![recursion_limit = "256"]

mod machine;
mod places;
mod planted;
mod rounds;
mod store;
mod volume;
mod witness;
mod writer;

#[path = "../it/crash/ledger.rs"]
mod ledger;
#[expect(dead_code, reason = "Here a disk loses power by itself.")]
#[path = "../it/crash/recovery.rs"]
mod recovery;
#[path = "../it/crash/scenarios.rs"]
mod scenarios;
#[expect(dead_code, reason = "Some steps are of two writers, who are not cut here.")]
#[path = "../it/crash/steps.rs"]
mod steps;

#[expect(dead_code, unused_imports, reason = "Some of it is for scripts, which are cut elsewhere.")]
#[path = "../kill/pushes/mod.rs"]
mod pushes;
#[expect(dead_code, unused_imports, reason = "Some of it is for servers that are starved.")]
#[path = "../kill/support/mod.rs"]
mod support;
