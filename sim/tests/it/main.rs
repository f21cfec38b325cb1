//! Tests of the simulator itself: the origin keeps the specification, each fault does what it says, and
//! each validator catches the lie that it is there for.

#![expect(clippy::unwrap_used, reason = "In a test a panic is the report.")]

mod access;
mod binary;
mod blob_host;
mod faults;
mod lies;
mod lures;
mod origin;
mod proxy;
mod raw;
mod report;
mod traffic;
mod variants;
