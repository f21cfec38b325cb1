//! The configuration from outside: whole files, and what is said of them.
//!
//! Files are those of `fixtures/configs`. Whatever concerns a single row of the table of keys is
//! tested beside the table.

mod anything;
mod certificates;
mod directory;
mod environment;
mod faults;
mod generated;
mod options;
mod schema;
mod start;
mod tls;

use std::path::PathBuf;

use wharfinger::config::{Fault, Faults, Loaded, parse};

/// Returns the path of a file of `fixtures/configs`.
fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/configs").join(name)
}

/// Returns what a file of `fixtures/configs` holds.
fn fixture(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Parses with an empty environment.
fn parsed(text: &str) -> Result<Loaded, Faults> {
    parse(text, &|_| None)
}

/// Returns the lines that `wharfinger verify` prints.
fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}
